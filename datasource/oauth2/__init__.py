"""A strict OAuth 2.0 client for a program that nobody watches: pure request builders and reply parser, one transport."""

from datasource.oauth2.authorize import (
    RESERVED_PARAMETERS,
    ReservedParameter,
    authorize_url,
    new_secret,
    s256_challenge,
)
from datasource.oauth2.callback import AuthorizationResponse, RefusedCallback, check_issuer, parse_callback, printable
from datasource.oauth2.egress import EgressPolicy
from datasource.oauth2.errors import (
    EgressDenied,
    InvalidClient,
    InvalidGrant,
    MalformedTokenResponse,
    MetadataUnavailable,
    MetadataUnusable,
    NotDelivered,
    OAuth2Error,
    OutcomeUnknown,
    ProviderRefused,
    RedirectRefused,
    Retry,
    Throttled,
    UnexpectedStatus,
)
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.oauth2.token_request import (
    Client,
    ClientAuthentication,
    TokenRequest,
    authorization_code_request,
    refresh_request,
)
from datasource.oauth2.token_response import TokenResponse, parse_token_response, retry_after, successor

__all__ = [
    "RESERVED_PARAMETERS",
    "AuthorizationResponse",
    "Client",
    "ClientAuthentication",
    "EgressDenied",
    "EgressPolicy",
    "InvalidClient",
    "InvalidGrant",
    "MalformedTokenResponse",
    "MetadataUnavailable",
    "MetadataUnusable",
    "NotDelivered",
    "OAuth2Error",
    "OutcomeUnknown",
    "ProviderMetadata",
    "ProviderRefused",
    "RedirectRefused",
    "RefusedCallback",
    "ReservedParameter",
    "Retry",
    "Throttled",
    "TokenRequest",
    "TokenResponse",
    "UnexpectedStatus",
    "authorization_code_request",
    "authorize_url",
    "check_issuer",
    "new_secret",
    "parse_callback",
    "parse_token_response",
    "printable",
    "refresh_request",
    "retry_after",
    "s256_challenge",
    "successor",
]
