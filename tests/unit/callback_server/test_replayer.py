"""Replies to codes that lie in the journal: wherever the callback server is killed, and whatever was done meanwhile."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from callback_server.app import Services, services
from callback_server.replayer import CodeReplayer
from datasource.api.names import Annotation
from datasource.cluster.api_errors import ApiError, Forbidden, Unavailable
from datasource.oauth2.errors import MetadataUnavailable
from datasource.process.journal import Journal, open_journal
from datasource.records.flow import Outcome
from datasource.records.intent import Intent
from tests.support.hostile_provider import Behaviour, replies
from tests.support.mortal import Fate, Killed, MortalKube
from tests.unit.callback_server.visits import DATASOURCE, Connection, Visit, visit
from tests.unit.datasource.builders import NOW

TOKENS = {"access_token": "at-1", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "rt-1"}
GRANTS = replies(200, json.dumps(TOKENS).encode())
UNDER_WAY = ["before open", "after open", "before write"]


@dataclass
class MortalConnection(MortalKube, Connection):
    """A connection of a callback server."""


@dataclass
class Case:
    """A person who comes back with a code, and the processes that deal with it."""

    came: Visit
    fate: Fate
    journal: Journal
    directory: Path
    steps_before: int = 0
    open: list[Journal] = field(default_factory=list)

    async def killed(self, at: int | str, *, behind: str = "") -> bool:
        """Come back with a code; the process is killed at that step of what follows. Whether it was."""
        state = await self.came.begin()
        self.fate.steps.clear()
        self.fate.at, self.fate.behind = at, behind
        with suppress(Killed):
            await self.came.come_back(state)
        is_dead = self.fate.is_dead
        self.end()
        return is_dead

    def end(self) -> None:
        """kubelet sees that it is dead."""
        if self.journal in self.open:
            self.open.remove(self.journal)
            self.journal.close()

    def restarts(self, *, refuses: Callable[[Any], Exception | None] = lambda _: None, dies_at: int = 0) -> Services:
        """The next process of the pod."""
        self.fate = Fate(dies_at)
        kube = MortalConnection(server=self.came.kube.server, fate=self.fate, refuses=refuses)
        self.journal = open_journal(str(self.directory), fault=self.fate.step)
        self.open.append(self.journal)
        return services(kube, self.came.transport, self.came.settings, self.journal)

    async def replays(self, served: Services) -> str | None:
        """Deal once with what lies there; why it still does."""
        assert served.replays is not None
        (place,) = {entry.place for entry in self.journal.waiting} or {"0" * 32}
        now = served.replays.monotonic() + timedelta(hours=1).total_seconds()
        served.replays.monotonic = lambda: now
        rest = await served.replays.replay(place)
        return None if rest is None else rest.why

    @property
    def tokens(self) -> tuple[str, str] | None:
        """Those that are stored."""
        if self.came.credential is None or "data" not in self.came.credential:
            return None
        data = {key: b64decode(value).decode() for key, value in self.came.credential["data"].items()}
        return data["access_token"], data.get("refresh_token", "")

    @property
    def outcome(self) -> str:
        """How the flow ended, as the done page tells."""
        (record,) = self.came.flow_records
        return str(json.loads(b64decode(record["data"]["flow"]))["outcome"])

    @property
    def revoked(self) -> list[str]:
        """Tokens that were revoked."""
        return [request.form["token"] for request in self.came.provider.requests if "token" in request.form]


@asynccontextmanager
async def case(tmp_path: Path, *behaviours: Behaviour, **oauth2: Any) -> AsyncIterator[Case]:
    fate = Fate()
    journal = open_journal(str(tmp_path), fault=lambda step: made.fate.step(step) if made.fate is fate else None)
    kube = MortalConnection(fate=fate)
    async with visit(*(behaviours or (GRANTS,)), kube=kube, journal=journal, **oauth2) as came:
        made = Case(came, fate, journal, tmp_path, open=[journal])
        try:
            yield made
        finally:
            for each in made.open:
                each.close()


async def left_behind(made: Case) -> None:
    """A process wrote the reply to a code down, and was killed before it stored it."""
    assert await made.killed("after rename")
    assert made.tokens is None
    assert made.outcome == Outcome.UNDER_WAY


async def test_no_kill_after_the_reply_was_written_down_loses_a_consent(tmp_path: Path) -> None:
    steps: list[str] = []
    lost: list[str] = []
    for at in count(1):
        folder = tmp_path / str(at)
        folder.mkdir()
        async with case(folder) as made:
            if not await made.killed(at):
                break
            steps.append(made.fate.steps[-1])
            spent = len(made.came.provider.requests)
            served = made.restarts()
            await made.replays(served)
            assert len(made.came.provider.requests) == spent, "no code is sent twice"
            assert made.journal.waiting == []
            if spent and made.tokens is None:
                lost.append(steps[-1])
            elif spent:
                assert made.outcome == Outcome.STORED
    assert lost == UNDER_WAY
    assert steps[steps.index("after rename") :] == [
        "after rename",
        "before create",
        "after create",
        "before merge_patch",
        "after merge_patch",
        "before unlink",
        "after unlink",
    ]


async def test_no_kill_in_a_replay_loses_it_either(tmp_path: Path) -> None:
    for at in count(1):
        folder = tmp_path / str(at)
        folder.mkdir()
        async with case(folder) as made:
            await left_behind(made)
            served = made.restarts(dies_at=at)
            assert served.replays is not None
            assert served.replays.deal_with.__func__ is CodeReplayer.replay  # type: ignore[attr-defined]
            (entry,) = made.journal.waiting
            await asyncio.wait({served.replays._begin(entry.place)})
            if not made.fate.is_dead:
                break
            made.end()
            await made.replays(made.restarts())
            assert (made.tokens, made.outcome, made.revoked) == (("at-1", "rt-1"), Outcome.STORED, [])
    assert at > 5


def put_another_in_its_place(made: Case) -> None:
    made.came.datasource["metadata"]["uid"] = "another"


def delete(made: Case) -> None:
    del made.came.kube.objects[DATASOURCE]


@pytest.mark.parametrize("happens", [put_another_in_its_place, delete])
async def test_grant_for_a_datasource_that_is_gone_is_revoked(tmp_path: Path, happens: Callable[[Case], None]) -> None:
    async with case(tmp_path) as made:
        await left_behind(made)
        happens(made)
        await made.replays(made.restarts())
        assert (made.tokens, made.outcome, made.revoked) == (None, Outcome.NOT_STORED, ["rt-1"])
        assert made.journal.waiting == []


async def test_grant_is_dropped_where_somebody_was_first(tmp_path: Path) -> None:
    async with case(tmp_path) as made:
        await left_behind(made)
        made.came.store_another()
        await made.replays(made.restarts())
        assert made.came.credential is not None
        assert made.came.credential["metadata"]["annotations"][Annotation.CREDENTIAL_ID] == "another"
        assert (made.outcome, made.revoked) == (Outcome.NOT_STORED, [])


@pytest.mark.parametrize("is_sent", [False, True])
async def test_import_gives_way_to_a_consent_that_lies_in_the_journal_until_it_is_sent(
    tmp_path: Path, is_sent: bool
) -> None:
    async with case(tmp_path) as made:
        await left_behind(made)
        made.came.store_an_import(**({"intent": Intent("i-1", "process-1", "pod-1", NOW)} if is_sent else {}))
        await made.replays(made.restarts())
        assert made.tokens == (("", "rt-of-a-script") if is_sent else ("at-1", "rt-1"))
        assert made.outcome == (Outcome.NOT_STORED if is_sent else Outcome.STORED)


def edit(made: Case) -> None:
    made.came.datasource["spec"]["oauth2"]["scopes"] = ["everything"]


def break_spec(made: Case) -> None:
    made.came.datasource["spec"]["oauth2"]["tokenURL"] = "ftp://x"


def suspend(made: Case) -> None:
    made.came.datasource["spec"]["suspend"] = True


def nothing(_: Case) -> None:
    """Nobody did anything."""


@pytest.mark.parametrize("happens", [nothing, edit, break_spec, suspend])
async def test_consent_is_stored_with_what_it_was_given_for(tmp_path: Path, happens: Callable[[Case], None]) -> None:
    """As where the spec is edited between the exchange and the store: whether it still fits is for the operator to say."""
    async with case(tmp_path) as made:
        await left_behind(made)
        happens(made)
        await made.replays(made.restarts())
        assert (made.tokens, made.outcome) == (("at-1", "rt-1"), Outcome.STORED)


async def test_flow_that_was_swept_or_begun_anew_meanwhile_keeps_nobody_from_the_store(tmp_path: Path) -> None:
    async with case(tmp_path) as made:
        await left_behind(made)
        for address in [each for each in made.came.kube.objects if each.namespace == "datasource-system"]:
            del made.came.kube.objects[address]
        await made.replays(made.restarts())
        assert made.tokens == ("at-1", "rt-1")
        assert made.journal.waiting == []


async def test_flow_that_is_over_meanwhile_keeps_nobody_from_the_store(tmp_path: Path) -> None:
    """The person consented in time; it is the pod that came back late."""
    async with case(tmp_path) as made:
        await left_behind(made)
        served = made.restarts()
        store = served.callback.credentials
        now = store.now
        object.__setattr__(store, "now", lambda: now() + timedelta(hours=1))
        await made.replays(served)
        assert (made.tokens, made.outcome, made.revoked) == (("at-1", "rt-1"), Outcome.STORED, [])


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
async def test_entry_that_is_not_whole_is_set_aside_and_keeps_no_other_waiting(tmp_path: Path, share: float) -> None:
    """No process of ours leaves one; a disk may."""
    async with case(tmp_path) as made:
        await left_behind(made)
        (file,) = (tmp_path / "journal").iterdir()
        file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
        await made.replays(made.restarts())
        assert (made.journal.waiting, len(made.journal.aside), made.tokens) == ([], 1, None)


async def test_outcome_is_recorded_where_the_credential_stands_and_nobody_could_say_so(tmp_path: Path) -> None:
    async with case(tmp_path) as made:
        assert await made.killed("after create", behind="after rename")
        assert made.tokens is not None
        await made.replays(made.restarts())
        assert made.outcome == Outcome.STORED


async def test_outcome_that_cannot_be_recorded_is_left_to_the_journal(tmp_path: Path) -> None:
    async with case(tmp_path) as made:
        state = await made.came.begin()
        kube = made.came.kube
        assert isinstance(kube, MortalConnection)

        def refuses(call: Any) -> Exception | None:
            return Unavailable("no answer") if made.journal.waiting and call.verb == "merge_patch" else None

        kube.refuses = refuses
        await made.came.come_back(state)
        assert (made.tokens, made.outcome) == (("at-1", "rt-1"), Outcome.UNDER_WAY)
        assert len(made.journal.waiting) == 1
        made.end()
        await made.replays(made.restarts())
        assert (made.outcome, made.journal.waiting) == (Outcome.STORED, [])


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("no answer"),
        Forbidden(403, "Forbidden", "not yet"),
        ApiError(500, "InternalError", "failed calling webhook"),
    ],
)
async def test_api_server_that_is_away_at_the_replay_is_waited_for(tmp_path: Path, error: Exception) -> None:
    async with case(tmp_path) as made:
        await left_behind(made)
        served = made.restarts(refuses=lambda call: error if call.resource.plural == "datasources" else None)
        why = await made.replays(served)
        assert why is not None
        assert str(error).endswith(why)
        assert len(made.journal.waiting) == 1
        assert made.journal.waiting[0].tries == 0
        made.end()
        await made.replays(made.restarts())
        assert made.tokens == ("at-1", "rt-1")


async def test_store_that_is_refused_is_tried_again_until_the_flow_is_over_and_then_revoked(tmp_path: Path) -> None:
    async with case(tmp_path) as made:
        await left_behind(made)
        full = Forbidden(403, "Forbidden", "exceeded quota: secrets")
        served = made.restarts(refuses=lambda call: full if call.verb == "create" else None)
        assert await made.replays(served) == "exceeded quota: secrets"
        assert (made.revoked, len(made.journal.waiting)) == ([], 1)
        assert served.replays is not None
        store = served.callback.credentials
        now = store.now
        object.__setattr__(store, "now", lambda: now() + timedelta(hours=1))
        assert await made.replays(served) is None
        assert (made.tokens, made.outcome, made.revoked) == (None, Outcome.NOT_STORED, ["rt-1"])


# Who authorized.


IDENTITY = {
    "issuer": "https://login.example.com",
    "scopes": ["openid"],
    "expectedIdentity": {"email": "ada@example.com"},
}


async def test_identity_that_does_not_fit_is_found_at_the_replay_and_nothing_is_stored(tmp_path: Path) -> None:
    async with case(tmp_path) as made:
        await left_behind(made)
        expects_somebody(made)
        await made.replays(made.restarts())
        assert (made.tokens, made.outcome, made.revoked) == (None, Outcome.NOT_STORED, ["rt-1"])


def expects_somebody(made: Case) -> None:
    """As if the spec of that moment had asked for somebody: the reply has no id_token."""
    rewrite(made, lambda entry: entry["parameters"].update(expectedIdentity={"email": "ada@example.com"}))


def rewrite(made: Case, change: Callable[[dict[str, Any]], None]) -> None:
    (file,) = (made.directory / "journal").iterdir()
    entry = json.loads(file.read_bytes())
    change(entry)
    file.write_bytes(json.dumps(entry).encode())


async def test_reply_whose_keys_cannot_be_had_stays_until_they_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with case(tmp_path) as made:
        await left_behind(made)

        def has_an_id_token(entry: dict[str, Any]) -> None:
            from base64 import b64encode

            entry["reply"]["body"] = b64encode(json.dumps(TOKENS | {"id_token": "x.y.z"}).encode()).decode()
            entry["flow"]["nonce"] = "n"
            entry["parameters"].update(issuer="https://login.example.com")

        rewrite(made, has_an_id_token)
        served = made.restarts()

        async def away(*_: object, **__: object) -> Any:
            raise MetadataUnavailable("no answer")

        verifier = served.callback.identity.verifier
        monkeypatch.setattr(verifier, "claims", away)
        why = await made.replays(served)
        assert why is not None
        assert "there are no keys" in why
        assert (made.tokens, len(made.journal.waiting)) == (None, 1)
        monkeypatch.undo()

        async def known(*_: object, **__: object) -> Any:
            return {
                "iss": "https://login.example.com",
                "aud": "my-app",
                "sub": "ada",
                "nonce": "n",
                "exp": 4_000_000_000,
                "iat": 1,
                "email": "ada@example.com",
            }

        monkeypatch.setattr(verifier, "claims", known)
        await made.replays(served)
        assert made.tokens == ("at-1", "rt-1")


# Replies of no use.


async def test_refresh_token_in_a_reply_of_no_use_is_revoked_and_not_sent(tmp_path: Path) -> None:
    odd = replies(200, json.dumps({"token_type": "Bearer", "refresh_token": "rt-1"}).encode())
    async with case(tmp_path, odd) as made:
        await left_behind(made)
        spent = len(made.came.provider.requests)
        await made.replays(made.restarts())
        assert (made.tokens, made.outcome, made.revoked) == (None, Outcome.NOT_STORED, ["rt-1"])
        assert len(made.came.provider.requests) == spent + 1


async def test_reply_that_brings_nothing_is_told_and_ends(tmp_path: Path) -> None:
    async with case(tmp_path, replies(200, b"<html>")) as made:
        await left_behind(made)
        await made.replays(made.restarts())
        assert (made.tokens, made.outcome, made.revoked) == (None, Outcome.NOT_STORED, [])
        assert made.journal.waiting == []


@pytest.mark.parametrize(("second", "stored"), [({"refresh_token": "rt-2"}, "rt-2"), ({}, "rt-1")])
async def test_reply_to_the_refresh_after_a_reply_of_no_use_is_stored(
    tmp_path: Path, second: dict[str, str], stored: str
) -> None:
    odd = replies(200, json.dumps({"token_type": "Bearer", "refresh_token": "rt-1"}).encode())
    good = replies(200, json.dumps({"access_token": "at-2", "token_type": "Bearer"} | second).encode())
    async with case(tmp_path, odd, good) as made:
        renames = count(1)
        state = await made.came.begin()
        made.fate.steps.clear()

        def second_rename(step: str) -> None:
            made.fate.step("the second" if step == "after rename" and next(renames) == 2 else step)

        made.journal.fault = second_rename
        made.fate.at = "the second"
        with pytest.raises(Killed):
            await made.came.come_back(state)
        made.end()
        assert len(list((tmp_path / "journal").iterdir())) == 1
        await made.replays(made.restarts())
        assert (made.tokens, made.outcome) == (("at-2", stored), Outcome.STORED)


async def test_refused_refresh_after_a_reply_of_no_use_leaves_nothing_to_be_revoked_with_a_guess(
    tmp_path: Path,
) -> None:
    odd = replies(200, json.dumps({"token_type": "Bearer", "refresh_token": "rt-1"}).encode())
    async with case(tmp_path, odd, replies(200, b"<html>")) as made:
        state = await made.came.begin()
        made.fate.steps.clear()
        renames = count(1)
        made.journal.fault = lambda step: made.fate.step(
            "the second" if step == "after rename" and next(renames) == 2 else step
        )
        made.fate.at = "the second"
        with pytest.raises(Killed):
            await made.came.come_back(state)
        made.end()
        await made.replays(made.restarts())
        assert (made.tokens, made.outcome, made.revoked) == (None, Outcome.NOT_STORED, ["rt-1"])


# What is kept.


async def test_nothing_that_proves_who_we_are_is_written_down_and_the_client_is_kept_where_it_was_to_be(
    tmp_path: Path,
) -> None:
    async with case(tmp_path, deletion_policy="Revoke") as made:
        await left_behind(made)
        (file,) = (tmp_path / "journal").iterdir()
        assert b"app-secret" not in file.read_bytes()
        await made.replays(made.restarts())
        assert made.came.credential is not None
        assert b64decode(made.came.credential["data"]["client_secret"]) == b"app-secret"


async def test_exception_after_the_reply_was_written_down_ends_in_a_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with case(tmp_path) as made:
        state = await made.came.begin()
        with monkeypatch.context() as patched:
            patched.setattr("callback_server.callback.filled", lambda *_: 1 / 0)
            await made.came.come_back(state)
        assert made.came.credential is None
        assert [made.journal.is_claimed(entry) for entry in made.journal.waiting] == [False]
        made.end()
        await made.replays(made.restarts())
        assert (made.tokens, made.outcome) == (("at-1", "rt-1"), Outcome.STORED)
        assert len(made.came.provider.requests) == 1
