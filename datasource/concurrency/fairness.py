"""A fair bulkhead: places that tenants share, so that whoever's provider hangs holds up only himself. Pure: no I/O, no clock.

Who may have a place (a key stands for the work that is done there):

- No more than `in_all` at a time, `per_namespace` of one namespace, `per_provider` at one provider.
- The last `reserved` places are for namespaces that hold none: neither a few tenants nor one with a few namespaces take all.

Who is next, where several may: namespaces go round, one key each, whatever the number that waits in each. Within a namespace
urgent keys go first, then its providers go round, and at one provider whoever came first. No key waits while a place that it
may have is free, as long as `admit` is called after each change.

What a turn costs grows with the logarithm of the number of namespaces: those who wait for nothing but full providers stand
aside, and are called forward when a place there is free.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)

_Turn = tuple[int, str]
"""When a namespace is next, and its name."""

_MOST_VOID = 64
"""How many turns may be void beyond as many as there are namespaces; they are taken out together."""


class _Wish(NamedTuple):
    namespace: str
    provider: str
    is_urgent: bool


@dataclass(slots=True)
class _Line(Generic[K]):
    """Who waits in one namespace, by provider; the first of each is next."""

    turn: int
    is_offered: bool = False
    """Whether it stands among those who may be next."""
    aside_at: set[str] = field(default_factory=set)
    """The full providers where it stands aside."""
    called_by: set[str] = field(default_factory=set)
    """The providers that called it forward; whoever stands behind it there is called when it had its say."""
    urgent: OrderedDict[str, OrderedDict[K, None]] = field(default_factory=OrderedDict)
    routine: OrderedDict[str, OrderedDict[K, None]] = field(default_factory=OrderedDict)

    def is_empty(self) -> bool:
        return not self.urgent and not self.routine

    def add(self, key: K, wish: _Wish) -> None:
        self._kind(wish).setdefault(wish.provider, OrderedDict())[key] = None

    def remove(self, key: K, wish: _Wish) -> None:
        kind = self._kind(wish)
        del kind[wish.provider][key]
        if not kind[wish.provider]:
            del kind[wish.provider]

    @property
    def providers(self) -> set[str]:
        return {*self.urgent, *self.routine}

    def next(self, has_room: Callable[[str], bool]) -> K | None:
        for kind in (self.urgent, self.routine):
            for provider, keys in kind.items():
                if has_room(provider):
                    return next(iter(keys))
        return None

    def go_round(self, provider: str) -> None:
        """That provider had its turn."""
        for kind in (self.urgent, self.routine):
            if provider in kind:
                kind.move_to_end(provider)

    def _kind(self, wish: _Wish) -> OrderedDict[str, OrderedDict[K, None]]:
        return self.urgent if wish.is_urgent else self.routine


@dataclass(slots=True)
class FairBulkhead(Generic[K]):
    """Who waits, and who holds which places. Bounds are at least 1, `reserved` is less than `in_all`."""

    in_all: int
    per_namespace: int
    per_provider: int
    reserved: int = 0
    _waiting: dict[K, _Wish] = field(default_factory=dict)
    _lines: dict[str, _Line[K]] = field(default_factory=dict)
    _offered: list[_Turn] = field(default_factory=list)
    """A heap of those who may be next; what fits its line no more is void."""
    _aside: dict[str, list[_Turn]] = field(default_factory=dict)
    """The same for each full provider: those who wait for nothing but full ones."""
    _turns: Iterator[int] = field(default_factory=count, compare=False)
    _holders: dict[K, _Wish] = field(default_factory=dict)
    _at_provider: dict[K, str] = field(default_factory=dict)
    """The holders that hold a place at their provider, too."""
    _held_in: Counter[str] = field(default_factory=Counter)
    _held_at: Counter[str] = field(default_factory=Counter)

    @property
    def waiting(self) -> int:
        """How many keys wait; may be read from another thread."""
        return len(self._waiting)

    def submit(self, key: K, *, namespace: str, provider: str, is_urgent: bool = False) -> None:
        """Let a key wait for its places; nothing changes for one that holds them.

        A key that waits already keeps its turn. Submitted for another provider it waits there and nowhere else; what was urgent
        stays so.
        """
        if key in self._holders:
            return
        before = self._waiting.get(key)
        wish = _Wish(namespace, provider, is_urgent or (before is not None and before.is_urgent))
        if wish == before:
            return
        # First the new place in line, then the old one: the namespace does not lose its turn.
        line = self._lines.get(namespace)
        if line is None:
            line = self._lines[namespace] = _Line(next(self._turns))
        line.add(key, wish)
        self._offer(namespace, line)
        if before is not None:
            self._leave_line(key, before)
        self._waiting[key] = wish

    def admit(self) -> list[K]:
        """The keys whose turn it is, in that order; they hold their places from now on."""
        admitted: list[K] = []
        while (key := self._next()) is not None:
            self._take(key)
            admitted.append(key)
        return admitted

    def leave_provider(self, key: K) -> None:
        """A holder needs its provider no more; its other places it keeps. Nothing happens where it has left already."""
        provider = self._at_provider.pop(key, None)
        if provider is not None:
            _take_one(self._held_at, provider)
            if self._held_at[provider] == self.per_provider - 1:
                self._call_forward(provider)

    def leave(self, key: K) -> None:
        """A holder needs none of its places any more."""
        self.leave_provider(key)
        _take_one(self._held_in, self._holders.pop(key).namespace)

    def forget(self, key: K) -> None:
        """A key waits no more; one that holds places keeps them."""
        wish = self._waiting.pop(key, None)
        if wish is not None:
            self._leave_line(key, wish)

    def forget_waiting(self) -> None:
        """Nobody waits any more."""
        self._waiting.clear()
        self._lines.clear()
        self._offered.clear()
        self._aside.clear()

    def _next(self) -> K | None:
        passed_over: list[str] = []
        try:
            while self._offered and len(self._holders) < self.in_all:
                turn, namespace = heappop(self._offered)
                line = self._lines.get(namespace)
                if line is None or line.turn != turn:
                    continue
                line.is_offered = False
                if not self._namespace_has_room(namespace):
                    # It holds places, as few do: no more than there are places.
                    passed_over.append(namespace)
                elif (key := line.next(self._provider_has_room)) is not None:
                    return key
                else:
                    self._stand_aside(namespace, line)
            return None
        finally:
            for namespace in passed_over:
                self._offer(namespace, self._lines[namespace])

    def _offer(self, namespace: str, line: _Line[K]) -> None:
        if not line.is_offered:
            line.is_offered = True
            self._push(self._offered, namespace, line)

    def _stand_aside(self, namespace: str, line: _Line[K]) -> None:
        """Until one of its providers, all of which are full, has room."""
        for provider in line.providers - line.aside_at:
            line.aside_at.add(provider)
            self._push(self._aside.setdefault(provider, []), namespace, line)
        self._pass_on(line)

    def _call_forward(self, provider: str) -> None:
        """Offer whoever is next at a provider that has room: the first who holds no place, and all before him."""
        aside = self._aside.get(provider)
        while aside and self._provider_has_room(provider):
            turn, namespace = heappop(aside)
            line = self._lines.get(namespace)
            if line is None or line.turn != turn:
                continue
            line.aside_at.discard(provider)
            line.called_by.add(provider)
            self._offer(namespace, line)
            if self._held_in[namespace] == 0:
                break
        if not aside:
            self._aside.pop(provider, None)

    def _pass_on(self, line: _Line[K]) -> None:
        """It needs no place of those who called it forward, or has it: the next one's turn."""
        providers, line.called_by = line.called_by, set()
        for provider in providers:
            self._call_forward(provider)

    def _push(self, heap: list[_Turn], namespace: str, line: _Line[K]) -> None:
        heappush(heap, (line.turn, namespace))
        if len(heap) > 2 * len(self._lines) + _MOST_VOID:
            heap[:] = sorted(
                {(turn, name) for turn, name in heap if name in self._lines and self._lines[name].turn == turn}
            )

    def _namespace_has_room(self, namespace: str) -> bool:
        held = self._held_in[namespace]
        return held == 0 or (held < self.per_namespace and self.in_all - len(self._holders) > self.reserved)

    def _provider_has_room(self, provider: str) -> bool:
        return self._held_at[provider] < self.per_provider

    def _take(self, key: K) -> None:
        wish = self._waiting.pop(key)
        self._holders[key] = wish
        self._at_provider[key] = wish.provider
        self._held_in[wish.namespace] += 1
        self._held_at[wish.provider] += 1
        line = self._lines[wish.namespace]
        line.turn = next(self._turns)
        line.aside_at.clear()
        line.go_round(wish.provider)
        self._leave_line(key, wish)
        if wish.namespace in self._lines:
            self._offer(wish.namespace, line)
        self._pass_on(line)

    def _leave_line(self, key: K, wish: _Wish) -> None:
        line = self._lines[wish.namespace]
        line.remove(key, wish)
        if line.is_empty():
            del self._lines[wish.namespace]
            self._pass_on(line)


def _take_one(counter: Counter[str], name: str) -> None:
    counter[name] -= 1
    if not counter[name]:
        del counter[name]
