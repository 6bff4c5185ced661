"""A start reads everything there is, by streaming lists, and in pages where the API server has none."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from deploy.local.controlplane import ControlPlane
from deploy.local.processes import free_ports
from deploy.local.provider import Provider
from deploy.local.stack import Stack, install, running
from tests.support.api import SECRETS
from tests.support.person import Person
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster


class WithoutStreams(ControlPlane):
    """As of a Kubernetes before 1.34, where they are behind a gate that is off."""

    feature_gates: ClassVar[Mapping[str, bool]] = {"WatchList": False}


PLANES: dict[str, type[ControlPlane]] = {"streams": ControlPlane, "pages": WithoutStreams}


@pytest.fixture(params=PLANES)
def plane(request: pytest.FixtureRequest, folder: Path) -> Iterator[ControlPlane]:
    """An API server that has streaming lists, or one that has none."""
    with PLANES[request.param](folder / f"lists-as-{request.param}") as started:
        install(started.cluster)
        started.cluster.kubectl("create", "namespace", "team-a")
        yield started


def lists_of(audit_log: Path, since: int) -> Counter[tuple[str, str, int]]:
    """By resource: how it was listed by an operator, and what the API server answered."""
    found: Counter[tuple[str, str, int]] = Counter()
    with audit_log.open("rb") as log:
        log.seek(since)
        for event in map(json.loads, log):
            query = parse_qs(urlsplit(event["requestURI"]).query)
            resource = event.get("objectRef", {}).get("resource")
            if not event["user"]["username"].endswith(":datasource-operator") or resource not in {
                "secrets",
                "datasources",
            }:
                continue
            code = event.get("responseStatus", {}).get("code", 0)
            if "sendInitialEvents" in query:
                # What goes on for long is noted when it begins, too.
                if event["stage"] == "ResponseStarted" or code >= 400:
                    found[resource, "stream", code] += 1
            elif event["verb"] == "list" and event["stage"] == "ResponseComplete" and "labelSelector" not in query:
                found[resource, "page", code] += 1
    return found


def test_start_finds_what_changed_while_no_operator_ran(plane: ControlPlane, provider: Provider, folder: Path) -> None:
    (port,) = free_ports(1)
    stack = Stack(plane.cluster, folder / "logs" / plane.folder.name, port)
    user = User(plane.cluster, "team-a", provider, stack.external_url)
    operator = stack.operator("lists-operator")
    with running(operator, stack.callback_server("lists-callback-server")):
        user.register_application()
        user.create_client_secret()
        for name in ("calendar", "gone"):
            user.apply(user.datasource(user.oauth2(), name=name))
            user.wait_for_link(name)
        with Person() as person:
            person.authorize(user.link())
        user.wait_for_reason("Authorized")
        eventually("apps have a token", lambda: user.secret("calendar-token"))

        operator.stop()
        so_far = plane.audit_log.stat().st_size
        user.delete(SECRETS, "calendar-token")
        user.kubectl("delete", "datasource", "gone")
        user.apply(user.datasource(user.oauth2(), name="new"))
        operator.start()

        user.wait_for_link("new")
        eventually("apps have a token again", lambda: user.secret("calendar-token"))
        assert user.state() == "AUTHORIZED"
        listed = lists_of(plane.audit_log, so_far)
    streams = {(resource, code): count for (resource, how, code), count in listed.items() if how == "stream"}
    if isinstance(plane, WithoutStreams):
        assert {code for _, code in streams} <= {400, 422}
        assert listed["secrets", "page", 200] >= 4
        assert listed["datasources", "page", 200] >= 1
    else:
        assert streams == {("secrets", 200): 4, ("datasources", 200): 1}
