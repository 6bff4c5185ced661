"""Every page that a person may end on, and what the platform team then reads in the status."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from callback_server import refusals
from callback_server.refusals import Refused
from datasource.cluster.page_requests import NotAsked
from datasource.oauth2.errors import (
    EgressDenied,
    InvalidClient,
    InvalidGrant,
    NotDelivered,
    TemporarilyRefused,
    Unauthorized,
)
from datasource.oauth2.errors import MalformedTokenResponse as Malformed
from datasource.oauth2.kubernetes_user import Why
from datasource.outbound.egress import Denied

SAID = "The token endpoint says so."

REFUSED: Mapping[str, Refused] = {
    "an address of nothing": refusals.page_not_found(),
    "a link that is no longer valid": refusals.link_has_ended(),
    "too many invalid requests": refusals.too_many_misses(timedelta(seconds=30)),
    "too many people at once": refusals.busy(timedelta(seconds=5)),
    "an authorization that takes long": refusals.goes_on(),
    "metadata that takes long": refusals.provider_takes_long(),
    "no API server": refusals.try_again_later(),
    "an API server that refuses": refusals.cluster_refused(),
    "rights that are not there yet": refusals.may_not_read_yet("Secret my-app", "shop"),
    "a bug of ours": refusals.something_went_wrong(),
    "another browser": refusals.cookie_is_missing(),
    "a planted cookie": refusals.cookie_is_not_ours(),
    "an old page": refusals.form_is_not_ours(),
    "an unknown authorization": refusals.unknown_flow(),
    "an answer that is none": refusals.not_an_authorization_response("The parameter code is in the query twice."),
    "suspended": refusals.suspended(),
    "suspended on the way": refusals.suspended_meanwhile(),
    "too slow": refusals.flow_has_expired(),
    "deleted on the way": refusals.datasource_is_gone(),
    "changed on the way": refusals.parameters_changed_meanwhile(),
    "cleared on the way": refusals.cleared_meanwhile(),
    "another person on the way": refusals.another_was_first(),
    "an import on the way": refusals.imported_meanwhile(),
    "dropped after the exchange": refusals.dropped_after_exchange(),
    "too many of one Datasource": refusals.too_many_at_once(),
    "not ready": refusals.not_configured("Not set yet: spec.oauth2.tokenURL."),
    "a Secret in the way": refusals.name_is_taken("calendar-oauth2-credential"),
    "a record that is refused": refusals.record_is_refused("exceeded quota"),
    "a store that would be refused": refusals.write_is_refused("calendar-oauth2-credential", "exceeded quota"),
    "a store that was refused": refusals.store_was_refused("calendar-oauth2-credential", "exceeded quota"),
    "consent denied": refusals.consent_was_denied("access_denied", None),
    "an error of the service": refusals.consent_was_denied("invalid_scope", "no such scope"),
    "a service that is not ready": refusals.consent_was_denied("server_error", None),
    "an error without a state": refusals.refused_without_state("invalid_scope", None),
    "another issuer": refusals.issuer_is_another("The answer comes from another issuer than spec.oauth2.issuer names."),
    "no metadata": refusals.provider_is_silent("https://login.example.com cannot be read now."),
    "a pushed request that was refused": refusals.request_was_not_taken(InvalidGrant(SAID)),
    "a pushed request without an answer": refusals.request_was_not_taken(NotDelivered(SAID)),
    "401 without a word": refusals.exchange_failed(Unauthorized()),
    "a wrong client secret": refusals.exchange_failed(InvalidClient(SAID)),
    "a code that is not accepted": refusals.exchange_failed(InvalidGrant(SAID)),
    "a busy service": refusals.exchange_failed(TemporarilyRefused(SAID)),
    "a token URL that may not be called": refusals.exchange_failed(EgressDenied("login.corp.example", Denied.PRIVATE)),
    "a service that is silent": refusals.exchange_failed(NotDelivered(SAID)),
    "an answer without tokens": refusals.exchange_failed(Malformed(SAID)),
    "an account elsewhere": refusals.exchange_failed(InvalidGrant(SAID), "https://accounts.example.eu"),
    "an id_token that does not fit": refusals.identity_does_not_fit("The id_token names another client."),
    "an id_token that cannot be verified": refusals.identity_cannot_be_verified("The keys cannot be read now."),
    "no id_token": refusals.identity_is_unknown(),
    "another account": refusals.somebody_else_authorized({"email": "ada@example.com"}),
    "a sign-in of another browser": refusals.unknown_sign_in(),
    "a sign-in that is not set up": refusals.sign_in_is_not_ready(),
    "a sign-in that was denied": refusals.sign_in_was_refused("access_denied", None),
    "an issuer that is silent": refusals.sign_in_does_not_answer(),
    "a sign-in that cannot be verified": refusals.sign_in_cannot_be_verified("The id_token has expired."),
    "an account with too many groups": refusals.sign_in_names_nobody(Why.GROUPS_ELSEWHERE, "groups"),
    "a user without a right": refusals.not_allowed("ada@example.com", "authorize", "shop"),
    "a user without the right to list all namespaces": refusals.not_allowed_everywhere("ada@example.com", "list"),
    "a right that was taken away": refusals.right_was_taken_away("ada@example.com", "authorize", "shop"),
    "another user": refusals.another_person_is_signed_in(),
    "what another user did": refusals.another_person_authorized(),
    "a Datasource that is not there": refusals.no_such_datasource("shop", "calendar"),
    "nothing to refresh": refusals.nothing_to_ask(NotAsked.NO_REFRESH_TOKEN),
}


def texts(refused: Refused) -> Iterator[str]:
    """What the page says, in its order; title and message are what status.lastAuthorization says."""
    yield f"**{refused.title}** ({refused.status.value}, `{refused.kind}`)"
    yield ""
    if refused.advice:
        yield f"- to the person: {refused.advice}"
    yield f"- and: {refused.message}"
    if refused.command:
        yield f"- to the team: `{refused.about('shop', 'calendar').command}`"
