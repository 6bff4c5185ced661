"""The API server in memory that unit tests use answers as the real one: one script of calls is played on both.

What is compared is whole: every object, every refusal with its words, every watch event. Where runs differ by nature, it is the
order that is compared: the third uid or resourceVersion that was seen has the number 2.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from datasource.api.objects import PartialObject
from datasource.cluster.api_errors import ApiError
from datasource.cluster.kube import Kube
from datasource.cluster.resources import EVENTS, LEASES, SECRETS, Resource
from datasource_operator.callback_rights import ROLE_BINDINGS, ROLES
from deploy.local.cluster import Cluster
from deploy.local.crds import wait_until_established
from tests.support.api import CRDS, api_of
from tests.support.kube_in_memory import KubeInMemory

pytestmark = pytest.mark.cluster

Manifest = dict[str, Any]
GROUP = "in-memory.example.com"
THINGS = Resource(f"/apis/{GROUP}/v1", "things")
MANAGER = "conformance"


@dataclass
class Play:
    """One run of the script, and what was answered."""

    kube: Kube
    namespace: str
    answers: list[tuple[str, Any]] = field(default_factory=list)
    _seen: dict[str, list[str]] = field(default_factory=lambda: {"uid": [], "resourceVersion": []})

    async def ask(self, what: str, asked: Awaitable[Any]) -> Any:
        """Note what is answered; returns it, or None for a refusal."""
        try:
            answer = await asked
        except ApiError as refused:
            self.answers.append((what, (refused.status, refused.reason, self._hidden(refused.message))))
            return None
        self.answers.append((what, self._plain(answer)))
        return answer

    async def get(self, what: str, name: str, resource: Resource = SECRETS) -> Any:
        return await self.ask(what, self.kube.get(resource, self.namespace, name, Manifest))

    async def create(self, what: str, manifest: Manifest, resource: Resource = SECRETS, **options: Any) -> Any:
        create = self.kube.create(resource, self.namespace, manifest, Manifest, manager=MANAGER, **options)
        return await self.ask(what, create)

    async def patch(self, what: str, name: str, change: Manifest, resource: Resource = SECRETS, **options: Any) -> Any:
        patch = self.kube.merge_patch(resource, self.namespace, name, change, Manifest, manager=MANAGER, **options)
        return await self.ask(what, patch)

    async def delete(self, what: str, name: str, resource: Resource = SECRETS, **preconditions: str) -> None:
        """Delete what is there now, but for what the preconditions say instead."""
        try:
            found = await self.kube.get(resource, self.namespace, name, PartialObject)
            seen = {"uid": found.metadata.uid, "resource_version": found.metadata.resource_version}
        except ApiError:
            seen = {"uid": "nobody", "resource_version": "1"}
        await self.ask(what, self.kube.delete(resource, self.namespace, name, **seen | preconditions))

    async def list(self, what: str, selector: str = "", *, labels: str = "", page_size: int = 500) -> None:
        pages: list[list[str]] = []

        async def read() -> list[list[str]]:
            async for page, _ in self.kube.metadata_pages(
                SECRETS, self.namespace, field_selector=selector, label_selector=labels, page_size=page_size
            ):
                pages.append([each.metadata.name for each in page])
            return pages

        await self.ask(what, read())

    async def watch(self, what: str, since: str, until: str, selector: str = "", labels: str = "") -> None:
        """Note every event from there on, up to one about an object of that name."""

        async def read() -> list[Any]:
            events = []
            stream = self.kube.watch_metadata(
                SECRETS, self.namespace, field_selector=selector, label_selector=labels, resource_version=since
            )
            async with asyncio.timeout(30), aclosing(stream):
                async for event in stream:
                    if event.type != "BOOKMARK":
                        events.append([event.type, msgspec.to_builtins(event.object)])
                    if event.object.metadata.name == until:
                        break
            return events

        await self.ask(what, read())

    def _plain(self, answer: Any) -> Any:
        """Without what differs from run to run."""
        match answer:
            case dict():
                return {key: self._plain_field(key, each) for key, each in answer.items() if key not in IGNORED}
            case list() | tuple():
                return [self._plain(each) for each in answer]
            case str():
                return self._hidden(answer)
        return answer

    def _plain_field(self, key: str, value: Any) -> Any:
        if key in self._seen and value:
            if value not in self._seen[key]:
                self._seen[key].append(value)
            return f"{key} {self._seen[key].index(value)}"
        return "a time" if key.endswith("Timestamp") and value else self._plain(value)

    def _hidden(self, text: str) -> str:
        text = text.replace(self.namespace, "NAMESPACE")
        for key, values in self._seen.items():
            for number, value in enumerate(values):
                text = re.sub(rf"\b{value}\b", f"{key} {number}", text)
        return text


IGNORED = {"managedFields", "managed_fields", "deprecatedSource", "deprecatedFirstTimestamp", "deprecatedLastTimestamp"}
"""Who manages what, which the API server in memory does not keep, and what stands in Events for the sake of v1beta1."""

STRANGER = "0b8ba1a7-8f0b-4a6a-8a7e-30f4b4c0a3ce"


def secret(name: str, **content: Any) -> Manifest:
    metadata = {"name": name, **content.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **content}


async def plain_objects(play: Play) -> None:
    await play.get("nothing is there", "a")
    created = await play.create("create", secret("a", stringData={"k": "v"}, metadata={"labels": {"x": "1"}}))
    await play.create("create it again", secret("a"))
    await play.get("read it", "a")
    await play.ask("read its metadata", _metadata(play, "a"))
    await play.patch("change nothing", "a", {"metadata": {"labels": {"x": "1"}}})
    await play.patch("add a label", "a", {"metadata": {"labels": {"y": "2"}}})
    await play.patch("take one out", "a", {"metadata": {"labels": {"x": None, "never": None}}})
    await play.patch("take the last one out", "a", {"metadata": {"labels": {"y": None}}})
    await play.patch("take all out", "a", {"metadata": {"annotations": None}})
    await play.patch("of another uid", "a", {"metadata": {"uid": STRANGER}})
    await play.patch("of no uid", "a", {"metadata": {"uid": None, "labels": {"z": "0"}}})
    await play.patch("of another uid and version", "a", {"metadata": {"uid": STRANGER, "resourceVersion": "1"}})
    await play.patch("change what is not there", "b", {"metadata": {"labels": {"y": "2"}}})
    version = created["metadata"]["resourceVersion"]
    await play.patch("an old version", "a", {"metadata": {"resourceVersion": version, "labels": {"z": "1"}}})
    version = (await play.get("read it again", "a"))["metadata"]["resourceVersion"]
    swap = {"metadata": {"resourceVersion": version, "annotations": {"z": "1"}}, "data": {"l": "eA=="}}
    await play.patch("the version that stands", "a", swap)
    await play.patch("the same swap again", "a", swap)
    empty: Manifest = {"labels": {}, "annotations": {}, "finalizers": [], "ownerReferences": []}
    other = await play.create("with nothing in it", secret("e", data={}, metadata=empty))
    owner = {"apiVersion": "v1", "kind": "Secret", "name": "e", "uid": other["metadata"]["uid"]}
    await play.patch("owned", "a", {"metadata": {"ownerReferences": [owner]}})
    await play.patch("owned by nobody", "a", {"metadata": {"ownerReferences": []}})
    await play.patch("nulls in what is new", "a", {"metadata": {"annotations": {"n": None, "m": "1"}}})
    await play.patch("an empty patch", "e", {})
    await play.patch("of the server's own", "e", {"metadata": {"name": "e", "creationTimestamp": None}})
    await play.ask("elsewhere", play.kube.get(SECRETS, "nowhere", "e", Manifest))


async def data_and_types(play: Play) -> None:
    await play.create("create of a type", secret("typed", type="example.com/t", data={"k": "eA==", "l": "eA=="}))
    await play.patch("take a key out", "typed", {"data": {"k": None}})
    await play.patch("add one in clear", "typed", {"stringData": {"m": "clear"}})
    await play.patch("take all data out", "typed", {"data": None})
    await play.patch("another type", "typed", {"type": "example.com/u"})
    await play.patch("no type", "typed", {"type": None})
    half = "x" * 2**19
    await play.create("half as large as may be", secret("large", stringData={"a": half}))
    await play.patch("as large as may be", "large", {"stringData": {"b": half}})
    await play.patch("larger than may be", "large", {"stringData": {"c": "x"}})
    await play.patch("both in clear and encoded", "typed", {"data": {"k": "eA=="}, "stringData": {"k": "y"}})
    await play.patch("make it immutable", "typed", {"immutable": True})
    await play.patch("data of an immutable one", "typed", {"data": {"k": "eA=="}})
    await play.patch("annotate an immutable one", "typed", {"metadata": {"annotations": {"a": "b"}}})
    await play.patch("make it mutable", "typed", {"immutable": False})
    await play.patch("mutable, with data and type", "typed", {"immutable": None, "data": {"k": "eA=="}, "type": "x/y"})


async def rehearsals(play: Play) -> None:
    await play.create("rehearse a create", secret("rehearsed"), dry_run=True)
    await play.get("it is not there", "rehearsed")
    await play.create("create it", secret("rehearsed"))
    await play.create("rehearse to create it again", secret("rehearsed"), dry_run=True)
    await play.patch("rehearse a patch", "rehearsed", {"metadata": {"labels": {"x": "1"}}}, dry_run=True)
    await play.patch("rehearse another type", "rehearsed", {"type": "x/y"}, dry_run=True)
    await play.get("it is as before", "rehearsed")


async def deletions(play: Play) -> None:
    await play.delete("delete what is not there", "d")
    await play.create("create", secret("d"))
    await play.delete("another uid", "d", uid=STRANGER)
    await play.delete("another version", "d", resource_version="1")
    await play.delete("that very one", "d")
    await play.get("it is gone", "d")
    created = await play.create("one of the same name", secret("d", metadata={"finalizers": ["example.com/f"]}))
    await play.delete("delete what is held", "d")
    held = await play.get("it is marked", "d")
    await play.delete("delete it again", "d")
    await play.create("create one in its place", secret("d"))
    await play.patch("label it", "d", {"metadata": {"labels": {"x": "1"}}})
    await play.patch("hold it more", "d", {"metadata": {"finalizers": ["example.com/f", "example.com/g"]}})
    await play.patch("take the mark off", "d", {"metadata": {"deletionTimestamp": None}})
    version = created["metadata"]["resourceVersion"]
    await play.patch("let go of an old one", "d", {"metadata": {"resourceVersion": version, "finalizers": None}})
    await play.patch("let it go", "d", {"metadata": {"finalizers": None}})
    await play.get("it is gone now", "d")
    assert held["metadata"]["deletionTimestamp"]


async def applied(play: Play) -> None:
    async def apply(what: str, manifest: Manifest, manager: str = MANAGER, resource: Resource = SECRETS) -> None:
        name = manifest["metadata"]["name"]
        asked = play.kube.apply(resource, play.namespace, name, manifest, Manifest, manager=manager)
        await play.ask(what, asked)

    both = {"labels": {"x": "1", "y": "1"}, "annotations": {"a": "1"}}
    await apply("what is not there", secret("s", type="example.com/t", data={"k": "eA==", "l": "eA=="}, metadata=both))
    await apply("the same again", secret("s", type="example.com/t", data={"k": "eA==", "l": "eA=="}, metadata=both))
    await apply("less of it", secret("s", type="example.com/t", data={"k": "eA=="}, metadata={"labels": {"x": "1"}}))
    await apply("more by another", secret("s", data={"m": "eA=="}, metadata={"labels": {"x": "1"}}), "another")
    await apply("the same by a third", secret("s", metadata={"labels": {"x": "1"}}), "third")
    await apply("empty maps", secret("s", data={}, metadata={"labels": {}}))
    await apply("nothing by a fourth", secret("s"), "fourth")
    await play.patch("what others put into the map", "s", {"metadata": {"labels": {"theirs": "1"}}})
    await apply("nothing of it", secret("s"))
    await apply("nothing by the other", secret("s"), "another")
    await apply("of another uid", secret("s", data={"k": "eA=="}, metadata={"uid": STRANGER}))
    await apply("of a uid, and there is none", secret("u", metadata={"uid": STRANGER}))
    await apply("another type", secret("s", type="example.com/u"))

    await play.create("by a POST", secret("p", data={"k": "eA==", "l": "eA=="}, metadata={"labels": {"x": "1"}}))
    await apply("over it", secret("p", data={"k": "eA==", "m": "eA=="}, metadata={"labels": {"x": "2"}}))
    await apply("less than that", secret("p", data={"k": "eQ=="}))
    await play.patch("by a patch", "p", {"data": {"k": "eg=="}, "metadata": {"labels": {"x": "3"}}})
    await apply("nothing over that", secret("p"))
    await apply("what was patched", secret("p", data={"k": "eQ=="}))
    await apply("and nothing", secret("p"))

    held = {"finalizers": ["example.com/f", "example.com/g"]}
    await apply("held twice", secret("h", metadata=held))
    await apply("held by another, too", secret("h", metadata={"finalizers": ["example.com/h"]}), "another")
    await apply("held once", secret("h", metadata={"finalizers": ["example.com/g"]}))
    await play.delete("delete it", "h")
    await apply("held anew", secret("h", metadata={"finalizers": ["example.com/new"]}))
    await apply("let go by one", secret("h"))
    await apply("and by the other", secret("h"), "another")
    await play.get("it is gone", "h")


async def rights(play: Play) -> None:
    group = "rbac.authorization.k8s.io"
    named: Manifest = {"metadata": {"name": "r", "labels": {"x": "1"}}}
    role = named | {"apiVersion": f"{group}/v1", "kind": "Role"}
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["a"]}
    binding = named | {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "s", "namespace": play.namespace}],
    }

    async def apply(what: str, resource: Resource, manifest: Manifest) -> None:
        await play.ask(what, play.kube.apply(resource, play.namespace, "r", manifest, Manifest, manager=MANAGER))

    await apply("a Role", ROLES, role | {"rules": [rule, rule | {"resourceNames": ["b"]}]})
    await apply("with fewer rules", ROLES, role | {"rules": [rule]})
    await apply("a RoleBinding", ROLE_BINDINGS, binding)
    await apply(
        "of somebody else", ROLE_BINDINGS, binding | {"subjects": [{"kind": "User", "name": "u", "apiGroup": group}]}
    )
    await apply("to another Role", ROLE_BINDINGS, binding | {"roleRef": binding["roleRef"] | {"name": "q"}})
    await play.ask(
        "labelled", _all(play.kube.pages(ROLES, play.namespace, Manifest, label_selector="x=1", page_size=5))
    )
    await play.ask(
        "otherwise", _all(play.kube.pages(ROLES, play.namespace, Manifest, label_selector="x=2", page_size=5))
    )
    await play.delete("another one", "r", ROLES, uid=STRANGER)
    await play.delete("that very one", "r", ROLES)


async def _all(pages: AsyncIterator[list[Any]]) -> list[str]:
    return [each["metadata"]["name"] async for page in pages for each in page]


async def lists(play: Play) -> None:
    for name, type_ in (("l-3", "example.com/t"), ("l-1", "Opaque"), ("l-2", "example.com/t")):
        await play.create(f"create {name}", secret(name, type=type_))
    await play.list("all")
    await play.list("by name", "metadata.name=l-1")
    await play.list("by type", "type=example.com/t")
    await play.list("by name and type", "metadata.name=l-1,type=example.com/t")
    await play.list("by name and another type", "metadata.name=l-1,type!=example.com/t")
    await play.list("by what cannot be selected by", "spec.holder=x")
    await play.list("of a name that is not there", "metadata.name=nobody")
    await play.list("in pages", "type=example.com/t", page_size=1)


async def leases(play: Play) -> None:
    def lease(name: str, **spec: Any) -> Manifest:
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}

    await play.get("no Lease", "lead", LEASES)
    await play.create("a Lease", lease("lead", holderIdentity="a", leaseDurationSeconds=15), LEASES)
    await play.create("another of that name", lease("lead"), LEASES)
    await play.create("of no duration", lease("short", leaseDurationSeconds=0), LEASES)
    await play.patch("shortened to nothing", "lead", {"spec": {"leaseDurationSeconds": 0}}, LEASES)
    await play.patch("nobody's", "lead", {"spec": {"holderIdentity": None}}, LEASES)
    await play.patch("an old version", "lead", {"metadata": {"resourceVersion": "1"}, "spec": {}}, LEASES)
    await play.delete("another one", "lead", LEASES, uid=STRANGER)
    await play.delete("another version", "lead", LEASES, resource_version="1")
    await play.delete("that very one", "lead", LEASES)


async def events(play: Play) -> None:
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "example.com/c",
        "reportingInstance": "x",
        "type": "Normal",
        "reason": "Ready",
        "action": "Look",
        "note": "x",
        "regarding": {"apiVersion": "v1", "kind": "Secret", "name": "a", "namespace": play.namespace},
    }
    await play.create("an Event", event, EVENTS)
    await play.create("again", event, EVENTS)
    series = {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}
    await play.patch("of a series", "e", {"series": series}, EVENTS)
    await play.patch("of a series that is gone", "f", {"series": series}, EVENTS)


async def custom_resources(play: Play) -> None:
    thing = {"apiVersion": f"{GROUP}/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"n": 1}}
    await play.create("with a status", thing | {"status": {"s": 1}}, THINGS)
    await play.create("again", thing, THINGS)
    await play.patch("its spec", "t", {"spec": {"n": 2}}, THINGS)
    await play.patch("a label", "t", {"metadata": {"labels": {"x": "1"}}}, THINGS)
    await play.patch("its status with the rest", "t", {"status": {"s": 1}, "spec": {"n": 3}}, THINGS)
    await play.patch("its status alone with the rest", "t", {"status": {"s": 1}}, THINGS)
    await play.patch("its status", "t", {"status": {"s": 1}, "spec": {"n": 4}}, THINGS, subresource="status")
    await play.patch("the same status", "t", {"status": {"s": 1}}, THINGS, subresource="status")
    await play.patch("more of it", "t", {"status": {"more": {"a": [1]}}}, THINGS, subresource="status")
    await play.patch("no status", "t", {"status": None}, THINGS, subresource="status")
    await play.patch("a generation", "t", {"metadata": {"generation": 77}}, THINGS)
    await play.patch("held", "t", {"metadata": {"finalizers": ["example.com/f"]}}, THINGS)
    await play.delete("another one", "t", THINGS, uid=STRANGER)
    await play.delete("another version", "t", THINGS, resource_version="1")
    await play.patch("of another uid", "t", {"metadata": {"uid": STRANGER}}, THINGS)
    old = {"metadata": {"resourceVersion": "1"}, "status": {"a": 1}}
    await play.patch("an old status", "t", old, THINGS, subresource="status")
    labelled = {"metadata": {"labels": {"q": "1"}}, "status": {"a": 1}}
    await play.patch("a status with a label", "t", labelled, THINGS, subresource="status")
    await play.delete("delete it", "t", THINGS)
    await play.get("it is marked", "t", THINGS)
    await play.patch("let it go", "t", {"metadata": {"finalizers": None}}, THINGS)
    await play.get("it is gone", "t", THINGS)
    await play.patch("gone", "t", {"status": {}}, THINGS, subresource="status")


async def watches(play: Play) -> None:
    first = await play.create("create", secret("w", metadata={"finalizers": ["example.com/f"]}))
    await play.create("one of a type", secret("w-typed", type="example.com/t"))
    await play.patch("label it", "w", {"metadata": {"labels": {"x": "1"}}})
    await play.patch("label it the same", "w", {"metadata": {"labels": {"x": "1"}}})
    await play.delete("delete it", "w")
    await play.patch("let it go", "w", {"metadata": {"finalizers": None}})
    await play.delete("delete the other", "w-typed")
    await play.create("the last", secret("w-last", type="example.com/t"))
    version = first["metadata"]["resourceVersion"]
    await play.watch("all since the first", version, "w-last")
    await play.watch("of a type", version, "w-last", "type=example.com/t")
    # Who is not selected any more is gone for the watch, as it was before; who is again, is new.
    first = await play.create("labelled", secret("l", type="example.com/l", metadata={"labels": {"x": "1", "y": "1"}}))
    await play.create(
        "labelled, of another type", secret("l-other", type="x.example/t", metadata={"labels": {"x": "1"}})
    )
    await play.create("labelled otherwise", secret("l-no", type="example.com/l", metadata={"labels": {"x": "2"}}))
    await play.patch("change another label", "l", {"metadata": {"labels": {"y": "2"}}})
    await play.patch("take the label off", "l", {"metadata": {"labels": {"x": None}}})
    await play.patch("change what is not selected", "l", {"metadata": {"labels": {"y": "3"}}})
    await play.patch("put it on again", "l", {"metadata": {"labels": {"x": "1"}}})
    await play.patch("label the other one, too", "l-no", {"metadata": {"labels": {"x": "1"}}})
    await play.delete("delete it", "l")
    await play.create("the last labelled", secret("l-last", type="example.com/l", metadata={"labels": {"x": "1"}}))
    version = first["metadata"]["resourceVersion"]
    await play.watch("with a label", version, "l-last", "type!=x.example/t,type!=x.example/u", "x=1")
    await play.list("list with a label", "type!=x.example/t", labels="x=1")


async def _metadata(play: Play, name: str) -> Any:
    found = await play.kube.get(SECRETS, play.namespace, name, PartialObject, metadata_only=True)
    return msgspec.to_builtins(found)


SCENES: tuple[Callable[[Play], Awaitable[None]], ...] = (
    plain_objects,
    data_and_types,
    rehearsals,
    deletions,
    applied,
    rights,
    lists,
    leases,
    events,
    custom_resources,
    watches,
)


@pytest.fixture(scope="module")
def things(cluster: Cluster) -> None:
    """A custom resource of the test's own: whoever runs meanwhile has no interest in it."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    names = {"kind": "Thing", "plural": "things"}
    api = api_of(cluster.kubeconfig)
    api.create(
        {
            "apiVersion": CRDS.group_version,
            "kind": CRDS.kind,
            "metadata": {"name": f"things.{GROUP}"},
            "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
        }
    )
    wait_until_established(cluster, f"things.{GROUP}")


@pytest.fixture
async def real(cluster: Cluster) -> AsyncIterator[Kube]:
    async with Kube(str(cluster.kubeconfig), user_agent="conformance") as kube:
        yield kube


@pytest.mark.usefixtures("things")
@pytest.mark.parametrize("scene", SCENES)
async def test_it_answers_as_the_real_api_server(
    real: Kube, namespace: str, scene: Callable[[Play], Awaitable[None]]
) -> None:
    on_the_real_one, in_memory = Play(real, namespace), Play(KubeInMemory(), namespace)
    await scene(on_the_real_one)
    await scene(in_memory)
    both = zip(in_memory.answers, on_the_real_one.answers, strict=True)
    differ = [(what, ours, theirs) for (what, ours), (_, theirs) in both if ours != theirs]
    assert differ == []
    assert in_memory.answers
