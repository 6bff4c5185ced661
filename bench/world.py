"""What a bench runs in: a control plane of its own, a provider imitation, our processes, and bare sessions."""

import asyncio
import contextlib
import itertools
import json
import shutil
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.bare import Bare
from bench.figures import Report, Wanted
from bench.fleet import Fleet
from bench.imitation import LIFETIME
from bench.limit import DRIVER, Spent
from bench.meter import AuditLog, Busy, Calls, busy_seconds, cpu_seconds, service_account
from bench.objects import Maker
from datasource.api.clock import micro_time
from datasource.api.names import CALLBACK_RIGHTS
from datasource.process.installation import LEASE_NAME, SYSTEM_NAMESPACE
from deploy.local.build import ETCD, KUBE_APISERVER
from deploy.local.cache import BUILD, REPOSITORY
from deploy.local.controlplane import ControlPlane
from deploy.local.processes import Child, free_ports
from deploy.local.stack import CALLBACK_SERVER, OPERATOR, READY_WITHIN, Process, Stack, install
from tests.support.api import LEASES, Api, Manifest, api_of

FOLDER = BUILD / "bench"
RAW_AGENT = "bench-raw"
LOAD_AGENT = "bench-load"


@dataclass(slots=True)
class Operator:
    """A running operator."""

    process: Process

    @property
    def pid(self) -> int:
        """The process id of the process that is measured."""
        return _pid(self.process.child)

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        return cpu_seconds(self.pid)


@dataclass(slots=True)
class World:
    """Everything that runs. `load` plays many people at once, `raw` is the raw driver under the operator's ServiceAccount.

    What is done once, and not measured, goes through `api`, the official client.
    """

    name: str
    report: Report
    control_plane: ControlPlane
    stack: Stack
    maker: Maker
    api: Api
    load: Bare
    raw: Bare
    raw_callback: Bare
    """The raw driver under the callback server's ServiceAccount."""
    audit: AuditLog
    provider: Child
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def add(self, figure: str, unit: str, sample: float, *, wanted: Wanted | None = None) -> None:
        """Add one run's value of a figure of this bench."""
        self.report.add(self.name, figure, unit, sample, wanted)

    def spent(self, since: Spent | None = None) -> Spent:
        """The CPU that the machine and what works beside our process have used, in all or since a moment."""
        api_server, etcd = (self.control_plane.component(each.name) for each in (KUBE_APISERVER, ETCD))
        by_process = {child.name: cpu_seconds(_pid(child)) for child in (api_server, etcd, self.provider)}
        now = Spent(busy_seconds(), {**by_process, DRIVER: time.process_time()})
        return now if since is None else now - since

    async def fleet(self, count: int, name: str = "") -> Fleet:
        """`count` Datasources in a namespace of their own, not applied yet."""
        fleet = Fleet(self.load, self.maker, name or f"{self.name}-{next(self._numbers)}", count)
        await fleet.make_namespace(self.api)
        return fleet

    @asynccontextmanager
    async def operator(
        self, *fleets: Fleet, stands_by: bool = False, ready_within: float = READY_WITHIN, **environ: str
    ) -> AsyncIterator[Operator]:
        """The operator, ready, serving the namespaces of these fleets only; no fleets: all of them.

        With `stands_by`, somebody else holds the Lease until `let_lead`. It reads all lists `ready_within` so many seconds.
        """
        if stands_by:
            await self._hold_lease()
        namespaces = ",".join(fleet.namespace for fleet in fleets)
        process = self.stack.operator(f"operator-{self.name}", DATASOURCE_NAMESPACES=namespaces, **environ)
        process.child.start()
        try:
            # In a thread: what it talks to may run in this event loop.
            await asyncio.to_thread(process.wait_until_ready, ready_within)
            yield Operator(process)
        finally:
            await asyncio.to_thread(process.stop)

    @contextlib.contextmanager
    def callback_server(self, **environ: str) -> Iterator[int]:
        """The callback server, ready; yields its process id."""
        server = self.stack.callback_server(**environ)
        server.start()
        try:
            yield server.child.pid or 0
        finally:
            server.stop()

    async def let_callback_server_in(self, namespace: str) -> None:
        """Give it the rights that the operator gives by name, where none runs: what they cost the API server is the same."""
        named = {"name": CALLBACK_RIGHTS, "namespace": namespace}
        kinds = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": named}
        rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "patch"]}]
        account = {"kind": "ServiceAccount", "name": CALLBACK_SERVER, "namespace": SYSTEM_NAMESPACE}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": CALLBACK_RIGHTS}
        for manifest in (
            {**kinds, "kind": "Role", "rules": rules},
            {**kinds, "kind": "RoleBinding", "subjects": [account], "roleRef": reference},
        ):
            await asyncio.to_thread(self.api.apply, manifest)

    async def let_lead(self) -> float:
        """Release the Lease; returns when (monotonic) the operator had taken it."""
        release = {
            "spec": {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": micro_time(datetime.now(UTC))}
        }
        await asyncio.to_thread(self.api.patch, LEASES, LEASE_NAME, release, SYSTEM_NAMESPACE)
        lease = await asyncio.to_thread(
            self.api.wait, "the operator leads", LEASES, LEASE_NAME, _is_held, SYSTEM_NAMESPACE
        )
        assert lease is not None
        acquired = datetime.fromisoformat(lease["spec"]["acquireTime"])
        return time.monotonic() - (datetime.now(UTC) - acquired).total_seconds()

    async def is_led(self) -> bool:
        """Whether an operator holds the Lease."""
        return _is_held(await asyncio.to_thread(self.api.find, LEASES, LEASE_NAME, SYSTEM_NAMESPACE))

    def calls(self, *, raw: bool, user: str = OPERATOR) -> Calls:
        """What our process, or the raw driver in its place, asked of the API server since the last look at the audit log."""
        name = service_account(SYSTEM_NAMESPACE, user)
        if raw:
            return self.audit.calls(name, agent=RAW_AGENT)
        return self.audit.calls(name, without_agent=RAW_AGENT)

    async def _hold_lease(self) -> None:
        held = {
            "holderIdentity": "bench",
            "leaseDurationSeconds": 3600,
            "acquireTime": micro_time(datetime.now(UTC)),
            "renewTime": micro_time(datetime.now(UTC)),
        }
        metadata = {"name": LEASE_NAME, "namespace": SYSTEM_NAMESPACE}
        lease = {"apiVersion": LEASES.group_version, "kind": LEASES.kind, "metadata": metadata, "spec": held}
        await asyncio.to_thread(self.api.apply, lease, manager="bench")


def _pid(child: Child) -> int:
    if child.pid is None:
        raise AssertionError(f"{child.name} ended:\n{child.tail()}")
    return child.pid


def _is_held(lease: Manifest | None) -> bool:
    return lease is not None and bool(lease["spec"].get("holderIdentity"))


async def caught_up(operator: Operator) -> float:
    """When (monotonic) it had done all that its start, or whatever changed last, made it do."""
    busy = Busy(operator.pid)
    while (ended := busy.look()) is None:
        await asyncio.sleep(0.25)
    return ended


@asynccontextmanager
async def world(name: str, report: Report, *, latency: float = 0.0, lifetime: int = LIFETIME) -> AsyncIterator[World]:
    """A fresh world; the provider takes `latency` seconds to answer, and its access tokens live for `lifetime` seconds."""
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    with (
        ControlPlane(folder / "cluster") as control_plane,
        _provider(folder, latency, lifetime) as (provider, provider_url),
    ):
        install(control_plane.cluster)
        (pages,) = free_ports(1)
        stack = Stack(control_plane.cluster, folder / "logs", pages)
        async with (
            _bare(control_plane, None, LOAD_AGENT) as load,
            _bare(control_plane, OPERATOR, RAW_AGENT) as raw,
            _bare(control_plane, CALLBACK_SERVER, RAW_AGENT) as raw_callback,
        ):
            maker = Maker(provider_url, stack.external_url)
            with AuditLog(control_plane.audit_log) as audit:
                api = api_of(control_plane.kubeconfig)
                yield World(name, report, control_plane, stack, maker, api, load, raw, raw_callback, audit, provider)


def _bare(control_plane: ControlPlane, account: str | None, agent: str) -> Bare:
    cluster = control_plane.cluster
    token = _admin_token(control_plane) if account is None else cluster.service_account_token(SYSTEM_NAMESPACE, account)
    return Bare(control_plane.url, control_plane.ca_file, token, agent)


def _admin_token(control_plane: ControlPlane) -> str:
    configuration = json.loads(control_plane.kubeconfig.read_text())
    return str(configuration["users"][0]["user"]["token"])


@contextlib.contextmanager
def _provider(folder: Path, latency: float, lifetime: int) -> Iterator[tuple[Child, str]]:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "bench.imitation", str(port), str(latency), str(lifetime)]
    child = Child("provider-imitation", command, folder / "logs" / "provider.log", env={"PYTHONPATH": str(REPOSITORY)})
    child.start()
    url = f"http://127.0.0.1:{port}"
    try:
        child.wait_until_ready(lambda: _answers(url), seconds=30)
        yield child, url
    finally:
        child.stop()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own
            return bool(answer.status == 200)
    except OSError:
        return False
