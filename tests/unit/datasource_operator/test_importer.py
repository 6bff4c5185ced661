"""A refresh token that somebody brings along, from its Secret to a proved credential, with the process killed anywhere between.

The API server is in memory, the provider on loopback; reconciler and refresher are the product's own.
"""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from datasource.api.names import KIND, Annotation, SecretType, credential_secret_name, import_secret_name
from datasource.api.objects import Datasource, Metadata, Secret, Status
from datasource.api.states import Reason
from datasource.cluster.api_errors import ApiError, Forbidden
from datasource.cluster.credential_secrets import Stale
from datasource.cluster.resources import DATASOURCES, SECRETS
from datasource.process.journal import Journal, open_journal
from datasource.process.settings import Settings
from datasource.providers.discovery import Discovery
from datasource.providers.transport import Transport
from datasource.providers.verifier import IdTokenVerifier
from datasource.records.contents import contents_in
from datasource.records.credential import CredentialData, CredentialFacts, TombstoneFacts, read_facts
from datasource.records.credential_patches import credential_manifest
from datasource.records.import_secret import ImportedFrom, ImportSecret, imported_hash
from datasource.records.intent import Process
from datasource_operator.cache import Cache, Key
from datasource_operator.decisions.observed import Finding, ImportLook, Observed
from datasource_operator.executor import Executor
from datasource_operator.importer import SeenImports
from datasource_operator.reconciler import Reconciler
from datasource_operator.refresh_memory import RefreshMemory
from datasource_operator.refresher import Refresher
from datasource_operator.served_scopes import Source
from datasource_operator.status_writer import StatusWriter
from datasource_operator.trimming import trimmed
from tests.support.builders import NAME, NAMESPACE, NOW, UID, facts, raw_spec, status_settings, tombstone
from tests.support.hostile_provider import ON_LOOPBACK, Behaviour, HostileProvider, ReceivedRequest, replies
from tests.support.kube_in_memory import Answer, Call, KubeInMemory
from tests.support.rotating_provider import RotatingProvider
from tests.unit.datasource_operator.stand_ins import Clock

KEY = Key(NAMESPACE, NAME)
CREDENTIAL, IMPORT = credential_secret_name(NAME), import_secret_name(NAME)
WRITES = frozenset({"create", "merge_patch", "delete"})
ROUNDS = 8
"""Reconciliations with a refresh after each until all is done."""


class Killed(BaseException):
    """As SIGKILL: nobody catches it."""


@dataclass
class Mortal(KubeInMemory):
    """A connection of a process that dies at one of its writes: before it arrives, or before its answer does."""

    dies_at: int | None = None
    arrives: bool = False
    written: int = 0
    refuses: ApiError | None = None
    """What deletions are answered with."""

    async def requested(self, call: Call, answer: Answer) -> Any:
        if self.refuses is not None and call.verb == "delete":
            raise self.refuses
        if call.verb in WRITES and call.resource == SECRETS:
            self.written += 1
            if self.written == self.dies_at:
                if self.arrives:
                    answer()
                raise Killed
        return await super().requested(call, answer)


@dataclass
class World:
    """One Datasource, beside which an import Secret may stand; processes come and go."""

    provider: HostileProvider
    transport: Transport
    oauth2: Mapping[str, Any] = field(default_factory=dict)
    kube: Mortal = field(default_factory=Mortal)
    steps: Executor = field(init=False)
    refresher: Refresher = field(init=False)
    warned: list[tuple[str, str]] = field(default_factory=list)
    directory: Path | None = None
    """Of the journal, where one is kept."""
    journal: Journal | None = None

    def __post_init__(self) -> None:
        written = {"clientSecretRef": None, "tokenURL": self.provider.url} | dict(self.oauth2)
        spec = raw_spec(**written)
        metadata = {"uid": UID, "generation": 1, "annotations": {}}
        self.kube.put(DATASOURCES, NAMESPACE, NAME, metadata=metadata, spec=spec, status={})
        self.restart()

    def restart(self) -> None:
        """A new process, which has listed everything."""
        self.kube.dies_at = None
        cache, memory = Cache(), RefreshMemory(Clock(), lambda: 0.5)
        settings = Settings("https://connect.example.com", "datasource-system", egress=ON_LOOPBACK)
        discovery = Discovery(self.transport, Clock(), allow_insecure_http=True)
        self.steps = Executor(self.kube, cache, settings, memory, discovery, now=lambda: NOW)
        verifier = IdTokenVerifier(self.transport, discovery, Clock())
        # Of the pod that was there before: what it left unfinished is taken up at once.
        process = Process(f"process-{self.kube.written}", "pod-1", self.directory is not None)
        self.refresher = Refresher(self.transport, self.steps, memory, process, verifier, now=lambda: NOW)
        if self.journal is not None:
            self.journal.close()
        if self.directory is not None:
            self.journal = open_journal(str(self.directory))
            self.refresher.keep(self.journal)
        self.watch()

    def watch(self) -> None:
        """Show the process what stands there."""
        for each in self.kube.stored(DATASOURCES):
            self.steps.cache.store_datasource(trimmed(msgspec.convert(each, Datasource)))
        there = {each["metadata"]["name"]: each for each in self.kube.stored(SECRETS)}
        for name, each in there.items():
            metadata = msgspec.convert(each["metadata"], Metadata)
            (self.steps.imports.seen if name == IMPORT else self.steps.cache).store_secret(metadata)
        if IMPORT not in there:
            self.steps.imports.seen.drop_secret_named(KEY, IMPORT)

    def brings(self, token: str = "rt-1", **metadata: Any) -> None:
        """Somebody makes an import Secret."""
        data = {"refresh_token": b64encode(token.encode()).decode()}
        self.kube.put(SECRETS, NAMESPACE, IMPORT, type=SecretType.IMPORT, data=data, metadata=metadata)

    def holds(self, stored: CredentialFacts | TombstoneFacts, data: CredentialData | None = None) -> None:
        """A credential Secret stands there already."""
        manifest = credential_manifest(
            namespace=NAMESPACE, datasource_name=NAME, datasource_uid=UID, facts=stored, data=data
        )
        self.kube.put(SECRETS, NAMESPACE, CREDENTIAL, **manifest)

    async def work(self) -> None:
        """Reconcile and refresh until nothing is left to do."""
        status = StatusWriter(self.kube, self.steps.cache, status_settings(), _say_nothing, warn=self._warn)
        reconciler = Reconciler(self.steps, status, lambda _, __: None)
        for _ in range(ROUNDS):
            self.watch()
            try:
                left = await reconciler.reconcile(KEY)
            except Stale:
                continue
            while self.steps.providers.running:  # noqa: ASYNC110 - a turn of the loop each
                await asyncio.sleep(0)
            if left.refresh is not None:
                await self.refresher.refresh(KEY)

    async def _warn(self, key: Key, *, reason: str, action: str, note: str) -> None:
        self.warned.append((reason, note))

    @property
    def secret(self) -> Secret:
        """The credential Secret."""
        return msgspec.convert(self.kube.object(SECRETS, NAMESPACE, CREDENTIAL), Secret)

    @property
    def stored(self) -> CredentialFacts:
        """What its annotations say."""
        found = read_facts(self.secret.metadata.annotations)
        assert isinstance(found, CredentialFacts)
        return found

    @property
    def names(self) -> set[str]:
        """Of all Secrets."""
        return {each["metadata"]["name"] for each in self.kube.stored(SECRETS)}

    @property
    def status(self) -> Status:
        """Of the Datasource."""
        return msgspec.convert(self.kube.object(DATASOURCES, NAMESPACE, NAME), Datasource).status

    def told(self, condition: str) -> tuple[str, str]:
        """Reason and message of a condition."""
        found = self.status.condition(condition)
        return ("", "") if found is None else (found.reason, found.message)


async def _say_nothing(seen: Observed, finding: Finding, *, seconds: float) -> None:
    """No Events here."""


@asynccontextmanager
async def world(
    *behaviours: Behaviour, journal: Path | None = None, has_metadata: bool = False, **oauth2: Any
) -> AsyncIterator[World]:
    async with HostileProvider(*behaviours) as provider, Transport(ON_LOOPBACK) as transport:
        if has_metadata:
            oauth2 |= {"issuer": provider.origin}
        each = World(provider, transport, oauth2, directory=journal)
        yield each
        if each.journal is not None:
            each.journal.close()


def sent(each: World) -> list[str]:
    """The refresh tokens that the provider was sent."""
    return [request.form["refresh_token"] for request in each.provider.requests]


async def test_refresh_token_that_somebody_brings_becomes_a_credential_and_its_secret_goes() -> None:
    async with world(RotatingProvider(is_strict=True)) as each:
        each.brings("rt-1\n")
        await each.work()
        assert sent(each) == ["rt-1"]
        assert (each.status.state, each.told("Imported")) == ("AUTHORIZED", ("", ""))
        assert (each.secret.value("refresh_token"), each.secret.value("access_token")) == ("rt-2", "at-2")
        assert each.names == {CREDENTIAL, f"{NAME}-token"}
        assert (each.stored.revision, each.stored.requested_scopes) == (2, ("read", "offline_access"))
        assert each.stored.authorized_at is None, "nobody knows when"


async def test_token_is_sent_in_the_way_that_the_metadata_lists() -> None:
    rotating = RotatingProvider(is_strict=True)

    async def lists_the_body_alone(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        issuer = f"http://{request.headers['host']}"
        document = {
            "issuer": issuer,
            "token_endpoint": f"{issuer}/token",
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }
        answer = rotating if request.method == "POST" else replies(200, json.dumps(document).encode())
        await answer(request, writer)

    secret = {"name": "my-app", "key": "client-secret"}
    async with world(lists_the_body_alone, has_metadata=True, clientSecretRef=secret) as each:
        data = {"client-secret": b64encode(b"app-secret").decode()}
        each.kube.put(SECRETS, NAMESPACE, "my-app", type="Opaque", data=data)
        each.brings()
        await each.work()
        (refresh,) = [request for request in each.provider.requests if request.method == "POST"]
        assert refresh.form["client_secret"] == "app-secret"
        assert "authorization" not in refresh.headers


@pytest.mark.parametrize("arrives", [False, True])
@pytest.mark.parametrize("is_strict", [False, True])
async def test_process_that_is_killed_at_any_write_loses_no_grant(
    tmp_path: Path, arrives: bool, is_strict: bool
) -> None:
    """Store, intent, reply, token Secret, deletion: each before it arrives, or before its answer does."""
    deaths = 0
    for dies_at in range(1, 12):
        provider, journal = RotatingProvider(is_strict=is_strict), tmp_path / str(dies_at)
        journal.mkdir()
        async with world(provider, journal=journal) as each:
            each.brings()
            each.kube.dies_at = dies_at
            try:
                await each.work()
                break
            except Killed:
                deaths += 1
            each.restart()
            await each.work()
            assert provider.works(_held(each)), dies_at
            assert (each.status.state, IMPORT in each.names) == ("AUTHORIZED", False), dies_at
            assert not provider.is_dead, "nothing was sent twice"
    assert deaths >= 5


def _held(each: World) -> str | None:
    """The refresh token that would be sent: that of the credential, else that of the import."""
    name = CREDENTIAL if CREDENTIAL in each.names else IMPORT
    return msgspec.convert(each.kube.object(SECRETS, NAMESPACE, name), Secret).value("refresh_token")


async def test_token_is_stored_before_it_is_sent() -> None:
    async with world(RotatingProvider(is_strict=True)) as each:
        each.brings()
        each.kube.dies_at = 2
        with pytest.raises(Killed):
            await each.work()
        assert sent(each) == []
        assert {CREDENTIAL, IMPORT} <= each.names
        assert each.secret.value("refresh_token") == "rt-1"
        assert each.stored.imported == ImportedFrom(
            imported_hash("rt-1"), each.kube.object(SECRETS, NAMESPACE, IMPORT)["metadata"]["uid"]
        )


@pytest.mark.parametrize(
    ("reply", "ready", "words"),
    [
        ((401, b'{"error": "invalid_client"}'), Reason.CLIENT_REJECTED, "invalid_client"),
        ((503, b"busy"), Reason.AUTHORIZATION_REQUIRED, "503"),
        ((500, b"oops"), Reason.AUTHORIZATION_REQUIRED, "500"),
        ((200, b"<html>"), Reason.AUTHORIZATION_REQUIRED, "token"),
    ],
)
async def test_import_stays_while_the_provider_has_not_decided(
    reply: tuple[int, bytes], ready: str, words: str
) -> None:
    async with world(replies(*reply)) as each:
        each.brings()
        await each.work()
        assert IMPORT in each.names
        assert each.secret.value("refresh_token") == "rt-1"
        assert each.told("Ready")[0] == ready
        assert words in each.told("Ready")[1]
        assert each.told("Imported")[0] == "BeingTried"
        assert f"{NAME}-token" not in each.names
        each.restart()
        await each.work()
        assert IMPORT in each.names


async def test_import_that_the_provider_refuses_is_told_is_kept_and_is_not_sent_again() -> None:
    async with world(replies(400, b'{"error": "invalid_grant", "error_description": "used up"}')) as each:
        each.brings()
        await each.work()
        for _ in range(2):
            assert (sent(each), IMPORT in each.names) == (["rt-1"], True)
            assert each.told("Ready")[0] == Reason.GRANT_REVOKED
            assert "used up" in each.told("Ready")[1]
            assert each.told("Imported")[0] == "Refused"
            each.restart()
            await each.work()
        assert [reason for reason, _ in each.warned] == ["ImportRefused"]


async def test_another_token_is_taken_after_a_refusal() -> None:
    provider = RotatingProvider(is_strict=False, refresh_token="rt-good")
    async with world(provider) as each:
        each.brings("rt-bad")
        await each.work()
        assert each.told("Imported")[0] == "Refused"
        each.brings("rt-good")
        await each.work()
        assert (each.status.state, IMPORT in each.names, sent(each)) == ("AUTHORIZED", False, ["rt-bad", "rt-good"])
        assert [(act.what, act.by) for act in each.status.history or ()] == [("NewCredential", "import")] * 2
        # Nobody knows yet, and the provider refused the first one.
        assert {act.result for act in each.status.history or ()} == {"Stored"}


async def test_imports_one_after_another_replace_what_stood_before_the_first() -> None:
    """A consent under way is to replace that, and imports that brought nothing are not in its way."""
    async with world(replies(400, b'{"error": "invalid_grant"}')) as each:
        each.holds(tombstone().facts)
        for token in ("rt-bad", "rt-worse"):
            each.brings(token)
            await each.work()
            assert (sent(each)[-1], each.stored.replaces) == (token, "tombstone-1")


async def test_provider_that_gives_no_new_refresh_token_leaves_the_one_that_was_brought() -> None:
    answer = b'{"access_token": "at-1", "token_type": "Bearer", "expires_in": 3600, "scope": "read write extra"}'
    async with world(replies(200, answer)) as each:
        each.brings()
        await each.work()
        assert (each.status.state, IMPORT in each.names) == ("AUTHORIZED", False)
        assert each.secret.value("refresh_token") == "rt-1"
        assert each.stored.granted_scopes == ("read", "write", "extra")


async def test_refused_import_is_tried_anew_once_the_client_id_is_corrected() -> None:
    """A refresh token is another client's to RFC 6749 section 5.2: that is mended in the spec, and not with another token."""
    good = b'{"access_token": "at-1", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "rt-2"}'
    async with world(replies(400, b'{"error": "invalid_grant"}'), replies(200, good)) as each:
        each.brings()
        await each.work()
        assert each.told("Imported")[0] == "Refused"
        stored = each.kube.object(DATASOURCES, NAMESPACE, NAME)
        stored["spec"]["oauth2"]["clientID"] = "the-right-one"
        metadata = {"uid": UID, "generation": 2}
        each.kube.put(DATASOURCES, NAMESPACE, NAME, metadata=metadata, spec=stored["spec"], status=stored["status"])
        await each.work()
        assert [request.form["client_id"] for request in each.provider.requests] == ["my-app", "the-right-one"]
        assert (each.status.state, IMPORT in each.names, sent(each)) == ("AUTHORIZED", False, ["rt-1", "rt-1"])


async def test_grant_that_is_to_be_revoked_with_its_datasource_is_held_as_every_other() -> None:
    async with world(RotatingProvider(is_strict=True)) as each:
        stored = each.kube.object(DATASOURCES, NAMESPACE, NAME)
        oauth2 = stored["spec"]["oauth2"] | {"revocationURL": each.provider.url.replace("/token", "/revoke")}
        spec = stored["spec"] | {"oauth2": oauth2, "deletionPolicy": "Revoke"}
        each.kube.put(DATASOURCES, NAMESPACE, NAME, metadata=stored["metadata"], spec=spec, status={})
        each.restart()
        each.brings()
        await each.work()
        assert (each.status.state, IMPORT in each.names) == ("AUTHORIZED", False)
        assert each.secret.metadata.finalizers == ("datasource.dev/revoke",)
        assert each.stored.is_revocable


async def test_import_beside_a_credential_that_is_in_use_is_refused_and_nothing_is_sent() -> None:
    async with world(RotatingProvider(is_strict=True)) as each:
        each.brings("rt-1")
        await each.work()
        before = each.stored.credential_id
        each.brings("rt-other")
        await each.work()
        assert (each.stored.credential_id, sent(each)) == (before, ["rt-1"])
        assert each.told("Ready")[0] == Reason.AUTHORIZED
        assert each.told("Imported")[0] == "CredentialExists"
        assert IMPORT in each.names
        assert each.warned == [("ImportRefused", each.told("Imported")[1])]


async def test_import_of_what_was_cleared_meanwhile_goes_with_it() -> None:
    """It may be that the provider does not rotate: to take it once more would undo the clear."""
    async with world(replies(503, b"busy")) as each:
        each.brings()
        await each.work()
        annotations = {Annotation.CLEAR_CREDENTIAL: "now"}
        each.kube.server.merge_patch(
            DATASOURCES, NAMESPACE, NAME, {"metadata": {"annotations": annotations}}, manager="somebody"
        )
        await each.work()
        assert each.told("Ready")[0] == Reason.CREDENTIAL_CLEARED
        assert (each.names, each.told("Imported")) == ({CREDENTIAL}, ("", ""))


@pytest.mark.parametrize(
    ("before", "is_kept"),
    [
        (facts(verdict=Reason.GRANT_REVOKED), True),
        (facts(verdict=Reason.GRANT_REVOKED, expires_at=NOW), False),
        (tombstone().facts, False),
    ],
)
async def test_access_token_that_still_works_stays_with_apps_until_the_provider_answers(
    before: CredentialFacts | TombstoneFacts, is_kept: bool
) -> None:
    async with world(replies(503, b"busy")) as each:
        fingerprint = _fingerprint(each)
        data = CredentialData("at-old", "Bearer", each.provider.url, fingerprint, "my-app", refresh_token="rt-dead")
        if isinstance(before, CredentialFacts):
            before = msgspec.structs.replace(before, fingerprint=fingerprint)
        each.holds(before, data if isinstance(before, CredentialFacts) else None)
        each.restart()
        await each.work()
        assert (f"{NAME}-token" in each.names) is is_kept
        each.brings()
        await each.work()
        assert each.told("Imported")[0] == "BeingTried"
        assert (f"{NAME}-token" in each.names) is is_kept
        assert each.secret.value("access_token") == ("at-old" if is_kept else "")
        assert each.secret.value("refresh_token") == "rt-1"


def _fingerprint(each: World) -> str:
    seen = each.steps.observer.observe(KEY)
    assert seen.fingerprint is not None
    return seen.fingerprint


def _id_token(**claims: object) -> str:
    encoded = b64encode(json.dumps(claims).encode()).decode().rstrip("=").replace("+", "-").replace("/", "_")
    return f"e30.{encoded}.c2ln"


@pytest.mark.parametrize(
    ("audience", "shown", "problem"),
    [("my-app", "ada@example.com", None), ("another", None, "The id_token's aud is not spec.oauth2.clientID.")],
)
async def test_who_stands_behind_an_import_is_what_the_first_reply_says(
    audience: str, shown: str | None, problem: str | None
) -> None:
    now = int(NOW.timestamp())
    token = _id_token(
        iss="https://login.example.com", sub="1", aud=audience, exp=now + 60, iat=now, email="ada@example.com"
    )
    async with world(RotatingProvider(is_strict=True, also={"id_token": token, "scope": "read"})) as each:
        each.brings()
        await each.work()
        assert (each.status.authorized_as, each.stored.identity_problem) == (shown, problem)
        assert each.stored.granted_scopes == ("read",)
        assert each.status.state == "AUTHORIZED"


@pytest.mark.parametrize(("email", "state"), [("ada@example.com", "AUTHORIZED"), ("eve@example.com", "NOT AUTHORIZED")])
async def test_somebody_else_than_expected_is_kept_from_apps(email: str, state: str) -> None:
    now = int(NOW.timestamp())
    async with HostileProvider(replies(404, b"{}")) as keys:
        token = _id_token(
            iss=keys.origin, sub="1", aud="my-app", exp=now + 60, iat=now, email=email, email_verified=True
        )
        provider = RotatingProvider(is_strict=True, also={"id_token": token})
        expecting: dict[str, Any] = {
            "issuer": keys.origin,
            "scopes": ["openid", "email"],
            "expectedIdentity": {"email": "ada@example.com"},
        }
        async with world(provider, **expecting) as each:
            each.brings()
            await each.work()
            assert each.status.state == state, each.told("Ready")
            assert (f"{NAME}-token" in each.names) is (state == "AUTHORIZED")
            assert provider.works(each.secret.value("refresh_token")), "a correction brings it back"
            assert IMPORT not in each.names


async def test_import_without_an_id_token_is_of_nobody_who_is_expected() -> None:
    async with HostileProvider(replies(404, b"{}")) as keys:
        expecting: dict[str, Any] = {"issuer": keys.origin, "scopes": ["openid"], "expectedIdentity": {"sub": "1"}}
        async with world(RotatingProvider(is_strict=True), **expecting) as each:
            each.brings()
            await each.work()
            assert each.told("Ready")[0] == Reason.PARAMETERS_CHANGED
            assert f"{NAME}-token" not in each.names


async def test_metadata_that_an_endpoint_depends_on_are_waited_for() -> None:
    async with HostileProvider(replies(404, b"{}")) as keys:
        async with world(RotatingProvider(is_strict=True), issuer=keys.origin, tokenURL=None) as each:
            each.brings()
            await each.work()
            assert (sent(each), CREDENTIAL in each.names) == ([], False)
            assert each.told("Imported")[0] == "Waiting"


async def test_import_that_may_not_be_deleted_is_told_and_harms_nobody() -> None:
    async with world(RotatingProvider(is_strict=True)) as each:
        each.kube.refuses = Forbidden(403, "Forbidden", "a policy says no")
        each.brings()
        await each.work()
        assert each.status.state == "AUTHORIZED"
        assert each.told("Imported")[0] == "Waiting"
        assert "a policy says no" in each.told("Imported")[1]
        each.kube.refuses = None
        each.restart()
        await each.work()
        assert IMPORT not in each.names


async def test_import_that_is_gone_or_edited_while_it_is_taken_is_taken_for_nothing() -> None:
    async with world(RotatingProvider(is_strict=True)) as each:
        each.brings("rt-1")
        each.watch()
        seen = each.steps.observer.observe(KEY)
        assert seen.imported is not None
        expected = seen.imported.secret
        each.brings("rt-2")
        with pytest.raises(Stale, match="changed meanwhile"):
            await each.steps.imports.look(KEY, seen, expected)
        with pytest.raises(Stale, match="changed meanwhile"):
            await each.steps.imports.delete(KEY, seen, expected)
        each.kube.remove(SECRETS, NAMESPACE, IMPORT)
        with pytest.raises(Stale, match="is gone"):
            await each.steps.imports.look(KEY, seen, expected)
        assert each.steps.imports.seen.of(KEY) is None
        await each.steps.imports.delete(KEY, seen, expected)


async def test_who_comes_first_with_a_credential_wins() -> None:
    """As where a person's authorization is stored while the import is on its way."""
    async with world(RotatingProvider(is_strict=True)) as each:
        each.brings()
        each.watch()
        original = each.kube.create

        async def late(*arguments: Any, **options: Any) -> Any:
            if CREDENTIAL not in each.names:
                fingerprint = _fingerprint(each)
                data = CredentialData("at-p", "Bearer", each.provider.url, fingerprint, "my-app", refresh_token="rt-p")
                each.holds(facts(fingerprint=fingerprint), data)
            return await original(*arguments, **options)

        each.kube.create = late  # type: ignore[method-assign]
        await each.work()
        assert (each.secret.value("refresh_token"), sent(each)) == ("rt-p", [])
        assert each.told("Imported")[0] == "CredentialExists"


@pytest.mark.parametrize(
    "data",
    [{}, {"refresh_token": b64encode(b"\xff\x00").decode()}, {"refresh_token": b64encode(b"x" * 900_000).decode()}],
)
async def test_secret_without_a_token_is_read_once_and_told(data: dict[str, str]) -> None:
    async with world(RotatingProvider(is_strict=True)) as each:
        each.kube.put(SECRETS, NAMESPACE, IMPORT, type=SecretType.IMPORT, data=data, immutable=True)
        await each.work()
        await each.work()
        reads = [call for call in each.kube.calls if (call.verb, call.name) == ("get", IMPORT)]
        assert (len(reads), each.told("Imported")[0]) == (1, "Invalid")
        assert (sent(each), IMPORT in each.names) == ([], True)


async def test_import_that_cannot_be_read_waits() -> None:
    async with world(RotatingProvider(is_strict=True)) as each:
        each.brings()
        each.watch()
        seen = each.steps.observer.observe(KEY)
        assert seen.imported is not None
        each.kube.failure = Forbidden(403, "Forbidden", "no right")
        after = await each.steps.imports.look(KEY, seen, seen.imported.secret)
        assert "no right" in after.import_waits


async def test_import_for_an_earlier_datasource_is_not_taken() -> None:
    owner = {"apiVersion": "datasource.dev/v1alpha1", "kind": KIND, "name": NAME, "uid": "another"}
    async with world(RotatingProvider(is_strict=True)) as each:
        each.brings(ownerReferences=[owner])
        await each.work()
        assert (sent(each), each.told("Imported")) == ([], ("", ""))


# What a watch shows.


def metadata(name: str, version: str = "7") -> Metadata:
    return Metadata(name=name, namespace=NAMESPACE, uid="uid-1", resource_version=version)


def test_watch_shows_which_imports_stand_and_a_look_counts_for_one_version() -> None:
    seen = SeenImports()
    assert seen.store_secret(metadata("other")) is None
    assert seen.drop_secret(metadata("other")) is None
    assert seen.store_secret(metadata(IMPORT)) == KEY
    assert seen.owner(metadata(IMPORT)) == KEY
    assert {source: list(seen.secret_names(source)) for source in Source if any(seen.secret_names(source))} == {
        Source.IMPORTS: [(KEY, IMPORT)]
    }
    look = ImportLook("a" * 64)
    seen.looked(KEY, ImportSecret("uid-1", "7"), look)
    found = seen.of(KEY)
    assert found is not None
    assert found.look == look
    seen.store_secret(metadata(IMPORT, "8"))
    found = seen.of(KEY)
    assert found is not None
    assert found.look is None
    seen.forget_look(KEY)
    seen.drop_secret_named(KEY, "other")
    assert seen.of(KEY) is not None
    assert seen.drop_secret(metadata(IMPORT)) == KEY
    assert seen.of(KEY) is None


def test_annotations_of_what_was_imported_are_read_back() -> None:
    imported = ImportedFrom("a" * 64, "uid-1")
    for stored in (facts(imported=imported), msgspec.structs.replace(tombstone().facts, imported=imported)):
        manifest = credential_manifest(
            namespace=NAMESPACE, datasource_name=NAME, datasource_uid=UID, facts=stored, data=None
        )
        found = contents_in(msgspec.convert(manifest["metadata"] | {"resourceVersion": "7"}, Metadata))
        assert getattr(found, "facts", None) == stored
