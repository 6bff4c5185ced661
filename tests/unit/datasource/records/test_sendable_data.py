"""What of a stored credential a refresh may send."""

from typing import Any

import msgspec
import pytest

from datasource.records.credential import CredentialData, UnreadableCredential
from datasource.records.sendable_data import sendable_data
from tests.unit.datasource.builders import credential_data, facts, oauth2, secret

HERE = "https://connect.example.com/callback/shop"


def sent(changes: dict[str, Any], **spec: Any) -> CredentialData:
    values = msgspec.structs.asdict(credential_data(refresh_endpoint=None, **changes))
    stored = secret({key: value for key, value in values.items() if value is not None})
    return sendable_data(stored, facts(), oauth2(**spec), HERE)


def test_what_fits_together_is_sent_as_it_is() -> None:
    assert sent({}) == credential_data(refresh_endpoint=None)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"fingerprint": "other"}, "fingerprint"),
        ({"refresh_token": None}, "refresh_token"),
        ({"token_endpoint": "https://evil.example.com/token"}, "token_endpoint"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(UnreadableCredential, match=f"data key {key}"):
        sent(changes)


def test_redirect_uri_is_the_recorded_one_then_ours_and_only_where_it_is_asked_for() -> None:
    recorded = "https://before.example.com/callback/shop"
    assert sent({}).redirect_uri is None
    assert sent({}, redirectURIOnRefresh=True).redirect_uri == HERE
    assert sent({"redirect_uri": recorded}, redirectURIOnRefresh=True).redirect_uri == recorded
