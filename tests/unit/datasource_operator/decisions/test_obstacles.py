"""What people read when something is in the way: which Secret, what to do, and what the API server said."""

import string
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.names import Role, credential_secret_name
from datasource.api.states import Progress, Reason, State
from datasource_operator.decisions.observed import Finding, Refusal, Surroundings
from datasource_operator.decisions.obstacles import (
    config_maps_forbidden,
    credential_lost_its_annotations,
    immutable_secret,
    refused,
    secret_conflict,
    secret_is_a_copy,
    secret_is_leaving,
    secret_lost_its_annotations,
    secrets_forbidden,
)
from datasource_operator.decisions.predicates import was_refused
from datasource_operator.decisions.steps import (
    Adopt,
    Clear,
    DeleteTokenSecret,
    LookForTokenSecret,
    Release,
    Step,
    WriteTokenSecret,
)
from tests.support.builders import NAME, NAMESPACE, credential, handled, observed, planned, problem
from tests.unit.datasource_operator.decisions.samples import STEPS

NO_RIGHT = 'secrets is forbidden: User "system:serviceaccount:s:o" cannot patch resource "secrets" in API group ""'
IMMUTABLE = 'Secret "x" is invalid: data: Forbidden: field is immutable when `immutable` is set'
WEBHOOK = 'admission webhook "no.example.com" denied the request: ask Grace'

WRITE = WriteTokenSecret(planned(), credential(), None)
TOKEN_SECRET = planned().name
CREDENTIAL_SECRET = credential_secret_name(NAME)


def problem_of(step: Step, refusal: Refusal) -> Finding:
    """What is told of a Datasource in order where a step was refused."""
    after = refused(step, observed(credential()), refusal)
    assert after.surroundings is not None
    assert after.surroundings.problem is not None
    return after.surroundings.problem


# Names that are taken, or that do not come free.


@pytest.mark.parametrize("role", [Role.TOKEN, Role.CREDENTIAL])
def test_foreign_secret_is_named_and_another_name_offered_only_where_there_is_a_choice(role: Role) -> None:
    told = secret_conflict("some-secret", role)
    assert (told.reason, told.state) == (Reason.SECRET_CONFLICT, State.ERROR)
    assert (
        "Secret some-secret already exists and does not belong to this Datasource. The operator did not change it."
        in told.message
    )
    assert ("spec.tokenSecret.name" in told.message) is (role is Role.TOKEN)


def test_name_that_holds_another_datasources_token_is_told_with_that_datasource_and_both_ways_out() -> None:
    told = secret_conflict("some-secret", Role.TOKEN, "mail")
    assert (told.reason, told.state) == (Reason.SECRET_CONFLICT, State.ERROR)
    assert "Secret some-secret holds the token of Datasource mail." in told.message
    assert "Choose another name in spec.tokenSecret.name. Or rename the token Secret of mail" in told.message
    assert "delete it" not in told.message, "it holds a token that apps use"


@pytest.mark.parametrize("finalizers", [("example.com/keep",), ("example.com/keep", "other.example.com/too")])
def test_secret_that_does_not_go_is_told_with_whoever_holds_it(finalizers: tuple[str, ...]) -> None:
    told = secret_is_leaving("some-secret", finalizers)
    assert told.reason is Reason.SECRET_CONFLICT
    assert all(finalizer in told.message for finalizer in finalizers)
    assert "kubectl get secret some-secret -o jsonpath='{.metadata.finalizers}'" in told.message


def test_of_many_finalizers_a_few_are_named() -> None:
    told = secret_is_leaving("some-secret", tuple(f"example.com/{number}" + "x" * 1000 for number in range(60_000)))
    assert "example.com/4x" in told.message
    assert "and 59995 more" in told.message
    assert len(told.message) < 3000


def test_an_owner_that_is_no_name_is_not_told() -> None:
    told = secret_conflict("some-secret", Role.TOKEN, "x" * 254)
    assert told == secret_conflict("some-secret", Role.TOKEN, None)


@pytest.mark.parametrize("is_credential", [True, False])
def test_nobody_is_told_to_delete_the_secret_that_holds_the_tokens(is_credential: bool) -> None:
    told = immutable_secret("some-secret", "some-namespace", is_credential=is_credential)
    assert ("Delete it: the operator creates it again." in told.message) is not is_credential
    assert ("Do not delete it permanently" in told.message) is is_credential
    if is_credential:
        assert "kubectl get secret some-secret -n some-namespace" in told.message
        # Force replaces by deleting: with the finalizer of Revoke that would take the grant along.
        assert "set it to Delete first" in told.message


# Rights.


def test_rights_that_do_not_reach_a_namespace_heal_by_themselves_once_they_are_given() -> None:
    for told in (secrets_forbidden("far-away"), config_maps_forbidden("far-away")):
        assert (told.reason, told.progress) == (Reason.SECRETS_FORBIDDEN, Progress.RECONCILING)
        assert "namespace far-away" in told.message
        assert "RoleBinding datasource-operator" in told.message
    assert "caBundleRef" in config_maps_forbidden("far-away").message


def test_words_of_the_api_server_are_told_where_there_are_any() -> None:
    assert "The API server says: no, never." in secrets_forbidden("shop", "no, never").message
    assert "API server" not in secrets_forbidden("shop").message


# Steps that were refused.


@pytest.mark.parametrize("words", [NO_RIGHT, IMMUTABLE, WEBHOOK], ids=["no right", "immutable", "webhook"])
@pytest.mark.parametrize("is_forbidden", [True, False], ids=["403", "422"])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_whatever_is_refused_is_told_with_its_secret_and_asked_for_no_more(
    step: Step, is_forbidden: bool, words: str
) -> None:
    before = observed(credential())
    after = refused(step, before, Refusal(is_forbidden=is_forbidden, words=words))
    assert was_refused(step, after)
    assert not was_refused(step, before)
    assert [other for other in STEPS if was_refused(other, after)] == [step]
    told = problem_of(step, Refusal(is_forbidden=is_forbidden, words=words))
    is_immutable = not is_forbidden and words == IMMUTABLE
    is_of_token = isinstance(step, WriteTokenSecret | LookForTokenSecret | DeleteTokenSecret)
    concerned = TOKEN_SECRET if is_of_token else CREDENTIAL_SECRET
    if is_forbidden and words == NO_RIGHT:
        assert f"namespace {NAMESPACE}" in told.message
    else:
        assert f"Secret {concerned}" in told.message
    assert is_immutable or words in told.message
    assert after.surroundings is not None
    assert after.surroundings.watched_secret == (concerned if is_immutable else None), "its deletion mends that"


def test_only_a_token_secret_can_be_mended_in_the_spec() -> None:
    refusal = Refusal(is_forbidden=False, words=WEBHOOK)
    assert problem_of(WRITE, refusal).reason is Reason.INVALID_CONFIGURATION
    assert "spec.tokenSecret" in problem_of(WRITE, refusal).message
    others = [step for step in STEPS if not isinstance(step, WriteTokenSecret)]
    assert {problem_of(step, refusal).reason for step in others} == {Reason.SECRETS_FORBIDDEN}
    assert not [step for step in others if "spec.tokenSecret" in problem_of(step, refusal).message]


@given(st.text(string.printable, max_size=20_000), st.booleans(), st.sampled_from(STEPS))
def test_status_does_not_grow_with_what_a_webhook_says(words: str, is_forbidden: bool, step: Step) -> None:
    told = problem_of(step, Refusal(is_forbidden=is_forbidden, words=words))
    assert len(told.message) < 2048
    assert words[:1024] in told.message


def test_first_obstacle_is_told_and_every_refused_kind_remembered() -> None:
    taken = Surroundings(problem(Reason.SECRET_CONFLICT), "calendar-token")
    seen = observed(credential(), surroundings=taken)
    refusal = Refusal(is_forbidden=True, words=WEBHOOK)
    steps: tuple[Step, ...] = (Adopt(credential()), Clear(None, handled(clear_credential="1")), Release(credential()))
    for step in steps:
        seen = refused(step, seen, refusal)
    assert seen.surroundings is not None
    assert (seen.surroundings.problem, seen.surroundings.watched_secret) == (taken.problem, taken.watched_secret)
    assert seen.surroundings.refused == {Adopt, Clear, Release}


def test_order_of_refusals_changes_nothing_of_what_is_asked_for_no_more() -> None:
    refusal = Refusal(is_forbidden=True, words=WEBHOOK)
    for one, other in product(STEPS, STEPS):
        there = refused(other, refused(one, observed(), refusal), refusal).surroundings
        back = refused(one, refused(other, observed(), refusal), refusal).surroundings
        assert there is not None
        assert back is not None
        assert there.refused == back.refused == {type(one), type(other)}


def test_secret_that_lost_its_annotations_is_named_with_what_it_may_hold_and_the_remedy() -> None:
    told = secret_lost_its_annotations("some-secret")
    assert (told.reason, told.state) == (Reason.SECRET_CONFLICT, State.ERROR)
    assert "Secret some-secret has lost its annotations of datasource.dev" in told.message
    assert "It may hold a token. Delete it" in told.message


def test_credential_that_lost_its_annotations_is_not_to_be_deleted_and_a_command_puts_them_back() -> None:
    told = credential_lost_its_annotations("sales-oauth2-credential", "shop", "sales")
    assert (told.reason, told.state) == (Reason.SECRET_CONFLICT, State.ERROR)
    assert "Do not delete it: it holds the tokens." in told.message
    command = "kubectl annotate secret sales-oauth2-credential -n shop --overwrite"
    assert f"{command} datasource.dev/role=credential datasource.dev/datasource=sales." in told.message


def test_copy_is_told_with_both_ways_out() -> None:
    told = secret_is_a_copy("some-secret")
    assert told.reason is Reason.SECRET_CONFLICT
    assert "it was not touched. Delete it" in told.message
    assert "spec.tokenSecret.name" in told.message


OTHER_TYPE = 'Secret "x" is invalid: type: Invalid value: "Opaque": field is immutable'


def test_secret_of_another_type_is_told_with_what_mends_it_and_watched() -> None:
    after = refused(WRITE, observed(credential()), Refusal(is_forbidden=False, words=OTHER_TYPE))
    assert after.surroundings is not None
    found = after.surroundings.problem
    assert found is not None
    assert found.reason is Reason.SECRET_CONFLICT
    assert f"Secret {TOKEN_SECRET} has another type than spec.tokenSecret.type says" in found.message
    assert after.surroundings.watched_secret == TOKEN_SECRET


@pytest.mark.parametrize(
    "words",
    [
        'Secret "x" is invalid: data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": invalid character',
        'roleRef: Invalid value: "x": field is immutable',
    ],
)
def test_other_words_are_not_about_the_type(words: str) -> None:
    assert not Refusal(is_forbidden=False, words=words).is_about_type
    assert not Refusal(is_forbidden=True, words=OTHER_TYPE).is_about_type
