"""What a provider says about itself: authorization server metadata (RFC 8414), or OpenID Connect Discovery 1.0.

Pure: any bytes in, a ProviderMetadata or a MetadataUnusable out. Only what is used is read, and what is read is strict: a
document is believed as a whole or not at all.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from datasource.oauth2.errors import MetadataUnusable
from datasource.oauth2.strict_json import json_object, text_of
from datasource.oauth2.token_request import WITH_A_SECRET
from datasource.outbound.endpoint import endpoint_problem
from datasource.outbound.printable import printable
from datasource.outbound.provider_request import ProviderRequest

LONGEST_URL = 2048
_LONGEST_LIST = 100
_LONGEST_ITEM = 256
_PLACEHOLDER = re.compile(r"\{[A-Za-z]{1,32}\}")
"""Microsoft writes {tenantid} into an issuer, where a document is for all of its tenants."""

_TENANT = re.compile(r"[A-Za-z0-9._~-]+")


class ProviderMetadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The members of the document that are used (RFC 8414 section 2, RFC 9126 section 5, RFC 9207 section 3).

    A list is None where the document leaves it out: what that means is the specification's to say, and differs by member.
    """

    issuer: str
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    revocation_endpoint: str | None = None
    jwks_uri: str | None = None
    pushed_authorization_request_endpoint: str | None = None
    require_pushed_authorization_requests: bool = False
    authorization_response_iss_parameter_supported: bool = False
    code_challenge_methods_supported: tuple[str, ...] | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] | None = None
    id_token_signing_alg_values_supported: tuple[str, ...] | None = None

    @property
    def supports_s256(self) -> bool:
        """Whether it lists S256; a document without the list says that PKCE is not supported (RFC 8414 section 2)."""
        return "S256" in (self.code_challenge_methods_supported or ())

    @property
    def without_lists(self) -> "ProviderMetadata":
        """The same for a record: of the lists, which a provider may make long, only what decides anything."""
        return msgspec.structs.replace(
            self,
            code_challenge_methods_supported=("S256",) if self.supports_s256 else None,
            token_endpoint_auth_methods_supported=self._ways_with_a_secret,
            id_token_signing_alg_values_supported=None,
        )

    @property
    def promises(self) -> "ProviderMetadata":
        """What it promises, without its endpoints: what a credential remembers for when the document is out of reach."""
        return ProviderMetadata(
            issuer=self.issuer,
            require_pushed_authorization_requests=self.require_pushed_authorization_requests,
            authorization_response_iss_parameter_supported=self.authorization_response_iss_parameter_supported,
            code_challenge_methods_supported=("S256",) if self.supports_s256 else None,
            token_endpoint_auth_methods_supported=self._ways_with_a_secret,
        )

    def promises_about(self, token_url: str) -> "ProviderMetadata":
        """The same for a credential from that token URL: of another one, nobody told how to authenticate there."""
        if self.token_endpoint in (None, token_url):
            return self.promises
        return msgspec.structs.replace(self.promises, token_endpoint_auth_methods_supported=None)

    @property
    def _ways_with_a_secret(self) -> tuple[str, ...] | None:
        ways = self.token_endpoint_auth_methods_supported
        return None if ways is None else tuple(each for each in WITH_A_SECRET if each in ways)


_ENDPOINTS = (
    "authorization_endpoint",
    "token_endpoint",
    "revocation_endpoint",
    "jwks_uri",
    "pushed_authorization_request_endpoint",
)
_SWITCHES = ("require_pushed_authorization_requests", "authorization_response_iss_parameter_supported")
_LISTS = (
    "code_challenge_methods_supported",
    "token_endpoint_auth_methods_supported",
    "id_token_signing_alg_values_supported",
)


def well_known_urls(issuer: str) -> tuple[str, ...]:
    """Where the document of an issuer may stand, the likeliest first.

    OpenID Connect Discovery 1.0 section 4 puts its suffix behind the issuer's path; RFC 8414 section 3.1 puts its own between
    host and path, and section 5 lets the OpenID Connect suffix stand there, too.
    """
    split = urlsplit(issuer)
    path = split.path.rstrip("/")

    def at(place: str) -> str:
        return urlunsplit((split.scheme, split.netloc, place, "", ""))

    places = (
        f"{path}/.well-known/openid-configuration",
        f"/.well-known/oauth-authorization-server{path}",
        f"/.well-known/openid-configuration{path}",
    )
    return tuple(dict.fromkeys(at(place) for place in places))


LARGEST_DOCUMENT = 1024 * 1024
"""Bytes."""


def document_request(url: str) -> ProviderRequest:
    """GET a JSON document of a provider: its metadata, its keys."""
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "datasource-operator"}
    return ProviderRequest(url=url, headers=headers, body=b"", method="GET", largest_reply=LARGEST_DOCUMENT)


def parse_provider_metadata(
    body: bytes, *, issuer: str, allow_insecure_http: bool, may_be_of_many: bool = False
) -> ProviderMetadata:
    """Parse a document that was fetched for an issuer.

    Args:
        body: as it came.
        issuer: the configured one; the document must name it, byte for byte (RFC 8414 section 3.3).
        allow_insecure_http: whether its endpoints may be http:// on other hosts than loopback.
        may_be_of_many: whether it may be a document for many tenants, of which the configured issuer is one. Only where
            somebody said where it stands: the place does not prove whose it is then.

    Raises:
        MetadataUnusable: it is no such document, or is about another issuer, or an endpoint in it cannot be used.
    """
    members = json_object(text_of(body))
    if members is None:
        raise MetadataUnusable("The provider's metadata is no JSON object.")
    named = members.get("issuer")
    if not isinstance(named, str):
        raise MetadataUnusable("The provider's metadata names no issuer.")
    if named != issuer and not (may_be_of_many and _is_one_of(issuer, named)):
        raise MetadataUnusable(_is_about_another(named, issuer))
    said: dict[str, Any] = {name: _endpoint(members, name, allow_insecure_http) for name in _ENDPOINTS}
    said |= {name: _switch(members, name) for name in _SWITCHES}
    said |= {name: _list(members, name) for name in _LISTS}
    return ProviderMetadata(issuer=issuer, **said)


def has_placeholder(issuer: str) -> bool:
    """Whether an issuer is a pattern for many, such as https://login.microsoftonline.com/{tenantid}/v2.0."""
    return _PLACEHOLDER.search(issuer) is not None


def _is_one_of(issuer: str, pattern: str) -> bool:
    """Whether an issuer is what comes of a pattern with one placeholder, which is a segment of the path or a part of one."""
    parts = _PLACEHOLDER.split(pattern)
    # In the place of the host it would be anybody.
    if len(parts) != 2 or parts[0].count("/") < 3:
        return False
    before, after = parts
    tenant = issuer.removeprefix(before).removesuffix(after)
    return issuer == before + tenant + after and _TENANT.fullmatch(tenant) is not None


def _is_about_another(named: str, issuer: str) -> str:
    if not has_placeholder(named):
        return (
            f"The provider's metadata is about issuer {printable(named)}, not {printable(issuer)}: "
            "the two must be the same, character by character."
        )
    return (
        f"The provider's metadata is for many tenants: it is about issuer {printable(named)}, not {printable(issuer)}. "
        "Name a tenant: set spec.oauth2.issuer to that with the ID of your tenant in the place of the braces. "
        "If people sign in at the address for all tenants, set spec.oauth2.discoveryURL to the URL of this document."
    )


def _endpoint(members: Mapping[str, Any], name: str, allow_insecure_http: bool) -> str | None:
    value = members.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > LONGEST_URL:
        raise MetadataUnusable(f"The provider's metadata has a {name} that is no URL.")
    found = endpoint_problem(value, allow_insecure_http=allow_insecure_http)
    if found is not None:
        raise MetadataUnusable(f"The provider's metadata has a {name} that {found.problem}: {printable(value)}")
    return value


_SWITCHED = {"true": True, "false": False}


def _switch(members: Mapping[str, Any], name: str) -> bool:
    """Some servers write it as a text."""
    value = members.get(name)
    if isinstance(value, str):
        value = _SWITCHED.get(value.lower(), value)
    if value is not None and not isinstance(value, bool):
        raise MetadataUnusable(f"The provider's metadata has a {name} that is neither true nor false.")
    return value is True


def _list(members: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    """A text alone counts as a list of it; an entry that is no short text is passed over."""
    value = members.get(name)
    if value is None:
        return None
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list):
        raise MetadataUnusable(f"The provider's metadata has a {name} that is no list.")
    return tuple(each for each in entries[:_LONGEST_LIST] if isinstance(each, str) and len(each) <= _LONGEST_ITEM)
