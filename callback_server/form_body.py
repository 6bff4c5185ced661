"""I/O: the body of a small form, read for as long as anybody should wait for it."""

import asyncio

from starlette.requests import Request

from callback_server import refusals
from callback_server.dialog import LARGEST_FORM


async def body_of(request: Request, *, seconds: float) -> bytes:
    """What a form sends.

    Raises:
        Refused: it is larger than a form of ours, or takes longer.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_FORM:
                    raise refusals.form_is_not_ours()
    except TimeoutError:
        raise refusals.form_is_not_ours() from None
    return bytes(body)
