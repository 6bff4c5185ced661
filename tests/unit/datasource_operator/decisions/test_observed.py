"""What is seen, and the few things that follow from seeing it."""

from dataclasses import replace

import pytest

from datasource.api.objects import OwnerReference
from datasource.api.requests import HandledSet, Requests
from datasource.api.spec import Spec, SpecProblem
from datasource.api.spec_problems import parse_spec
from datasource.api.states import MEANING, Progress, Reason, State
from datasource.records.contents import Contents
from datasource.records.credential import Unreadable
from datasource_operator.decisions.observed import Finding, Observed, Refusal
from tests.support.builders import (
    DANGLING,
    OURS,
    OWNERLESS,
    credential,
    fingerprint_of,
    handled,
    invalid_spec,
    leaving,
    observed,
    raw_spec,
    spec,
    spec_without_oauth2,
    tombstone,
    too_large,
)

UNREADABLE = Unreadable("annotation datasource.dev/revision is no number")

# A finding.


@pytest.mark.parametrize("reason", Reason)
def test_suspension_changes_the_progress_of_a_failing_refresh_alone(reason: Reason) -> None:
    """Whatever else is wrong is as stuck, or heals as well by itself, as it would without."""
    told, suspended = Finding(reason, "A message."), Finding(reason, "A message.", is_suspended=True)
    assert told.state is suspended.state is MEANING[reason].state
    assert told.progress is MEANING[reason].progress
    if reason is Reason.REFRESH_FAILING:
        assert suspended.progress is Progress.WAITING
        assert suspended.state is State.AUTHORIZED
    else:
        assert suspended.progress is told.progress


# A refusal: what the API server really says.

RBAC = (
    'secrets "calendar-token" is forbidden: User "system:serviceaccount:datasource-system:datasource-operator" cannot '
    'patch resource "secrets" in API group "" in the namespace "shop"'
)
IMMUTABLE = 'Secret "calendar-token" is invalid: data: Forbidden: field is immutable when `immutable` is set'
QUOTA = (
    'secrets "calendar-token" is forbidden: exceeded quota: small, requested: count/secrets=1, used: count/secrets=5'
)
OTHERS = [
    QUOTA,
    'admission webhook "policy.example.com" denied the request: no Secret of that name',
    'secrets "a" is forbidden: unable to create new content in namespace shop because it is being terminated',
    'Secret "a" is invalid: type: Invalid value: "Opaque": field is immutable',
    "",
]


WORDS_OF_OTHERS = [
    'admission webhook "policy.example.com" denied the request: {}',
    "secrets \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: {}",
    'secrets "a" is forbidden: violates rule 7: {}',
]
"""Beginnings of policies and webhooks, behind which anything may stand."""
TYPE = 'Secret "a" is invalid: type: Invalid value: "Opaque": field is immutable'


@pytest.mark.parametrize("said", WORDS_OF_OTHERS)
@pytest.mark.parametrize("words", [RBAC, IMMUTABLE, TYPE])
@pytest.mark.parametrize("is_forbidden", [True, False])
def test_webhook_that_talks_like_the_api_server_is_not_taken_for_it(said: str, words: str, is_forbidden: bool) -> None:
    """What is told of an immutable credential Secret is to delete it, which costs the grant."""
    refusal = Refusal(is_forbidden=is_forbidden, words=said.format(words))
    assert not any((refusal.is_about_rights, refusal.is_about_immutable_secret, refusal.is_about_type))


def test_each_of_several_causes_counts() -> None:
    several = 'Secret "a" is invalid: [metadata.x: Invalid value: "": no,\n {}]'
    assert Refusal(is_forbidden=False, words=several.format(IMMUTABLE.partition(": ")[2])).is_about_immutable_secret
    assert Refusal(is_forbidden=False, words=several.format(TYPE.partition(": ")[2])).is_about_type


def test_missing_right_is_told_from_other_refusals_with_the_same_code() -> None:
    assert Refusal(is_forbidden=True, words=RBAC).is_about_rights
    assert not any(Refusal(is_forbidden=True, words=words).is_about_rights for words in OTHERS)


@pytest.mark.parametrize("verb", ["get", "create", "deletecollection"])
def test_right_is_missed_whatever_the_verb_and_whoever_the_user(verb: str) -> None:
    words = f'secrets is forbidden: User "" cannot {verb} resource "secrets" in API group "" at the cluster scope'
    assert Refusal(is_forbidden=True, words=words).is_about_rights


def test_webhook_that_talks_of_rights_with_another_code_is_no_missing_right() -> None:
    """RBAC answers 403 and nothing else."""
    assert not Refusal(is_forbidden=False, words=RBAC).is_about_rights


def test_immutable_secret_is_told_from_other_fields_that_cannot_change() -> None:
    assert Refusal(is_forbidden=False, words=IMMUTABLE).is_about_immutable_secret
    assert not any(Refusal(is_forbidden=False, words=words).is_about_immutable_secret for words in OTHERS)
    assert not Refusal(is_forbidden=True, words=IMMUTABLE).is_about_immutable_secret, "that code is somebody's policy"


# What is seen of the spec.


@pytest.mark.parametrize(
    ("wanted", "has_parameters"),
    [(spec(), True), (spec(clientID=None), True), (spec_without_oauth2(), False), (invalid_spec(), False)],
    ids=["complete", "incomplete", "none", "unreadable"],
)
def test_parameters_and_their_fingerprint_come_and_go_together(
    wanted: Spec | SpecProblem, has_parameters: bool
) -> None:
    seen = observed(wanted=wanted)
    assert (seen.oauth2 is not None) is has_parameters
    assert seen.fingerprint == (fingerprint_of(wanted) if has_parameters and isinstance(wanted, Spec) else None)


def test_spec_that_cannot_be_read_asks_for_no_suspension() -> None:
    """Nobody's refreshes stop because of a typing error elsewhere in the spec."""
    suspended = parse_spec(raw_spec() | {"suspend": True}, allow_insecure_http=False)
    assert observed(wanted=suspended).is_suspended
    assert not observed().is_suspended
    assert not observed(wanted=invalid_spec()).is_suspended


def test_what_came_of_rendering_is_told_before_what_the_template_promises() -> None:
    broken = spec(token_secret={"template": {"data": {"header": "{{ acess_token }}"}}})
    assert observed().template_problem is None
    assert observed(wanted=invalid_spec()).template_problem is None, "it is told as it is"
    known = observed(wanted=broken).template_problem
    assert known is not None
    assert "header" in known.field
    rendered = too_large()
    assert observed(wanted=broken, unrenderable=rendered).template_problem is rendered


# What is seen of the credential.

OTHER_KIND = OwnerReference(uid="another-uid", kind="ConfigMap", name="calendar")


@pytest.mark.parametrize(
    ("stored", "is_ours", "is_ownerless"),
    [
        pytest.param(credential(), True, False, id="ours"),
        pytest.param(tombstone(), False, False, id="a tombstone of ours"),
        pytest.param(tombstone(owners=OWNERLESS), False, True, id="a restored tombstone"),
        pytest.param(credential(owners=(*OURS, OTHER_KIND)), True, False, id="ours and somebody's else"),
        pytest.param(credential(owners=OWNERLESS), True, True, id="restored"),
        pytest.param(credential(owners=DANGLING), False, False, id="of an earlier Datasource"),
        pytest.param(None, False, False, id="none"),
        pytest.param(UNREADABLE, False, False, id="unreadable"),
    ],
)
def test_facts_are_those_of_a_credential_of_this_very_datasource(
    stored: Contents | None, is_ours: bool, is_ownerless: bool
) -> None:
    seen = observed(stored)
    assert (seen.facts is not None) is is_ours
    assert seen.is_ownerless is is_ownerless


@pytest.mark.parametrize("owners", [OURS, OWNERLESS, DANGLING], ids=["ours", "restored", "of another"])
def test_secret_that_is_being_deleted_has_no_facts_to_go_by(owners: tuple[OwnerReference, ...]) -> None:
    seen = observed(leaving(credential(owners=owners)))
    assert (seen.facts, seen.is_ownerless, seen.handled) == (None, False, HandledSet())


# Requests.


def test_request_is_pending_until_a_credential_of_ours_remembers_it() -> None:
    asked = Requests(clear_credential="1", refresh="2", new_credential="3")
    assert observed(requests=asked).pending == asked
    ours = observed(credential(handled=handled(clear_credential="1")), requests=asked)
    assert ours.pending == Requests(refresh="2", new_credential="3")
    namesake = observed(credential(handled=handled(clear_credential="1"), owners=DANGLING), requests=asked)
    assert namesake.pending == asked, "what a namesake was asked for is none of ours"
    assert namesake.handled == HandledSet()


def test_credential_whose_data_were_altered_still_tells_what_was_handled() -> None:
    """Else a value that was acted on long ago would be acted on again, and take a credential that can be mended."""
    asked = Requests(clear_credential="long ago")
    seen = observed(credential(handled=handled(clear_credential="long ago")), requests=asked)
    altered = seen.with_unreadable(UNREADABLE)
    assert isinstance(altered.credential, Unreadable)
    assert altered.credential.what == UNREADABLE.what
    assert altered.credential.handled == handled(clear_credential="long ago")
    assert altered.facts is None


def test_what_is_worked_out_once_is_worked_out_anew_for_what_is_seen_next() -> None:
    """`replace` makes another: nothing that was kept of the one before may stay with it."""
    seen = observed(credential(), requests=Requests(refresh="1"))
    assert (seen.fingerprint, seen.facts is None, seen.pending.refresh) == (fingerprint_of(spec()), False, "1")
    after: Observed = replace(seen, spec=spec_without_oauth2(), credential=None, requests=Requests())
    assert (after.fingerprint, after.facts, after.pending.refresh) == (None, None, None)
