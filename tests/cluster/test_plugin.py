"""`kubectl datasource` on the real API server, run by kubectl, as somebody who may edit Datasources and little else."""

import base64
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import pytest
import yaml

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster
from deploy.local.processes import free_ports
from deploy.local.stack import Process
from tests.support.api import CLUSTER_ROLE_BINDINGS, CONFIG_MAPS, api_of
from tests.support.person import Person
from tests.support.plugin import ESCAPE, Plugin, administrator, closed_port_kubeconfig, editor
from tests.support.user import CLIENT_SECRET, User, eventually

pytestmark = pytest.mark.cluster


@pytest.fixture
def plugin(user: User) -> Plugin:
    """The plugin in the hands of an editor of the user's namespace."""
    return editor(user.cluster, user.namespace)


def authorize(user: User, **oauth2: Any) -> None:
    link = user.ready_to_authorize(**oauth2)
    with Person() as person:
        person.authorize(link)
    user.wait_for_reason("Authorized")


def test_list_shows_each_datasource_sorted_and_plain_where_it_is_piped(user: User, plugin: Plugin) -> None:
    authorize(user)
    user.apply(user.datasource(None, name="address-book"))
    user.wait_for_reason("OAuth2Missing", "address-book")

    listed = plugin.run("list")

    assert (listed.returncode, listed.stderr) == (0, "")
    header, first, second = listed.stdout.splitlines()
    assert header.split("   ")[0] == "NAME"
    assert first.split()[:4] == ["address-book", "NOT", "CONFIGURED", "False"]
    assert second.split()[:3] == ["calendar", "AUTHORIZED", "True"]
    assert f"{user.status()['expiresAt']} (in " in second
    assert user.status()["authorizedAs"] in second
    assert ESCAPE not in listed.stdout


def test_list_for_programs_and_for_all_namespaces(user: User, plugin: Plugin) -> None:
    user.ready_to_authorize()

    (item,) = plugin.json("list")["items"]
    everywhere = administrator(user.cluster, user.namespace).run("list", "-A", "-o", "wide", scoped=False)
    refused = plugin.run("list", "-A", scoped=False)

    assert (item["name"], item["state"], item["reason"]) == ("calendar", "NOT AUTHORIZED", "AuthorizationRequired")
    assert item["waitsForPerson"] is True
    # Whoever has the link can use it: a listing is not where it belongs.
    assert user.link() not in json.dumps(item)
    assert everywhere.returncode == 0
    places = [tuple(line.split()[:2]) for line in everywhere.stdout.splitlines()[1:]]
    assert (user.namespace, "calendar") in places
    assert places == sorted(places)
    assert refused.returncode == 1
    assert "cannot list resource" in refused.stderr


def test_colours_are_for_terminals_that_want_them(user: User, plugin: Plugin) -> None:
    user.ready_to_authorize()

    assert ESCAPE in plugin.on_a_terminal("list")
    assert ESCAPE not in plugin.on_a_terminal("list", NO_COLOR="1")
    assert "NOT AUTHORIZED" in plugin.on_a_terminal("list", NO_COLOR="1")


def lines_until(words: str, stream: IO[str]) -> Iterator[str]:
    """Its lines up to the one that has these words, or to its end."""
    for line in stream:
        yield line
        if words in line:
            return


def test_authorize_leads_to_a_credential_and_waits_for_it(user: User, plugin: Plugin) -> None:
    link = user.ready_to_authorize()

    waiting = plugin.start("authorize", "calendar", "--timeout", "60")
    assert waiting.stdout is not None
    assert waiting.stderr is not None
    printed = waiting.stdout.readline().strip()
    # On a busy machine the person would be faster than its first look.
    before = list(lines_until("waiting for a person to consent", waiting.stderr))
    with Person() as person:
        person.authorize(printed)
    said, after = waiting.communicate(timeout=60)
    beside = "".join([*before, after])

    assert printed == link
    assert waiting.returncode == 0, beside
    assert f"is AUTHORIZED as {user.status()['authorizedAs']}" in said
    assert "calendar-token" in said
    assert "waiting for a person to consent" in beside
    assert ESCAPE not in said + beside


def test_authorize_gets_another_credential_only_when_told_to(user: User, plugin: Plugin) -> None:
    authorize(user)
    before = user.credential_id()

    nothing_to_do = plugin.run("authorize", "calendar")
    assert nothing_to_do.returncode == 0
    assert "--new" in nothing_to_do.stdout
    assert "authorizationLink" not in user.status()

    waiting = plugin.start("authorize", "calendar", "--new", "--timeout", "60")
    assert waiting.stdout is not None
    with Person() as person:
        person.authorize(waiting.stdout.readline().strip())
    _, beside = waiting.communicate(timeout=60)

    assert waiting.returncode == 0, beside
    assert user.credential_id() != before
    assert user.state() == "AUTHORIZED"


def test_authorize_tells_why_there_is_nothing_to_open(user: User, plugin: Plugin) -> None:
    user.apply(user.datasource(user.oauth2()))
    user.wait_for_reason("ClientSecretNotFound")

    refused = plugin.run("authorize", "calendar")
    unknown = plugin.run("authorize", "nobody-made-this")

    assert refused.returncode == 1
    assert "NOT CONFIGURED (ClientSecretNotFound)" in refused.stderr
    assert "kubectl datasource explain calendar" in refused.stderr
    assert unknown.returncode == 1
    assert "There is no Datasource nobody-made-this in namespace" in unknown.stderr


def test_authorize_gives_up_in_time_and_hands_over_the_link_without_waiting(user: User, plugin: Plugin) -> None:
    link = user.ready_to_authorize()

    assert plugin.run("authorize", "calendar", "--timeout", "0").returncode == 4
    handed_over = plugin.run("authorize", "calendar", "--no-wait")
    assert (handed_over.returncode, handed_over.stdout.strip()) == (0, link)


def test_interrupted_wait_ends_at_once_and_quietly(user: User, plugin: Plugin) -> None:
    user.ready_to_authorize()

    with plugin.start("authorize", "calendar") as waiting:
        assert waiting.stdout is not None
        waiting.stdout.readline()
        waiting.send_signal(signal.SIGINT)
        try:
            _, beside = waiting.communicate(timeout=60)
        finally:
            waiting.kill()

    assert waiting.returncode == 130
    assert "Traceback" not in beside


def test_clear_asks_first_and_clears_each_time(user: User, plugin: Plugin) -> None:
    authorize(user)

    unsure = plugin.run("clear", "calendar")
    assert unsure.returncode == 2
    assert "--yes" in unsure.stderr
    assert user.state() == "AUTHORIZED"

    for _ in range(2):
        cleared = plugin.run("clear", "calendar", "--yes")
        assert (cleared.returncode, cleared.stderr.count("not found")) == (0, 0)
        assert "is cleared: NOT AUTHORIZED (CredentialCleared)" in cleared.stdout
        assert user.reason() == "CredentialCleared"
        with Person() as person:
            person.authorize(user.link())
        user.wait_for_reason("Authorized")


def test_clear_of_several_does_what_it_can(user: User, plugin: Plugin) -> None:
    authorize(user)

    cleared = plugin.run("clear", "nobody-made-this", "calendar", "--yes")

    assert cleared.returncode == 1
    assert "There is no Datasource nobody-made-this in namespace" in cleared.stderr
    assert user.reason() == "CredentialCleared"


def test_refresh_gets_a_new_access_token_and_says_so(user: User, plugin: Plugin) -> None:
    authorize(user)
    before = user.secret("calendar-token")
    refreshed_at = user.status()["refreshedAt"]
    # Times have whole seconds: in the same one, a refresh could not be told from none.
    eventually("a second has passed", lambda: later_than(refreshed_at))

    refreshed = plugin.run("refresh", "calendar")

    assert refreshed.returncode == 0, refreshed.stderr
    assert "was refreshed; the access token expires in " in refreshed.stdout
    assert user.status()["refreshedAt"] > refreshed_at
    eventually("apps have it", lambda: user.secret("calendar-token") != before)


def later_than(moment: str) -> bool:
    """Whether a second has passed since."""
    return datetime.now(UTC) > datetime.fromisoformat(moment) + timedelta(seconds=1.2)


def test_refresh_tells_what_is_in_the_way(user: User, plugin: Plugin) -> None:
    user.ready_to_authorize(scopes=["openid", "email", "read"])
    unauthorized = plugin.run("refresh", "calendar")
    with Person() as person:
        person.authorize(user.link())
    user.wait_for_reason("Authorized")
    without_refresh_token = plugin.run("refresh", "calendar")

    assert unauthorized.returncode == 1
    assert "NOT AUTHORIZED (AuthorizationRequired)" in unauthorized.stderr
    assert without_refresh_token.returncode == 1
    assert "no refresh token" in without_refresh_token.stderr
    assert "offline_access" in without_refresh_token.stderr


def test_refresh_of_a_revoked_grant_tells_that_a_person_is_needed(user: User, plugin: Plugin) -> None:
    authorize(user)
    user.provider.revoke_grants(user.client_id)

    refused = plugin.run("refresh", "calendar")

    assert refused.returncode == 1
    assert "NOT AUTHORIZED (GrantRevoked)" in refused.stderr


def test_refresh_by_a_client_that_is_rejected_tells_so(user: User, plugin: Plugin) -> None:
    authorize(user)
    user.kubectl("delete", "secret", "app")
    user.create_client_secret("sentinel-wrong-client-secret")

    rejected = plugin.run("refresh", "calendar")
    again = plugin.run("refresh", "calendar", "--timeout", "1s")

    assert rejected.returncode == 1
    assert "calendar is ERROR (ClientRejected). " in rejected.stderr
    assert "Compare spec.oauth2.clientID" in rejected.stderr
    assert again.returncode == 4
    assert "Gave up after 1 s" in again.stderr
    assert "Compare spec.oauth2.clientID" in again.stderr
    user.kubectl("delete", "secret", "app")
    user.create_client_secret()
    user.wait_for_reason("Authorized")


def first_command(plugin: Plugin) -> str:
    return str(plugin.json("explain", "calendar")["commands"][0]["command"])


def test_command_that_explain_gives_creates_the_client_secret(user: User) -> None:
    plugin = editor(user.cluster, user.namespace, secrets=("get", "create"))
    user.apply(user.datasource(user.oauth2()))
    user.wait_for_reason("ClientSecretNotFound")

    explained = plugin.run("explain", "calendar")
    assert explained.returncode == 1
    assert "Secret app, key client-secret" in explained.stdout
    done = plugin.shell(first_command(plugin), typed=f"{CLIENT_SECRET}\n")

    assert done.returncode == 0, done.stderr
    user.wait_for_reason("AuthorizationRequired")
    assert "authorize" in first_command(plugin)


def test_command_that_explain_gives_adds_a_key_to_a_secret_that_is_there(user: User) -> None:
    plugin = editor(user.cluster, user.namespace, secrets=("get", "create", "patch"))
    user.kubectl("create", "secret", "generic", "app", "--from-literal=keep=me")
    user.apply(user.datasource(user.oauth2()))
    user.wait_for_reason("ClientSecretNotFound")

    done = plugin.shell(first_command(plugin), typed=f"{CLIENT_SECRET}\n")

    assert done.returncode == 0, done.stderr
    user.wait_for_reason("AuthorizationRequired")
    secret = user.secret("app")
    assert secret is not None
    assert set(secret["data"]) == {"keep", "client-secret"}


def test_command_that_explain_gives_fills_in_what_is_missing(user: User, plugin: Plugin) -> None:
    user.create_client_secret()
    user.apply(user.datasource(user.oauth2(clientID=None)))
    user.wait_for_reason("ParametersIncomplete")

    line = first_command(plugin)
    done = plugin.shell(line.replace("CLIENT_ID", user.client_id))

    assert done.returncode == 0, done.stderr
    user.wait_for_reason("AuthorizationRequired")


def test_command_that_explain_gives_leaves_a_foreign_secret_alone(user: User, plugin: Plugin) -> None:
    user.create_client_secret()
    user.kubectl("create", "secret", "generic", "calendar-token", "--from-literal=keep=me")
    user.apply(user.datasource(user.oauth2()))
    user.wait_for_reason("SecretConflict")

    explained = plugin.json("explain", "calendar")
    done = plugin.shell(explained["commands"][0]["command"])

    assert explained["where"] == ["Secret calendar-token", "spec.tokenSecret.name"]
    assert done.returncode == 0, done.stderr
    user.wait_for_reason("AuthorizationRequired")
    assert user.secret("calendar-token") is not None


def test_explain_shows_the_events_to_whoever_may_read_them(user: User, plugin: Plugin) -> None:
    authorize(user)

    as_editor = plugin.run("explain", "calendar")
    as_administrator = administrator(user.cluster, user.namespace).run("explain", "calendar")

    assert as_editor.returncode == as_administrator.returncode == 0
    assert "You may not read Events here." in as_editor.stdout
    assert "AuthorizationRequired (" in as_administrator.stdout
    assert "Authorized (" in as_administrator.stdout


@contextmanager
def installed_external_url(cluster: Cluster, url: str) -> Iterator[None]:
    """The setting as an overlay would have it; the processes of the tests get theirs from the environment."""
    api = api_of(cluster.kubeconfig)
    names = [each["metadata"]["name"] for each in api.all_of(CONFIG_MAPS, SYSTEM_NAMESPACE)]
    (name,) = [each for each in names if each.startswith("datasource-config")]

    def write(value: str) -> None:
        # What the operator of the tests is told by its environment.
        allowed = {"DATASOURCE_EGRESS_ALLOW": "127.0.0.1" if value else ""}
        api.patch(CONFIG_MAPS, name, {"data": {"DATASOURCE_EXTERNAL_URL": value, **allowed}}, SYSTEM_NAMESPACE)

    write(url)
    try:
        yield
    finally:
        write("")


def verdicts(told: Any) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in told["checks"]}


def test_doctor_finds_a_sound_installation_sound(user: User) -> None:
    user.ready_to_authorize()
    with installed_external_url(user.cluster, user.external_url):
        told = administrator(user.cluster, user.namespace).json("doctor")

    assert verdicts(told) == {
        "Kubernetes version": "ok",
        "Datasource API": "ok",
        # They run beside the cluster here, not in it.
        "Operator": "warning",
        "Callback server": "warning",
        "Lease": "ok",
        "Other installations": "ok",
        "Rights of the operator": "ok",
        "Rights of the callback server": "ok",
        "Admission policies": "ok",
        "External URL": "ok",
        "Callback URL": "ok",
        "Clock of the API server": "ok",
        "Clock of the callback server": "ok",
        "Providers": "ok",
    }
    assert told["verdict"] == "warning"


def test_doctor_names_the_right_that_is_missing(user: User) -> None:
    plugin = administrator(user.cluster, user.namespace)
    binding = user.api.get(CLUSTER_ROLE_BINDINGS, "datasource-callback-server")
    user.api.delete(CLUSTER_ROLE_BINDINGS, "datasource-callback-server")
    try:
        broken = plugin.run("doctor")
    finally:
        for field in ("uid", "resourceVersion", "creationTimestamp"):
            binding["metadata"].pop(field)
        user.api.create(binding)

    assert broken.returncode == 1
    assert "Rights of the callback server: missing: get datasources.datasource.dev in all namespaces" in broken.stdout


def test_doctor_sees_that_the_callback_server_is_down(user: User, callback_server: Process) -> None:
    callback_server.stop()
    try:
        with installed_external_url(user.cluster, user.external_url):
            told = administrator(user.cluster, user.namespace).json("doctor")
    finally:
        callback_server.start()

    assert verdicts(told)["Callback URL"] == "failed"
    assert verdicts(told)["Callback server"] == "failed"


@pytest.fixture
def deployments(cluster: Cluster) -> Iterator[None]:
    """The Deployments of deploy/, as if all their pods were ready: there are no nodes here."""
    rendered = cluster.kubectl("kustomize", str(REPOSITORY / "deploy" / "overlays" / "cluster-wide")).stdout
    wanted = [each for each in yaml.safe_load_all(rendered) if each["kind"] == "Deployment"]
    assert len(wanted) == 2
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(wanted))
    names = [each["metadata"]["name"] for each in wanted]
    status = json.dumps({"status": {"replicas": 2, "readyReplicas": 2, "updatedReplicas": 2}})
    for name in names:
        cluster.kubectl(
            "patch", "deployment", name, "-n", SYSTEM_NAMESPACE, "--subresource=status", "--type=merge", "-p", status
        )
    yield
    cluster.kubectl("delete", "deployment", *names, "-n", SYSTEM_NAMESPACE)


def test_doctor_knows_the_deployments_that_are_shipped(user: User, deployments: None) -> None:
    with installed_external_url(user.cluster, user.external_url):
        told = administrator(user.cluster, user.namespace).json("doctor")

    assert verdicts(told)["Operator"] == verdicts(told)["Callback server"] == "ok"
    # Read through the ConfigMap that the Deployments name.
    assert verdicts(told)["External URL"] == "ok"


def test_doctor_tells_an_editor_what_they_may_not_see(user: User, plugin: Plugin) -> None:
    user.ready_to_authorize()
    told = plugin.json("doctor")

    assert verdicts(told)["Rights of the operator"] == "unknown"
    assert verdicts(told)["Datasource API"] == "ok"
    assert verdicts(told)["Callback URL"] == "ok"  # the redirect URI in the status tells where it is


def test_before_an_installation_the_cluster_is_looked_at(user: User, plugin: Plugin) -> None:
    told = administrator(user.cluster, user.namespace).json("check", "--pre")
    assert verdicts(told) == {
        "Kubernetes version": "ok",
        "Datasource API": "ok",
        "Other installations": "ok",
        "Admission policies": "ok",
        "Your rights": "ok",
        "Clock of the API server": "ok",
    }
    refused = plugin.run("check", "--pre")
    assert refused.returncode == 1
    assert "Your rights: missing: create customresourcedefinitions" in refused.stdout


def test_commands_that_look_show_one_datasource_and_none_of_its_tokens(user: User, plugin: Plugin) -> None:
    authorize(user)
    secret = user.secret("calendar-token")
    assert secret is not None
    token = secret["data"]["access_token"]
    shown = {name: plugin.run(name, "calendar") for name in ("status", "tree")}
    # Who edits Datasources reads neither Secrets nor Events.
    all_rights = administrator(user.cluster, user.namespace)
    shown["events"] = all_rights.run("events", "calendar")
    inspected = all_rights.run("inspect", "calendar")

    assert {each.returncode for each in (*shown.values(), inspected)} == {0}, shown
    assert "Next refresh" in shown["status"].stdout
    assert "Secret calendar-token" in shown["tree"].stdout
    assert "Authorized" in shown["events"].stdout
    assert "refresh_token" in inspected.stdout
    said = "".join(each.stdout + each.stderr for each in (*shown.values(), inspected))
    assert token not in said
    assert base64.b64decode(token).decode() not in said


def test_what_is_suspended_goes_on_when_it_is_resumed(user: User, plugin: Plugin) -> None:
    user.ready_to_authorize()
    suspended = plugin.run("suspend", "calendar")
    assert suspended.returncode == 0, suspended.stderr
    assert user.get("calendar")["spec"]["suspend"] is True
    assert plugin.run("resume", "calendar").returncode == 0
    waited = plugin.run("wait", "calendar", "--for", "not-authorized", "--timeout", "30s")
    assert (waited.returncode, waited.stderr) == (0, waited.stderr)
    names = plugin.run("list", "-o", "name", "--sort-by", ".metadata.name", "-l", "!team")
    assert names.stdout == "datasource.datasource.dev/calendar\n"


def test_cluster_that_is_not_there_has_an_exit_code_of_its_own(user: User, plugin: Plugin, tmp_path: Path) -> None:
    nowhere = str(closed_port_kubeconfig(tmp_path, free_ports(1)[0]))

    commands = (
        ["list"],
        ["explain", "calendar"],
        ["authorize", "calendar"],
        ["clear", "calendar", "--yes"],
        ["doctor"],
    )
    for arguments in commands:
        done = plugin.run(*arguments, KUBECONFIG=nowhere)
        assert (done.returncode, done.stdout) == (3, ""), done.stderr
        assert "refused" in done.stderr


def test_login_plugin_of_the_kubeconfig_can_talk_to_its_user(user: User, plugin: Plugin, tmp_path: Path) -> None:
    user.ready_to_authorize()
    configuration = json.loads(plugin.kubeconfig.read_text())
    token_file = configuration["users"][0]["user"].pop("tokenFile")
    credential = (
        '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "%s"}}'
    )
    # Ends once its user has been told: nobody can log in whom the device code does not reach.
    script = f"""
        echo 'open https://login.example.com and enter 1234' >&2
        until test -e {tmp_path}/told; do sleep 0.1; done
        printf '{credential}' "$(cat {token_file})"
    """
    login = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "IfAvailable"}
    configuration["users"][0]["user"]["exec"] = {**login, "command": "bash", "args": ["-c", script]}
    asking = Plugin(tmp_path / "kubeconfig", plugin.namespace)
    asking.kubeconfig.write_text(json.dumps(configuration))

    listing = asking.start("list")
    assert listing.stderr is not None
    told = listing.stderr.readline()
    (tmp_path / "told").touch()
    listed, beside = listing.communicate(timeout=60)

    assert told == "open https://login.example.com and enter 1234\n"
    assert listing.returncode == 0, beside
    assert "NOT AUTHORIZED" in listed


def test_clear_on_a_terminal_asks_with_place_and_context(user: User, plugin: Plugin) -> None:
    authorize(user)

    shown = plugin.on_a_terminal("clear", "calendar", typed="n\n")

    assert f"Delete the stored tokens of {user.namespace}/calendar in context local?" in shown
    assert user.state() == "AUTHORIZED"
    plugin.on_a_terminal("clear", "calendar", typed="y\n")
    user.wait_for_reason("CredentialCleared")


@pytest.mark.parametrize("name", ["--dry-run", "Calendar", "a b", "calendar;id", "$(id)"])
def test_what_is_no_name_never_reaches_kubectl(user: User, plugin: Plugin, name: str) -> None:
    assert plugin.run("explain", name).returncode == 2


def test_kubectl_completes_the_names_of_datasources(user: User, plugin: Plugin) -> None:
    user.ready_to_authorize()

    completed = plugin.shell(f"kubectl __complete datasource explain -n {user.namespace} cal")

    assert completed.stdout.splitlines() == ["calendar", ":4"]
