"""I/O: whether somebody may do something, as the cluster's own authorizers say it (SubjectAccessReview, or the local one)."""

import msgspec

from datasource.api.names import CALLBACK_FIELD_MANAGER, GROUP, PLURAL
from datasource.cluster.kube import Kube
from datasource.cluster.resources import ACCESS_REVIEWS, LOCAL_ACCESS_REVIEWS
from datasource.oauth2.kubernetes_user import User


class _Status(msgspec.Struct):
    allowed: bool = False
    denied: bool = False


class _Review(msgspec.Struct):
    status: _Status = msgspec.field(default_factory=_Status)


async def may(kube: Kube, user: User, verb: str, namespace: str | None, name: str | None) -> bool:
    """Whether a user may do that to the Datasource of that name, or to all of the namespace where there is no name.

    No namespace means in all of them: what the API server asks itself before a list of the whole cluster. Questions that name a
    namespace do not add up to it: an authorizer may allow most namespaces and not one.

    Raises:
        ApiError, Unavailable: the API server refused or did not answer; nobody may anything then.
    """
    where = {} if namespace is None else {"namespace": namespace}
    attributes = {"group": GROUP, "resource": PLURAL, "verb": verb} | where | ({} if name is None else {"name": name})
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview" if namespace is None else "LocalSubjectAccessReview",
        "metadata": where,
        "spec": {"user": user.name, "groups": list(user.groups), "resourceAttributes": attributes},
    }
    resource = ACCESS_REVIEWS if namespace is None else LOCAL_ACCESS_REVIEWS
    answer = await kube.create(resource, namespace or "", review, _Review, manager=CALLBACK_FIELD_MANAGER)
    return answer.status.allowed and not answer.status.denied
