"""What is done before a state is told, one preparation at a time: the chain of all is the policy's."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from datasource.api.clock import rfc3339
from datasource.api.names import REVOKE_FINALIZER, page_link
from datasource.api.objects import HandledEcho, HistoryEcho, Status
from datasource.api.requests import HandledSet, Requests
from datasource.api.secret_metadata import NO_METADATA
from datasource.api.spec import Spec
from datasource.api.spec_problems import parse_spec
from datasource.api.states import Reason
from datasource.oauth2.identity import expected_identity_hash
from datasource.records.contents import Contents, Readable, StoredCredential
from datasource.records.credential import Unreadable
from datasource.records.page_request import PageRequest, RequestKind
from datasource.records.secret_labels import as_written
from datasource_operator.decisions.imports import step_of_import
from datasource_operator.decisions.observed import Asked, HistoryRead, Observed, Surroundings
from datasource_operator.decisions.preparations import (
    PREPARATIONS,
    clear_is_requested,
    deletion_is_not_to_revoke,
    deletion_is_to_revoke,
    history_is_not_told,
    identity_is_not_compared,
    refresh_is_requested_in_vain,
    restored_credential_has_no_owner,
    surroundings_are_unknown,
    template_of_the_credential_changed,
)
from datasource_operator.decisions.steps import (
    Adopt,
    Clear,
    CompareIdentity,
    Hold,
    LookAround,
    MarkHandled,
    ReadHistory,
    Relabel,
    Release,
    Step,
)
from tests.support.builders import (
    DANGLING,
    NOW,
    OWNERLESS,
    credential,
    handled,
    invalid_spec,
    leaving,
    observed,
    problem,
    raw_spec,
    settled,
    spec,
    spec_without_oauth2,
    tombstone,
)
from tests.unit.datasource_operator.decisions.samples import expecting

ELSEWHERE = spec(tokenURL="https://elsewhere.example.com/token")
ADA = {"email": "ada@example.com"}
FOR_ADA = expecting(ADA)


def saying(**fields: Any) -> Spec:
    """A spec with further fields beside oauth2."""
    return parse_spec(raw_spec() | fields, allow_insecure_http=False)


REVOKING, SUSPENDED = saying(deletionPolicy="Revoke"), saying(suspend=True)
TAKEN = Surroundings(problem(Reason.SECRET_CONFLICT))


def held(stored: StoredCredential) -> StoredCredential:
    """The same with our finalizer on it, and somebody else's."""
    return msgspec.structs.replace(stored, finalizers=("example.com/theirs", REVOKE_FINALIZER))


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(settled(observed()), id="waits for a person, and says so"),
        pytest.param(observed(credential()), id="authorized"),
        pytest.param(observed(held(credential(is_revocable=True)), wanted=REVOKING), id="authorized, to be revoked"),
        pytest.param(observed(credential(owners=DANGLING), surroundings=Surroundings()), id="of an earlier one"),
        pytest.param(settled(observed(tombstone())), id="cleared"),
        pytest.param(observed(wanted=invalid_spec()), id="invalid"),
        pytest.param(observed(Unreadable("data")), id="unreadable"),
    ],
)
def test_what_is_in_order_or_waits_for_others_needs_no_preparation(seen: Observed) -> None:
    assert [step for prepare in PREPARATIONS if (step := prepare(seen)) is not None] == []


# A restore.


@pytest.mark.parametrize(
    ("stored", "wanted", "is_adopted"),
    [
        pytest.param(credential(owners=OWNERLESS), spec(), True, id="it fits"),
        pytest.param(credential(owners=OWNERLESS), ELSEWHERE, False, id="of other parameters"),
        pytest.param(tombstone(owners=OWNERLESS), ELSEWHERE, True, id="a tombstone of other parameters"),
        pytest.param(tombstone(owners=OWNERLESS), invalid_spec(), True, id="a tombstone, whatever is written"),
        pytest.param(tombstone(), spec(), False, id="a tombstone of ours"),
        pytest.param(leaving(credential(owners=OWNERLESS)), spec(), False, id="being deleted"),
        pytest.param(credential(owners=OWNERLESS), invalid_spec(), False, id="nobody knows"),
        pytest.param(credential(), spec(), False, id="ours"),
        pytest.param(credential(owners=DANGLING), spec(), False, id="of another"),
        pytest.param(Unreadable("data"), spec(), False, id="unreadable"),
        pytest.param(None, spec(), False, id="none"),
    ],
)
def test_only_what_fits_is_adopted(stored: Contents | None, wanted: Spec, is_adopted: bool) -> None:
    step = restored_credential_has_no_owner(observed(stored, wanted=wanted))
    assert step == (Adopt(stored) if is_adopted and isinstance(stored, Readable) else None)


# Clears.


@pytest.mark.parametrize("stored", [None, credential(), tombstone(), credential(verdict=Reason.GRANT_REVOKED)])
def test_clear_is_acted_on_once(stored: Contents | None) -> None:
    """The tombstone that comes of it remembers the value, beside what was handled before and no other request."""
    asked = Requests(clear_credential="now", refresh="later", new_credential="later")
    step = clear_is_requested(observed(stored, requests=asked))
    assert isinstance(step, Clear)
    assert step.credential == stored
    after = observed(tombstone(handled=step.handled), requests=asked)
    assert clear_is_requested(after) is None
    assert (after.pending.refresh, after.pending.new_credential) == ("later", "later")


def test_credential_of_an_earlier_datasource_is_not_what_is_cleared() -> None:
    step = clear_is_requested(observed(credential(owners=DANGLING), requests=Requests(clear_credential="now")))
    assert isinstance(step, Clear)
    assert step.credential is None


def test_clear_needs_a_place_for_its_tombstone() -> None:
    asked = Requests(clear_credential="now")
    assert clear_is_requested(observed(requests=asked, surroundings=TAKEN)) is None
    assert clear_is_requested(observed(credential(), requests=asked, surroundings=TAKEN)) is not None


KNOWN, UNKNOWN = Unreadable("annotation expires-at", handled=handled(clear_credential="old")), Unreadable("data")


@pytest.mark.parametrize(
    ("stored", "asked", "told", "is_acted_on"),
    [
        pytest.param(KNOWN, None, None, False, id="nothing was asked for"),
        pytest.param(KNOWN, "old", None, False, id="the Secret tells that it was done"),
        pytest.param(KNOWN, "new", "new", True, id="the Secret tells it was not; the status is older or made up"),
        pytest.param(UNKNOWN, "new", None, True, id="nobody tells"),
        pytest.param(UNKNOWN, "new", "old", True, id="the status tells of another"),
        pytest.param(UNKNOWN, "old", "old", False, id="the status tells that it was done"),
        pytest.param(UNKNOWN, "x" * 9999, "x" * 9999, True, id="a long value is told by its digest"),
    ],
)
def test_unreadable_credential_is_cleared_once_as_far_as_anybody_remembers(
    stored: Unreadable, asked: str | None, told: str | None, is_acted_on: bool
) -> None:
    status = Status(handled=None if told is None else HandledEcho(clear_credential=told))
    step = clear_is_requested(observed(stored, requests=Requests(clear_credential=asked), status=status))
    assert (step is not None) is is_acted_on
    if step is not None:
        assert isinstance(step, Clear)
        assert step.credential == stored
        before = (stored.handled or HandledSet()).clear_credential
        assert step.handled.clear_credential[: len(before)] == before
        assert step.handled.pending(Requests(clear_credential=asked)).clear_credential is None


def test_long_value_that_was_acted_on_is_known_by_the_digest_in_the_status() -> None:
    """What the status shows of it is what `settled` writes there."""
    asked = Requests(clear_credential="x" * 9999)
    done = settled(observed(tombstone(handled=HandledSet().with_requests(asked)), requests=asked)).status
    assert clear_is_requested(observed(UNKNOWN, requests=asked, status=done)) is None


# Refreshes that cannot be.


@pytest.mark.parametrize(
    ("stored", "wanted", "is_in_vain"),
    [
        pytest.param(credential(has_refresh_token=False), spec(), True, id="no refresh token"),
        pytest.param(credential(verdict=Reason.GRANT_REVOKED), spec(), True, id="a dead one"),
        pytest.param(tombstone(), spec(), True, id="cleared"),
        pytest.param(credential(has_refresh_token=False), invalid_spec(), True, id="whatever is written"),
        pytest.param(credential(), spec(), False, id="it can be refreshed"),
        pytest.param(credential(has_refresh_token=False), SUSPENDED, False, id="suspended: it waits"),
        pytest.param(None, spec(), False, id="no credential to remember it on"),
        pytest.param(Unreadable("data"), spec(), False, id="unreadable"),
        pytest.param(credential(has_refresh_token=False, owners=DANGLING), spec(), False, id="of another"),
    ],
)
def test_refresh_that_cannot_be_waits_for_nothing(stored: Contents | None, wanted: Spec, is_in_vain: bool) -> None:
    asked = Requests(refresh="now", clear_credential="not this one")
    step = refresh_is_requested_in_vain(observed(stored, wanted=wanted, requests=asked))
    assert (step is not None) is is_in_vain
    if step is not None:
        assert isinstance(step, MarkHandled)
        assert step.handled.pending(asked) == Requests(clear_credential="not this one")
        known = observed(credential(has_refresh_token=False, handled=step.handled), requests=asked)
        assert refresh_is_requested_in_vain(known) is None


# Who authorized.


@pytest.mark.parametrize(
    ("changes", "wanted", "is_compared"),
    [
        pytest.param({}, FOR_ADA, True, id="nobody was expected before"),
        pytest.param({"identity_checked": "of another"}, FOR_ADA, True, id="somebody else was"),
        pytest.param({"identity_checked": expected_identity_hash(ADA)}, FOR_ADA, False, id="compared, and refused"),
        pytest.param({}, spec(), False, id="nobody is expected"),
        pytest.param(
            {},
            expecting(ADA, tokenURL="https://b.example.com/"),
            False,
            id="of others anyway",
        ),
        pytest.param({"owners": DANGLING}, FOR_ADA, False, id="of an earlier Datasource"),
        pytest.param({}, invalid_spec(), False, id="nobody can tell"),
        pytest.param({}, spec_without_oauth2(), False, id="no parameters"),
    ],
)
def test_identity_is_compared_once_for_each_that_is_expected(
    changes: dict[str, Any], wanted: Spec, is_compared: bool
) -> None:
    stored = credential(obtained_with=FOR_ADA, **changes)
    step = identity_is_not_compared(observed(stored, wanted=wanted))
    assert step == (CompareIdentity(stored, ADA) if is_compared else None)


@pytest.mark.parametrize("stored", [tombstone(), leaving(credential(obtained_with=FOR_ADA)), None, Unreadable("data")])
def test_identity_of_nobody_is_compared_with_nothing(stored: Contents | None) -> None:
    assert identity_is_not_compared(observed(stored, wanted=FOR_ADA)) is None


# What holds the Secret until it is revoked.

REVOCABLE = credential(is_revocable=True)


@pytest.mark.parametrize(
    ("stored", "changes", "expected"),
    [
        pytest.param(REVOCABLE, {"wanted": REVOKING}, Hold, id="to be revoked"),
        pytest.param(held(REVOCABLE), {"wanted": REVOKING}, None, id="held already"),
        pytest.param(REVOCABLE, {}, None, id="not to be"),
        pytest.param(held(REVOCABLE), {}, Release, id="not any more"),
        pytest.param(credential(), {"wanted": REVOKING}, None, id="cannot be"),
        pytest.param(
            REVOCABLE, {"wanted": REVOKING, "rights_outlive_namespace": False}, None, id="nobody could take it off"
        ),
        pytest.param(
            held(REVOCABLE),
            {"wanted": REVOKING, "rights_outlive_namespace": False},
            Release,
            id="nobody will be able to",
        ),
        pytest.param(held(REVOCABLE), {"wanted": invalid_spec()}, None, id="held, and nobody knows what is wanted"),
        pytest.param(REVOCABLE, {"wanted": invalid_spec()}, None, id="nobody knows what is wanted"),
        pytest.param(leaving(held(REVOCABLE)), {}, None, id="a revocation is under way"),
        pytest.param(leaving(REVOCABLE), {"wanted": REVOKING}, None, id="nothing is held that goes already"),
        pytest.param(tombstone(), {"wanted": REVOKING}, None, id="cleared"),
        pytest.param(None, {"wanted": REVOKING}, None, id="none"),
        pytest.param(Unreadable("data"), {"wanted": REVOKING}, None, id="unreadable"),
        pytest.param(
            REVOCABLE,
            {"wanted": saying(deletionPolicy="Revoke", oauth2=raw_spec(tokenURL="https://b.example.com/")["oauth2"])},
            None,
            id="the client secret there is now is not for that provider",
        ),
    ],
)
def test_our_finalizer_stands_exactly_where_something_will_be_revoked(
    stored: Contents | None, changes: dict[str, Any], expected: type[Step] | None
) -> None:
    seen = observed(stored, **changes)
    steps = [step for step in (deletion_is_to_revoke(seen), deletion_is_not_to_revoke(seen)) if step is not None]
    assert [type(step) for step in steps] == ([] if expected is None else [expected])
    assert all(isinstance(step, Hold | Release) and step.credential == stored for step in steps)


# Before a link is offered.


def offered() -> Observed:
    """A Datasource that waits for a person, looked at and told."""
    return settled(observed(surroundings=Surroundings()))


def without_surroundings(seen: Observed, **changes: Any) -> Observed:
    """What the next run sees first."""
    return observed(**({"status": seen.status, "surroundings": None} | changes))


def of_a_page() -> Status:
    """What stands where people sign in."""
    return msgspec.structs.replace(
        offered().status, authorization_link=page_link("https://connect.example.com", "a", "b")
    )


@pytest.mark.parametrize(
    ("seen", "is_looked_at"),
    [
        pytest.param(observed(), True, id="nobody ever looked"),
        pytest.param(observed(surroundings=Surroundings()), False, id="looked at in this run"),
        pytest.param(observed(credential()), False, id="no link is offered"),
        pytest.param(observed(wanted=invalid_spec()), False, id="nothing to look for"),
        pytest.param(without_surroundings(offered()), False, id="the link says that it was so"),
        pytest.param(
            without_surroundings(offered(), status=of_a_page()), False, id="a link without a ticket says so, too"
        ),
        pytest.param(
            without_surroundings(offered(), status=of_a_page(), generation=2),
            True,
            id="it says nothing of another spec",
        ),
        pytest.param(without_surroundings(offered(), look_around=True), True, id="a look is due"),
        pytest.param(without_surroundings(offered(), generation=2), True, id="the spec changed since"),
        pytest.param(without_surroundings(offered(), uid="another"), True, id="the link is another Datasource's"),
        pytest.param(without_surroundings(offered(), wanted=SUSPENDED), True, id="suspended since: a link stands"),
        pytest.param(
            without_surroundings(settled(observed(wanted=SUSPENDED)), wanted=SUSPENDED), False, id="suspended, no link"
        ),
        pytest.param(
            observed(status=Status(observed_generation=1, state="ERROR")), True, id="something else was in the way"
        ),
    ],
)
def test_surroundings_are_looked_at_where_a_link_would_be_offered_and_nothing_speaks_for_them(
    seen: Observed, is_looked_at: bool
) -> None:
    assert surroundings_are_unknown(seen) == (LookAround() if is_looked_at else None)


# Labels and annotations of the credential.


LABELLED = saying(credentialSecret={"template": {"labels": {"team": "sales"}, "annotations": {"a": "b"}}})
UNLABELLED = saying(credentialSecret={"template": {"labels": {}}})
TEMPLATE = LABELLED.credential_secret.template


def carried_out(stored: Readable) -> Readable:
    """The same with the labels of that template on it."""
    return msgspec.structs.replace(stored, written=as_written(TEMPLATE))


@pytest.mark.parametrize("stored", [credential(), tombstone()])
def test_template_of_the_credential_is_carried_out_once(stored: Readable) -> None:
    prepare = template_of_the_credential_changed
    assert prepare(observed(stored, wanted=LABELLED)) == Relabel(stored, TEMPLATE)
    assert prepare(observed(carried_out(stored), wanted=LABELLED)) is None
    assert prepare(observed(carried_out(stored), wanted=spec())) == Relabel(carried_out(stored), NO_METADATA)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(observed(credential()), id="nobody asks for anything"),
        pytest.param(observed(credential(), wanted=UNLABELLED), id="an empty template asks for nothing"),
        pytest.param(observed(credential(owners=OWNERLESS), wanted=LABELLED), id="not ours yet"),
        pytest.param(observed(leaving(credential()), wanted=LABELLED), id="being deleted"),
        pytest.param(observed(Unreadable("data"), wanted=LABELLED), id="unreadable"),
        pytest.param(observed(None, wanted=LABELLED), id="none"),
        pytest.param(observed(carried_out(credential()), wanted=invalid_spec()), id="nobody knows what is asked for"),
    ],
)
def test_credential_is_not_labelled_where_nothing_changed_or_it_is_not_ours_to_write(seen: Observed) -> None:
    assert template_of_the_credential_changed(seen) is None


def test_preparations_are_all_in_the_chain() -> None:
    named: set[Callable[[Observed], Step | None]] = {
        restored_credential_has_no_owner,
        clear_is_requested,
        refresh_is_requested_in_vain,
        identity_is_not_compared,
        deletion_is_to_revoke,
        deletion_is_not_to_revoke,
        template_of_the_credential_changed,
        history_is_not_told,
        step_of_import,
        surroundings_are_unknown,
    }
    assert set(PREPARATIONS) == named


PAGE = PageRequest(RequestKind.CLEAR, "0" * 32, NOW, "ada", "credential-1")


def test_clear_that_a_page_asked_for_is_carried_out_with_who_asked() -> None:
    """An annotation that asks at the same time is answered by it, too."""
    seen = observed(credential(page_request=PAGE), requests=Requests(clear_credential="1"), page_request_by="ada")
    step = clear_is_requested(seen)
    assert isinstance(step, Clear)
    assert step.asked == Asked("ada", PAGE.id)
    assert step.handled.pending(Requests(clear_credential="1")).clear_credential is None


def test_history_is_read_once_where_something_new_happened() -> None:
    seen = observed(credential(history="act-2"))
    assert history_is_not_told(seen) == ReadHistory()
    assert history_is_not_told(replace(seen, history=HistoryRead("act-2", ()))) is None
    told = Status(history=(HistoryEcho("act-2", rfc3339(NOW), "clear", "ada"),))
    assert history_is_not_told(replace(seen, status=told)) is None
    assert history_is_not_told(observed(credential())) is None
