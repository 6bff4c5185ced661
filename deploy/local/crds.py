"""When CRDs can be used."""

import time
from typing import Any

from deploy.local.cluster import Cluster
from deploy.local.processes import StackError

ESTABLISHED_WITHIN = 60.0
"""Seconds. The API server takes a moment to serve the resources of a new CRD."""


def wait_until_established(cluster: Cluster, *names: str, seconds: float = ESTABLISHED_WITHIN) -> None:
    """Wait until the API server serves the resources of these CRDs.

    `kubectl wait --for=condition=Established` fails at once on a CRD that is so new that its conditions are null.

    Args:
        cluster: where the CRDs are.
        names: of the CRDs, such as `datasources.datasource.dev`.
        seconds: how long to wait for all of them together.

    Raises:
        StackError: there is no such CRD, or it was not served in time.
    """
    deadline = time.monotonic() + seconds
    for name in names:
        while not is_established(found := cluster.get("crd", name)):
            if time.monotonic() > deadline:
                conditions = found.get("status", {}).get("conditions")
                raise StackError(f"The CRD {name} was not served within {seconds:.0f} s. Its conditions: {conditions}")
            time.sleep(0.1)


def is_established(crd: dict[str, Any]) -> bool:
    """Whether the API server serves the resources of a CRD. Its conditions may be null or missing."""
    conditions = crd.get("status", {}).get("conditions") or ()
    return any((each["type"], each["status"]) == ("Established", "True") for each in conditions)
