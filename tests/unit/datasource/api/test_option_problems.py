"""Headers of requests and token URLs to choose from: what is refused, with field and remedy."""

from typing import Any

import pytest

from datasource.api.option_problems import header_problems, token_url_problems
from datasource.api.spec import InvalidSpec, OAuth2, SpecProblem
from datasource.api.spec_problems import parse_spec
from tests.unit.datasource.builders import oauth2, raw_spec


def refused(raw: dict[str, Any]) -> SpecProblem:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec(raw, allow_insecure_http=False)
    return caught.value.problem


def test_nothing_is_wrong_where_nothing_is_written() -> None:
    assert [*header_problems(OAuth2()), *token_url_problems(OAuth2())] == []


# Headers.


def header(name: str = "X-Api-Key", **where: Any) -> dict[str, Any]:
    return {"name": name, **(where or {"value": "x"})}


FROM_SECRET: dict[str, Any] = {"secretRef": {"name": "gateway", "key": "api-key"}}


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        pytest.param([header("Authorization")], "names Authorization, which is set by the request", id="one of ours"),
        pytest.param([header("X\r\nHost")], "which is no name of a header", id="no name"),
        pytest.param([header(value="a\r\nHost: b")], "has a value of X-Api-Key that is empty", id="a line break"),
        pytest.param([header(), header("x-api-key")], "names X-Api-Key twice", id="twice"),
        pytest.param([{"name": "X"}], "needs either value or secretRef for X", id="no value"),
        pytest.param([header(value="x", **FROM_SECRET)], "needs either value or secretRef", id="two values"),
        pytest.param(
            [header(secretRef={"name": "x-oauth2-credential", "key": "a"})], "names a credential Secret", id="tokens"
        ),
        pytest.param([header(f"X-{number}") for number in range(9)], "has more than 8 entries", id="many"),
    ],
)
def test_header_that_cannot_be_sent_is_refused_with_field_and_remedy(headers: list[Any], says: str) -> None:
    error = refused(raw_spec(tokenHeaders=headers))
    assert str(error).startswith("spec.oauth2.tokenHeaders")
    assert says in str(error)


def test_headers_for_a_gateway_are_taken() -> None:
    parsed = oauth2(tokenHeaders=[header("User-Agent"), header(**FROM_SECRET)])
    assert [each.name for each in parsed.token_headers] == ["User-Agent", "X-Api-Key"]


# Token URLs to choose from.


def choice(**changes: str) -> dict[str, str]:
    return {"parameter": "dc", "value": "eu", "url": "https://eu.example.com/token"} | changes


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"url": "http://eu.example.com/token"}, "spec.oauth2.tokenURLs[0].url is not https"),
        ({"revocationURL": "/r"}, "spec.oauth2.tokenURLs[0].revocationURL is not an absolute"),
        ({"url": "https://u@eu.example.com/"}, "spec.oauth2.tokenURLs[0].url carries a user name"),
        ({"url": "https://eu.example.com/?client_secret=x"}, "spec.oauth2.tokenURLs[0].url sets client_secret"),
        ({"url": "https://169.254.169.254/"}, "spec.oauth2.tokenURLs[0].url leads to a cloud's metadata service"),
        ({"revocationURL": "https://a.svc/"}, "spec.oauth2.tokenURLs[0].revocationURL leads to a Service"),
        ({"parameter": "code"}, "spec.oauth2.tokenURLs names the parameter code"),
        ({"parameter": "iss"}, "spec.oauth2.tokenURLs names the parameter iss"),
    ],
)
def test_token_url_to_choose_is_held_to_what_every_endpoint_is_held_to(entry: dict[str, str], says: str) -> None:
    assert str(refused(raw_spec(tokenURLs=[choice(**entry)]))).startswith(says)


def test_token_urls_to_choose_are_few_and_stand_without_a_refresh_url() -> None:
    many = [choice(value=str(number)) for number in range(17)]
    assert "has more than 16 entries" in str(refused(raw_spec(tokenURLs=many)))
    beside = raw_spec(tokenURLs=[choice()], refreshURL="https://login.example.com/refresh")
    assert "is set as well as refreshURL" in str(refused(beside))
    assert len(oauth2(tokenURLs=[choice(), choice(value="in")]).token_urls) == 2
