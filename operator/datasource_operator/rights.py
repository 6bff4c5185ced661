"""I/O: where our rights come from: what a ClusterRole gives outlives a namespace, what a Role gives goes with it."""

import msgspec
import structlog

from datasource.api.names import FIELD_MANAGER
from datasource.cluster.api_errors import ApiError, Unavailable
from datasource.cluster.kube import Kube
from datasource.cluster.resources import Resource
from datasource.process.settings import Settings

logger = structlog.get_logger(__name__)

REVIEWS = Resource("/apis/authorization.k8s.io/v1", "selfsubjectaccessreviews")


class _Verdict(msgspec.Struct):
    allowed: bool = False


class _Review(msgspec.Struct):
    status: _Verdict


async def rights_outlive_namespaces(kube: Kube, settings: Settings) -> bool:
    """Whether we may patch Secrets in all namespaces; where nobody tells, whether we serve all."""
    asked = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        # No namespace: all of them.
        "spec": {"resourceAttributes": {"verb": "patch", "version": "v1", "resource": "secrets"}},
    }
    try:
        return (await kube.create(REVIEWS, "", asked, _Review, manager=FIELD_MANAGER)).status.allowed
    except (ApiError, Unavailable) as error:
        logger.warning("cannot ask where our rights come from", error=str(error))
        return not settings.namespaces
