"""What `doctor` asks for is what deploy/ gives: held to the files, so that neither drifts."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from kubectl_datasource.installation import POLICIES
from kubectl_datasource.rights import (
    ACCOUNTS,
    CALLBACK_SERVER,
    OPERATOR,
    SIGN_IN,
    Account,
    ResourceAttributes,
    Rule,
    reviews,
    reviews_of_credentials,
    user_name,
    with_sign_in,
)

BASE = Path(__file__).parents[3] / "deploy" / "base"
USER = user_name("datasource-system", "datasource-operator")


def documents(path: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((BASE / path).read_text()) if each]


def rules_of(path: str, account: Account) -> set[Rule]:
    """The rules of the Roles in a file that are bound to the account."""
    found = documents(path)
    bound = {
        each["roleRef"]["name"]
        for each in found
        if each["kind"] == "RoleBinding" and each["subjects"][0]["name"] == account.default_name
    }
    rules = (
        rule for each in found if each["kind"] == "Role" and each["metadata"]["name"] in bound for rule in each["rules"]
    )
    return {
        # Of several names the first stands for all of them.
        Rule(group, resource, tuple(rule["verbs"]), *rule.get("resourceNames", ())[:1])
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


@pytest.mark.parametrize("account", ACCOUNTS, ids=lambda account: account.component)
def test_rights_that_are_checked_are_those_that_are_given(account: Account) -> None:
    assert set(account.served) == rules_of(f"rights/{account.component}.yaml", account)
    files = ("flow-rights.yaml", "lease-rights.yaml", "link-key-rights.yaml")
    assert set(account.system) == set().union(*(rules_of(each, account) for each in files))


def test_rights_of_sign_in_that_are_checked_are_those_that_the_component_gives() -> None:
    component = yaml.safe_load((BASE.parent / "components" / "sign-in" / "kustomization.yaml").read_text())
    (patch,) = [each["patch"] for each in component["patches"] if each["target"]["kind"] == "(Cluster)?Role"]
    given = {
        Rule(group, resource, tuple(rule["verbs"]))
        for rule in (each["value"] for each in yaml.safe_load(patch))
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert given == set(SIGN_IN)
    assert with_sign_in(CALLBACK_SERVER).served == (*CALLBACK_SERVER.served, *SIGN_IN)
    assert with_sign_in(OPERATOR) is OPERATOR


def test_policies_that_are_checked_are_those_that_are_shipped() -> None:
    shipped = {
        each["metadata"]["name"]
        for path in (BASE / "cluster").glob("*.yaml")
        for each in documents(f"cluster/{path.name}")
        if each["kind"] == "ValidatingAdmissionPolicy"
    }
    assert set(POLICIES) == shipped


def test_each_right_is_asked_for_in_each_namespace() -> None:
    account = Account(
        "operator",
        "datasource-operator",
        served=(Rule("datasource.dev", "datasources/status", ("patch",)),),
        system=(Rule("", "secrets", ("list", "delete")),),
    )
    asked = reviews(account, USER, ("shop", "bank"), "datasource-system")
    assert [each["spec"]["resourceAttributes"] for each in asked] == [
        {
            "verb": "patch",
            "group": "datasource.dev",
            "resource": "datasources",
            "subresource": "status",
            "namespace": "shop",
        },
        {
            "verb": "patch",
            "group": "datasource.dev",
            "resource": "datasources",
            "subresource": "status",
            "namespace": "bank",
        },
        {"verb": "list", "resource": "secrets", "namespace": "datasource-system"},
        {"verb": "delete", "resource": "secrets", "namespace": "datasource-system"},
    ]
    assert {each["spec"]["user"] for each in asked} == {"system:serviceaccount:datasource-system:datasource-operator"}


def test_without_a_list_of_namespaces_all_of_them_are_asked_for() -> None:
    asked = reviews(ACCOUNTS[1], USER, (), "datasource-system")
    assert "namespace" not in asked[0]["spec"]["resourceAttributes"]


def test_credentials_are_asked_for_by_name() -> None:
    (asked,) = reviews_of_credentials(USER, [("shop", "sales-oauth2-credential")])
    assert asked["spec"] == {
        "user": USER,
        "resourceAttributes": {
            "verb": "get",
            "resource": "secrets",
            "namespace": "shop",
            "name": "sales-oauth2-credential",
        },
    }


def test_right_reads_as_rbac_writes_it() -> None:
    assert str(ResourceAttributes("get", "", "secrets")) == "get secrets in all namespaces"
    status = ResourceAttributes("patch", "datasource.dev", "datasources", "status", "shop")
    assert str(status) == "patch datasources/status.datasource.dev in namespace shop"
