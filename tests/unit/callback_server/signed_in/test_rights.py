"""What somebody may do: asked of the API server, kept for ten seconds for who looks, bounded for each user."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from callback_server.granted import NotGranted
from callback_server.limits import Denials, Exceeded
from callback_server.refusals import Kind, Refused
from callback_server.signed_in.rights import KEPT, KEPT_PER_USER, Rights, Verb
from callback_server.signed_in.trail import Trail
from datasource.cluster.api_errors import ApiError
from datasource.oauth2.kubernetes_user import User
from datasource.process.audit import AuditLog
from datasource.process.clock import utc_now
from tests.unit.datasource.api_server import ApiServer, fails

TRAIL = Trail(AuditLog(is_wanted=False), utc_now)
ADA, BOB = User("ada", ("dev",)), User("bob")


class Answers:
    """An API server that allows what it is told to."""

    def __init__(self) -> None:
        self.allowed = True
        self.status: dict[str, Any] = {}

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"status": {"allowed": self.allowed} | self.status}, status=201)


class Bench:
    """Rights on such a server."""

    def __init__(self, namespaces: tuple[str, ...] = ()) -> None:
        self.answers, self.now, self.namespaces = Answers(), 0.0, namespaces

    async def __aenter__(self) -> "Bench":
        self.server = await ApiServer(self.answers).__aenter__()
        self.kube = await self.server.kube().__aenter__()
        self.rights = Rights(self.kube, self.namespaces, lambda: self.now, TRAIL, Denials(lambda: self.now))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kube.__aexit__()
        await self.server.__aexit__()

    async def allows(
        self, user: User = ADA, verb: Verb = Verb.GET, *, name: str = "calendar", anew: bool = False
    ) -> bool:
        return await self.rights.allows(user, verb, "shop", name, anew=anew)

    @property
    def asked(self) -> int:
        return len(self.server.requests)


async def test_answer_is_kept_for_ten_seconds_for_who_looks_and_asked_anew_for_who_acts() -> None:
    async with Bench() as bench:
        assert await bench.allows()
        bench.answers.allowed = False
        bench.now = KEPT.total_seconds() - 0.1
        assert await bench.allows()
        assert not await bench.allows(anew=True)
        # What was asked anew is known from then on.
        assert not await bench.allows()
        assert bench.asked == 2
        bench.answers.allowed = True
        bench.now = 3 * KEPT.total_seconds()
        assert await bench.allows()


async def test_answer_is_for_that_user_verb_and_object() -> None:
    async with Bench() as bench:
        await bench.allows()
        await bench.allows(BOB)
        await bench.allows(User("ada", ("ops",)))
        await bench.allows(verb=Verb.PATCH)
        await bench.allows(name="drive")
        assert bench.asked == 5


async def test_whoever_asks_about_everything_forgets_his_own_answers_only() -> None:
    async with Bench() as bench:
        await bench.allows(BOB)
        for number in range(KEPT_PER_USER // 512 + 10):
            bench.rights._kept.put(
                type(next(iter(bench.rights._kept._entries)))(ADA, Verb.GET, "shop", f"d-{number}"),
                next(iter(bench.rights._kept._entries.values())).value,
                ADA.name,
                cost=512,
            )
        assert bench.rights._kept.held_in("ada") <= KEPT_PER_USER
        asked = bench.asked
        await bench.allows(BOB)
        assert bench.asked == asked


@pytest.mark.parametrize("status", [{"allowed": False}, {"allowed": True, "denied": True}, {}])
async def test_nothing_but_a_clear_yes_is_one(status: dict[str, Any]) -> None:
    async with Bench() as bench:
        bench.answers.allowed = bool(status.get("allowed"))
        bench.answers.status = status
        assert not await bench.allows()


async def test_namespace_that_is_not_served_is_not_asked_about() -> None:
    async with Bench(namespaces=("sales",)) as bench:
        assert not await bench.allows(anew=True)
        assert bench.asked == 0


async def test_what_is_required_and_not_allowed_is_refused() -> None:
    async with Bench() as bench:
        await bench.rights.require(ADA, Verb.LIST, "shop")
        bench.answers.allowed = False
        with pytest.raises(Refused) as caught:
            await bench.rights.require(ADA, Verb.PATCH, "shop", "calendar")
        assert caught.value.kind is Kind.NOT_ALLOWED


@pytest.mark.parametrize(("status", "error"), [(403, NotGranted), (500, ApiError)])
async def test_where_it_is_not_known_nobody_may(status: int, error: type[Exception]) -> None:
    async with ApiServer(fails(status, "Forbidden")) as server, server.kube() as kube:
        rights = Rights(kube, (), lambda: 0.0, TRAIL, Denials(lambda: 0.0))
        with pytest.raises(error):
            await rights.allows(ADA, Verb.GET, "shop", "calendar", anew=False)


async def denied(bench: Bench, times: int, *, user: User = ADA, namespace: str = "shop", anew: bool = True) -> int:
    """How many of so many tries were answered by no; the others were too many."""
    refused = 0
    for number in range(times):
        with pytest.raises((Refused, Exceeded)) as caught:
            await bench.rights.require(user, Verb.GET, namespace, f"d-{number}", anew=anew)
        refused += isinstance(caught.value, Refused)
    return refused


@pytest.mark.parametrize("anew", [False, True])
async def test_whoever_is_denied_again_and_again_has_the_api_server_asked_no_more(anew: bool) -> None:
    per_second, burst = Denials.PER_NAMESPACE
    async with Bench() as bench:
        bench.answers.allowed = False
        assert await denied(bench, 50, anew=anew) == burst
        assert bench.asked == burst
        # One who asks on and on gets no answer later than one who waits.
        bench.now += 1 / per_second
        assert await denied(bench, 50) == 1
        assert bench.asked == burst + 1


async def test_answer_that_is_kept_is_denied_no_more_often_than_one_that_is_asked_for() -> None:
    """It is a line of the log each time."""
    _, burst = Denials.PER_NAMESPACE
    async with Bench() as bench:
        bench.answers.allowed = False
        told = 0
        for _ in range(50):
            with pytest.raises((Refused, Exceeded)) as caught:
                await bench.rights.require(ADA, Verb.GET, "shop", "calendar")
            told += isinstance(caught.value, Refused)
        assert (told, bench.asked) == (burst, 1)


async def test_namespaces_that_are_tried_one_after_another_have_a_bound_together() -> None:
    _, burst = Denials.IN_ALL
    async with Bench() as bench:
        bench.answers.allowed = False
        assert sum([await denied(bench, 1, namespace=f"n-{number}") for number in range(100)]) == burst
        assert bench.asked == burst
        # Of the others nothing is remembered.
        assert len(bench.rights.denials._buckets) == 1 + burst


async def test_denials_of_one_person_are_nobody_else_s_and_close_no_page_that_was_open() -> None:
    async with Bench() as bench:
        await bench.rights.require(ADA, Verb.GET, "shop", "calendar")
        bench.answers.allowed = False
        await denied(bench, 50)
        await denied(bench, 50, namespace="sales")
        # In other namespaces of the same person there is room until theirs is used up, and for others in any case.
        assert await denied(bench, 1, namespace="drive") == 1
        assert await denied(bench, 1, user=BOB) == 1
        bench.answers.allowed = True
        # Was allowed a moment ago, and is asked about anew.
        await bench.rights.require(ADA, Verb.GET, "shop", "calendar", anew=True)


async def test_what_is_allowed_is_never_counted() -> None:
    async with Bench() as bench:
        for number in range(100):
            await bench.rights.require(ADA, Verb.PATCH, "shop", f"d-{number}", anew=True)
        assert bench.asked == 100


async def test_many_at_one_moment_are_paid_for_later() -> None:
    per_second, burst = Denials.IN_ALL
    async with Bench() as bench:
        bench.answers.allowed = False
        tried = [bench.rights.require(ADA, Verb.GET, f"n-{number}", anew=True) for number in range(2 * burst)]
        answers = await asyncio.gather(*tried, return_exceptions=True)
        at_once = sum(isinstance(each, Refused) for each in answers)
        assert at_once >= burst
        bench.now += (at_once - burst) / per_second
        assert await denied(bench, 1, namespace="late") == 0
        bench.now += 1 / per_second
        assert await denied(bench, 1, namespace="late") == 1
