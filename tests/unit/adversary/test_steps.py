"""Where the seconds of an authorization went, as `make adversary` tells it."""

import json
from contextlib import suppress

from tests.adversary.steps import Step, Stopwatch, Way, details, slowest, table


class Clock:
    """Goes forward when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _way(name: str, *, failed_in: Step | None = None, **seconds: float) -> Way:
    steps = {Step(step): each for step, each in seconds.items()}
    return Way(name, began=0.0, counted=sum(steps.values()), steps=steps, failed_in=failed_in)


def test_each_step_has_its_own_seconds() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    for step, seconds in ((Step.OPEN, 2.0), (Step.PRESS, 0.5)):
        with watch.step(step):
            clock.now += seconds
        clock.now += 7.0
    assert watch.told() == {Step.OPEN: 2.0, Step.PRESS: 0.5}
    assert watch.under_way is None


def test_a_step_that_was_given_up_is_named_with_the_seconds_until_now() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    with watch.step(Step.OPEN):
        clock.now += 1.0
    with suppress(TimeoutError), watch.step(Step.CALLBACK):
        clock.now += 29.0
        raise TimeoutError
    clock.now += 1.0
    assert watch.told() == {Step.OPEN: 1.0, Step.CALLBACK: 30.0}
    assert watch.under_way is Step.CALLBACK


def test_who_waited_for_the_link_is_among_the_slowest_though_that_is_not_counted() -> None:
    ways = [_way("quick", open=1.0), _way("late link", link=20.0, open=1.0), _way("late token", open=1.0, token=9.0)]
    assert [way.name for way in slowest(ways, 2)] == ["late link", "late token"]


def test_the_table_tells_the_step_in_which_somebody_waited() -> None:
    ways = [*(_way(f"quick-{number}", open=0.1, callback=0.2) for number in range(20))]
    ways.append(_way("stuck", failed_in=Step.CALLBACK, open=0.3, callback=29.7))
    lines = table(ways).splitlines()
    heads = lines[0].split()[-len(Step) :]
    assert heads == list(Step)
    longest = next(line for line in lines if line.startswith("longest"))
    assert longest.split() == ["longest", "0.30", "29.70"]
    assert lines[3].startswith("stuck at 0 s")
    assert lines[3].split()[-1] == "29.70!"
    # The column is that of its step.
    assert lines[3].index("29.70!") + len("29.70!") == lines[0].index("callback") + len("callback")


def test_a_table_of_nobody_is_one() -> None:
    assert "link" in table([])
    assert slowest([]) == []


def test_details_can_be_written_and_name_the_steps() -> None:
    (told,) = json.loads(json.dumps(details([_way("stuck", failed_in=Step.TOKEN, open=1.0, token=2.0)])))
    assert told["steps"] == {"open": 1.0, "token": 2.0}
    assert told["failed_in"] == "token"
