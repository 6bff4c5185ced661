"""Every answer carries the headers that keep a browser strict, and speaks the language that was asked for."""

from typing import Any

from callback_server.always_headers import AlwaysHeaders
from callback_server.presentation import PRESENTATION, presentations
from callback_server.security import ALWAYS
from datasource.process.branding import Branding


async def answered(*headers: tuple[bytes, bytes], own: list[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], str]:
    """The headers of an answer that has `own`, and the language that the app spoke."""
    languages: list[str] = []
    sent: list[Any] = []

    async def app(_: Any, __: Any, send: Any) -> None:
        languages.append(PRESENTATION.get().language)
        await send({"type": "http.response.start", "status": 200, "headers": own})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nobody asks")

    scope = {"type": "http", "headers": list(headers)}
    await AlwaysHeaders(app, presentations(Branding()))(scope, receive, send)
    return dict(sent[0]["headers"]), languages[0]


async def test_answer_has_every_header_and_keeps_its_own() -> None:
    own = [(b"referrer-policy", b"no-referrer")]
    headers, _ = await answered(own=own)
    assert {name.lower().encode() for name in ALWAYS} <= set(headers)
    assert headers[b"referrer-policy"] == b"no-referrer"


async def test_language_is_that_of_the_browser_where_it_says_one_once() -> None:
    assert (await answered((b"accept-language", b"de"), own=[]))[1] == "de"
    assert (await answered(own=[]))[1] == "en"
    assert (await answered((b"accept-language", b"de"), (b"accept-language", b"fr"), own=[]))[1] == "en"
