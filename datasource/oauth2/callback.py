"""What comes back from the provider by the browser (RFC 6749 section 4.1.2, RFC 9207)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl

from datasource.outbound.endpoint import split_url
from datasource.outbound.redaction import said

_QUERY_LENGTH = 16_384
_NOT_DECODED = "\ufffd"


class RefusedCallback(Exception):
    """The query is not an authorization response that can be trusted; no token request follows. Safe to show."""


@dataclass(frozen=True, slots=True)
class AuthorizationResponse:
    """A code, or an error; never both."""

    state: str | None
    code: str | None = field(default=None, repr=False)
    iss: str | None = None
    error_as_sent: str | None = field(default=None, repr=False)
    description_as_sent: str | None = field(default=None, repr=False)
    """Whoever opened the callback wrote these two. To make a text fit to be shown takes long: not for everybody who comes."""
    other: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What else stands in the query, once each: some providers tell there which account it is."""

    @property
    def error(self) -> str | None:
        """Fit to be shown."""
        return self._shown(self.error_as_sent)

    @property
    def error_description(self) -> str | None:
        """Fit to be shown."""
        return self._shown(self.description_as_sent)

    def _shown(self, text: str | None) -> str | None:
        # The redirect of an error carries the state, and whoever made it may have put that into the words, too.
        return None if text is None else said(text, [self.state or ""])


_PROTOCOL = frozenset({"code", "state", "iss", "error", "error_description"})


def parse_callback(query: bytes) -> AuthorizationResponse:
    """Parse the callback's query.

    Raises:
        RefusedCallback: a parameter stands twice, there is both a code and an error, neither, or it is no query at all.
    """
    if len(query) > _QUERY_LENGTH:
        raise RefusedCallback("The query is too long.")
    values: dict[str, str] = {}
    ambiguous: set[str] = set()
    try:
        pairs = parse_qsl(query.decode(errors="replace"), keep_blank_values=True, errors="replace", max_num_fields=50)
    except ValueError:
        raise RefusedCallback("The query cannot be read.") from None
    for name, value in pairs:
        if name in values and name in _PROTOCOL:
            raise RefusedCallback(f"The parameter {name} is in the query twice.")
        if name in values:
            ambiguous.add(name)
        values[name] = value
    # A name in Latin-1 beside what decides, or words, must cost nobody his consent.
    if any(_NOT_DECODED in values.get(name, "") for name in ("code", "state", "iss")):
        raise RefusedCallback("The query cannot be read.")
    code, error = values.get("code") or None, values.get("error") or None
    if code is None and error is None:
        error = values.get("error_code") or None
    if code is not None and error is not None:
        raise RefusedCallback("The query carries both a code and an error.")
    if code is None and error is None:
        raise RefusedCallback("The query carries neither a code nor an error.")
    return AuthorizationResponse(
        state=values.get("state") or None,
        code=code,
        iss=values.get("iss"),
        error_as_sent=error,
        description_as_sent=values.get("error_description") or values.get("error_message") or None,
        other={name: value for name, value in values.items() if name not in _PROTOCOL | ambiguous},
    )


def check_issuer(received: str | None, *, expected: str | None, authorize_url: str | None, required: bool) -> None:
    """Compare `iss` as RFC 9207 section 2.4 asks: character by character, on error responses too.

    Where no issuer is known, the answer must at least come from where the browser was sent: the authorize URL stands below
    the issuer, as it does at GitHub, Okta or Keycloak. Anything else cannot be compared, and is refused.

    Args:
        received: the parameter, if the answer has it.
        expected: what the spec names.
        authorize_url: where the browser was sent.
        required: whether the provider promised to name itself.

    Raises:
        RefusedCallback: it is another issuer's, or nobody can tell whose, or it is missing where it is required.
    """
    if received is None:
        if required:
            raise RefusedCallback("The provider promises to name itself (iss) and did not.")
        return
    if expected is not None:
        if received != expected:
            raise RefusedCallback("The answer comes from another issuer than spec.oauth2.issuer names.")
        return
    if not _stands_below(authorize_url or "", received):
        raise RefusedCallback(
            f"The answer names the issuer {said(received)}, and spec.oauth2.authorizeURL is not below it. So the answer may "
            "come from another service. If the service's own documentation names that issuer, set spec.oauth2.issuer to it."
        )


def _stands_below(url: str, issuer: str) -> bool:
    """Whether a URL has the origin of an issuer, and a path below its path."""
    there, above = split_url(url), split_url(issuer)
    if (
        there is None
        or above is None
        or not above.hostname
        or "?" in issuer
        or "#" in issuer
        or above.username is not None
    ):
        return False
    return _origin(there) == _origin(above) and there.path.startswith(above.path.rstrip("/") + "/")


def _origin(split: SplitResult) -> tuple[str, str | None, int | None]:
    return split.scheme, split.hostname, split.port or {"https": 443, "http": 80}.get(split.scheme)
