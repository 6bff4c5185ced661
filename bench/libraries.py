"""`python -m bench.libraries`: CPU of what is written by hand beside the library that has it, in one run.

The parts without I/O are called many times; calls of Kubernetes go to a real API server. Which part is stricter, and with which
input, is shown by test_stricter_than_libraries.py. What came of both: docs/decisions.md#parts-by-hand.
"""

import asyncio
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_token_request
from authlib.oauth2.rfc7009 import prepare_revoke_token_request
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.core import CodeIDToken
from kubernetes import aio
from kubernetes import client as official
from kubernetes import config as official_config
from kubernetes.aio import client as official_aio
from kubernetes.aio import config as official_aio_config

from datasource.api.objects import PartialObject
from datasource.cluster.kube import Kube
from datasource.cluster.resources import CONFIG_MAPS
from datasource.oauth2.id_token import check_claims
from datasource.oauth2.provider_metadata import parse_provider_metadata
from datasource.oauth2.revocation import TokenTypeHint, revocation_request
from datasource.oauth2.token_request import Client, ClientAuthentication, refresh_request
from deploy.local.controlplane import ControlPlane
from deploy.local.progress import say

ROUNDS = 5
NOW = datetime(2026, 7, 1, tzinfo=UTC)
ISSUER = "https://id.example.com"
URL = f"{ISSUER}/token"
OURS = Client("ours", "secret", ClientAuthentication.CLIENT_SECRET_BASIC)
THEIRS = ClientAuth("ours", "secret")
CLAIMS = {"iss": ISSUER, "sub": "sam", "aud": "ours", "exp": NOW.timestamp() + 60, "iat": NOW.timestamp()}
WANTED = {"iss": {"value": ISSUER}, "aud": {"value": "ours"}}
METADATA = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": URL,
    "response_types_supported": ["code"],
}
DOCUMENT = json.dumps(METADATA).encode()


def _grant() -> None:
    body = prepare_token_request("refresh_token", "", refresh_token="r")
    THEIRS.prepare("POST", URL, {}, body)


def _revocation() -> None:
    body, headers = prepare_revoke_token_request("t", "refresh_token")
    THEIRS.prepare("POST", URL, headers, body)


PURE: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "refresh request with its client authentication": (
        lambda: refresh_request(URL, OURS, refresh_token="r"),
        _grant,
    ),
    "revocation request": (
        lambda: revocation_request(URL, OURS, token="t", hint=TokenTypeHint.REFRESH_TOKEN),
        _revocation,
    ),
    "metadata": (
        lambda: parse_provider_metadata(DOCUMENT, issuer=ISSUER, allow_insecure_http=False),
        lambda: AuthorizationServerMetadata(json.loads(DOCUMENT)).validate(),
    ),
    "claims of an id_token": (
        lambda: check_claims(CLAIMS, issuer=ISSUER, client_id="ours", nonce=None, now=NOW),
        lambda: CodeIDToken(CLAIMS, {}, WANTED, {"client_id": "ours"}).validate(now=int(NOW.timestamp())),
    ),
}


def _microseconds(call: Callable[[], object], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - began) / times * 1e6


async def _cpu(call: Callable[[], Awaitable[object]], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        await call()
    return (time.process_time() - began) / times * 1e6


def pure() -> None:
    """Medians of rounds that take turns."""
    for name, (ours, theirs) in PURE.items():
        rounds = [(_microseconds(ours, 2000), _microseconds(theirs, 2000)) for _ in range(ROUNDS)]
        by_hand, library = (statistics.median(column) for column in zip(*rounds, strict=True))
        say(f"{name}: by hand {by_hand:.0f} us, Authlib {library:.0f} us")


NAMESPACE, NAME, AGENT = "default", "weighed", "bench-libraries"
EVENTS = 300


async def _watched(
    changes: Callable[[], Awaitable[object]], events: Callable[[int], Coroutine[Any, Any, None]]
) -> float:
    """CPU of an event: of this process, less that of the writes that cause it, which are sent the same way in every run."""
    began = time.process_time()
    for _ in range(EVENTS):
        await changes()
    writes = time.process_time() - began
    watching = asyncio.create_task(events(EVENTS))
    await asyncio.sleep(1)
    began = time.process_time()
    for _ in range(EVENTS):
        await changes()
    await asyncio.wait_for(watching, 60)
    return (time.process_time() - began - writes) / EVENTS * 1e6


async def calls(kubeconfig: Path) -> None:
    """GET, merge patch and a watch event of one small object."""
    official_config.load_kube_config(str(kubeconfig))
    await official_aio_config.load_kube_config(str(kubeconfig))
    core = official.CoreV1Api()
    number = iter(range(10**9))

    def patch() -> dict[str, Any]:
        return {"data": {"n": str(next(number))}}

    core.create_namespaced_config_map(
        NAMESPACE, official.V1ConfigMap(metadata=official.V1ObjectMeta(name=NAME), data={"n": "-"})
    )
    async with Kube(str(kubeconfig), user_agent=AGENT) as kube, official_aio.ApiClient() as client:
        core_aio = official_aio.CoreV1Api(client)

        async def sync_get() -> None:
            core.read_namespaced_config_map(NAME, NAMESPACE)

        async def sync_patch() -> None:
            core.patch_namespaced_config_map(NAME, NAMESPACE, patch())

        def our_patch() -> Awaitable[object]:
            return kube.merge_patch(CONFIG_MAPS, NAMESPACE, NAME, patch(), PartialObject, manager=AGENT)

        gets: dict[str, Callable[[], Awaitable[object]]] = {
            "by hand": lambda: kube.get(CONFIG_MAPS, NAMESPACE, NAME, PartialObject),
            "kubernetes": sync_get,
            "kubernetes.aio": lambda: core_aio.read_namespaced_config_map(NAME, NAMESPACE),
        }
        patches: dict[str, Callable[[], Awaitable[object]]] = {
            "by hand": our_patch,
            "kubernetes": sync_patch,
            "kubernetes.aio": lambda: core_aio.patch_namespaced_config_map(
                NAME, NAMESPACE, patch(), _content_type="application/merge-patch+json"
            ),
        }
        for verb, ways in {"GET": gets, "PATCH": patches}.items():
            rounds = [{name: await _cpu(call, 200) for name, call in ways.items()} for _ in range(ROUNDS)]
            medians = {name: statistics.median(each[name] for each in rounds) for name in ways}
            say(f"{verb}: " + ", ".join(f"{name} {cpu:.0f} us" for name, cpu in medians.items()))

        async def our_events(wanted: int) -> None:
            _, version = await kube.list_metadata(CONFIG_MAPS, NAMESPACE)
            stream = kube.watch_metadata(CONFIG_MAPS, NAMESPACE, field_selector="", resource_version=version)
            seen = 0
            async for _event in stream:
                seen += 1
                if seen == wanted:
                    return

        async def library_events(wanted: int) -> None:
            listed = await core_aio.list_namespaced_config_map(NAMESPACE)
            assert listed.metadata is not None
            seen = 0
            async with aio.watch.Watch() as watch:
                stream = watch.stream(
                    core_aio.list_namespaced_config_map,
                    NAMESPACE,
                    resource_version=listed.metadata.resource_version,
                )
                async for _event in stream:
                    seen += 1
                    if seen == wanted:
                        return

        turns = [
            (await _watched(our_patch, our_events), await _watched(our_patch, library_events)) for _ in range(ROUNDS)
        ]
        by_hand, library = (statistics.median(column) for column in zip(*turns, strict=True))
        say(f"watch event: by hand {by_hand:.0f} us, kubernetes.aio {library:.0f} us")


def main() -> None:
    """Weigh all of it."""
    warnings.simplefilter("ignore")
    pure()
    with tempfile.TemporaryDirectory() as folder, ControlPlane(Path(folder)) as control_plane:
        uvloop.run(calls(control_plane.cluster.kubeconfig))


if __name__ == "__main__":
    main()
