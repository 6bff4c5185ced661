"""Which URLs lead to the same provider."""

import pytest

from datasource.outbound.provider import provider_of


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://login.example.com", "login.example.com"),
        ("https://login.example.com/tenant/token?a=b", "login.example.com"),
        ("https://LOGIN.example.com.:8443/token", "login.example.com"),
        ("https://user:password@login.example.com/token", "login.example.com"),
        ("http://127.1:80/token", "127.0.0.1"),
        ("http://0x7f000001/token", "127.0.0.1"),
        ("http://[0:0:0:0:0:0:0:1]:8443/token", "::1"),
        ("http://[::1%25eth0]/token", "::1"),
        ("", ""),
        ("https://", ""),
        ("login.example.com", ""),
        ("https://login.example.com:99999/token", ""),
        ("https://[login/token", ""),
        ("https://b\u00fccher.example/token", ""),
        ("https://a b/token", ""),
        ("https://login..example.com/token", ""),
    ],
)
def test_a_provider_is_a_host(url: str, provider: str) -> None:
    assert provider_of(url) == provider
