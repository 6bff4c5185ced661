"""Words for what went wrong: each names what to do, and none carries a secret."""

import pytest

from callback_server import refusals
from datasource.oauth2.errors import (
    InvalidClient,
    InvalidGrant,
    MalformedTokenResponse,
    NotDelivered,
    OAuth2Error,
    OutcomeUnknown,
    ProviderRefused,
    RedirectRefused,
    TemporarilyRefused,
    Throttled,
    Unauthorized,
    UnexpectedStatus,
)


@pytest.mark.parametrize(
    ("error", "title", "remedy"),
    [
        (InvalidClient("invalid_client"), "The service does not accept the client", "clientAuthentication"),
        (InvalidGrant("invalid_grant"), "The service does not accept the code", "redirect URI"),
        (Unauthorized("no"), "The service does not accept the request", "try again"),
        (TemporarilyRefused("busy"), "The service asks for patience", "Try again in a minute"),
        (NotDelivered("login.example.com could not be reached."), "The service does not answer", "tokenURL"),
        (Throttled(503, None), "The service does not answer", "try again"),
        (OutcomeUnknown("no answer."), "The service does not answer", "try again"),
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


@pytest.mark.parametrize(
    ("error", "title"),
    [
        (InvalidClient("invalid_client"), "The service does not accept the client"),
        (Unauthorized("no"), "The service does not accept the request"),
        (ProviderRefused("invalid_scope", "no such scope"), "The service refused the request"),
        (NotDelivered("login.example.com could not be reached."), "The service refused the request"),
    ],
)
def test_failed_push_says_what_to_do(error: OAuth2Error, title: str) -> None:
    refused = refusals.request_was_not_taken(error)

    assert refused.title == title
    assert "registration" in refused.message
    assert ".." not in refused.message


def test_what_the_provider_said_and_what_we_say_are_two_sentences() -> None:
    refused = refusals.exchange_failed(ProviderRefused("invalid_scope", "no such scope"))

    assert "no such scope. Nothing was stored." in refused.message


def test_denied_consent_is_told_apart_from_other_errors() -> None:
    assert refusals.consent_was_denied("access_denied", "No.").title == "Consent was denied"
    assert refusals.consent_was_denied("invalid_scope", None).title == "The service refused the request"


def test_error_that_belongs_to_no_authorization_is_shown_and_changes_nothing() -> None:
    refused = refusals.refused_without_state("invalid_scope", "no such scope.")
    assert "The service answered invalid_scope: no such scope. It did not say" in refused.message
    assert "nothing was changed" in refused.message
    assert refused.is_miss
    assert "answered invalid_scope. It" in refusals.refused_without_state("invalid_scope", None).message


def test_other_server_that_a_service_names_is_said_where_the_exchange_failed() -> None:
    refused = refusals.exchange_failed(InvalidGrant("invalid_code"), "https://accounts.zoho.eu")
    assert "https://accounts.zoho.eu as the server of this account" in refused.message
    assert "Nothing was sent there." in refused.message
