"""Why a request of a person cannot go on, in words that tell what to do. Safe to show: no code, token or secret in them."""

from callback_server.refusals.identity import (
    identity_cannot_be_verified,
    identity_does_not_fit,
    identity_is_unknown,
    somebody_else_authorized,
)
from callback_server.refusals.meanwhile import (
    another_was_first,
    cleared_meanwhile,
    datasource_is_gone,
    dropped_after_exchange,
    flow_has_expired,
    parameters_changed_meanwhile,
    suspended,
    suspended_meanwhile,
    too_many_at_once,
)
from callback_server.refusals.refused import Kind, Refused
from callback_server.refusals.requests import (
    busy,
    cookie_is_missing,
    cookie_is_not_ours,
    form_is_not_ours,
    link_has_ended,
    not_an_authorization_response,
    page_not_found,
    something_went_wrong,
    too_many_misses,
    try_again_later,
    unknown_flow,
)
from callback_server.refusals.service import (
    consent_was_denied,
    exchange_failed,
    issuer_is_another,
    provider_is_silent,
    request_was_not_taken,
)
from callback_server.refusals.storing import name_is_taken, not_configured, store_was_refused, write_is_refused

__all__ = [
    "Kind",
    "Refused",
    "another_was_first",
    "busy",
    "cleared_meanwhile",
    "consent_was_denied",
    "cookie_is_missing",
    "cookie_is_not_ours",
    "datasource_is_gone",
    "dropped_after_exchange",
    "exchange_failed",
    "flow_has_expired",
    "form_is_not_ours",
    "identity_cannot_be_verified",
    "identity_does_not_fit",
    "identity_is_unknown",
    "issuer_is_another",
    "link_has_ended",
    "name_is_taken",
    "not_an_authorization_response",
    "not_configured",
    "page_not_found",
    "parameters_changed_meanwhile",
    "provider_is_silent",
    "request_was_not_taken",
    "somebody_else_authorized",
    "something_went_wrong",
    "store_was_refused",
    "suspended",
    "suspended_meanwhile",
    "too_many_at_once",
    "too_many_misses",
    "try_again_later",
    "unknown_flow",
    "write_is_refused",
]
