"""Backup and restore: a grant moves to another cluster, with the plugin and kubectl, and nobody has to consent again.

Two real control planes: the Datasource is authorized in one, exported, and restored into another with an operator of its own.
"""

import base64
import json
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.cluster import Cluster
from deploy.local.controlplane import ControlPlane
from deploy.local.provider import Provider
from deploy.local.stack import Process, Stack, install
from tests.support.api import CRDS, api_of
from tests.support.person import Person
from tests.support.plugin import Plugin, administrator, editor
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@pytest.fixture(scope="module")
def other_cluster(folder: Path) -> Iterator[Cluster]:
    """Another control plane, with deploy/ installed."""
    with ControlPlane(folder / "other-cluster") as started:
        install(started.cluster)
        yield started.cluster


@pytest.fixture(scope="module")
def other_operator(other_cluster: Cluster, stack: Stack, folder: Path) -> Iterator[Process]:
    """The operator of the other cluster, behind the same public URL as the first."""
    process = Stack(other_cluster, folder / "logs", stack.pages_port).operator("other-operator")
    process.start()
    yield process
    process.stop()


@pytest.fixture
def there(other_cluster: Cluster, other_operator: Process, user: User) -> Iterator[User]:
    """The same user in the other cluster, in a namespace of the same name."""
    other_cluster.kubectl("create", "namespace", user.namespace)
    yield User(other_cluster, user.namespace, user.provider, user.external_url)
    other_cluster.kubectl("delete", "namespace", user.namespace, "--wait=false")


@pytest.fixture
def authorized(user: User) -> User:
    """AUTHORIZED, with requests in its annotations as Git would keep them: one handled before, one for the first time."""
    user.register_application()
    user.create_client_secret()
    annotations = {"datasource.dev/clear-credential": "from-git", "datasource.dev/refresh": "from-git"}
    user.apply(user.datasource(user.oauth2(), annotations=annotations))
    user.wait_for_reason("AuthorizationRequired")
    with Person() as person:
        person.authorize(user.link())
    user.wait_for_reason("Authorized")
    user.wait_for_handled("clearCredential", "from-git")
    user.wait_for_handled("refresh", "from-git")
    return user


@pytest.fixture
def backup(authorized: User, tmp_path: Path, operator: Process) -> Iterator[Path]:
    """An export with the client Secret, taken by an editor; the operator of the old cluster stays stopped."""
    operator.stop()
    plugin = editor(authorized.cluster, authorized.namespace)
    path = tmp_path / "backup.yaml"
    done = plugin.run("export", "calendar", "--with-client-secrets", "-o", str(path))
    assert done.returncode == 0, done.stderr
    assert "A restore MOVES a grant, it never clones it" in done.stderr
    yield path
    operator.start()


def items_of(path: Path) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = yaml.safe_load(path.read_text())["items"]
    return items


def decoded_annotations(secret: dict[str, Any]) -> str:
    """Everything that stands in annotations, and everything that stands there in base64."""
    texts = []
    for value in secret["metadata"].get("annotations", {}).values():
        texts.append(value)
        try:
            applied = json.loads(value).get("data", {})
        except (ValueError, AttributeError):
            continue
        texts += [base64.b64decode(each).decode() for each in applied.values()]
    return "\n".join(texts)


def refresh_in(user: User, plugin: Plugin) -> None:
    """A refresh that works, told by the provider as well."""
    refreshed_at = datetime.fromisoformat(user.status()["refreshedAt"])
    # Times have whole seconds: in the same one, a refresh could not be told from none.
    eventually("a second has passed", lambda: datetime.now(UTC) > refreshed_at + timedelta(seconds=1.2))
    before = len(user.provider.token_requests())
    done = plugin.run("refresh", "calendar")
    assert done.returncode == 0, done.stderr
    asked = user.provider.token_requests()[before:]
    assert [(each.grant_type, each.status) for each in asked] == [("refresh_token", 200)]


def test_export_is_private_and_holds_nothing_of_the_old_cluster(backup: Path, user: User) -> None:
    items = items_of(backup)

    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert [(each["kind"], each["metadata"]["name"]) for each in items] == [
        ("Secret", "app"),
        ("Secret", "calendar-oauth2-credential"),
        ("Datasource", "calendar"),
    ]
    for item in items:
        assert set(item["metadata"]) <= {"name", "namespace", "labels", "annotations"}
        assert "status" not in item
        assert LAST_APPLIED not in item["metadata"].get("annotations", {})
    assert user.get()["metadata"]["uid"] not in backup.read_text()


@pytest.mark.parametrize("first", ["Secret", "Datasource"])
def test_grant_moves_to_another_cluster_without_a_person(backup: Path, user: User, there: User, first: str) -> None:
    before = user.credential()
    assert before is not None
    items = sorted(items_of(backup), key=lambda each: each["kind"] != first)
    if first == "Datasource":
        # Without what Git says: this is about the order alone, the next test about both together.
        items[0]["metadata"]["annotations"].pop("datasource.dev/clear-credential")

    for item in items:
        there.kubectl("create", "-f", "-", stdin=json.dumps(item))
        if item["kind"] == "Datasource" and first == "Datasource":
            # The operator has seen it without its credential, and settled.
            there.wait_for_reason("ClientSecretNotFound")

    there.wait_for_reason("Authorized")
    restored, datasource = there.credential(), there.get()
    assert restored is not None
    assert restored["data"] == before["data"]
    assert restored["metadata"]["ownerReferences"][0]["uid"] == datasource["metadata"]["uid"]
    assert datasource["metadata"]["uid"] != user.get()["metadata"]["uid"]
    eventually("apps have a token", lambda: there.secret("calendar-token") is not None)
    refresh_in(there, administrator(there.cluster, there.namespace))
    assert there.state() == "AUTHORIZED"


def test_requests_kept_in_the_manifests_clear_nothing(backup: Path, user: User, there: User) -> None:
    requests = len(user.provider.token_requests())

    there.kubectl("create", "-f", str(backup))
    there.wait_for_reason("Authorized")
    there.wait_for_handled("clearCredential", "from-git")
    there.wait_for_handled("refresh", "from-git")

    assert there.credential_id() == user.credential_id()
    assert len(user.provider.token_requests()) == requests
    there.clear("another value")
    there.wait_for_reason("CredentialCleared")


def test_datasource_that_git_restored_first_takes_its_credential_by_replace(
    backup: Path, user: User, there: User
) -> None:
    """With a clear request in Git, the operator has left a tombstone by the time that the credential comes."""
    secrets = [each for each in items_of(backup) if each["kind"] == "Secret"]
    (datasource,) = [each for each in items_of(backup) if each["kind"] == "Datasource"]
    there.create_client_secret()
    there.kubectl("create", "-f", "-", stdin=json.dumps(datasource))
    there.wait_for_reason("AuthorizationRequired")
    there.wait_for_handled("clearCredential", "from-git")

    there.kubectl("replace", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": secrets}))

    there.wait_for_reason("Authorized")
    assert there.credential_id() == user.credential_id()
    refresh_in(there, administrator(there.cluster, there.namespace))


def test_no_token_lands_in_an_annotation(backup: Path, there: User, provider: Provider) -> None:
    """CVE-2023-40029: what kubectl apply notes down holds the data of a Secret."""
    there.kubectl("apply", "--server-side", "-f", str(backup))
    there.wait_for_reason("Authorized")

    secret = there.credential()
    assert secret is not None
    assert LAST_APPLIED not in secret["metadata"]["annotations"]
    said = decoded_annotations(secret)
    assert [each for each in provider.secrets().all() if each in said] == []


def test_plain_apply_leaves_no_token_in_an_annotation_either(backup: Path, there: User, provider: Provider) -> None:
    there.kubectl("apply", "-f", str(backup))
    there.wait_for_reason("Authorized")

    secret = there.credential()
    assert secret is not None
    said = decoded_annotations(secret)
    assert [each for each in provider.secrets().all() if each in said] == []


@pytest.mark.parametrize("way", [["create"], ["apply", "--server-side"]], ids=["create", "server-side apply"])
def test_old_export_does_not_overwrite_a_live_credential(backup: Path, there: User, way: list[str]) -> None:
    there.kubectl("create", "-f", str(backup))
    there.wait_for_reason("Authorized")
    refresh_in(there, administrator(there.cluster, there.namespace))
    stored = there.credential()

    refused = there.cluster.kubectl(*way, "-n", there.namespace, "-f", str(backup), check=False)

    assert refused.returncode != 0
    after = there.credential()
    assert after is not None
    assert stored is not None
    assert after["data"] == stored["data"]


def test_export_to_stdout_pipes_into_the_other_cluster(backup: Path, user: User, there: User) -> None:
    del backup  # for the operator that it stopped
    plugin = administrator(user.cluster, user.namespace)
    create = f"kubectl --kubeconfig={there.cluster.kubeconfig} create -f -"
    export = f"kubectl datasource export -n {user.namespace} --with-client-secrets -o -"

    piped = plugin.shell(f"{export} | {create}")

    assert piped.returncode == 0, piped.stderr
    there.wait_for_reason("Authorized")


def test_export_of_a_cleared_datasource_remembers_what_it_handled(
    authorized: User, there: User, tmp_path: Path
) -> None:
    user = authorized
    user.clear("for good")
    user.wait_for_reason("CredentialCleared")
    path = tmp_path / "backup.json"
    done = administrator(user.cluster, user.namespace).run("export", "-o", str(path), "--with-client-secrets")
    assert done.returncode == 0, done.stderr
    assert "refresh tokens" not in done.stderr

    there.kubectl("create", "-f", str(path))
    there.wait_for_reason("CredentialCleared")
    there.wait_for_handled("clearCredential", "for good")
    there.annotate("clear-credential", "from-git")
    there.wait_for_handled("clearCredential", "from-git")
    assert there.credential_id() == user.credential_id()


def test_suspended_side_stops_and_the_other_goes_on(authorized: User, there: User, tmp_path: Path) -> None:
    path = tmp_path / "moved.yaml"
    plugin = editor(authorized.cluster, authorized.namespace)
    done = plugin.run("export", "calendar", "--with-client-secrets", "--suspend", "-o", str(path))
    assert done.returncode == 0, done.stderr
    assert "goes on refreshing" not in done.stderr

    there.kubectl("create", "-f", str(path))
    there.wait_for_reason("Authorized")
    refresh_in(there, administrator(there.cluster, there.namespace))

    assert authorized.get()["spec"]["suspend"] is True
    # What is restored is not suspended: it was not before the export.
    assert "suspend" not in there.get()["spec"]
    refused = plugin.run("refresh", "calendar")
    assert refused.returncode == 1
    assert "suspended" in refused.stderr


@pytest.fixture
def without_suspend(other_cluster: Cluster) -> Iterator[None]:
    """The CRD of the other cluster as it was before there was spec.suspend."""

    def write(change: Callable[[dict[str, Any]], object]) -> None:
        definition = api_of(other_cluster.kubeconfig).get(CRDS, "datasources.datasource.dev")
        change(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])
        api_of(other_cluster.kubeconfig).replace(definition)

    def is_known() -> bool:
        return other_cluster.kubectl("explain", "datasource.spec.suspend", check=False).returncode == 0

    kept: list[Any] = []
    write(lambda fields: kept.append(fields.pop("suspend")))
    eventually("it is gone", lambda: not is_known())
    yield
    write(lambda fields: fields.update(suspend=kept[0]))
    eventually("it is back", is_known)


def test_side_that_cannot_be_suspended_is_told_of_and_nothing_is_written(
    backup: Path, there: User, without_suspend: None, tmp_path: Path
) -> None:
    there.kubectl("create", "-f", str(backup))
    there.wait_for_reason("Authorized")
    folder = tmp_path / "empty"
    folder.mkdir()

    plugin = administrator(there.cluster, there.namespace)
    refused = plugin.run("export", "calendar", "--suspend", "-o", str(folder / "moved.yaml"))

    assert refused.returncode == 1
    assert "have no spec.suspend" in refused.stderr
    assert list(folder.iterdir()) == []


def test_export_without_the_right_to_read_secrets_writes_nothing(authorized: User, tmp_path: Path) -> None:
    plugin = editor(authorized.cluster, authorized.namespace, secrets=())
    path = tmp_path / "backup.yaml"

    refused = plugin.run("export", "calendar", "-o", str(path))

    assert refused.returncode == 1
    assert "cannot get resource" in refused.stderr
    assert list(tmp_path.iterdir()) == []
