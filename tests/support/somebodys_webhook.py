"""A webhook of somebody else in a user's namespace: it refuses what it looks at, with the status that it likes."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.api import WEBHOOKS
from tests.support.hostile_provider import HostileProvider, ReceivedRequest, replies, self_signed, served
from tests.support.somebodys_policy import Rule
from tests.support.user import User, eventually


@contextmanager
def refusing(
    user: User, rule: Rule, condition: str, status: dict[str, Any], is_in_force: Callable[[], bool]
) -> Iterator[None]:
    """Refuse what a condition (CEL) holds for, from when the API server asks the webhook, to the end of the block.

    Args:
        user: in whose namespace.
        rule: what it is asked about.
        condition: an expression over `object`.
        status: what it answers with (metav1.Status).
        is_in_force: whether the API server asks it by now.
    """
    name, certificate = f"somebodys-{user.namespace}", self_signed()

    async def refuse(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        response = {"uid": json.loads(request.body)["request"]["uid"], "allowed": False, "status": status}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        await replies(200, json.dumps(review).encode())(request, writer)

    with served(HostileProvider(refuse, tls=certificate.server_context())) as server:
        webhook = {
            "name": "no.example.com",
            "clientConfig": {"url": server.url, "caBundle": b64encode(certificate.certificate.encode()).decode()},
            "rules": [
                {
                    "apiGroups": [rule.group],
                    "apiVersions": ["*"],
                    "operations": list(rule.operations),
                    "resources": [rule.resource],
                }
            ],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": user.namespace}},
            "matchConditions": [{"name": "is-meant", "expression": condition}],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "failurePolicy": "Ignore",
        }
        user.api.create(
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": name},
                "webhooks": [webhook],
            }
        )
        try:
            eventually("the webhook is asked", is_in_force)
            yield
        finally:
            user.api.delete(WEBHOOKS, name)
