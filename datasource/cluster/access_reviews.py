"""I/O: whether somebody may do something, as the cluster's own authorizers say it (LocalSubjectAccessReview)."""

import secrets

import msgspec

from datasource.api.names import CALLBACK_FIELD_MANAGER, GROUP, PLURAL
from datasource.cluster.kube import Kube
from datasource.cluster.resources import LOCAL_ACCESS_REVIEWS
from datasource.oauth2.kubernetes_user import User


class _Status(msgspec.Struct):
    allowed: bool = False
    denied: bool = False


class _Review(msgspec.Struct):
    status: _Status = msgspec.field(default_factory=_Status)


async def may(kube: Kube, user: User, verb: str, namespace: str | None, name: str | None) -> bool:
    """Whether a user may do that to the Datasource of that name, or to all of the namespace where there is no name.

    No namespace means in all of them. That is asked about one that does not exist: no Role holds there, so RBAC says yes only
    for who may do it everywhere. Nobody can make that namespace beforehand, as its name is another one each time.

    Raises:
        ApiError, Unavailable: the API server refused or did not answer; nobody may anything then.
    """
    where = secrets.token_hex(31) if namespace is None else namespace
    attributes = {"group": GROUP, "resource": PLURAL, "verb": verb, "namespace": where}
    attributes |= {} if name is None else {"name": name}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "LocalSubjectAccessReview",
        "metadata": {"namespace": where},
        "spec": {"user": user.name, "groups": list(user.groups), "resourceAttributes": attributes},
    }
    answer = await kube.create(LOCAL_ACCESS_REVIEWS, where, review, _Review, manager=CALLBACK_FIELD_MANAGER)
    return answer.status.allowed and not answer.status.denied
