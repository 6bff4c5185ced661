"""I/O: stores sessions in the API server, so that any replica knows who has signed in. No session is kept in memory."""

import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from random import SystemRandom

from callback_server.cookie import OurCookie
from callback_server.limits import Clicks
from datasource.api.names import CALLBACK_FIELD_MANAGER, SESSION_SLOTS
from datasource.api.objects import PartialObject, Secret
from datasource.cluster.api_errors import Conflict, NotFound
from datasource.cluster.kube import Kube
from datasource.cluster.link_keys import LinkKeyStore
from datasource.cluster.resources import SECRETS
from datasource.oauth2.kubernetes_user import User
from datasource.records import session as records
from datasource.records.flow import FlowKey, key_hash
from datasource.records.session import (
    SESSION_LIFETIME,
    Session,
    StoredSession,
    UnreadableSession,
    new_session_key,
    read_session,
    session_key_in,
)

SESSION = OurCookie("__Host-datasource-session", re.compile(rb"[A-Za-z0-9._-]{60,100}"), SESSION_LIFETIME)

PER_SESSION = (5.0, 40)
"""Requests for pages that one session may send: per second, and at once."""


class Visits(Clicks):
    """The rate limit for the pages of one session."""

    PER_LINK = PER_SESSION


class NoKeys(Exception):
    """There is no key to mark a session with. The operator has not made one yet, or we may not read it."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person who has signed in, and the session key that their browser keeps."""

    session: Session
    key: FlowKey = field(repr=False)
    resource_version: str

    @property
    def user(self) -> User:
        """The user who has signed in."""
        return self.session.user

    @property
    def secret(self) -> str:
        """A secret that only this browser and we know."""
        return self.key.text


def _in_random_order() -> Sequence[int]:
    return SystemRandom().sample(range(SESSION_SLOTS), SESSION_SLOTS)


@dataclass(slots=True)
class SessionStore:
    """The sessions of all people, as Secrets in the system namespace."""

    kube: Kube
    namespace: str
    signed_in_by: str
    """Digest of the sign-in settings."""
    link_keys: LinkKeyStore
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    token_bytes: Callable[[int], bytes] = secrets.token_bytes
    slots: Callable[[], Sequence[int]] = _in_random_order
    _visits: Visits = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._visits = Visits(self.monotonic)

    async def begin(self, user: User) -> SignedIn:
        """Write a session into a free slot. If the user has none left, replace the session that expires first.

        So sessions in forgotten browsers never keep a person out.

        Raises:
            NoKeys: there is no key to mark the session with.
            ApiError, Unavailable: the API server refused or did not answer.
        """
        taken: dict[int, Secret] = {}
        for slot in self.slots():
            made, session = self._new(user, slot)
            secret = await self._secret(made)
            if secret is not None and self._lives(secret):
                taken[slot] = secret
                continue
            written = await self._write(made, session, secret)
            if written is not None:
                return written
        for slot in sorted(taken, key=lambda slot: self._expires_at(taken[slot])):
            made, session = self._new(user, slot)
            written = await self._write(made, session, taken[slot])
            if written is not None:
                return written
        raise Conflict(409, "Conflict", "every session of that user is being written at this moment")

    async def of(self, cookie: str) -> SignedIn | None:
        """The person who signed in with that cookie; None where the session has ended, or the cookie is not ours.

        Raises:
            Exceeded: too many requests with that session.
            ApiError, Unavailable: the API server refused or did not answer.
        """
        key = session_key_in(cookie, self.link_keys.current, self.now())
        if key is None:
            return None
        self._visits.count(key.secret_name)
        secret = await self._secret(key)
        stored = None if secret is None else _readable(secret)
        if stored is None or not records.holds(stored.session, key, signed_in_by=self.signed_in_by, now=self.now()):
            return None
        return SignedIn(stored.session, key, stored.resource_version)

    async def end(self, signed_in: SignedIn) -> None:
        """Empty a session. If another session is in its slot by now, that one stays."""
        patch = records.ended_patch(signed_in.resource_version, self.now())
        with suppress(Conflict, NotFound):
            await self.kube.merge_patch(
                SECRETS,
                self.namespace,
                records.secret_name(signed_in.key),
                patch,
                PartialObject,
                manager=CALLBACK_FIELD_MANAGER,
            )

    def _new(self, user: User, slot: int) -> tuple[FlowKey, Session]:
        now = self.now()
        link_key = self.link_keys.current.for_links(now)
        if link_key is None:
            raise NoKeys
        made = new_session_key(user, slot, self.token_bytes, link_key)
        return made, Session(key_hash(made), user, self.signed_in_by, now)

    def _lives(self, secret: Secret) -> bool:
        stored = _readable(secret)
        return stored is not None and self.now() < stored.session.expires_at

    def _expires_at(self, secret: Secret) -> datetime:
        stored = _readable(secret)
        return self.now() if stored is None else stored.session.expires_at

    async def _secret(self, key: FlowKey) -> Secret | None:
        try:
            return await self.kube.get(SECRETS, self.namespace, records.secret_name(key), Secret)
        except NotFound:
            return None

    async def _write(self, key: FlowKey, session: Session, before: Secret | None) -> SignedIn | None:
        """Write a session; None where another process wrote that slot first."""
        try:
            if before is None:
                manifest = records.session_manifest(session, key, system_namespace=self.namespace)
                written = await self.kube.create(
                    SECRETS, self.namespace, manifest, PartialObject, manager=CALLBACK_FIELD_MANAGER
                )
            else:
                version = before.metadata.resource_version
                patch = records.replacement_patch(session, key, resource_version=version)
                written = await self.kube.merge_patch(
                    SECRETS,
                    self.namespace,
                    records.secret_name(key),
                    patch,
                    PartialObject,
                    manager=CALLBACK_FIELD_MANAGER,
                )
        except (Conflict, NotFound):
            return None
        return SignedIn(session, key, written.metadata.resource_version)


def _readable(secret: Secret) -> StoredSession | None:
    try:
        return read_session(secret)
    except UnreadableSession:
        return None
