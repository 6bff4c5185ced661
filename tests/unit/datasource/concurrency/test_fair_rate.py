"""Who is let through how often, and what is told of those who are not."""

from datetime import timedelta

from datasource.concurrency.fair_rate import MOST_KEYS, Admitted, FairRate


def rate(at_once: int = 3) -> FairRate[str]:
    return FairRate(at_once, timedelta(seconds=10))


def test_so_many_are_let_through_at_once_and_then_one_after_each_pause() -> None:
    line = rate()
    passed = [second for second in range(40) for _ in range(3) if line.admit("a", float(second)) is not None]
    assert passed == [0, 0, 0, 10, 20, 30]


def test_whoever_is_loud_is_heard_less_and_nobody_else() -> None:
    line = rate()
    for _ in range(100):
        line.admit("loud", 0.0)
    assert line.admit("loud", 0.0) is None
    assert line.admit("quiet", 0.0) == Admitted(left_out=0, is_first=True)


def test_how_many_were_left_out_is_told_once_with_the_next() -> None:
    line = rate(at_once=1)
    for _ in range(5):
        line.admit("a", 0.0)
    assert line.admit("a", 10.0) == Admitted(left_out=4, is_first=True)
    assert line.admit("a", 20.0) == Admitted(left_out=0, is_first=True)


def test_after_silence_no_more_than_usual_are_let_through_at_once() -> None:
    line = rate()
    line.admit("a", 0.0)
    assert sum(line.admit("a", 1e6) is not None for _ in range(10)) == 3


def test_the_first_after_silence_is_known_as_such() -> None:
    line = rate()
    seen = [line.admit("a", 0.0), line.admit("a", 1.0), line.admit("a", 100.0)]
    assert [each is not None and each.is_first for each in seen] == [True, False, True]


def test_no_more_are_remembered_than_there_is_room_for() -> None:
    line = rate(at_once=1)
    for number in range(MOST_KEYS + 1):
        line.admit(str(number), 0.0)
    assert len(line._heard) == MOST_KEYS
    assert line.admit(str(MOST_KEYS), 0.0) is None
    assert line.admit("0", 0.0) is not None


def test_what_another_limit_left_out_used_up_nothing_and_is_told_with_the_next() -> None:
    line = rate(at_once=1)
    for _ in range(3):
        admitted = line.admit("a", 0.0)
        assert admitted is not None
        line.take_back("a", admitted, 0.0)
    assert line.admit("a", 0.0) == Admitted(left_out=3, is_first=True)
    assert line.admit("a", 0.0) is None
