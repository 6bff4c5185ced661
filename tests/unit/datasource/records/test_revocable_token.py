"""Which token is to be revoked, and until when."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from datasource.api.names import REVOKE_FINALIZER
from datasource.api.requests import HandledSet
from datasource.api.states import Reason
from datasource.oauth2.revocation import TokenTypeHint
from datasource.records.contents import tombstone
from datasource.records.credential import CredentialData, UnreadableCredential, read_facts
from datasource.records.revocable_token import revocable_token, revocation_deadline, revocation_is_due
from tests.unit.datasource.builders import NOW, credential_data, facts
from tests.unit.datasource.records.credential_secrets import DELETED, a_token, stored_secret


def test_refresh_token_is_what_is_revoked_and_the_access_token_is_left_out() -> None:
    token = revocable_token(stored_secret(credential_data()))
    assert token is not None
    assert (token.token, token.hint, token.access_token) == ("rt-1", TokenTypeHint.REFRESH_TOKEN, None)
    assert token.revocation_endpoint == "https://login.example.com/revoke"
    assert "rt-1" not in repr(token)


@pytest.mark.parametrize(
    ("data", "verdict"), [(credential_data(refresh_token=None), None), (credential_data(), Reason.GRANT_REVOKED)]
)
def test_access_token_is_revoked_where_there_is_no_living_refresh_token(
    data: CredentialData, verdict: Reason | None
) -> None:
    token = revocable_token(stored_secret(data, facts(verdict=verdict)))
    assert token is not None
    assert (token.token, token.hint, token.refresh_token) == ("at-1", TokenTypeHint.ACCESS_TOKEN, None)


def test_nothing_is_revoked_without_an_endpoint_or_a_token() -> None:
    assert revocable_token(stored_secret(credential_data(revocation_endpoint=None))) is None
    assert revocable_token(stored_secret()) is None
    only_dead = msgspec.structs.replace(a_token(), access_token=None)
    assert revocable_token(stored_secret(only_dead, facts(verdict=Reason.GRANT_REVOKED))) is None


def test_altered_data_cannot_be_revoked() -> None:
    broken = stored_secret(credential_data())
    del (broken.data or {})["client_id"]
    with pytest.raises(UnreadableCredential, match="client_id"):
        revocable_token(broken)


def test_tombstone_that_waits_for_a_revocation_is_read_back() -> None:
    left = tombstone(facts(), credential_id="cred-2", handled=HandledSet(), revoke_until=NOW)
    secret = stored_secret(a_token(), left)
    assert read_facts(secret.metadata.annotations) == left
    assert revocable_token(secret) == a_token()
    assert revocation_is_due(secret.metadata)
    assert revocation_deadline(secret.metadata, timedelta(minutes=5)) == NOW


@pytest.mark.parametrize(
    "metadata_",
    [
        {},
        {"finalizers": (REVOKE_FINALIZER,)},
        {"deletion_timestamp": DELETED},
        {"finalizers": ("example.com/backup",), "deletion_timestamp": DELETED},
    ],
)
def test_nothing_is_due_where_nothing_of_ours_holds_a_deleted_secret(metadata_: dict[str, Any]) -> None:
    assert not revocation_is_due(stored_secret(credential_data(), **metadata_).metadata)


@pytest.mark.parametrize("changes", [{"deletion_timestamp": "soon"}, {"annotations": {}}])
def test_deadline_that_cannot_be_read_is_none(changes: dict[str, Any]) -> None:
    changed = msgspec.structs.replace(stored_secret(a_token()).metadata, **changes)
    assert revocation_deadline(changed, timedelta(minutes=5)) is None
