"""Whether somebody may do something, asked of the API server in the namespace asked about."""

import re

import pytest

from datasource.cluster.access_reviews import may
from datasource.cluster.api_errors import Forbidden, Unavailable
from datasource.oauth2.kubernetes_user import User
from tests.unit.datasource.api_server import ApiServer, fails, json_reply, raw_reply

ADA = User("ada", ("dev", "system:authenticated"))


async def asked(answer: object, name: str | None = "calendar") -> tuple[bool, ApiServer]:
    async with ApiServer(json_reply(answer, 201)) as server, server.kube() as kube:
        return await may(kube, ADA, "authorize", "shop", name), server


async def test_question_names_user_groups_verb_namespace_and_object() -> None:
    allowed, server = await asked({"status": {"allowed": True}})
    (request,) = server.requests
    assert allowed
    assert (request.method, request.path) == (
        "POST",
        "/apis/authorization.k8s.io/v1/namespaces/shop/localsubjectaccessreviews",
    )
    assert request.body["spec"] == {
        "user": "ada",
        "groups": ["dev", "system:authenticated"],
        "resourceAttributes": {
            "group": "datasource.dev",
            "resource": "datasources",
            "verb": "authorize",
            "namespace": "shop",
            "name": "calendar",
        },
    }


async def test_question_about_all_of_a_namespace_names_no_object() -> None:
    _, server = await asked({"status": {"allowed": False}}, name=None)
    assert "name" not in server.requests[0].body["spec"]["resourceAttributes"]


async def test_question_about_all_namespaces_is_one_about_a_namespace_that_nobody_can_have_made() -> None:
    async with ApiServer(*[json_reply({"status": {"allowed": True}}, 201)] * 2) as server, server.kube() as kube:
        assert await may(kube, ADA, "list", None, None)
        assert await may(kube, ADA, "list", None, None)
    asked = [request.body["spec"]["resourceAttributes"]["namespace"] for request in server.requests]
    assert len(set(asked)) == 2
    for namespace, request in zip(asked, server.requests, strict=True):
        assert re.fullmatch("[0-9a-f]{62}", namespace), "a DNS label that is guessed by nobody"
        assert request.path == f"/apis/authorization.k8s.io/v1/namespaces/{namespace}/localsubjectaccessreviews"
        assert (request.body["kind"], request.body["metadata"]) == (
            "LocalSubjectAccessReview",
            {"namespace": namespace},
        )


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        ({"status": {"allowed": True}}, True),
        ({"status": {"allowed": True, "reason": "RBAC"}}, True),
        ({"status": {"allowed": False}}, False),
        ({"status": {"allowed": True, "denied": True}}, False),
        ({"status": {"evaluationError": "no role"}}, False),
        ({"status": {}}, False),
        ({}, False),
    ],
)
async def test_nothing_but_a_clear_yes_is_one(answer: object, allowed: bool) -> None:
    assert (await asked(answer))[0] is allowed


async def test_refusal_and_what_is_no_answer_are_told() -> None:
    async with ApiServer(fails(403, "Forbidden"), raw_reply(b"<html>", 201)) as server, server.kube() as kube:
        with pytest.raises(Forbidden):
            await may(kube, ADA, "get", "shop", None)
        with pytest.raises(Unavailable):
            await may(kube, ADA, "get", "shop", None)
