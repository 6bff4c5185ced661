"""What somebody may do: asked of the API server, kept for ten seconds for who looks, bounded for each user."""

from typing import Any

import pytest
from aiohttp import web

from callback_server.granted import NotGranted
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
        self.rights = Rights(self.kube, self.namespaces, lambda: self.now, TRAIL)
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
        with pytest.raises(error):
            await Rights(kube, (), lambda: 0.0, TRAIL).allows(ADA, Verb.GET, "shop", "calendar", anew=False)
