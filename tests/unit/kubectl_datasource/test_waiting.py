from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from datasource.api.states import Reason
from kubectl_datasource.exits import Exit, NotFound, Problem, Unreachable
from kubectl_datasource.objects import Datasource
from kubectl_datasource.waiting import Ended, Going, wait_for
from tests.unit.kubectl_datasource.builders import Clock, datasource


def looks(*seen: Datasource | Exception) -> Callable[[], Datasource]:
    """What each look finds; the last for ever."""
    answers: Iterator[Datasource | Exception] = iter(seen)
    last = seen[-1]

    def look() -> Datasource:
        found = next(answers, last)
        if isinstance(found, Exception):
            raise found
        return found

    return look


def until_authorized(seen: Datasource) -> Ended | Going:
    return Ended(Exit.FINE, "there") if seen.reason == "Authorized" else Going("waiting")


def wait(look: Callable[[], Datasource], seconds: float = 10) -> tuple[Ended, list[str], float]:
    clock, shown = Clock(), list[str]()
    ended = wait_for(
        look,
        until_authorized,
        timeout=timedelta(seconds=seconds),
        monotonic=clock.monotonic,
        sleep=clock.sleep,
        show=shown.append,
    )
    return ended, shown, clock.now


WAITING = datasource(Reason.AUTHORIZATION_REQUIRED)


def test_wait_ends_when_the_judge_says_so() -> None:
    assert wait(looks(WAITING, WAITING, datasource())) == (Ended(Exit.FINE, "there"), ["waiting"] * 2, 2.0)


def test_wait_gives_up_after_a_last_look() -> None:
    ended, _, took = wait(looks(WAITING), seconds=2.5)
    assert ended == Ended(Exit.TIMED_OUT, "Gave up after 2 s of waiting.")
    assert took == 2.5


def test_wait_that_gives_up_tells_what_is_in_the_way() -> None:
    ended = wait_for(
        looks(WAITING),
        lambda _: Going("waiting", "The provider does not answer."),
        timeout=timedelta(0),
        monotonic=lambda: 0.0,
        sleep=lambda _: None,
        show=lambda _: None,
    )
    assert ended == Ended(Exit.TIMED_OUT, "Gave up after 0 s of waiting. The provider does not answer.")


def test_time_runs_since_it_began_and_there_is_one_look() -> None:
    ended = wait_for(
        looks(WAITING),
        until_authorized,
        timeout=timedelta(seconds=60),
        monotonic=lambda: 100.0,
        sleep=lambda _: pytest.fail("no time is left"),
        show=lambda _: None,
        began=40.0,
    )
    assert ended == Ended(Exit.TIMED_OUT, "Gave up after 60 s of waiting.")


def test_answer_that_cannot_be_read_ends_the_wait() -> None:
    assert wait(looks(WAITING, Problem("Unreadable.", "Update.")))[0] == Ended(
        Exit.NOT_AS_WANTED, "Unreadable. Update."
    )


def test_without_time_there_is_one_look() -> None:
    assert wait(looks(datasource()), seconds=0)[0].exit is Exit.FINE
    assert wait(looks(WAITING), seconds=0)[0].exit is Exit.TIMED_OUT


def test_cluster_that_is_away_for_a_while_ends_nothing() -> None:
    ended, shown, _ = wait(looks(WAITING, Unreachable("gone"), datasource()))
    assert ended.exit is Exit.FINE
    assert shown[1] == "trying to reach the cluster, which does not answer"


def test_datasource_that_is_deleted_ends_the_wait() -> None:
    assert wait(looks(WAITING, NotFound("Not found.")))[0] == Ended(Exit.NOT_AS_WANTED, "Not found.", is_missing=True)


def test_what_is_wrong_with_the_code_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        wait(looks(ZeroDivisionError()))
