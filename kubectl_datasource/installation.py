"""The objects that an installation of ours consists of, typed: only the fields that `doctor` looks at."""

import re

import msgspec

from datasource.api.objects import Metadata

POLICIES = (
    "callback-role-bindings.datasource.dev",
    "callback-roles.datasource.dev",
    "callback-server-writes.datasource.dev",
    "client-secret-reference.datasource.dev",
    "credential-labels.datasource.dev",
    "lease-writes.datasource.dev",
    "operator-events.datasource.dev",
    "operator-writes.datasource.dev",
    "secret-writes.datasource.dev",
    "status-writes.datasource.dev",
    "template-keys.datasource.dev",
    "token-secret.datasource.dev",
)
"""The admission policies of deploy/base/cluster; a unit test holds them to it."""


class ConfigMapRef(msgspec.Struct, frozen=True):
    """A reference by name."""

    name: str = ""


class EnvFrom(msgspec.Struct, frozen=True, rename="camel"):
    """Variables from a ConfigMap."""

    config_map_ref: ConfigMapRef | None = None


class Env(msgspec.Struct, frozen=True):
    """One variable; those from a field or a Secret have no value here."""

    name: str = ""
    value: str = ""


class VolumeMount(msgspec.Struct, frozen=True):
    """Where a volume is, by its name."""

    name: str = ""


class Container(msgspec.Struct, frozen=True, rename="camel"):
    """A container, as far as its version and settings go."""

    image: str = ""
    env: tuple[Env, ...] = ()
    env_from: tuple[EnvFrom, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """`spec.template.spec` of a Deployment."""

    containers: tuple[Container, ...] = ()
    service_account_name: str = ""


class PodTemplate(msgspec.Struct, frozen=True):
    """`spec.template` of a Deployment."""

    spec: PodSpec = PodSpec()


class DeploymentSpec(msgspec.Struct, frozen=True):
    """`spec` of a Deployment."""

    replicas: int = 1
    template: PodTemplate = PodTemplate()


class DeploymentCondition(msgspec.Struct, frozen=True):
    """A condition of a Deployment."""

    type: str = ""
    status: str = ""
    message: str = ""


class DeploymentStatus(msgspec.Struct, frozen=True, rename="camel"):
    """`status` of a Deployment."""

    ready_replicas: int = 0
    updated_replicas: int = 0
    conditions: tuple[DeploymentCondition, ...] = ()


class Deployment(msgspec.Struct, frozen=True):
    """A Deployment."""

    metadata: Metadata
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()

    @property
    def component(self) -> str:
        """Which of ours it is: `operator`, `callback-server`."""
        return self.metadata.labels.get("app.kubernetes.io/component", "")

    @property
    def container(self) -> Container:
        """Its first container."""
        return next(iter(self.spec.template.spec.containers), Container())

    @property
    def version(self) -> str:
        """The tag of its image; empty where a digest stands alone."""
        return re.sub(r"@.*", "", self.container.image).rpartition("/")[2].partition(":")[2]


class ConfigMap(msgspec.Struct, frozen=True):
    """A ConfigMap."""

    metadata: Metadata
    data: dict[str, str] = {}
