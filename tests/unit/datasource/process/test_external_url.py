"""External URLs at the edge. The chart is asked the same (tests/deploy/test_chart_names.py), the callback server for pages."""

import pytest

from datasource.process.external_url import UnusableURL, checked_external_url
from tests.support.external_urls import UNUSABLE, USABLE


@pytest.mark.parametrize("url", USABLE)
def test_url_that_works_is_taken_as_it_is(url: str) -> None:
    assert checked_external_url(url) == url


@pytest.mark.parametrize("url", UNUSABLE)
def test_url_that_can_be_read_in_another_way_is_refused(url: str) -> None:
    with pytest.raises(UnusableURL, match="must"):
        checked_external_url(url)


@pytest.mark.parametrize("path", ["a%20b", "{p}", "o'neil", "a/../b"])
def test_path_that_is_refused_has_a_remedy(path: str) -> None:
    with pytest.raises(UnusableURL, match=r"must have a path of .* Choose another path"):
        checked_external_url(f"https://connect.example.com/{path}")


def test_plain_http_is_for_loopback() -> None:
    assert checked_external_url("http://[::1]:8080/") == "http://[::1]:8080"
    with pytest.raises(UnusableURL, match="must be https://"):
        checked_external_url("http://10.0.0.1")
