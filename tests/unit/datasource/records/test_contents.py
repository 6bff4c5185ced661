"""What a credential Secret holds: a credential, a tombstone, something unreadable, or something on its way out."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.names import REVOKE_FINALIZER, Annotation
from datasource.api.objects import Metadata, OwnerReference
from datasource.api.requests import HandledSet
from datasource.api.states import Reason
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.records.contents import (
    Contents,
    Leaving,
    StoredCredential,
    StoredTombstone,
    contents_in,
    credential_id_in,
    handled_by,
    seen_from,
    still_there,
    tombstone,
)
from datasource.records.credential import CredentialFacts, Facts, TombstoneFacts, Unreadable
from datasource.records.secret_labels import NOTHING_WRITTEN
from tests.unit.datasource.builders import NOW, UID, credential_data, facts, metadata
from tests.unit.datasource.records.credential_secrets import DELETED, created, merged, replaced, stored

LEAST = {Annotation.CREDENTIAL_ID: "cred-1", Annotation.FINGERPRINT: "fp-1"}
CLEARED = {Annotation.CREDENTIAL_ID: "cred-2", Annotation.TOMBSTONE: "CredentialCleared"}
ALTERED = LEAST | {Annotation.REVISION: "many"}
OURS = (OwnerReference(uid=UID, kind="Datasource", name="sales"),)
DANGLING = (OwnerReference(uid="another-uid", kind="Datasource", name="sales"),)
BACKUP = OwnerReference(uid="backup-1", kind="Backup", name="nightly")

CREDENTIAL = StoredCredential(CredentialFacts("cred-1", fingerprint="fp-1"), "7", ())
TOMBSTONE = StoredTombstone(TombstoneFacts("cred-2", Reason.CREDENTIAL_CLEARED), "7", ())
UNREADABLE = Unreadable("annotation datasource.dev/revision cannot be read", HandledSet())
STANDING = [(LEAST, CREDENTIAL), (CLEARED, TOMBSTONE), (ALTERED, UNREADABLE)]


def holding(annotations: Mapping[Any, str], **changes: Any) -> Metadata:
    return metadata("sales-oauth2-credential", annotations=annotations, **changes)


# Which of the four.


@pytest.mark.parametrize(("annotations", "expected"), STANDING)
def test_annotations_tell_what_it_holds(annotations: Mapping[Any, str], expected: Contents) -> None:
    assert contents_in(holding(annotations)) == expected


@pytest.mark.parametrize(("annotations", "expected"), STANDING)
def test_what_is_being_deleted_is_leaving_whatever_it_holds(
    annotations: Mapping[Any, str], expected: StoredCredential | StoredTombstone | Unreadable
) -> None:
    found = contents_in(holding(annotations, deletion_timestamp=DELETED))
    assert found == Leaving(expected, is_deleted=True)
    assert seen_from(found, "any-uid") == found
    assert still_there(found) == still_there(expected) == expected


@pytest.mark.parametrize("annotations", [LEAST, CLEARED, ALTERED])
@pytest.mark.parametrize(
    ("owners", "is_leaving"),
    [(OURS, False), (DANGLING, True), ((), False), ((BACKUP,), False), ((*DANGLING, *OURS), False)],
    ids=["ours", "of an earlier one", "restored without", "of a backup", "of both"],
)
def test_what_belongs_to_an_earlier_datasource_is_leaving_for_whoever_asks_by_uid(
    annotations: Mapping[Any, str], owners: tuple[OwnerReference, ...], is_leaving: bool
) -> None:
    found = contents_in(holding(annotations, owner_references=owners))
    assert not isinstance(found, Leaving), "it does not say who asks"
    assert seen_from(found, UID) == (Leaving(found, is_deleted=False) if is_leaving else found)


def test_nothing_is_nothing_to_whoever_asks() -> None:
    assert seen_from(None, UID) is None
    assert still_there(None) is None
    assert (credential_id_in(None), handled_by(None)) == ("", HandledSet())


def test_what_counts_no_more_has_no_id_and_handled_nothing() -> None:
    """A link is not bound to what is on its way out, and nobody waits for what it once acted on."""
    asked = HandledSet(refresh=("digest-1",))
    stands = StoredTombstone(TombstoneFacts("cred-2", Reason.CREDENTIAL_CLEARED, handled=asked), "7", ())
    assert (credential_id_in(stands), handled_by(stands)) == ("cred-2", asked)
    for contents in (Leaving(stands, is_deleted=True), Leaving(stands, is_deleted=False), UNREADABLE):
        assert (credential_id_in(contents), handled_by(contents)) == ("", HandledSet())


@pytest.mark.parametrize("annotations", [LEAST, CLEARED])
def test_our_finalizer_is_told_from_others(annotations: Mapping[Any, str]) -> None:
    for finalizers, is_held in (((REVOKE_FINALIZER,), True), (("example.com/backup",), False), ((), False)):
        found = contents_in(holding(annotations, finalizers=finalizers))
        assert isinstance(found, StoredCredential | StoredTombstone)
        assert (found.is_held, found.finalizers) == (is_held, finalizers)


@given(st.dictionaries(st.sampled_from(Annotation), st.text(max_size=30)), st.none() | st.just(DELETED))
def test_whatever_somebody_wrote_is_one_of_the_four(annotations: dict[Annotation, str], deleted: str | None) -> None:
    found = contents_in(holding(LEAST | annotations, deletion_timestamp=deleted))
    assert isinstance(found, Leaving) is (deleted is not None)
    assert isinstance(still_there(found), StoredCredential | StoredTombstone | Unreadable)


# What cannot be read.


def test_what_cannot_be_read_tells_the_requests_that_were_handled_while_that_can_be_read() -> None:
    told = HandledSet(clear_credential=("digest",))
    found = contents_in(holding(ALTERED | {Annotation.HANDLED: told.encode()}))
    assert found == Unreadable("annotation datasource.dev/revision cannot be read", handled=told)
    assert contents_in(holding(ALTERED | {Annotation.HANDLED: "{"})) == Unreadable(UNREADABLE.what, handled=None)


def test_what_cannot_be_read_is_a_value_that_tells_the_remedy() -> None:
    assert "sales-oauth2-credential cannot be read" in UNREADABLE.advice("sales")


# Tombstones.

SAID = ProviderMetadata(issuer="https://login.example.com", code_challenge_methods_supported=("S256",))
ASKED = HandledSet(clear_credential=("digest-2",))


def test_tombstone_keeps_what_must_outlive_the_credential() -> None:
    assert tombstone(facts(promised=SAID), credential_id="cred-2", handled=ASKED) == TombstoneFacts(
        credential_id="cred-2",
        reason=Reason.CREDENTIAL_CLEARED,
        replaces="cred-1",
        handled=ASKED,
        ticket_hash="th-1",
        promised=SAID,
    )


def test_clear_of_nothing_says_that_nothing_was_cleared_however_often() -> None:
    first = tombstone(None, credential_id="t-1", handled=ASKED)
    again = tombstone(first, credential_id="t-2", handled=ASKED)
    assert (first.reason, again.reason, again.replaces) == (*[Reason.AUTHORIZATION_REQUIRED] * 2, "t-1")
    once_cleared = tombstone(facts(), credential_id="t-1", handled=ASKED)
    assert tombstone(once_cleared, credential_id="t-2", handled=ASKED).reason is Reason.CREDENTIAL_CLEARED


def test_clear_of_what_cannot_be_read_is_a_clear() -> None:
    left = tombstone(UNREADABLE, credential_id="t-1", handled=ASKED, revoke_until=NOW)
    assert left == TombstoneFacts("t-1", Reason.CREDENTIAL_CLEARED, handled=ASKED, revoke_until=NOW)


def test_tombstone_can_be_read_whatever_else_stands_beside_it() -> None:
    """What was cleared must not be used, and that much is sure."""
    beside = CLEARED | {Annotation.REVISION: "many", Annotation.EXPIRES_AT: "soon", Annotation.INTENT: "{"}
    assert contents_in(holding(beside)) == TOMBSTONE


# Written and read.

_words = st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=12)
_tombstones = st.builds(
    TombstoneFacts,
    credential_id=_words,
    reason=st.sampled_from(Reason),
    replaces=st.just("") | _words,
    handled=st.builds(HandledSet, refresh=st.lists(_words, max_size=3).map(tuple)),
    ticket_hash=st.none() | _words,
    revoke_until=st.none() | st.integers(-(10**9), 10**9).map(lambda seconds: NOW + timedelta(seconds=seconds)),
    promised=st.sampled_from([None, SAID]),
)
_any = _tombstones | st.sampled_from([facts(), facts(promised=SAID, verdict=None, intent=None)])


@given(before=_any, after=_any)
def test_nothing_of_what_stood_there_is_left_in_what_replaces_it(before: Facts, after: Facts) -> None:
    body = created(before, credential_data())
    annotations = stored(merged(body, replaced(after, None))).metadata.annotations
    assert annotations == stored(created(after, None)).metadata.annotations
    found = contents_in(holding(annotations))
    assert isinstance(found, StoredCredential | StoredTombstone)
    assert found.facts == after


# What a tenant may write onto a Secret without end.


@pytest.mark.parametrize(
    ("finalizers", "is_readable"),
    [
        pytest.param([f"a.example.com/{number}" for number in range(64)], True, id="as many as may be"),
        pytest.param([f"a.example.com/{number}" for number in range(65)], False, id="one more"),
        pytest.param(["x" * 8192], True, id="as long as may be"),
        pytest.param(["x" * 8193], False, id="longer"),
    ],
)
def test_more_finalizers_than_a_write_could_carry_along_cannot_be_read(
    finalizers: list[str], is_readable: bool
) -> None:
    found = contents_in(holding(LEAST, finalizers=tuple(finalizers)))
    if is_readable:
        assert isinstance(found, StoredCredential)
        assert found.finalizers == tuple(finalizers)
    else:
        assert found == Unreadable("it has too many finalizers", HandledSet())


def test_labels_that_no_template_asked_for_are_as_if_none_was_written() -> None:
    many = '{"hash":"a","labels":[' + ",".join(f'"{number}"' for number in range(65)) + "]}"
    for text in (many, '{"hash":"' + "a" * 65 + '"}'):
        found = contents_in(holding(LEAST | {Annotation.TEMPLATE: text}))
        assert isinstance(found, StoredCredential)
        assert found.written == NOTHING_WRITTEN
