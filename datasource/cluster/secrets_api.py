"""I/O: the verbs of Kube that Secrets need, as a protocol: others than Kube may implement them."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from datasource.api.objects import PartialObject
from datasource.cluster.resources import Resource

T = TypeVar("T")


class SecretsApi(Protocol):
    """What is needed of Kube."""

    async def get(
        self, resource: Resource, namespace: str, name: str, type_: type[T], *, metadata_only: bool = False
    ) -> T:
        """Read one live."""

    async def create(
        self,
        resource: Resource,
        namespace: str,
        manifest: Mapping[str, Any],
        type_: type[T],
        *,
        manager: str,
        dry_run: bool = False,
    ) -> T:
        """POST a new one."""

    async def merge_patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Mapping[str, Any],
        type_: type[T],
        *,
        manager: str,
        dry_run: bool = False,
    ) -> T:
        """Patch one that exists."""

    async def list_metadata(
        self, resource: Resource, namespace: str, *, field_selector: str = ""
    ) -> tuple[list[PartialObject], str]:
        """List the metadata of some."""
