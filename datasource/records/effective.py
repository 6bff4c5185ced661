"""The parameters that both processes work with. Order: what is written, then the preset, then the provider's metadata.

`OAuth2` is what the spec says. Fingerprints and hashes are computed from it. `Effective` is derived from it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from datasource.api.durations import parse_duration
from datasource.api.spec import (
    AssertionAudience,
    AssertionType,
    InvalidSpec,
    OAuth2,
    Pkce,
    PushedAuthorization,
)
from datasource.api.token_endpoints import chosen_endpoint
from datasource.oauth2.client_assertion import client_assertion
from datasource.oauth2.extra_headers import ExtraHeader
from datasource.oauth2.lifetimes import LONGEST_LIFETIME
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.oauth2.reserved_parameters import reserved_parameter_in
from datasource.oauth2.token_request import WITH_A_SECRET, BodyFormat, Client, ClientAuthentication, RequestOptions
from datasource.oauth2.token_response import ReplyOptions
from datasource.outbound.json_text import read_json
from datasource.records.client_secret import ClientSecret, usable_signing_key
from datasource.records.credential import CredentialFacts


class Source(StrEnum):
    """Where the value of a parameter comes from."""

    WRITTEN = "written"
    PRESET = "preset"
    METADATA = "metadata"


@dataclass(frozen=True, slots=True)
class Effective:
    """Endpoints and options of one authorization. `parameters` are those written, filled in from the preset."""

    written: OAuth2
    parameters: OAuth2
    authorize_url: str
    token_url: str
    revocation_url: str | None
    pushed_authorization_url: str | None
    """The endpoint that the authorization request is pushed to; None where it is not pushed."""

    @property
    def client_id(self) -> str:
        """The client ID."""
        return self.parameters.client_id or ""

    @property
    def code_challenge_is_sent(self) -> bool:
        """Whether PKCE is used, with S256."""
        return self.parameters.pkce is not Pkce.NONE

    @property
    def endpoints(self) -> Mapping[str, str]:
        """The endpoints that the client authenticates at, by the fields of spec.oauth2."""
        endpoints = {
            "tokenURL": self.token_url,
            "refreshURL": self.parameters.refresh_url,
            "revocationURL": self.revocation_url,
            "pushedAuthorizationURL": self.pushed_authorization_url,
        }
        return {field: url for field, url in endpoints.items() if url}

    def chosen_by(self, told: Mapping[str, str]) -> "Effective":
        """The same, with the token endpoint that the callback chooses from those in the spec.

        Args:
            told: the parameters of the callback. None of them is used as a URL: they are only compared with the spec.
        """
        chosen = chosen_endpoint(self.parameters.token_urls, told)
        if chosen is None:
            return self
        return replace(self, token_url=chosen.url, revocation_url=chosen.revocation_url or self.revocation_url)

    def source(self, field: str) -> Source:
        """Where the value of a field comes from. `field` is its name in Python, such as authorize_url."""
        if getattr(self.written, field):
            return Source.WRITTEN
        return Source.PRESET if getattr(self.parameters, field) else Source.METADATA


def needs_metadata(oauth2: OAuth2) -> bool:
    """Whether an endpoint is neither written nor in the preset, so that only the issuer's metadata can give it."""
    whole = oauth2.expanded()
    return not whole.authorize_url or not whole.token_url


def effective_oauth2(oauth2: OAuth2, metadata: ProviderMetadata | None) -> Effective:
    """Work out the effective parameters.

    Args:
        oauth2: as written.
        metadata: of its issuer, where it can be read.

    Raises:
        InvalidSpec: the spec and the provider's metadata do not fit together.
    """
    whole = oauth2.expanded()
    said = metadata or ProviderMetadata(issuer=whole.issuer or "")
    if metadata is not None and whole.pkce is Pkce.S256 and not metadata.supports_s256:
        raise InvalidSpec(
            "spec.oauth2.pkce",
            "is S256, and the metadata of spec.oauth2.issuer does not list it (code_challenge_methods_supported)",
            "Use S256Unadvertised if the provider accepts it, or none for a client with a secret.",
        )
    authorize_url = _required(
        whole.authorize_url or said.authorization_endpoint, "authorizeURL", "authorization_endpoint"
    )
    if (reserved := reserved_parameter_in(authorize_url)) is not None:
        raise InvalidSpec(
            "spec.oauth2.issuer",
            f"names a provider whose authorization_endpoint carries the parameter {reserved}, which the flow sets itself",
            "Write authorizeURL without it, or correct the issuer.",
        )
    token_url = _required(whole.token_url or said.token_endpoint, "tokenURL", "token_endpoint")
    return Effective(
        written=oauth2,
        parameters=_authenticating_as_told(whole, said, token_url),
        authorize_url=authorize_url,
        token_url=token_url,
        revocation_url=whole.revocation_url or said.revocation_endpoint,
        pushed_authorization_url=_pushed_authorization_url(whole, said, authorize_url),
    )


def _authenticating_as_told(whole: OAuth2, said: ProviderMetadata, token_url: str) -> OAuth2:
    """The parameters with the client authentication that the metadata asks for: the wrong one would spend the code.

    This applies to a client secret whose method the spec does not name. Such a client uses Basic (RFC 8414 section 2), unless
    the metadata lists the request body and not Basic.
    """
    listed = said.token_endpoint_auth_methods_supported or ()
    basic, post = ClientAuthentication.CLIENT_SECRET_BASIC, ClientAuthentication.CLIENT_SECRET_POST
    # The written token URL may be another server's. Recorded promises name no token URL: they are about this one.
    is_told = said.token_endpoint in (None, token_url) and post in listed and basic not in listed
    if not is_told or whole.client_authentication is not None or whole.client_secret_ref is None:
        return whole
    return msgspec.structs.replace(whole, client_authentication=post)


def authenticating_as_recorded(whole: OAuth2, recorded: str | None) -> OAuth2:
    """The parameters with the client authentication that was used to obtain the tokens.

    This applies where the spec names none: the provider's metadata may have given it.

    Args:
        whole: filled in from the preset.
        recorded: what `recorded_client` wrote.
    """
    client = read_recorded_client(recorded)
    if client is None or whole.client_authentication is not None or whole.client_secret_ref is None:
        return whole
    way = client.client_authentication
    return msgspec.structs.replace(whole, client_authentication=way) if way in WITH_A_SECRET else whole


def _required(url: str | None, field: str, member: str) -> str:
    if not url:
        raise InvalidSpec(
            f"spec.oauth2.{field}",
            f"is not written, and the metadata of spec.oauth2.issuer has no {member}",
            "Write it, or correct the issuer.",
        )
    return url


def _pushed_authorization_url(whole: OAuth2, said: ProviderMetadata, authorize_url: str) -> str | None:
    mode = whole.pushed_authorization or PushedAuthorization.AUTO
    # The written authorize URL may be another server's. The endpoint in the metadata belongs to the authorize URL there.
    offered = said.pushed_authorization_request_endpoint if authorize_url == said.authorization_endpoint else None
    url = whole.pushed_authorization_url or offered
    if mode is PushedAuthorization.NEVER:
        if said.require_pushed_authorization_requests:
            raise InvalidSpec(
                "spec.oauth2.pushedAuthorization",
                "is never, and the provider's metadata requires it",
                "Use auto, or leave it out.",
            )
        return None
    is_of_this_url = said.authorization_endpoint in (None, authorize_url)
    if url is None and said.require_pushed_authorization_requests and is_of_this_url:
        raise InvalidSpec(
            "spec.oauth2.pushedAuthorizationURL",
            "is not set. The provider's metadata requires it, but names none or cannot be read now",
            "Try again in a minute, or set it.",
        )
    if mode is PushedAuthorization.REQUIRED and url is None:
        raise InvalidSpec(
            "spec.oauth2.pushedAuthorization",
            "is required, and no endpoint for it is known",
            "Write pushedAuthorizationURL, or an issuer whose metadata names one.",
        )
    return url


def client_for(
    parameters: OAuth2,
    secret: ClientSecret | None,
    *,
    token_endpoint: str,
    now: datetime,
    token_bytes: Callable[[int], bytes],
    headers: tuple[ExtraHeader, ...] = (),
) -> Client:
    """The client for one request. An assertion with a private key works only once, so each request needs a new one.

    An assertion is addressed to the issuer where that is known, and to the token endpoint otherwise or by choice
    (docs/decisions.md#assertion-audience).

    Args:
        parameters: filled in from the preset.
        secret: what it authenticates with; None for a public client.
        token_endpoint: of the provider, even if the request goes to another endpoint.
        now: an aware moment.
        token_bytes: the randomness.
        headers: further headers of the request.

    Raises:
        InvalidSpec: the private key cannot be used.
    """
    client_id, method = parameters.client_id or "", parameters.effective_client_authentication()
    ref = parameters.private_key_ref
    if method is not ClientAuthentication.PRIVATE_KEY_JWT or ref is None or secret is None:
        named = parameters.client_id_in_body
        text = None if secret is None else secret.text
        return Client(client_id, text, method, is_named_in_the_body=named, headers=headers)
    to_token_url = parameters.assertion_audience is AssertionAudience.TOKEN_URL or not parameters.issuer
    assertion = client_assertion(
        usable_signing_key(secret.text, ref),
        client_id=client_id,
        audience=token_endpoint if to_token_url else parameters.issuer or "",
        now=now,
        token_bytes=token_bytes,
        type_=parameters.assertion_type or AssertionType.JWT,
    )
    return Client(client_id, None, method, assertion, headers=headers)


def recorded_client(parameters: OAuth2) -> str:
    """How the client authenticates, as JSON without a secret. It is stored with the tokens to revoke them without the spec."""
    kept = OAuth2(
        client_id=parameters.client_id,
        client_secret_ref=parameters.client_secret_ref,
        private_key_ref=parameters.private_key_ref,
        issuer=parameters.issuer,
        client_authentication=parameters.effective_client_authentication(),
        assertion_audience=parameters.assertion_audience,
        assertion_type=parameters.assertion_type,
        client_id_in_body=parameters.client_id_in_body,
    )
    return msgspec.json.encode(kept, order="deterministic").decode()


def read_recorded_client(text: str | None) -> OAuth2 | None:
    """What `recorded_client` wrote; None where there is nothing, or it cannot be parsed."""
    try:
        return None if text is None else read_json(text, OAuth2)
    except msgspec.MsgspecError:
        return None


def code_options(parameters: OAuth2) -> RequestOptions:
    """What the provider wants beyond the standard when a code is exchanged."""
    return RequestOptions(parameters.token_parameters, parameters.resource, parameters.body_format or BodyFormat.FORM)


def refresh_options(parameters: OAuth2) -> RequestOptions:
    """What the provider wants beyond the standard when a token is refreshed."""
    return RequestOptions(parameters.refresh_parameters, parameters.resource, parameters.body_format or BodyFormat.FORM)


def reply_options(parameters: OAuth2, *, refreshed: CredentialFacts | None = None) -> ReplyOptions:
    """Where the provider's replies differ from the standard.

    Args:
        parameters: filled in from the preset.
        refreshed: what is known of the tokens that are refreshed; None where a code is exchanged.
    """
    is_refresh = refreshed is not None
    return ReplyOptions(
        token_path=tuple((parameters.token_path or "").split(".")) if parameters.token_path else (),
        token_path_may_be_missing=is_refresh,
        default_lifetime=parse_duration(parameters.default_lifetime),
        last_lifetime=None if refreshed is None else _last_lifetime(refreshed, parameters),
        longest_lifetime=min(parse_duration(parameters.max_lifetime) or LONGEST_LIFETIME, LONGEST_LIFETIME),
        # What is refreshed is a Bearer token, and a reply that leaves the type out changes nothing about that.
        missing_token_type_allowed=is_refresh or parameters.missing_token_type_allowed,
        bearer_token_types=frozenset({"bearer", *(name.lower() for name in parameters.bearer_token_types)}),
        error_codes=parameters.error_codes,
        error_rules=parameters.error_rules,
        scope_separator=parameters.scope_separator or _usual_scope_separator(parameters.scopes),
        captured=parameters.captured_fields.token_response,
    )


def _last_lifetime(facts: CredentialFacts, parameters: OAuth2) -> timedelta | None:
    """The lifetime that the provider gave for these tokens before. v0.1.0 stored only when they expire."""
    if facts.told_lifetime is not None or parameters.default_lifetime or facts.expires_at is None:
        return facts.told_lifetime
    lived = facts.expires_at - (facts.refreshed_at or facts.expires_at)
    return lived if lived > timedelta(0) else None


def _usual_scope_separator(scopes: tuple[str, ...]) -> str:
    """The separator of scopes in replies, where the spec names none.

    Some services reply with commas although they are asked with spaces. If a scope in the spec has a comma, commas do not
    separate scopes.
    """
    return " " if any("," in scope for scope in scopes) else ","
