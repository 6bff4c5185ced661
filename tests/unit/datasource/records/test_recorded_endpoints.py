"""Endpoints in a credential Secret against those that its Datasource means."""

from typing import Any

import msgspec
import pytest

from datasource.api.objects import Secret, encoded_data
from datasource.api.spec import OAuth2
from datasource.api.token_endpoints import TokenEndpoint
from datasource.records.credential import CredentialData, CredentialFacts, UnreadableCredential
from datasource.records.recorded_endpoints import misdirected_endpoint
from datasource.records.sendable_data import sendable_data
from tests.unit.datasource.builders import credential_data, metadata

TOKEN = "https://login.example.com/token"
WRITTEN = OAuth2(client_id="app", authorize_url="https://login.example.com/authorize", token_url=TOKEN)


def found(oauth2: OAuth2 = WRITTEN, **recorded: Any) -> str | None:
    return misdirected_endpoint(oauth2, **{"token_endpoint": TOKEN, **recorded})


def with_fields(**fields: str) -> OAuth2:
    written = {"client_id": "app", "authorize_url": WRITTEN.authorize_url, "token_url": TOKEN}
    return OAuth2(**{**written, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example.com/token",
        "https://login.example.com/token/",
        "https://login.example.com/token?x",
        "https://login.example.com.evil.example/token",
        "https://login.example.com@evil.example/token",
        "http://login.example.com/token",
        "https://LOGIN.example.com/token",
        "",
        "https://[",
    ],
)
def test_token_endpoint_is_the_very_one_that_is_written(elsewhere: str) -> None:
    assert found(token_endpoint=elsewhere) == "token_endpoint"


def test_what_was_recorded_from_the_spec_is_good() -> None:
    assert found() is None
    whole = with_fields(refresh_url="https://refresh.example.com/r", revocation_url="https://revoke.example.com/r")
    recorded = {
        "refresh_endpoint": "https://refresh.example.com/r",
        "revocation_endpoint": "https://revoke.example.com/r",
    }
    assert found(whole, **recorded) is None


def test_token_endpoint_of_a_preset_is_the_very_one_of_the_preset() -> None:
    preset = OAuth2(client_id="app", provider="github")
    told = preset.expanded().token_url
    assert told is not None
    assert found(preset, token_endpoint=told) is None
    assert found(preset, token_endpoint="https://evil.example.com/token") == "token_endpoint"


CHOICES = (
    TokenEndpoint("dc", "eu", "https://eu.example.com/token", "https://revoke.example.eu/r"),
    TokenEndpoint("dc", "in", "https://in.example.com/token"),
)


def test_token_endpoint_that_the_callback_chose_is_good_while_it_is_listed() -> None:
    listed = msgspec.structs.replace(WRITTEN, revocation_url="https://login.example.com/v", token_urls=CHOICES)
    eu = {"token_endpoint": CHOICES[0].url, "revocation_endpoint": CHOICES[0].revocation_url}
    assert found(listed, **eu) is None
    assert found(listed, token_endpoint=CHOICES[1].url) is None
    assert found(WRITTEN, **eu) == "token_endpoint"
    assert found(listed, token_endpoint="https://evil.example.com/token") == "token_endpoint"
    assert found(listed, **eu | {"revocation_endpoint": "https://evil.example.com/r"}) == "revocation_endpoint"
    assert found(listed, **eu | {"refresh_endpoint": TOKEN}) == "refresh_endpoint"


def test_what_only_metadata_tells_is_not_compared() -> None:
    by_metadata = OAuth2(client_id="app", issuer="https://login.example.com")
    assert found(by_metadata, token_endpoint="https://tokens.example.com/t") is None
    assert found(by_metadata, revocation_endpoint="https://elsewhere.example.com/r") is None


def test_endpoint_of_before_an_edit_stays_good_where_the_token_endpoint_is() -> None:
    edited = with_fields(refresh_url="https://new.example.com/r", revocation_url="https://new.example.com/v")
    assert found(edited, refresh_endpoint="https://login.example.com/old") is None
    assert found(edited, revocation_endpoint="https://login.example.com/old") is None
    assert found(refresh_endpoint="https://login.example.com/old") is None


@pytest.mark.parametrize("key", ["refresh_endpoint", "revocation_endpoint"])
def test_other_endpoint_elsewhere_is_told_by_its_key(key: str) -> None:
    named = with_fields(refresh_url="https://login.example.com/r", revocation_url="https://login.example.com/v")
    assert found(named, **{key: "https://evil.example.com/r"}) == key
    assert found(named, **{key: "https://login.example.com:8443/r"}) == key


def test_refresh_endpoint_elsewhere_is_told_although_the_spec_names_none() -> None:
    assert found(refresh_endpoint="https://evil.example.com/r") == "refresh_endpoint"


def to_refresh_with(**changes: str | None) -> CredentialData:
    values = {"token_endpoint": TOKEN, "fingerprint": "fp-1", "refresh_token": "rt-1", **changes}
    encoded = encoded_data(msgspec.structs.asdict(credential_data(**values)))
    secret = Secret(metadata=metadata(), data={key: text for key, text in encoded.items() if text is not None})
    return sendable_data(
        secret, CredentialFacts("c-1", fingerprint="fp-1"), WRITTEN, "https://connect.example.com/callback/shop"
    )


def test_data_that_agree_with_the_annotations_are_refreshed_with() -> None:
    assert to_refresh_with().refresh_token == "rt-1"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"fingerprint": "fp-2"}, "data key fingerprint differs from the annotation"),
        ({"refresh_token": None}, "data key refresh_token is missing"),
        ({"token_endpoint": "https://evil.example.com"}, "data key token_endpoint is not what spec.oauth2 names"),
        ({"refresh_endpoint": "https://evil.example.com"}, "data key refresh_endpoint is not what spec.oauth2 names"),
    ],
)
def test_data_that_somebody_altered_are_not_sent_anywhere(changes: dict[str, str | None], why: str) -> None:
    with pytest.raises(UnreadableCredential, match=why):
        to_refresh_with(**changes)
