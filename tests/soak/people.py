"""The people: one clears, edits and asks for new credentials all the time; and whoever is asked for consent gives it."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from deploy.local.processes import StackError
from tests.soak.apps import Apps
from tests.support.api import DATASOURCES, NO_ANSWER
from tests.support.patience import GaveUp
from tests.support.person import STORED, Person
from tests.support.user import User

_TROUBLE = (*NO_ANSWER, StackError, GaveUp, AssertionError, KeyError, OSError, StopIteration, httpx.HTTPError)
"""What a person meets while the API server or the callback server is away: they try again."""

_PATIENCE = 180.0
"""Seconds for a flow, faults included."""

_INTERRUPTED = "RefreshInterrupted"


@dataclass
class People:
    """Works in threads of its own while it is entered."""

    user: User
    apps: Apps
    seed: int
    was_cut_off: Callable[[str], bool] = lambda _: False
    """Whether a kill explains that a refresh was interrupted."""
    done: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    """A line for each credential that ended without anybody's wish: which, and what its status said."""
    interrupted: list[str] = field(default_factory=list)
    cut_off: list[str] = field(default_factory=list)
    """The same, where a kill explains it."""
    given_up: list[str] = field(default_factory=list)
    """Flows that nobody could finish."""
    _in_hand: set[str] = field(default_factory=set)
    _resting: threading.Event = field(default_factory=threading.Event)
    _ending: threading.Event = field(default_factory=threading.Event)

    def authorize_all(self, names: Sequence[str]) -> None:
        """At the beginning: a credential for each, and its token in the hands of its apps.

        Raises:
            StackError: somebody could not get one.
        """
        with ThreadPoolExecutor(4) as people:
            failed = [
                name for name, is_done in zip(names, people.map(self._authorized, names), strict=True) if not is_done
            ]
        if failed:
            raise StackError(f"{len(failed)} of {len(names)} were not authorized, {failed[0]} among them.")

    def __enter__(self) -> "People":
        self._threads = [
            threading.Thread(target=self._see_through, args=[each], daemon=True) for each in (self._change, self._look)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def rest(self) -> None:
        """Change nothing more. Whoever is asked for consent still gives it, and what ends is still counted."""
        self._resting.set()

    def __exit__(self, *_: object) -> None:
        self._resting.set()
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _see_through(self, work: Callable[[], None]) -> None:
        """What ends a thread before its time is no figure: it is told."""
        try:
            work()
        except Exception as error:
            self.given_up.append(f"{work.__name__} ended: {error!r}")

    def _change(self) -> None:
        """One change after another, each followed by a new consent where it takes one."""
        chance = random.Random(self.seed)  # noqa: S311 - a soak that can be repeated
        names = sorted(each["metadata"]["name"] for each in self.user.all_of(DATASOURCES))
        changes: Mapping[str, Callable[[str], None]] = {
            "credential cleared": self._clear,
            "scopes edited": self._edit_scopes,
            "new credential while the old one stands": self._new_credential,
            "refresh asked for": self._refresh,
            "template edited": self._edit_template,
        }
        while not self._resting.wait(chance.uniform(3, 9)):
            name, change = chance.choice(names), chance.choice(sorted(changes))
            if name in self._in_hand:
                continue
            self._in_hand.add(name)
            try:
                changes[change](name)
                self.done[change] += 1
            except _TROUBLE as error:
                self.given_up.append(f"{name}: {change}: {error}")
            finally:
                self._in_hand.discard(name)

    def _clear(self, name: str) -> None:
        self.apps.withdraw(name)
        self._insist(lambda: self.user.clear(str(time.time_ns()), name))
        self._new_one(name)

    def _edit_scopes(self, name: str) -> None:
        """The credential stays, and a link is offered beside it: apps expect a token all the time."""

        def edit() -> None:
            scopes = self.user.get(name)["spec"]["oauth2"]["scopes"]
            others = [each for each in scopes if each != "read"] + ([] if "read" in scopes else ["read"])
            self._patch(name, {"oauth2": {"scopes": others}})

        self._insist(edit)
        self._another_one(name, "other scopes")

    def _new_credential(self, name: str) -> None:
        """The old one stands until the new one does: apps expect a token all the time."""
        self._insist(lambda: self.user.annotate("new-credential", str(time.time_ns()), name))
        self._another_one(name, "a new credential while the old one stood")

    def _another_one(self, name: str, what: str) -> None:
        if not self._authorized(name, is_new=False):
            self.given_up.append(f"{name}: {what}")

    def _refresh(self, name: str) -> None:
        self._insist(lambda: self.user.annotate("refresh", str(time.time_ns()), name))

    def _edit_template(self, name: str) -> None:
        # Apps read these two; a template is all that its Secret has.
        read = {key: f"{{{{ {key} }}}}" for key in ("access_token", "expires_at")}
        template = {"data": {**read, "edited": f"{time.time_ns()} {{{{ access_token }}}}"}}
        self._insist(lambda: self._patch(name, {"tokenSecret": {"template": template}}))

    def _patch(self, name: str, spec: Mapping[str, Any]) -> None:
        self.user.api.patch(DATASOURCES, name, {"spec": dict(spec)}, self.user.namespace)

    def _insist(self, act: Callable[[], object]) -> None:
        """Until the API server takes it; what was asked of it is not in doubt then."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                act()
            except _TROUBLE:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
            else:
                return

    def _new_one(self, name: str) -> None:
        """A credential for what has none any more."""
        self._insist(lambda: self.user.wait_for_status("it waits for a person", _waits, name))
        if not self._authorized(name):
            self.given_up.append(f"{name}: a new credential")

    def _authorized(self, name: str, *, is_new: bool = True) -> bool:
        """Go through the flow until a credential is stored; its apps expect a token from then on."""
        deadline, had_link = time.monotonic() + _PATIENCE, False
        while time.monotonic() < deadline:
            with suppress(*_TROUBLE):
                status = self.user.status(name)
                link = status.get("authorizationLink")
                had_link = had_link or bool(link)
                # A kill right after the credential was stored takes the page away: no link is offered any more then.
                page_is_lost = had_link and not link and _is_authorized(status)
                if page_is_lost or (link and self._consented(link)):
                    if is_new:
                        self.user.wait_for_status("it is authorized", _is_authorized, name)
                        self.apps.expect(name)
                    return True
            time.sleep(0.5)
        return False

    def _consented(self, link: str) -> bool:
        with Person() as person:
            return STORED in person.authorize(link).text

    def _look(self) -> None:
        """Whose credential ended without anybody's wish: counted, and authorized anew."""
        while not self._ending.wait(1.0):
            with suppress(*_TROUBLE):
                for each in self.user.all_of(DATASOURCES):
                    self._judge(each["metadata"]["name"], each.get("status", {}))

    def _judge(self, name: str, status: Mapping[str, Any]) -> None:
        if name in self._in_hand or not self.apps.seconds.is_expected(name) or _is_authorized(status):
            return
        ready: Mapping[str, Any] = next((each for each in status.get("conditions", ()) if each["type"] == "Ready"), {})
        line = f"{name}: {ready.get('reason')}: {ready.get('message')}"
        if ready.get("reason") == _INTERRUPTED:
            (self.cut_off if self.was_cut_off(name) else self.interrupted).append(line)
        else:
            self.lost.append(line)
        self._in_hand.add(name)
        try:
            # Its apps go on expecting a token: what they lack counts.
            if not self._authorized(name, is_new=False):
                self.given_up.append(line)
        finally:
            self._in_hand.discard(name)


def _waits(status: Mapping[str, Any]) -> bool:
    return status.get("state") == "NOT AUTHORIZED" and "authorizationLink" in status


def _is_authorized(status: Mapping[str, Any]) -> bool:
    return status.get("state") == "AUTHORIZED"
