"""Words for what went wrong: each names what to do, and none carries a secret."""

import pytest

from callback_server import refusals
from datasource.oauth2.errors import (
    EgressDenied,
    InvalidClient,
    InvalidGrant,
    MalformedTokenResponse,
    NotDelivered,
    OAuth2Error,
    OutcomeUnknown,
    ProviderRefused,
    RedirectRefused,
    ReplyTooLarge,
    TemporarilyRefused,
    Throttled,
    Unauthorized,
    UnexpectedStatus,
)
from datasource.outbound.egress import Denied


@pytest.mark.parametrize(
    ("error", "title", "remedy"),
    [
        (InvalidClient("invalid_client"), "The service does not accept the client", "clientAuthentication"),
        (InvalidGrant("invalid_grant"), "The service does not accept the code", "redirect URI"),
        (Unauthorized("no"), "The service does not accept the request", "try again"),
        (TemporarilyRefused("busy"), "The service is busy", "Try again in a minute"),
        (NotDelivered("login.example.com could not be reached."), "The service does not answer", "tokenURL"),
        (Throttled(503, None), "The service does not answer", "try again"),
        (OutcomeUnknown("no answer."), "The service does not answer", "try again"),
        (ReplyTooLarge("The reply is too large."), "The service's answer cannot be used", "tokenURL"),
        (UnexpectedStatus(404, is_page=True), "The service's answer cannot be used", "Is this the token URL? Nothing"),
        (InvalidClient("invalid_client", "Bad client."), "The service does not accept the client", "client. Compare"),
        (MalformedTokenResponse("no JSON."), "The service's answer cannot be used", "tokenURL"),
        (RedirectRefused(307), "The service's answer cannot be used", "tokenURL"),
        (UnexpectedStatus(404), "The service's answer cannot be used", "tokenURL"),
        (ProviderRefused("invalid_scope", "no such scope"), "The service's answer cannot be used", "registration"),
    ],
)
def test_failed_exchange_says_what_to_do(error: OAuth2Error, title: str, remedy: str) -> None:
    refused = refusals.exchange_failed(error)

    assert refused.title == title
    assert remedy in refused.message
    assert ".." not in refused.message
    assert "?." not in refused.message


@pytest.mark.parametrize(
    ("error", "title"),
    [
        (InvalidClient("invalid_client"), "The service does not accept the client"),
        (Unauthorized("no"), "The service does not accept the request"),
        (ProviderRefused("invalid_scope", "no such scope"), "The service refused the request"),
        (UnexpectedStatus(404, endpoint="pushed authorization request URL"), "The service refused the request"),
    ],
)
def test_failed_push_says_what_to_do(error: OAuth2Error, title: str) -> None:
    refused = refusals.request_was_not_taken(error)

    assert refused.title == title
    assert "registration" in refused.message
    assert ".." not in refused.message
    assert "?." not in refused.message


@pytest.mark.parametrize(
    "error",
    [
        NotDelivered("login.example.com could not be reached."),
        Throttled(503, None),
        OutcomeUnknown("no answer."),
        TemporarilyRefused("busy"),
    ],
)
def test_outage_of_the_endpoint_for_pushed_requests_is_no_refusal_of_the_request(error: OAuth2Error) -> None:
    refused = refusals.request_was_not_taken(error)
    assert refused.title == "The service does not answer"
    assert "spec.oauth2.pushedAuthorizationURL" in refused.message
    assert "try again in a minute" in refused.advice


def test_endpoint_for_pushed_requests_that_may_not_be_called_is_named() -> None:
    refused = refusals.request_was_not_taken(EgressDenied("10.0.0.1", Denied.PRIVATE))
    assert refused.message.startswith("spec.oauth2.pushedAuthorizationURL: 10.0.0.1 leads to")
    assert "DATASOURCE_EGRESS_ALLOW" in refused.message


def test_refused_push_names_the_switch() -> None:
    assert "spec.oauth2.pushedAuthorization to never" in refusals.request_was_not_taken(ProviderRefused("x")).message


def test_what_the_provider_said_and_what_we_say_are_two_sentences() -> None:
    refused = refusals.exchange_failed(ProviderRefused("invalid_scope", "no such scope"))

    assert "no such scope. Nothing was stored." in refused.message


def test_denied_consent_is_told_apart_from_other_errors() -> None:
    assert refusals.consent_was_denied("access_denied", "No.").title == "Consent was denied"
    assert refusals.consent_was_denied("invalid_scope", None).title == "The service refused the request"


@pytest.mark.parametrize(
    "error",
    [
        "ACCESS_DENIED",
        " access_denied ",
        "user_cancelled_login",
        "user_cancelled_authorize",
        "User_Canceled",
        "user_denied",
        "consent_denied",
    ],
)
def test_person_who_chose_no_is_not_told_of_a_fault_under_whatever_name_the_service_has_for_it(error: str) -> None:
    """LinkedIn has two, one for each of its pages; LINE writes capitals."""
    refused = refusals.consent_was_denied(error, None)
    assert refused.title == "Consent was denied"
    assert "spec.oauth2" not in refused.message
    assert error.strip() in refused.message


@pytest.mark.parametrize("error", ["access_denied_by_policy", "denied", "x"])
def test_error_that_only_looks_like_a_no_is_shown_as_an_error(error: str) -> None:
    assert refusals.consent_was_denied(error, None).title == "The service refused the request"


@pytest.mark.parametrize(
    "error", ["temporarily_unavailable", "server_error", "Temporarily_Unavailable", "SERVER_ERROR "]
)
def test_service_that_is_not_ready_asks_nobody_to_correct_anything(error: str) -> None:
    refused = refusals.consent_was_denied(error, "Come back later!")
    assert refused.title == "The service is not ready"
    assert (
        refused.message
        == f"The service answered {error.strip()}: Come back later! Nothing was stored. Try again in a minute."
    )


def test_error_that_belongs_to_no_authorization_is_shown_and_changes_nothing() -> None:
    refused = refusals.refused_without_state("invalid_scope", "no such scope.")
    assert "The service answered invalid_scope: no such scope. It did not say" in refused.message
    assert "nothing was changed" in refused.message
    assert refused.is_miss
    assert "answered invalid_scope. It" in refusals.refused_without_state("invalid_scope", None).message


def test_other_server_that_a_service_names_is_said_where_the_exchange_failed() -> None:
    refused = refusals.exchange_failed(InvalidGrant("invalid_code"), "https://accounts.zoho.eu")
    assert "https://accounts.zoho.eu as the server of this account" in refused.message
    assert "spec.oauth2.tokenURLs can list" in refused.message
    assert "Nothing was sent there." in refused.message
