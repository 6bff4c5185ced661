"""What may not stand in the query of an endpoint."""

import re

import pytest
import yaml

from datasource.oauth2.reserved_parameters import (
    RESERVED_PARAMETERS,
    SECRET_PARAMETERS,
    reserved_parameter_in,
    reserved_parameters_in,
)
from deploy.local.cache import REPOSITORY

SENT_A_SECRET = (
    "tokenURL",
    "refreshURL",
    "revocationURL",
    "pushedAuthorizationURL",
    "discoveryURL",
    "tokenURLs[0].url",
)


@pytest.mark.parametrize(
    "name",
    [
        "client_id",
        "redirect_uri",
        "state",
        "response_type",
        "scope",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "request",
        "request_uri",
    ],
)
def test_every_parameter_that_the_requirements_reserve_is_reserved(name: str) -> None:
    assert name in RESERVED_PARAMETERS


@pytest.mark.parametrize("name", sorted(RESERVED_PARAMETERS))
def test_parameter_of_the_flow_is_found_in_an_authorize_url_alone(name: str) -> None:
    url = f"https://login.example.com/?tenant=a&{name}"
    assert reserved_parameter_in(url) == name
    assert all(reserved_parameter_in(url, field) is None for field in SENT_A_SECRET)


@pytest.mark.parametrize("field", SENT_A_SECRET)
@pytest.mark.parametrize("name", sorted(SECRET_PARAMETERS))
def test_secret_is_found_in_whatever_url_requests_go_to(field: str, name: str) -> None:
    assert reserved_parameter_in(f"https://login.example.com/?x=1&{name}=y", field) == name
    assert list(reserved_parameters_in(f"https://login.example.com/?{name}=y&{name}=z", field)) == [name, name]


@pytest.mark.parametrize(
    "url",
    [
        "https://login.example.com/state/authorize",
        "https://login.example.com/?mystate=1&state_of_mind=2&STATE=3",
        "https://login.example.com/?x=state",
        "https://login.example.com/?x=a%26state=1",
        "https://login.example.com/?",
    ],
)
def test_what_only_looks_like_it_is_not_found(url: str) -> None:
    assert reserved_parameter_in(url) is None


def test_percent_encoding_hides_nothing() -> None:
    assert reserved_parameter_in("https://login.example.com/?%73tate=x") == "state"
    assert reserved_parameter_in("https://login.example.com/?client%5Fsecret=x", "tokenURL") == "client_secret"


def test_rules_of_the_schema_name_the_same_parameters() -> None:
    crd = yaml.load((REPOSITORY / "crds" / "datasource.yaml").read_text(), yaml.CSafeLoader)
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    fields = spec["oauth2"]["properties"]
    choice = fields["tokenURLs"]["items"]["properties"]
    assert _in_the_query(fields["authorizeURL"]) == RESERVED_PARAMETERS
    called = [each for name, each in fields.items() if name.endswith("URL") and name != "authorizeURL"]
    called += [choice["url"], choice["revocationURL"]]
    assert len(called) == 7
    assert {_in_the_query(each) for each in called} == {SECRET_PARAMETERS}


def _in_the_query(schema: dict[str, object]) -> frozenset[str]:
    rules = schema.get("x-kubernetes-validations")
    found = [re.search(r"\[\?&\]\(([a-z_|]+)\)", each["rule"]) for each in (rules if isinstance(rules, list) else [])]
    return frozenset(name for match in found if match is not None for name in match[1].split("|"))
