"""How much is begun in one turn of the event loop."""

from collections.abc import Callable
from functools import partial

from callback_server.turns import Turns


class Loop:
    """Turns when it is told to."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def turn(self) -> None:
        now, self.soon = self.soon, []
        for each in now:
            each()


def test_so_many_begin_at_once_and_the_others_in_the_order_in_which_they_came() -> None:
    loop, begun = Loop(), list[int]()
    turns = Turns(loop.call_soon, most=3)
    assert [turns.take(partial(begun.append, number)) for number in range(8)] == [True] * 3 + [False] * 5
    seen = []
    while loop.soon:
        seen.append(len(begun))
        loop.turn()
    assert begun == list(range(8))
    assert seen == [3, 6, 8]


def test_who_comes_while_others_wait_is_not_let_in_before_them() -> None:
    loop, begun = Loop(), list[str]()
    turns = Turns(loop.call_soon, most=1)
    for name in ("first", "second", "third"):
        turns.take(partial(begun.append, name))
    loop.turn()
    assert not turns.take(partial(begun.append, "late"))
    assert begun == ["first", "second"]
    while loop.soon:
        loop.turn()
    assert begun == ["first", "second", "third", "late"]


def test_nothing_is_called_again_once_nobody_waits() -> None:
    loop = Loop()
    turns = Turns(loop.call_soon, most=2)
    turns.take(lambda: None)
    loop.turn()
    assert loop.soon == []
    assert turns.take(lambda: None)


def test_what_fails_keeps_nobody_behind_it_waiting() -> None:
    loop, begun = Loop(), list[str]()
    turns = Turns(loop.call_soon, most=1)

    def fails() -> None:
        raise OSError

    turns.take(lambda: None)
    turns.take(fails)
    turns.take(partial(begun.append, "behind"))
    for _ in range(3):
        try:
            loop.turn()
        except OSError:
            continue
    assert begun == ["behind"]
