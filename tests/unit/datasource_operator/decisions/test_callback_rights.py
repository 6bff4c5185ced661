"""Which Roles the callback server gets in a namespace: what its Datasources name, by name, in as few objects as hold it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.objects import Metadata
from datasource_operator.decisions.callback_rights import (
    MOST_ROLES,
    RBAC,
    Needs,
    PolicyRule,
    RoleRef,
    ServiceAccount,
    StoredRoleBinding,
    Subject,
    binds,
    bytes_of,
    digest,
    needs_of,
    number_in,
    role_binding_manifest,
    role_manifest,
    roles_for,
)

ACCOUNT = ServiceAccount("datasource-system", "datasource-callback-server")


def header_from(secret: str) -> dict[str, Any]:
    return {"name": "X", "secretRef": {"name": secret, "key": "key"}}


@pytest.mark.parametrize(
    ("spec", "needs"),
    [
        ({}, Needs()),
        ({"oauth2": None}, Needs()),
        ({"oauth2": {"clientID": "public"}}, Needs()),
        ({"oauth2": {"clientSecretRef": {"name": "app", "key": "secret"}}}, Needs("app")),
        ({"oauth2": {"privateKeyRef": {"name": "key"}}}, Needs("key")),
        ({"oauth2": {"caBundleRef": {"name": "ca", "key": "ca.crt"}}}, Needs(None, "ca")),
        ({"oauth2": {"clientSecretRef": {"name": "app"}, "caBundleRef": {"name": "ca"}}}, Needs("app", "ca")),
        # What a schema of another version might let through gives no right, and breaks nothing.
        (
            {
                "oauth2": {
                    "tokenHeaders": [{"name": "X", "value": "y"}, header_from("b"), header_from("a"), header_from("b")]
                }
            },
            Needs(None, None, ("b", "a")),
        ),
        ({"oauth2": {"tokenHeaders": ["X", 7, {"secretRef": {"name": 7}}]}}, Needs()),
        ({"oauth2": {"tokenHeaders": "X"}}, Needs()),
        ({"oauth2": {"clientSecretRef": {"name": ""}, "caBundleRef": {"name": 7}}}, Needs()),
        ({"oauth2": {"clientSecretRef": "app", "privateKeyRef": None}}, Needs()),
        ({"oauth2": ["clientSecretRef"]}, Needs()),
    ],
)
def test_spec_names_what_is_read_of_it(spec: dict[str, Any], needs: Needs) -> None:
    assert needs_of(spec) == needs


def test_rules_name_credentials_client_secrets_and_ca_bundles_each_once() -> None:
    needs = {"b": Needs("app", "ca"), "a": Needs("app"), "public": Needs()}
    assert roles_for(needs) == {
        0: (
            PolicyRule(
                ("",),
                ("secrets",),
                ("get", "patch"),
                ("a-oauth2-credential", "b-oauth2-credential", "public-oauth2-credential"),
            ),
            PolicyRule(("",), ("secrets",), ("get",), ("app",)),
            PolicyRule(("",), ("configmaps",), ("get",), ("ca",)),
        )
    }


def test_without_a_datasource_there_is_no_role_and_never_a_rule_without_names() -> None:
    assert roles_for({}) == {}
    ((_, secrets),) = roles_for({"a": Needs("app", None, ("gw", "app"))}).values()
    assert secrets.resource_names == ("app", "gw")
    ((only,),) = roles_for({"public": Needs()}).values()
    assert only.resource_names == ("public-oauth2-credential",)


names = st.text("abcdefghij0123456789-.", min_size=1, max_size=40)


some_needs = st.builds(Needs, st.none() | names, st.none() | names, st.lists(names, max_size=3).map(tuple))


@given(st.dictionaries(names, some_needs, max_size=30))
def test_all_that_is_named_is_given_and_nothing_else(needs: dict[str, Needs]) -> None:
    given_names = {
        (rule.resources, rule.verbs, name)
        for rules in roles_for(needs).values()
        for rule in rules
        for name in rule.resource_names
    }
    assert given_names == {
        *((("secrets",), ("get", "patch"), f"{name}-oauth2-credential") for name in needs),
        *((("secrets",), ("get",), each.secret) for each in needs.values() if each.secret),
        *((("secrets",), ("get",), secret) for each in needs.values() for secret in each.header_secrets),
        *((("configmaps",), ("get",), each.config_map) for each in needs.values() if each.config_map),
    }
    assert all(rule.resource_names for rules in roles_for(needs).values() for rule in rules)


def many(count: int, length: int = 235) -> dict[str, Needs]:
    return {f"{number}".rjust(length, "a"): Needs() for number in range(count)}


def test_thousands_of_the_longest_names_fit_into_objects_of_the_api_server() -> None:
    roles = roles_for(many(2000))
    assert set(roles) == set(range(MOST_ROLES))
    largest = max(len(msgspec.json.encode(role_manifest(number, rules))) for number, rules in roles.items())
    assert largest < 256 * 1024


def test_names_of_a_datasource_are_counted_with_its_credential() -> None:
    assert bytes_of("a", Needs()) == len("a-oauth2-credential")
    assert bytes_of("a", Needs("app", "ca")) == len("a-oauth2-credential") + len("app") + len("ca")
    assert bytes_of("a", Needs(None, None, ("gw", "x"))) == len("a-oauth2-credential") + len("gw") + len("x")


def test_one_that_comes_or_goes_rewrites_one_role_of_many() -> None:
    before = roles_for(many(1000))
    after = roles_for(many(1001))
    assert len(before) == 4
    assert sum(before[number] != after[number] for number in before) == 1


def test_few_names_are_one_role() -> None:
    assert set(roles_for(many(200))) == {0}


def test_digest_tells_rules_apart() -> None:
    one, other = roles_for({"a": Needs()})[0], roles_for({"a": Needs("app")})[0]
    assert digest(one) == digest(roles_for({"a": Needs()})[0])
    assert digest(one) != digest(other)
    assert digest(()) != digest(one)


def test_manifests_are_what_is_read_back() -> None:
    role = role_manifest(3, roles_for({"a": Needs("app")})[0])
    assert role["metadata"]["name"] == "datasource-callback-rights-3"
    assert role["rules"][1] == {
        "apiGroups": ("",),
        "resources": ("secrets",),
        "verbs": ("get",),
        "resourceNames": ("app",),
    }
    binding = msgspec.convert(role_binding_manifest(3, ACCOUNT), StoredRoleBinding)
    assert binds(binding, ACCOUNT)
    assert binding.metadata.labels == role["metadata"]["labels"]


@pytest.mark.parametrize(
    "change",
    [
        {"role_ref": RoleRef(RBAC, "ClusterRole", "datasource-callback-rights")},
        {"role_ref": RoleRef(RBAC, "Role", "others")},
        {"subjects": None},
        {"subjects": (Subject("ServiceAccount", "others", "datasource-system"),)},
        {"subjects": (Subject("ServiceAccount", "datasource-callback-server", "shop"),)},
        {"subjects": (Subject("User", "datasource-callback-server", "datasource-system"),)},
        {"subjects": 2 * (Subject("ServiceAccount", "datasource-callback-server", "datasource-system"),)},
    ],
)
def test_binding_that_gives_something_else_or_to_others_is_not_ours(change: dict[str, Any]) -> None:
    binding = msgspec.convert(role_binding_manifest(0, ACCOUNT), StoredRoleBinding)
    assert binds(binding, ACCOUNT)
    assert not binds(msgspec.structs.replace(binding, **change), ACCOUNT)


def test_number_is_read_from_names_of_ours_alone() -> None:
    assert number_in("datasource-callback-rights") == 0
    assert number_in("datasource-callback-rights-7") == 7
    for other in ("datasource-callback-rights-8", "datasource-callback-rights-0", "datasource-callback-server", ""):
        assert number_in(other) is None
    assert number_in(Metadata(name="datasource-callback-rights-07").name) is None
