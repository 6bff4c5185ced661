"""Requests and names for the tests of what sends them."""

from collections.abc import Sequence
from datetime import timedelta

from datasource.outbound.provider_request import ProviderRequest
from datasource.providers.resolver import Resolve

PATIENT = timedelta(seconds=10)
"""A deadline that passes only if a test is broken."""


SHORT = timedelta(milliseconds=300)


def request_to(url: str, body: bytes = b"grant_type=refresh_token&refresh_token=rt-1") -> ProviderRequest:
    headers = {"Authorization": "Basic c2VjcmV0", "Content-Type": "application/x-www-form-urlencoded"}
    return ProviderRequest(url=url, headers=headers, body=body)


def answering(*addresses: str) -> Resolve:
    async def resolve(_: str, __: int) -> Sequence[str]:
        return addresses

    return resolve
