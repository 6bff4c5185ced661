"""What is written to a credential Secret, seen from what is read back."""

from datetime import timedelta

import msgspec

from datasource.api.names import LAST_APPLIED, REVOKE_FINALIZER
from datasource.api.requests import HandledSet
from datasource.api.states import Reason
from datasource.records.change import Change
from datasource.records.contents import StoredCredential, contents_in, tombstone
from datasource.records.credential import CredentialFacts, TombstoneFacts, read_data, read_facts
from datasource.records.credential_patches import (
    adoption_patch,
    change_patch,
    credential_patch,
    facts_patch,
    hold_patch,
    release_patch,
    revoked_patch,
    tombstone_patch,
)
from datasource.records.history import Act, entry_of
from datasource.records.intent import Intent
from datasource.records.revocable_token import RevocableToken, revocation_deadline, revocation_is_due
from tests.unit.datasource.builders import NOW, UID, credential_data, facts
from tests.unit.datasource.records.credential_secrets import (
    DELETED,
    OWNER,
    a_token,
    created,
    merged,
    replaced,
    stored,
    stored_secret,
)


def test_manifest_is_the_secret_of_the_design() -> None:
    body = created(facts(), credential_data())
    assert body["type"] == "datasource.dev/oauth2-credential"
    assert body["metadata"]["name"] == "sales-oauth2-credential"
    assert body["metadata"]["namespace"] == "shop"
    assert body["metadata"]["ownerReferences"] == [OWNER]
    assert body["metadata"]["annotations"] == {
        "datasource.dev/datasource": "sales",
        "datasource.dev/role": "credential",
        "datasource.dev/credential-id": "cred-1",
        "datasource.dev/revision": "3",
        "datasource.dev/replaces": "cred-0",
        "datasource.dev/fingerprint": "fp-1",
        "datasource.dev/requested-scopes": "read offline_access",
        "datasource.dev/granted-scopes": "read",
        "datasource.dev/expires-at": "2026-07-01T13:00:00Z",
        "datasource.dev/refreshed-at": "2026-07-01T12:00:00Z",
        "datasource.dev/has-refresh-token": "true",
        "datasource.dev/authorized-as": "ada@example.com",
        "datasource.dev/handled": '{"refresh":["digest-1"]}',
        "datasource.dev/ticket-hash": "th-1",
        "datasource.dev/intent": Intent(id="intent-2", process="process-1", pod="pod-1", at=NOW, sends=2).encode(),
        "datasource.dev/stored-by": "intent-1",
        "datasource.dev/verdict": "GrantRevoked",
        "datasource.dev/revocable": "true",
    }
    assert body["data"].keys() == {
        "access_token",
        "token_type",
        "token_endpoint",
        "fingerprint",
        "client_id",
        "refresh_token",
        "revocation_endpoint",
        "refresh_endpoint",
        "captured",
    }


def test_least_credential_is_written_without_what_it_has_not() -> None:
    least = CredentialFacts(credential_id="cred-1", fingerprint="fp-1")
    data = credential_data(refresh_token=None, revocation_endpoint=None)
    body = created(least, data)
    assert body["metadata"]["annotations"].keys() == {
        "datasource.dev/datasource",
        "datasource.dev/role",
        "datasource.dev/credential-id",
        "datasource.dev/revision",
        "datasource.dev/fingerprint",
        "datasource.dev/handled",
    }
    assert "refresh_token" not in body["data"]
    assert read_facts(stored(body).metadata.annotations) == least
    assert read_data(stored(body)) == data


def test_tokens_stand_in_the_data_only() -> None:
    body = created(facts(), credential_data(access_token="sentinel", refresh_token="sentinel"))
    assert "sentinel" not in str(body["metadata"])
    assert "sentinel" not in str(body["data"])  # base64
    assert read_data(stored(body)).access_token == "sentinel"


def test_patch_is_a_compare_and_swap_that_names_every_fact() -> None:
    body = replaced(CredentialFacts(credential_id="cred-2", fingerprint="fp-2"), credential_data(refresh_token=None))
    assert body["metadata"]["resourceVersion"] == "7"
    assert body["metadata"]["annotations"]["datasource.dev/authorized-as"] is None
    assert body["data"]["refresh_token"] is None
    assert "ownerReferences" not in body["metadata"]


def test_patch_leaves_nothing_of_the_credential_before() -> None:
    after = merged(
        created(facts(), credential_data()),
        replaced(
            CredentialFacts(credential_id="cred-2", fingerprint="fp-2"),
            credential_data(refresh_token=None, revocation_endpoint=None),
        ),
    )
    assert read_facts(stored(after).metadata.annotations) == CredentialFacts(credential_id="cred-2", fingerprint="fp-2")
    assert read_data(stored(after)) == credential_data(refresh_token=None, revocation_endpoint=None)


def test_patch_leaves_owners_to_the_operator() -> None:
    assert "ownerReferences" not in replaced(facts(), credential_data())["metadata"]


def test_tombstone_takes_out_all_data_even_what_somebody_added() -> None:
    before = created(facts(), credential_data())
    before["data"]["added"] = "eA=="
    after = merged(before, replaced(tombstone(facts(), credential_id="cred-2", handled=HandledSet()), None))
    assert stored(after).data is None


def test_tombstone_can_be_created_without_data() -> None:
    body = created(tombstone(None, credential_id="cred-1", handled=HandledSet()), None)
    assert body["data"] == {}
    read = read_facts(stored(body).metadata.annotations)
    assert read == TombstoneFacts("cred-1", Reason.AUTHORIZATION_REQUIRED)


def test_patch_of_facts_is_a_compare_and_swap_that_leaves_the_tokens_alone() -> None:
    judged = facts(intent=None, verdict=Reason.REFRESH_INTERRUPTED)
    body = facts_patch(datasource_name="sales", resource_version="7", facts=judged)
    assert body["metadata"]["resourceVersion"] == "7"
    after = merged(created(facts(), credential_data()), msgspec.json.decode(msgspec.json.encode(body)))
    assert read_facts(stored(after).metadata.annotations) == judged
    assert read_data(stored(after)) == credential_data()


def test_adoption_changes_the_owner_and_drops_the_copy_that_kubectl_apply_left() -> None:
    body = adoption_patch(resource_version="7", datasource_name="sales", datasource_uid=UID)
    annotations = {LAST_APPLIED: None}
    assert body == {"metadata": {"resourceVersion": "7", "annotations": annotations, "ownerReferences": [OWNER]}}


def test_tombstone_keeps_no_copy_of_the_tokens_in_an_annotation() -> None:
    before = created(facts(), credential_data())
    before["metadata"]["annotations"][LAST_APPLIED] = '{"data": {"refresh_token": "c2VudGluZWw="}}'
    after = merged(before, replaced(tombstone(facts(), credential_id="cred-2", handled=HandledSet()), None))
    assert "c2VudGluZWw=" not in str(after)


def test_tombstone_keeps_one_token_until_it_is_revoked_and_nothing_else() -> None:
    secret = stored_secret(credential_data())
    (secret.data or {})["added"] = "eA=="
    left = tombstone(facts(), credential_id="cred-2", handled=HandledSet(), revoke_until=NOW)
    patched = tombstone_patch(datasource_name="calendar", secret=secret, facts=left, token=a_token())

    assert patched["metadata"]["resourceVersion"] == "7"
    assert patched["metadata"]["annotations"]["datasource.dev/revoke-until"] == "2026-07-01T12:00:00Z"
    kept = {key for key, value in patched["data"].items() if value is not None}
    assert kept == {"refresh_token", "revocation_endpoint", "token_endpoint", "fingerprint", "client_id"}
    assert {key for key, value in patched["data"].items() if value is None} >= {"access_token", "token_type", "added"}


def test_tombstone_without_anything_to_revoke_takes_out_all() -> None:
    secret = stored_secret(credential_data())
    left = tombstone(facts(), credential_id="cred-2", handled=HandledSet())
    patched = tombstone_patch(datasource_name="calendar", secret=secret, facts=left, token=None)
    assert patched["data"] == dict.fromkeys(secret.data or {})


def test_what_people_did_outlives_a_clear_and_the_revocation_after_it() -> None:
    secret = stored_secret(credential_data())
    (secret.data or {})["history"] = "W10="
    left = tombstone(facts(), credential_id="cred-2", handled=HandledSet(), revoke_until=NOW, history="act-1")
    cleared = tombstone_patch(datasource_name="calendar", secret=secret, facts=left, token=a_token(), history="[1]")
    assert cleared["data"]["history"] == "WzFd"
    assert cleared["metadata"]["annotations"]["datasource.dev/history"] == "act-1"
    untold = tombstone_patch(datasource_name="calendar", secret=secret, facts=left, token=None)
    assert "history" not in untold["data"]
    assert revoked_patch(secret)["data"].keys() == (secret.data or {}).keys() - {"history"}


def test_history_is_written_with_the_change_that_it_tells_of_and_else_left_alone() -> None:
    before = StoredCredential(facts(history=None), "7", owners=())
    entry = entry_of("act-1", Act.REFRESH, by="ada", at=NOW)
    told = change_patch("sales", before, Change(before.facts).with_entry(None, entry))
    assert told["data"].keys() == {"history"}
    assert told["metadata"]["annotations"]["datasource.dev/history"] == "act-1"
    assert "data" not in change_patch("sales", before, Change(before.facts))
    whole = change_patch("sales", before, Change(before.facts, credential_data()).with_entry(None, entry))
    assert whole["data"].keys() > {"history", "access_token"}
    assert "history" not in change_patch("sales", before, Change(before.facts, credential_data()))["data"]


def test_request_of_a_page_goes_with_whatever_says_nothing_of_it() -> None:
    patched = facts_patch(datasource_name="sales", resource_version="7", facts=facts())
    assert patched["metadata"]["annotations"]["datasource.dev/page-request"] is None


def test_new_credential_leaves_nothing_of_a_token_to_be_revoked() -> None:
    patched = credential_patch(datasource_name="calendar", resource_version="7", facts=facts(), data=credential_data())
    assert set(patched["data"]) >= set(RevocableToken.__struct_fields__)
    assert patched["metadata"]["annotations"]["datasource.dev/revoke-until"] is None


def test_end_of_a_revocation_leaves_nothing_of_the_token() -> None:
    secret = stored_secret(a_token())
    assert revoked_patch(secret) == {
        "metadata": {"resourceVersion": "7", "annotations": {"datasource.dev/revoke-until": None}},
        "data": dict.fromkeys(secret.data or {}),
    }


def test_end_of_a_revocation_lets_a_deleted_secret_go_as_far_as_we_hold_it() -> None:
    held = stored_secret(
        credential_data(), finalizers=("example.com/backup", REVOKE_FINALIZER), deletion_timestamp=DELETED
    )
    assert revocation_is_due(held.metadata)
    assert revocation_deadline(held.metadata, timedelta(minutes=5)) == NOW + timedelta(minutes=5)
    assert revoked_patch(held) == {"metadata": {"resourceVersion": "7", "finalizers": ["example.com/backup"]}}


def test_hold_puts_our_finalizer_beside_those_of_others_and_release_takes_ours_only() -> None:
    others = ("example.com/backup",)
    secret = stored_secret(credential_data(), finalizers=others)
    held = hold_patch(secret.metadata, credential_data(client_secret="s3cret"))
    assert held["metadata"] == {"resourceVersion": "7", "finalizers": [*others, REVOKE_FINALIZER]}
    assert held["data"]["client_secret"] is not None

    credential = contents_in(msgspec.structs.replace(secret.metadata, finalizers=(*others, REVOKE_FINALIZER)))
    assert isinstance(credential, StoredCredential)
    assert credential.is_held
    assert release_patch(credential) == {
        "metadata": {"resourceVersion": "7", "finalizers": list(others)},
        "data": {"client_secret": None, "ca_bundle": None, "token_headers": None},
    }
