"""What holds for every answer of the app, also for those that no handler made: how it looks, and how long it is waited for."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callback_server.language import language_for
from callback_server.presentation import PRESENTATION, Presentation
from callback_server.security import ALWAYS
from datasource.cluster.patience import FOR_A_PAGE, waiting


class AlwaysHeaders:
    """Chooses how pages look, speak and wait for the API server, and adds the headers that every answer has."""

    def __init__(self, app: ASGIApp, presentations: Mapping[str, Presentation]) -> None:
        self._app = app
        self._presentations = presentations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        PRESENTATION.set(self._presentations[language_for(_accept_language(scope))])

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.lower().encode(), value.encode())
                        for name, value in ALWAYS.items()
                        if name.lower().encode() not in present
                    ),
                ]
            await send(message)

        with waiting(FOR_A_PAGE):
            await self._app(scope, receive, send_with_headers)


def _accept_language(scope: Scope) -> str | None:
    """The header, where it was sent once: HTTP would join several, and no browser sends them."""
    found = [value for name, value in scope["headers"] if name == b"accept-language"] if "headers" in scope else []
    return found[0].decode("latin-1") if len(found) == 1 else None
