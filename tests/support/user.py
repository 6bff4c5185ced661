"""What a user does with kubectl, and reads."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey
from kubernetes.client.exceptions import ApiException

from datasource.api.names import CALLBACK_RIGHTS, HISTORY_KEY
from deploy.local.cluster import Cluster
from deploy.local.processes import StackError
from deploy.local.provider import Provider
from tests.support.api import (
    DATASOURCES,
    EVENTS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    Api,
    Manifest,
    Resource,
    api_of,
    message_of,
)
from tests.support.patience import PATIENCE as PATIENCE
from tests.support.patience import GaveUp as GaveUp
from tests.support.patience import eventually as eventually

CLIENT_SECRET = "sentinel-client-secret-8c1f"


def new_private_key() -> str:
    """A P-256 key in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@dataclass
class User:
    """Works in one namespace. Datasources are called `calendar` where no other name is given.

    What is done in nearly every test goes through the official client, which starts no process for it. People use kubectl: the
    tests of docs/ type every command of it that is written there.
    """

    cluster: Cluster
    namespace: str
    provider: Provider
    external_url: str
    clients: set[str] = field(default_factory=set)

    @property
    def client_id(self) -> str:
        """The application that is registered for this namespace."""
        return f"app-{self.namespace}"

    def register_application(self, **options: Any) -> None:
        """Register it at the provider, with the redirect URI of this namespace."""
        callback = f"{self.external_url}/callback/{self.namespace}"
        self.provider.register_client(self.client_id, CLIENT_SECRET, [callback], **options)

    def oauth2(self, **changes: Any) -> dict[str, Any]:
        """Complete parameters for the provider, with changes; a change to None leaves the field out."""
        whole: dict[str, Any] = {
            "clientID": self.client_id,
            "clientSecretRef": {"name": "app", "key": "client-secret"},
            "issuer": self.provider.issuer,
            "authorizeURL": self.provider.authorize_url,
            "tokenURL": self.provider.token_url,
            "scopes": ["openid", "email", "offline_access", "read"],
            # So that tests see the parameters; tests/cluster/test_providers.py pushes them.
            "pushedAuthorization": "never",
        }
        return {key: value for key, value in (whole | changes).items() if value is not None}

    def datasource(
        self, oauth2: dict[str, Any] | None = None, name: str = "calendar", annotations: Any = None, **spec: Any
    ) -> dict[str, Any]:
        """A Datasource manifest."""
        return {
            "apiVersion": "datasource.dev/v1alpha1",
            "kind": "Datasource",
            "metadata": {"name": name, "namespace": self.namespace, "annotations": annotations or {}},
            "spec": {"url": "https://api.example.com/v3", **({} if oauth2 is None else {"oauth2": oauth2}), **spec},
        }

    def apply(self, manifest: dict[str, Any]) -> None:
        """As `kubectl apply --server-side` does.

        Raises:
            StackError: with what the API server says against it.
        """
        metadata = {"namespace": self.namespace, **manifest["metadata"]}
        try:
            self.api.apply({**manifest, "metadata": metadata}, manager="kubectl")
        except ApiException as refused:
            raise StackError(message_of(refused)) from refused

    def delete(self, resource: Resource, name: str) -> None:
        """As `kubectl delete` does: it has gone when this returns, and there may be another of its name already."""
        uid = self.api.get(resource, name, self.namespace)["metadata"]["uid"]
        self.api.delete(resource, name, self.namespace)
        self.api.wait(f"{name} has gone", resource, name, partial(_is_not, uid), self.namespace)

    def create_client_secret(self, value: str = CLIENT_SECRET, name: str = "app") -> None:
        """As `kubectl create secret generic` does, which costs thirty times as much; README's own command has tests."""
        self._create_secret(name, "client-secret", value)

    def _create_secret(self, name: str, key: str, value: str) -> None:
        encoded = base64.b64encode(value.encode()).decode()
        metadata = {"name": name, "namespace": self.namespace}
        secret = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": {key: encoded}}
        self.api.create(secret)

    def create_private_key(self) -> dict[str, Any]:
        """A new private key in Secret `signing`; returns the public one, as a provider registers it."""
        pem = new_private_key()
        self._create_secret("signing", "private-key", pem)
        public: dict[str, Any] = ECKey.import_key(pem).as_dict(private=False, kid="key-1", use="sig", alg="ES256")
        return public

    def ready_to_authorize(self, **oauth2: Any) -> str:
        """Everything that an administrator prepares; returns the link."""
        self.register_application()
        self.create_client_secret()
        self.apply(self.datasource(self.oauth2(**oauth2)))
        self.wait_for_reason("AuthorizationRequired")
        return self.link()

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace; returns what it printed."""
        return self.cluster.kubectl("-n", self.namespace, *arguments, stdin=stdin).stdout

    @property
    def api(self) -> Api:
        """The API server."""
        return api_of(self.cluster.kubeconfig)

    def get(self, name: str = "calendar") -> Manifest:
        """The whole Datasource."""
        return self.api.get(DATASOURCES, name, self.namespace)

    def all_of(self, resource: Resource, *, fields: str | None = None) -> list[Manifest]:
        """All objects of a resource; `fields` is a selector."""
        return self.api.all_of(resource, self.namespace, fields=fields)

    def status(self, name: str = "calendar") -> Manifest:
        """Its status."""
        return _status(self.get(name))

    def state(self, name: str = "calendar") -> str:
        """Its state, as the STATE column shows it."""
        return str(self.status(name).get("state", ""))

    def ready(self, name: str = "calendar") -> dict[str, Any]:
        """Its Ready condition; empty where there is none."""
        return _ready(self.status(name))

    def reason(self, name: str = "calendar") -> str:
        """The reason of its Ready condition."""
        return str(self.ready(name).get("reason", ""))

    def link(self, name: str = "calendar") -> str:
        """The authorization link in its status."""
        return str(self.status(name)["authorizationLink"])

    def wait_for_status(self, what: str, is_so: Callable[[Manifest], object], name: str = "calendar") -> None:
        """Until its status is as it should be; a Datasource that is not there has an empty one."""
        self.api.wait(f"{name}: {what}", DATASOURCES, name, lambda seen: is_so(_status(seen)), self.namespace)

    def wait_for_reason(self, reason: str, name: str = "calendar") -> None:
        """Until the Ready condition has that reason."""
        self.wait_for_status(f"it becomes {reason}", lambda seen: _ready(seen).get("reason") == reason, name)

    def wait_for_message(self, part: str, name: str = "calendar") -> None:
        """Until the Ready condition says something."""
        self.wait_for_status(f"it says {part!r}", lambda seen: part in _ready(seen).get("message", ""), name)

    def wait_for_link(self, name: str = "calendar") -> None:
        """Until a link is offered."""
        self.wait_for_status("a link is offered", lambda seen: "authorizationLink" in seen, name)

    def wait_for_callback_rights(self, name: str = "calendar") -> None:
        """Until the callback server may read what it needs; the operator gives it that a moment after the link."""

        def named() -> bool:
            role = self.api.find(ROLES, CALLBACK_RIGHTS, self.namespace)
            rules = [] if role is None else role["rules"]
            is_bound = self.api.find(ROLE_BINDINGS, CALLBACK_RIGHTS, self.namespace) is not None
            return is_bound and any(f"{name}-oauth2-credential" in rule.get("resourceNames", ()) for rule in rules)

        eventually("the callback server has its rights", named)

    def wait_for_handled(self, request: str, value: str, name: str = "calendar") -> None:
        """Until the operator says that it acted on that value of a request."""
        self.wait_for_status(
            f"{request}={value} is handled", lambda seen: seen.get("handled", {}).get(request) == value, name
        )

    def annotate(self, key: str, value: str | None, name: str = "calendar") -> None:
        """As `kubectl annotate --overwrite` does; None takes the annotation away."""
        change = {"metadata": {"annotations": {f"datasource.dev/{key}": value}}}
        self.api.patch(DATASOURCES, name, change, self.namespace)

    def clear(self, value: str, name: str = "calendar") -> None:
        """Ask to clear the credential."""
        self.annotate("clear-credential", value, name)

    def secret(self, name: str) -> Manifest | None:
        """A Secret, or None."""
        return self.api.find(SECRETS, name, self.namespace)

    def decoded(self, secret: str, key: str) -> str | None:
        """The text under a key of a Secret, or None."""
        found = self.secret(secret)
        encoded = None if found is None else found.get("data", {}).get(key)
        return None if encoded is None else base64.b64decode(encoded).decode()

    def credential(self, name: str = "calendar") -> Manifest | None:
        """The credential Secret."""
        return self.secret(f"{name}-oauth2-credential")

    def tokens(self, name: str = "calendar") -> dict[str, str]:
        """What stands in the credential Secret, but for what people did: a clear leaves that alone."""
        data = (self.credential(name) or {}).get("data", {})
        return {key: value for key, value in data.items() if key != HISTORY_KEY}

    def credential_id(self, name: str = "calendar") -> str:
        """Which credential is stored; empty: none ever was."""
        secret = self.credential(name)
        return "" if secret is None else str(secret["metadata"]["annotations"]["datasource.dev/credential-id"])

    def events(self, name: str = "calendar") -> list[Manifest]:
        """The Events about a Datasource."""
        return [each for each in self.all_of(EVENTS) if each["regarding"]["name"] == name]


def _is_not(uid: str, found: Manifest | None) -> bool:
    return found is None or bool(found["metadata"]["uid"] != uid)


def _status(datasource: Manifest | None) -> Manifest:
    found: Manifest = (datasource or {}).get("status", {})
    return found


def _ready(status: Manifest) -> Manifest:
    return next((each for each in status.get("conditions", []) if each["type"] == "Ready"), {})
