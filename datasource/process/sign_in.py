"""How people sign in, read from the environment: settings with the meaning of kube-apiserver's --oidc flags.

A person whom both know has one name in both. What kube-apiserver's structured configuration has beyond the flags, CEL mappings
above all, is not supported.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from datasource.outbound.egress import read_host
from datasource.outbound.endpoint import endpoint_problem, split_url
from datasource.outbound.trust import UnusableBundle, check_bundle
from datasource.process.sign_in_variables import (
    CA_FILE,
    CLIENT_ID,
    GROUPS_CLAIM,
    GROUPS_PREFIX,
    ISSUER,
    SCOPES,
    SECRET_FILE,
    USERNAME_CLAIM,
    USERNAME_PREFIX,
    VARIABLES,
)

DEFAULT_SCOPES = ("openid", "email", "profile")
"""What every provider of OpenID Connect knows."""

NO_PREFIX = "-"
"""What `--oidc-username-prefix` calls none: its default is one."""

_LONGEST = 256
_LARGEST_SECRET = 4096


class UnusableSignIn(ValueError):
    """A setting of sign-in cannot be used; names the variable and the remedy."""


class SignIn(msgspec.Struct, frozen=True):
    """Who says who somebody is, and how that becomes a name that the cluster knows."""

    issuer: str
    client_id: str
    secret_file: Path
    """Read anew for each sign-in: a mounted Secret is swapped."""
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    username_claim: str = "sub"
    username_prefix: str = ""
    """What is put before a name; what the variable means has been worked out."""
    groups_claim: str = ""
    """Empty: nobody is in a group."""
    groups_prefix: str = ""
    ca_file: Path | None = None
    """Authorities by which the issuer is trusted beside the system's."""

    @property
    def host(self) -> str:
        """The issuer's host: it is open for sign-in, wherever it is."""
        split = split_url(self.issuer)
        return "" if split is None else split.hostname or ""

    def check_files(self) -> None:
        """See that what is named is there: who has to sign in must not find that out.

        Raises:
            UnusableSignIn: with the variable and the remedy.
        """
        self.client_secret()
        self.ca_bundle()

    def client_secret(self) -> str:
        """What the client authenticates with.

        Raises:
            UnusableSignIn: the file cannot be read, or holds no secret.
        """
        secret = _text_in(self.secret_file, SECRET_FILE).strip()
        if not secret or len(secret) > _LARGEST_SECRET or not secret.isprintable():
            raise UnusableSignIn(
                f"{SECRET_FILE} must name a file with the client secret and nothing else: one line of printable characters."
            )
        return secret

    def ca_bundle(self) -> str | None:
        """The authorities, in PEM.

        Raises:
            UnusableSignIn: the file cannot be read, or holds none.
        """
        if self.ca_file is None:
            return None
        bundle = _text_in(self.ca_file, CA_FILE)
        try:
            check_bundle(bundle)
        except UnusableBundle as error:
            raise UnusableSignIn(f"{CA_FILE} must name a file with certificates in PEM; it {error}.") from None
        return bundle


def _text_in(path: Path, variable: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UnusableSignIn(f"{variable} must name a file that can be read; {path}: {why}.") from None


def sign_in_in(environ: Mapping[str, str], *, allow_insecure_http: bool) -> SignIn | None:
    """Read the settings; None where nobody is to sign in. No file is looked at: the operator has none of them.

    Raises:
        UnusableSignIn: with the variable and the remedy.
    """
    given = {name: value for name in VARIABLES if (value := _written(environ, name))}
    if not given:
        return None
    for name in (ISSUER, CLIENT_ID, SECRET_FILE):
        if name not in given:
            raise UnusableSignIn(
                f"{name} must be set where {next(iter(given))} is: people sign in with all three of {ISSUER}, {CLIENT_ID} and "
                f"{SECRET_FILE}, or not at all."
            )
    for name, value in given.items():
        if len(value) > _LONGEST * 8 or not value.isprintable():
            raise UnusableSignIn(f"{name} must be one line of at most {_LONGEST * 8} printable characters.")
    issuer = _issuer(given[ISSUER], allow_insecure_http=allow_insecure_http)
    claim = given.get(USERNAME_CLAIM, "sub")
    return SignIn(
        issuer=issuer,
        client_id=given[CLIENT_ID],
        secret_file=Path(given[SECRET_FILE]),
        scopes=_scopes(given),
        username_claim=claim,
        username_prefix=_username_prefix(given.get(USERNAME_PREFIX, ""), claim, issuer),
        groups_claim=given.get(GROUPS_CLAIM, ""),
        # As kube-apiserver has it: none is the default, so a lone - is a prefix like any other.
        groups_prefix=_prefix(GROUPS_PREFIX, given.get(GROUPS_PREFIX, "")),
        ca_file=Path(given[CA_FILE]) if CA_FILE in given else None,
    )


def _written(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    # A space may be a part of a prefix, as it is for kube-apiserver.
    return value if name in {USERNAME_PREFIX, GROUPS_PREFIX} else value.strip()


def _issuer(issuer: str, *, allow_insecure_http: bool) -> str:
    problem = endpoint_problem(issuer, allow_insecure_http=allow_insecure_http)
    if problem is not None:
        raise UnusableSignIn(f"{ISSUER} {problem.problem}: {issuer}. {problem.remedy}")
    split = split_url(issuer)
    if split is None or read_host(split.hostname or "") is None:
        raise UnusableSignIn(f"{ISSUER} names a host that is neither a valid name nor a valid address: {issuer}.")
    if "?" in issuer:
        # OpenID Connect Core section 2, `iss`.
        raise UnusableSignIn(f"{ISSUER} must have no query: {issuer}. Take the ? and what follows out of it.")
    return issuer


def _scopes(given: Mapping[str, str]) -> tuple[str, ...]:
    scopes = tuple(given.get(SCOPES, "").replace(",", " ").split()) or DEFAULT_SCOPES
    if "openid" not in scopes:
        raise UnusableSignIn(
            f"{SCOPES} must have openid among the scopes: without it the issuer does not say who signs in."
        )
    if "offline_access" in scopes:
        raise UnusableSignIn(f"{SCOPES} must not have offline_access: no token of a sign-in is kept.")
    return scopes


def _username_prefix(written: str, claim: str, issuer: str) -> str:
    """What `--oidc-username-prefix` means: not set, every claim but email gets the issuer before it."""
    if written == NO_PREFIX:
        return ""
    if not written and claim != "email":
        return f"{issuer}#"
    return _prefix(USERNAME_PREFIX, written)


def _prefix(name: str, prefix: str) -> str:
    if len(prefix) > _LONGEST:
        raise UnusableSignIn(f"{name} must be at most {_LONGEST} characters long.")
    if prefix.startswith("system:"):
        raise UnusableSignIn(
            f"{name} must not begin with system: such names are the cluster's own, and no person has one."
        )
    return prefix
