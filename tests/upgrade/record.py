"""`make fixtures`: keep what this version stores, from a real run, for the tests of later ones.

Run it when a version is released, and never again for that version: what it wrote is what clusters hold.
"""

import shutil
from datetime import timedelta

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cache import BUILD
from deploy.local.cluster import Cluster
from deploy.local.controlplane import ControlPlane
from deploy.local.processes import free_ports
from deploy.local.progress import say
from deploy.local.provider import Provider
from deploy.local.provider import install as install_provider
from deploy.local.stack import Process, Stack, install
from tests.support.person import Person
from tests.support.user import CLIENT_SECRET, User, eventually
from tests.upgrade.stored import FIXTURES, NAMESPACE, keep, taken, version_of_this_checkout, with_sentinels

FOLDER = BUILD / "fixtures"

# Ten years, the longest that is believed (datasource/oauth2/token_response.py): nothing falls due in tests of years to come.
LIFETIME = timedelta(days=3650)


def main() -> None:
    """Record the fixtures of this checkout's version."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    install_provider()
    with ControlPlane(FOLDER / "cluster") as control_plane, Provider(FOLDER / "provider") as provider:
        cluster = control_plane.cluster
        install(cluster)
        cluster.kubectl("create", "namespace", NAMESPACE)
        stack = Stack(cluster, FOLDER / "logs", free_ports(1)[0])
        operator, callback_server = stack.operator(), stack.callback_server()
        operator.start()
        callback_server.start()
        try:
            live_through_everything(User(cluster, NAMESPACE, provider, stack.external_url), operator)
        finally:
            callback_server.stop()
            operator.child.kill()
        objects = with_sentinels(everything(cluster), sorted(provider.secrets().all()))
    folder = FIXTURES / f"v{version_of_this_checkout()}"
    keep(folder, objects)
    say(f"      {len(objects)} objects in {folder}")


def live_through_everything(user: User, operator: Process) -> None:
    """A Datasource in each state, and at the end an operator that dies in the middle of a refresh."""
    _register(user, user.client_id)
    user.create_client_secret()
    user.apply(user.datasource(name="not-configured"))
    user.apply(user.datasource(user.oauth2(clientSecretRef={"name": "missing"}), name="secret-missing"))
    user.wait_for_reason("OAuth2Missing", "not-configured")
    user.wait_for_reason("ClientSecretNotFound", "secret-missing")

    user.kubectl("create", "secret", "generic", "conflict-oauth2-credential", "--from-literal=somebody=else")
    user.apply(user.datasource(user.oauth2(), name="conflict"))
    user.wait_for_reason("SecretConflict", "conflict")

    _offered(user, "waiting")
    with Person() as person:
        person.begin(user.link("waiting"))  # leaves a flow record

    _authorized(user, "authorized")
    template = {
        "labels": {"app.kubernetes.io/part-of": "shop"},
        "data": {"header": "Authorization: Bearer {{ access_token }}"},
    }
    _authorized(user, "templated", tokenSecret={"name": "templated-mounted", "template": template})

    _authorized(user, "refreshed")
    user.annotate("refresh", "1", "refreshed")
    user.wait_for_handled("refresh", "1", "refreshed")

    _authorized(user, "new-one-wanted")
    user.annotate("new-credential", "1", "new-one-wanted")
    user.wait_for_link("new-one-wanted")

    _authorized(user, "cleared")
    user.annotate("clear-credential", "1", "cleared")
    user.wait_for_reason("CredentialCleared", "cleared")

    _authorized(user, "parameters-changed")
    user.apply(user.datasource(user.oauth2(tokenURL=user.provider.token_url + "?v=2"), name="parameters-changed"))
    user.wait_for_reason("ParametersChanged", "parameters-changed")

    _register(user, "app-revoked")
    _authorized(user, "revoked", clientID="app-revoked")
    user.provider.revoke_grants("app-revoked")
    user.annotate("refresh", "1", "revoked")
    user.wait_for_reason("GrantRevoked", "revoked")

    _register(user, "app-interrupted")
    _authorized(user, "interrupted", clientID="app-interrupted")
    user.provider.fault(client_id="app-interrupted", hang=True)
    user.annotate("refresh", "1", "interrupted")
    eventually("a refresh is under way", lambda: _has_intent(user, "interrupted"))
    operator.child.kill()


def everything(cluster: Cluster) -> list[dict[str, object]]:
    """What the operator, the callback server and their users keep in the cluster."""
    places = [
        ("Datasource", NAMESPACE),
        ("Secret", NAMESPACE),
        ("Secret", SYSTEM_NAMESPACE),
        ("Lease", SYSTEM_NAMESPACE),
    ]
    return [each for kind, namespace in places for each in taken(cluster, kind, namespace)]


def _register(user: User, client_id: str) -> None:
    callback = f"{user.external_url}/callback/{user.namespace}"
    user.provider.register_client(client_id, CLIENT_SECRET, [callback], access_token_lifetime=LIFETIME)


def _offered(user: User, name: str, *, clientID: str | None = None, **spec: object) -> None:
    oauth2 = user.oauth2() if clientID is None else user.oauth2(clientID=clientID)
    user.apply(user.datasource(oauth2, name=name, **spec))
    user.wait_for_reason("AuthorizationRequired", name)


def _authorized(user: User, name: str, *, clientID: str | None = None, **spec: object) -> None:
    _offered(user, name, clientID=clientID, **spec)
    with Person() as person:
        person.authorize(user.link(name))
    user.wait_for_reason("Authorized", name)


def _has_intent(user: User, name: str) -> bool:
    credential = user.credential(name)
    return credential is not None and "datasource.dev/intent" in credential["metadata"]["annotations"]


if __name__ == "__main__":
    main()
