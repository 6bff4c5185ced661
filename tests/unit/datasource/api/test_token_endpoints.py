"""Which of the listed token endpoints the callback chooses."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.token_endpoints import TokenEndpoint, chosen_endpoint, listed_endpoints
from tests.unit.datasource.builders import oauth2

EU = TokenEndpoint("dc", "eu", "https://eu.example.com/token", "https://eu.example.com/revoke")
IN = TokenEndpoint("dc", "in", "https://in.example.com/token")


@pytest.mark.parametrize(
    ("told", "chosen"),
    [
        ({"dc": "eu"}, EU),
        ({"dc": "in"}, IN),
        ({"dc": "in", "other": "eu"}, IN),
        ({}, None),
        ({"dc": "EU"}, None),
        ({"dc": "eu "}, None),
        ({"DC": "eu"}, None),
        ({"dc": "https://eu.example.com/token"}, None),
    ],
)
def test_entry_is_chosen_by_its_very_value(told: Mapping[str, str], chosen: TokenEndpoint | None) -> None:
    assert chosen_endpoint((EU, IN), told) == chosen


def test_first_of_several_entries_that_fit_is_chosen() -> None:
    same = TokenEndpoint("dc", "eu", "https://second.example.com/token")
    assert chosen_endpoint((EU, same), {"dc": "eu"}) is EU


@given(st.dictionaries(st.text(), st.text()))
def test_whatever_a_browser_brings_only_what_is_listed_is_chosen(told: dict[str, str]) -> None:
    assert chosen_endpoint((EU, IN), told) in {None, EU, IN}


def test_urls_are_listed_by_where_they_are_written() -> None:
    assert listed_endpoints((EU, IN)) == {
        "tokenURLs[0].url": "https://eu.example.com/token",
        "tokenURLs[0].revocationURL": "https://eu.example.com/revoke",
        "tokenURLs[1].url": "https://in.example.com/token",
    }


def test_list_of_a_preset_holds_only_where_no_token_url_is_written() -> None:
    """The instance: whoever calls the service by a gateway of their own would be led around it."""
    of_preset = oauth2(provider="zoho", tokenURL=None, authorizeURL=None).expanded()
    by_gateway = oauth2(provider="zoho", tokenURL="https://gateway.example.com/token").expanded()
    assert chosen_endpoint(of_preset.token_urls, {"accounts-server": "https://accounts.zoho.eu"}) is not None
    assert by_gateway.token_urls == ()
    assert chosen_endpoint(of_preset.token_urls, {"accounts-server": "https://accounts.zoho.evil"}) is None
