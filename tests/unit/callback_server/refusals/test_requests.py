"""Answers to requests that lead nowhere: a stranger learns nothing from them."""

from datetime import timedelta
from http import HTTPStatus

import pytest

from callback_server import refusals
from callback_server.refusals import Kind, Refused
from tests.unit.callback_server.refusals.test_refused import every_refusal

GUESSED = [
    refusals.page_not_found(),
    refusals.link_has_ended(),
    refusals.cookie_is_missing(),
    refusals.cookie_is_not_ours(),
    refusals.form_is_not_ours(),
    refusals.unknown_flow(),
    refusals.not_an_authorization_response("It has no state."),
]


@pytest.mark.parametrize("refused", GUESSED, ids=lambda refused: refused.kind)
def test_what_a_stranger_can_bring_about_by_guessing_counts_as_a_miss(refused: Refused) -> None:
    assert refused.is_miss


@pytest.mark.parametrize(
    "refused",
    [
        refusals.busy(timedelta(seconds=3)),
        refusals.try_again_later(),
        refusals.cluster_refused(),
        refusals.may_not_read_yet("Secret app", "shop"),
        refusals.something_went_wrong(),
    ],
)
def test_what_is_not_the_visitor_s_doing_is_no_miss(refused: Refused) -> None:
    assert not refused.is_miss


@pytest.mark.parametrize(("pause", "told"), [(0.2, "1 s"), (1.4, "1 s"), (90, "90 s")])
def test_whoever_is_held_back_is_told_for_how_long(pause: float, told: str) -> None:
    refused = refusals.busy(timedelta(seconds=pause))

    assert refused.advice.endswith(f"reload this page in {told}.")
    assert refused.can_try_again
    assert refused.status is HTTPStatus.TOO_MANY_REQUESTS
    assert refused.retry_after == timedelta(seconds=pause)


def test_many_misses_are_answered_with_the_way_to_the_link() -> None:
    refused = refusals.too_many_misses(timedelta(seconds=5))

    assert refused.retry_after == timedelta(seconds=5)
    assert refused.command == "kubectl get dsrc NAME -n NAMESPACE -o jsonpath='{.status.authorizationLink}'"


def test_who_comes_before_the_right_is_told_what_is_missing_and_that_nothing_is_lost() -> None:
    refused = refusals.may_not_read_yet("Secret app", "shop")

    assert "may not read Secret app in namespace shop yet" in refused.message
    assert "Your link stays valid" in refused.advice
    assert refused.command == "kubectl datasource doctor"


WAITS = {
    Kind.TOO_MUCH_AT_ONCE,
    Kind.THE_CLUSTER_DOES_NOT_ANSWER,
    Kind.RIGHTS_ARE_NOT_THERE_YET,
    Kind.THE_AUTHORIZATION_GOES_ON,
    Kind.THE_SERVICE_TAKES_LONG,
}


def test_page_looks_again_by_itself_where_nothing_is_spent_and_waiting_helps_and_nowhere_else() -> None:
    """What was refused for good, or for its number, must not come again without a person."""
    assert {refused.kind for refused in every_refusal() if refused.reload_after is not None} == WAITS


@pytest.mark.parametrize(("pause", "seconds"), [(0.2, 5), (5.0, 5), (17.3, 17.3)])
def test_page_of_a_crowd_looks_again_once_there_may_be_room_and_never_more_often_than_others(
    pause: float, seconds: float
) -> None:
    assert refusals.busy(timedelta(seconds=pause)).reload_after == timedelta(seconds=seconds)
