"""A stall brings no deadline nearer, and what has come is read before one passes."""

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
import uvloop

from datasource.oauth2.errors import NotDelivered, OutcomeUnknown
from datasource.outbound.provider_request import ProviderRequest
from datasource.providers.deadline import _MOST_STALLS, NO_EXTENSION, Extension, _Ticks, deadline_of
from datasource.providers.transport import Transport
from tests.support.hostile_provider import (
    GOOD_REPLY,
    ON_LOOPBACK,
    Behaviour,
    HostileProvider,
    ReceivedRequest,
    replies,
    stays_silent,
)

LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
Run = Callable[[Coroutine[Any, Any, None]], None]


def slow(answered: threading.Event) -> Behaviour:
    """Answers while the client's loop is held."""

    async def behave(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        await replies(200)(request, writer)
        await writer.drain()
        answered.set()

    return behave


@contextmanager
def provider_in_a_thread(behave: Behaviour) -> Iterator[HostileProvider]:
    """A provider that goes on while the loop of the test stalls."""
    provider, is_up, is_done = HostileProvider(behave), threading.Event(), threading.Event()

    async def serve() -> None:
        async with provider:
            is_up.set()
            await asyncio.to_thread(is_done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    is_up.wait()
    try:
        yield provider
    finally:
        is_done.set()
        thread.join()


@LOOPS
def test_reply_that_came_during_a_stall_is_read(run: Run) -> None:
    answered = threading.Event()

    async def play(url: str) -> None:
        loop = asyncio.get_running_loop()

        def stall() -> None:
            answered.wait()
            time.sleep(1.5)

        async with Transport(ON_LOOPBACK) as transport:
            request = ProviderRequest(url=url, headers={}, body=b"a=b")
            # The stall begins once the request is on its way, and is longer than the deadline.
            loop.call_later(0.2, stall)
            reply = await transport.send(request, deadline=timedelta(seconds=1), tenant="apps")
            assert reply.body == GOOD_REPLY

    async def waits_a_little(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.4)
        await slow(answered)(request, writer)

    with provider_in_a_thread(waits_a_little) as provider:
        run(play(provider.url))


async def test_process_that_was_stopped_past_its_deadline_reads_the_reply_that_came_meanwhile() -> None:
    stopped, answered = asyncio.Event(), asyncio.Event()

    async def behave(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        await stopped.wait()
        await replies(200)(request, writer)
        await writer.drain()
        answered.set()

    async with HostileProvider(behave) as provider:
        command = [sys.executable, "-m", "tests.support.one_request", provider.url, "2"]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        while not provider.requests:  # noqa: ASYNC110 - another process sends it
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        stopped.set()
        await answered.wait()
        await asyncio.sleep(3)
        process.send_signal(signal.SIGCONT)
        shown, _ = await process.communicate()
    assert shown.decode().split()[0] == "200"


SOON = timedelta(milliseconds=50)


async def test_late_reply_is_read_while_it_is_still_waited_for() -> None:
    late = asyncio.Event()

    async def answers_late(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        await late.wait()
        await replies(200)(request, writer)

    def goes_on() -> bool:
        late.set()
        return True

    async with HostileProvider(answers_late) as provider, Transport(ON_LOOPBACK) as transport:
        request = ProviderRequest(url=provider.url, headers={}, body=b"a=b")
        longer = Extension(timedelta(seconds=60), goes_on)
        reply = await transport.send(request, deadline=SOON, tenant="apps", extension=longer)
        assert reply.body == GOOD_REPLY


async def test_error_says_for_how_long_the_reply_was_waited_for() -> None:
    async with HostileProvider(stays_silent()) as provider, Transport(ON_LOOPBACK) as transport:
        request = ProviderRequest(url=provider.url, headers={}, body=b"a=b")
        longer = Extension(SOON, lambda: True)
        with pytest.raises(OutcomeUnknown, match=r"gave no whole answer within 0\.1 s"):
            await transport.send(request, deadline=SOON, tenant="apps", extension=longer)


async def test_request_that_was_not_written_is_waited_for_no_longer() -> None:
    asked: list[str] = []
    is_over = asyncio.Event()

    def goes_on() -> bool:
        asked.append("whether to wait")
        return True

    async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        is_over.set()

    # It takes the connection, and never begins with TLS.
    server = await asyncio.start_server(says_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Transport(ON_LOOPBACK) as transport:
        request = ProviderRequest(url=f"https://127.0.0.1:{port}/token", headers={}, body=b"a=b")
        longer = Extension(timedelta(seconds=60), goes_on)
        with pytest.raises(NotDelivered, match=r"within 0\.05 s"):
            await transport.send(request, deadline=SOON, tenant="apps", extension=longer)
    assert asked == []
    await is_over.wait()
    server.close()
    await server.wait_closed()


@LOOPS
def test_what_takes_longer_than_the_limit_is_cancelled(run: Run) -> None:
    async def play() -> None:
        with pytest.raises(TimeoutError):
            async with deadline_of(timedelta(milliseconds=50)):
                await asyncio.Event().wait()

    run(play())


async def test_long_limit_passes_tick_by_tick() -> None:
    clock = FakeLoop()
    deadline = Deadline(clock, seconds=20)
    clock.run(until=20.0)
    assert not deadline.has_passed
    clock.run(until=20.5)
    assert deadline.has_passed


async def test_stall_does_not_count() -> None:
    clock = FakeLoop()
    deadline = Deadline(clock, seconds=20)
    clock.run(until=10.0)
    clock.stall(3600)
    clock.run(until=3600 + 18.5)
    assert not deadline.has_passed
    clock.run(until=3600 + 21)
    assert deadline.has_passed


async def test_loop_that_stalls_at_the_end_gets_a_turn_to_read() -> None:
    clock = FakeLoop()
    deadline = Deadline(clock, seconds=2)
    clock.run(until=1.9)
    clock.stall(60)
    clock.run(until=61.92)
    assert not deadline.has_passed
    clock.stall(60)
    clock.run(until=121.93)
    assert not deadline.has_passed
    clock.run(until=123)
    assert deadline.has_passed


async def test_loop_that_is_never_on_time_still_ends_its_requests() -> None:
    clock = FakeLoop()
    deadline = Deadline(clock, seconds=2)
    for _ in range(_MOST_STALLS + 10):
        clock.stall(1)
        clock.run(until=clock.now)
    assert deadline.has_passed


async def test_deadline_that_was_met_leaves_no_timer() -> None:
    clock = FakeLoop()
    deadline = Deadline(clock, seconds=2)
    deadline.ticks.stop()
    clock.run(until=100)
    assert not deadline.has_passed


def extension(goes_on: Callable[[], bool]) -> Extension:
    return Extension(timedelta(seconds=10.5), goes_on)


async def test_extension_is_waited_for_to_its_end() -> None:
    clock = FakeLoop()
    deadline = Deadline(clock, seconds=20, extension=extension(lambda: True))
    clock.run(until=30.5)
    assert not deadline.has_passed
    clock.run(until=31)
    assert deadline.has_passed
    assert deadline.ticks.limit == 30.5


async def test_extension_is_asked_for_each_second_from_the_deadline_on() -> None:
    clock, asked = FakeLoop(), []

    def goes_on() -> bool:
        asked.append(clock.now)
        return len(asked) < 4

    deadline = Deadline(clock, seconds=20, extension=extension(goes_on))
    clock.run(until=23)
    assert asked == [20, 21, 22, 23]
    assert not deadline.has_passed
    clock.run(until=23.5)
    assert deadline.has_passed
    assert deadline.ticks.limit == 23


async def test_extension_that_is_not_wanted_costs_no_time() -> None:
    clock = FakeLoop()
    deadline = Deadline(clock, seconds=20, extension=extension(lambda: False))
    clock.run(until=20.5)
    assert deadline.has_passed
    assert deadline.ticks.limit == 20


@pytest.mark.parametrize(("first", "second", "both"), [(True, True, True), (True, False, False), (False, True, False)])
def test_extension_may_have_two_conditions(first: bool, second: bool, both: bool) -> None:
    assert extension(lambda: first).where(lambda: second).goes_on() is both


class Deadline:
    """What deadline_of does by a loop whose clock moves when told to."""

    def __init__(self, loop: "FakeLoop", *, seconds: float, extension: Extension = NO_EXTENSION) -> None:
        self.has_passed = False
        self.ticks = _Ticks(loop, seconds, self._end, extension)

    def _end(self) -> None:
        self.has_passed = True


class Timer:
    """A timer of a FakeLoop."""

    def __init__(self, due: float, call: Callable[[], None]) -> None:
        self.due = due
        self.call = call
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeLoop:
    """A clock, and timers that run when it passes them; a stall moves it without running any."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, callback: Callable[..., None], *args: Any) -> Timer:
        timer = Timer(self.now + seconds, lambda: callback(*args))
        self._timers.append(timer)
        return timer

    def stall(self, seconds: float) -> None:
        self.now += seconds

    def run(self, until: float) -> None:
        """Run what is due, late where the clock is past it already, and move the clock."""
        while True:
            waiting = [timer for timer in self._timers if not timer.is_cancelled and timer.due <= max(until, self.now)]
            if not waiting:
                break
            first = min(waiting, key=lambda timer: timer.due)
            self._timers.remove(first)
            self.now = max(self.now, first.due)
            first.call()
        self.now = max(self.now, until)
