"""A request to a provider keeps its secrets to itself."""

from datasource.outbound.provider_request import ProviderRequest


def test_request_prints_neither_headers_nor_body() -> None:
    headers = {"Authorization": "Basic bWU6czNjcmV0"}
    request = ProviderRequest(url="https://login.example.com/token", headers=headers, body=b"refresh_token=rt-1")
    assert "login.example.com" in repr(request)
    assert "bWU6czNjcmV0" not in repr(request)
    assert "rt-1" not in repr(request)
