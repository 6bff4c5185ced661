"""The body of a form: small, and soon."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from callback_server.form_body import body_of
from callback_server.refusals import Refused


def request(*chunks: bytes, hangs: bool = False) -> Request:
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop(0)
        if hangs:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": b"", "more_body": False}

    return Request({"type": "http", "headers": []}, receive)


async def test_form_is_read_in_pieces() -> None:
    assert await body_of(request(b"a=", b"b"), seconds=10) == b"a=b"


async def test_form_that_is_too_large_is_refused() -> None:
    with pytest.raises(Refused):
        await body_of(request(b"x" * 10_000, b"x" * 10_000), seconds=10)


async def test_form_that_does_not_end_is_refused() -> None:
    with pytest.raises(Refused):
        await body_of(request(b"a", hangs=True), seconds=0.01)
