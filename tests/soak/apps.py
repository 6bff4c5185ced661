"""The apps: each looks at its token Secret once a second and tries its token at the provider, all of them in turn."""

import base64
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from datasource.api.names import Annotation, SecretType, default_token_secret_name
from tests.soak.valid_seconds import Mounted, ValidSeconds
from tests.support.api import NO_ANSWER, SECRETS, Api

_TRIERS = 4
"""Tries under way at one time: the provider may be away."""


@dataclass
class Apps:
    """Runs in threads of its own. Use it as a context manager; what it counted is asked for under `lock`."""

    api: Api
    namespace: str
    whoami_url: str
    """Where an access token is tried (OpenID Connect Core section 5.3)."""
    tries_a_second: int
    seconds: ValidSeconds = field(default_factory=ValidSeconds)
    lock: threading.Lock = field(default_factory=threading.Lock)
    tried: int = 0
    refused: int = 0
    ended: list[str] = field(default_factory=list)
    """Why a thread ended before its time."""
    _ending: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Apps":
        self._threads = [
            threading.Thread(target=self._see_through, args=[each], daemon=True) for each in (self._look, self._try)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _see_through(self, work: Callable[[], None]) -> None:
        """What ends a thread before its time leaves figures that say nothing: it is told."""
        try:
            work()
        except Exception as error:
            self.ended.append(f"{work.__name__}: {error!r}")

    def expect(self, name: str) -> None:
        """From now on its apps expect a token: it is there.

        Raises:
            KeyError: it is not there.
        """
        found = self.api.get(SECRETS, default_token_secret_name(name), self.namespace)
        with self.lock:
            self.seconds.expect(name, datetime.now(UTC), mounted_from(found))

    def withdraw(self, name: str) -> None:
        """From now on they expect none: somebody clears or edits it."""
        with self.lock:
            self.seconds.withdraw(name, datetime.now(UTC))

    def _look(self) -> None:
        while not self._ending.wait(1.0):
            found = self._found()
            now = datetime.now(UTC)
            with self.lock:
                if found is None:
                    self.seconds.not_looked(now)
                else:
                    self.seconds.looked(now, found)

    def _found(self) -> dict[str, Mounted] | None:
        """What is mounted, by Datasource; None: the API server does not answer."""
        with suppress(*NO_ANSWER):
            items = self.api.all_of(SECRETS, self.namespace, fields=f"type={SecretType.TOKEN}")
            return {name_of(each): mounted_from(each) for each in items}
        return None

    def _try(self) -> None:
        limits = httpx.Limits(max_connections=_TRIERS)
        with httpx.Client(timeout=5.0, limits=limits) as client, ThreadPoolExecutor(_TRIERS) as triers:
            for batch in self._batches():
                begun = time.monotonic()
                list(triers.map(lambda each: self._tried(client, *each), batch))
                self._ending.wait(max(1.0 - (time.monotonic() - begun), 0.0))

    def _batches(self) -> Iterator[list[tuple[str, str]]]:
        """So many tokens at a time, each of them in turn, for as long as this runs."""
        while not self._ending.is_set():
            with self.lock:
                turn = list(self.seconds.to_try(datetime.now(UTC)))
            for begin in range(0, max(len(turn), 1), self.tries_a_second):
                if self._ending.is_set():
                    return
                yield turn[begin : begin + self.tries_a_second]

    def _tried(self, client: httpx.Client, name: str, token: str) -> None:
        with suppress(httpx.HTTPError):
            answer = client.get(self.whoami_url, headers={"Authorization": f"Bearer {token}"})
            self.tried += answer.status_code in (200, 401)
            if answer.status_code == 401:
                self.refused += 1
                with self.lock:
                    self.seconds.refused(name, token)


def name_of(secret: Mapping[str, Any]) -> str:
    """Of which Datasource."""
    return str(secret["metadata"]["annotations"][Annotation.DATASOURCE])


def mounted_from(secret: Mapping[str, Any]) -> Mounted:
    """As an app reads it from its files."""
    data = {key: base64.b64decode(secret["data"][key]).decode() for key in ("access_token", "expires_at")}
    return Mounted(data["access_token"], datetime.fromisoformat(data["expires_at"]))
