"""A user who reads through the API instead of with kubectl, which takes a tenth of a second each time: polls are cheap."""

import urllib.error
from dataclasses import dataclass
from typing import Any

from deploy.local.controlplane import ControlPlane
from tests.faults.world import DATASOURCES, SECRETS
from tests.support.user import User


@dataclass
class ImpatientUser(User):
    """Writes with kubectl, as everybody does."""

    control_plane: ControlPlane | None = None

    def get(self, name: str = "calendar") -> dict[str, Any]:
        """The whole Datasource; an error if there is none."""
        found = self._read(f"{DATASOURCES.format(self.namespace)}/{name}")
        assert found is not None, f"there is no Datasource {name}"
        return found

    def secret(self, name: str) -> dict[str, Any] | None:
        """A Secret, or None."""
        return self._read(f"{SECRETS.format(self.namespace)}/{name}")

    def _read(self, path: str) -> dict[str, Any] | None:
        assert self.control_plane is not None
        try:
            found: dict[str, Any] = self.control_plane.api("GET", path)
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 404:
                    raise
            return None
        return found
