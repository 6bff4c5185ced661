"""Whether the cluster is new enough; asked once, at the start."""

import re

import structlog

from datasource.cluster.api_errors import ApiError, Unavailable
from datasource.cluster.kube import Kube, ServerVersion
from datasource.process.installation import OLDEST_KUBERNETES

logger = structlog.get_logger(__name__)

_OLDEST = ".".join(map(str, OLDEST_KUBERNETES))


class ClusterTooOld(Exception):
    """The API server is older than what deploy/ was made for: its policies may not be in force."""

    def __init__(self, found: ServerVersion) -> None:
        super().__init__(
            f"the cluster runs Kubernetes {found.git_version}, and {_OLDEST} or newer is needed: the admission policies "
            "that protect Secrets may not be in force here. Upgrade the cluster, or go back to the version of the "
            "operator that ran before."
        )


async def require_supported_cluster(kube: Kube) -> None:
    """Ask the API server for its version. Where it does not tell, that is logged and nothing else.

    Raises:
        ClusterTooOld: it is older than `OLDEST_KUBERNETES`.
    """
    try:
        found = await kube.version()
    except (ApiError, Unavailable) as error:
        # An operator that waits for the API server is worth more than one that ends because nobody told a version.
        logger.warning("the version of the cluster is not known", error=str(error))
        return
    number = number_of(found)
    if number is not None and number < OLDEST_KUBERNETES:
        raise ClusterTooOld(found)
    logger.info("cluster", kubernetes=found.git_version)


def number_of(version: ServerVersion) -> tuple[int, int] | None:
    """Major and minor; None where they cannot be read.

    >>> number_of(ServerVersion(major="1", minor="31+"))
    (1, 31)
    """
    major, minor = re.match("[0-9]+", version.major), re.match("[0-9]+", version.minor)
    return None if major is None or minor is None else (int(major[0]), int(minor[0]))
