"""Proxies from the environment, as Go programs read them."""

import pytest

from datasource.outbound.proxies import InvalidProxy, Proxies, proxies_in

PROXY = "http://proxy.example.com:3128"


def proxied(url: str, *, bypass: str) -> bool:
    return proxies_in({"HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY, "NO_PROXY": bypass}).proxy_for(url) is not None


def test_without_variables_requests_go_there_directly() -> None:
    assert proxies_in({}).proxy_for("https://login.example.com/token") is None
    assert proxies_in({}) == Proxies()


def test_scheme_of_the_request_chooses_the_variable() -> None:
    proxies = proxies_in({"HTTPS_PROXY": "http://a.example:1", "HTTP_PROXY": "b.example:2"})
    assert proxies.proxy_for("https://login.example.com/token") == "http://a.example:1"
    assert proxies.proxy_for("http://login.example.com/token") == "http://b.example:2"


def test_lower_case_variables_are_read_where_upper_case_ones_say_nothing() -> None:
    assert proxies_in({"https_proxy": PROXY, "HTTPS_PROXY": ""}).https == PROXY
    assert proxies_in({"https_proxy": "http://b.example", "HTTPS_PROXY": PROXY}).https == PROXY


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("*", "https://login.example.com/"),
        ("login.example.com", "https://login.example.com/"),
        ("example.com", "https://LOGIN.example.com./"),
        (".example.com", "https://login.example.com/"),
        ("*.example.com", "https://login.example.com/"),
        ("a.example, ,example.com", "https://login.example.com/"),
        ("Example.COM", "https://login.example.com/"),
        ("example.com:443", "https://login.example.com/"),
        ("example.com:8443", "https://login.example.com:8443/"),
        ("10.0.0.0/8", "https://10.1.2.3/"),
        ("192.0.2.1", "http://192.0.2.1:8080/"),
        ("192.0.2.1:8080", "http://192.0.2.1:8080/"),
        ("fd00::1", "https://[fd00::1]/"),
        ("[fd00::1]:8443", "https://[fd00::1]:8443/"),
        ("[fd00::1]", "https://[fd00::1]:8443/"),
        ("fd00::/8", "https://[fd12::1]/"),
    ],
)
def test_host_on_the_list_is_reached_directly(entry: str, url: str) -> None:
    assert not proxied(url, bypass=entry)


@pytest.mark.parametrize("url", ["http://localhost:8080/", "http://127.0.0.1/", "https://127.8.8.8/", "https://[::1]/"])
def test_loopback_is_reached_directly_whatever_the_list_says(url: str) -> None:
    assert not proxied(url, bypass="")


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("other.example", "https://login.example.com/"),
        ("ample.com", "https://login.example.com/"),
        (".login.example.com", "https://login.example.com/"),
        ("example.com:8443", "https://login.example.com/"),
        ("10.0.0.0/8", "https://11.1.2.3/"),
        ("10.0.0.0/8", "https://login.example.com/"),
        ("example.com", "https://10.1.2.3/"),
        ("192.0.2.1:8080", "http://192.0.2.1/"),
    ],
)
def test_host_that_is_not_on_the_list_is_reached_through_the_proxy(entry: str, url: str) -> None:
    assert proxied(url, bypass=entry)


@pytest.mark.parametrize(
    "value", ["socks5://proxy.example.com:1080", "http://", "http://[::1", "http://a:99999", "http://a:0"]
)
def test_proxy_that_cannot_be_used_is_refused_by_its_variable(value: str) -> None:
    with pytest.raises(InvalidProxy, match="HTTPS_PROXY must be the URL of an HTTP proxy") as caught:
        proxies_in({"HTTPS_PROXY": value})
    assert value.partition("://")[2] == "" or value not in str(caught.value)


def test_password_of_a_proxy_does_not_print() -> None:
    proxies = proxies_in(
        {"HTTPS_PROXY": "http://me:sentinel@proxy.example.com", "HTTP_PROXY": "http://me:sentinel@p.example"}
    )
    assert "sentinel" not in repr(proxies)
