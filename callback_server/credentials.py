"""I/O: put a new credential in its Secret: rehearsed before the code is spent, retried, never over a newer one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec
import structlog

from callback_server import refusals
from callback_server.situation import Situation
from datasource.api.clock import Now
from datasource.api.names import credential_secret_name
from datasource.api.objects import PartialObject
from datasource.api.requests import HandledSet
from datasource.api.secret_metadata import SecretMetadata
from datasource.cluster.api_errors import ApiError, Conflict, Forbidden, Invalid, NotFound, Unavailable
from datasource.cluster.credential_secrets import CredentialSecrets, Stale
from datasource.records.change import Change
from datasource.records.contents import Readable
from datasource.records.credential import CredentialData, CredentialFacts
from datasource.records.credential_patches import credential_patch
from datasource.records.history import Act, By, entry_of
from datasource.records.standing import Absent, is_to_be_cleared, standing_of_a_consent

logger = structlog.get_logger(__name__)

REFUSALS = (Forbidden, Invalid)
"""What the API server says of a write that it will not have: rights, quotas, webhooks."""


class Target(Protocol):
    """Where a credential is put, and over what."""

    @property
    def namespace(self) -> str:
        """Of the Datasource."""

    @property
    def name(self) -> str:
        """Of the Datasource."""

    @property
    def uid(self) -> str:
        """Of the Datasource."""

    @property
    def credential(self) -> Readable | None:
        """What stands there."""

    @property
    def handled(self) -> HandledSet:
        """The requests already acted on."""

    @property
    def template(self) -> SecretMetadata:
        """What a Secret that is made carries beside."""


@dataclass(frozen=True, slots=True)
class CredentialStore:
    """Stores new credentials."""

    credential_secrets: CredentialSecrets
    now: Now

    async def rehearse(self, situation: Situation) -> None:
        """Have the API server check the write that is to come: a code must not be spent on one that cannot succeed.

        Raises:
            Refused: it would not accept the write.
        """
        if is_to_be_cleared(situation.credential):
            raise refusals.cleared_meanwhile()
        facts = CredentialFacts(credential_id="rehearsal", fingerprint="rehearsal", handled=situation.handled)
        try:
            await self._rehearse(situation, facts)
        except (Conflict, NotFound, Stale):
            raise refusals.another_was_first() from None
        except (Forbidden, Invalid) as error:
            name = credential_secret_name(situation.name)
            logger.warning("the credential could not be stored", secret=name, error=error.message)
            raise refusals.write_is_refused(name, error.message) from None

    async def _rehearse(self, situation: Situation, facts: CredentialFacts) -> None:
        place, before = (situation.namespace, situation.name), situation.credential
        if before is None:
            await self.credential_secrets.create(*place, _place_for(situation), Change(facts), dry_run=True)
            return
        patch = credential_patch(
            datasource_name=situation.name, resource_version=before.resource_version, facts=facts, data=None
        )
        await self.credential_secrets.swap(*place, patch, PartialObject, dry_run=True)

    async def store(
        self,
        situation: Target,
        facts: CredentialFacts,
        data: CredentialData,
        *,
        known: HandledSet,
        until: datetime,
        by: str = By.LINK,
        waits: bool = True,
    ) -> None:
        """Store a credential that the provider has issued; it answers the requests that are `known`.

        The history tells `by` whom it was got.

        An API server that does not answer is waited for as long as the process lives; one that refuses, until `until`. Where
        the caller comes again, nobody `waits`.

        Raises:
            Refused: another credential, or a clear, came first; or the API server would not have it.
            ApiError, Unavailable: it refused or did not answer, and nobody waits.
        """

        at = facts.authorized_at or self.now()
        entry = entry_of(facts.credential_id, Act.NEW_CREDENTIAL, by=by, at=at)
        replaced: Readable | Absent = situation.credential or _place_for(situation)

        def change(before: Readable | Absent) -> Change:
            handled, history = situation.handled, None
            if not isinstance(before, Absent):
                handled, history = before.facts.handled, before.history
            known_by_now = msgspec.structs.replace(facts, handled=handled.with_all(known))
            return Change(known_by_now, data).with_entry(history, entry)

        # Where there was nothing to replace, what cannot be found is the namespace.
        refused = REFUSALS if situation.credential is not None else (*REFUSALS, NotFound)

        def gives_up(error: ApiError | Unavailable) -> bool:
            if not waits and not isinstance(error, Conflict):
                return True
            return isinstance(error, refused) and self.now() >= until

        try:
            written = await self.credential_secrets.write_until_it_stands(
                situation.namespace,
                situation.name,
                replaced,
                change,
                lambda found: standing_of_a_consent(found, before=replaced, ours=facts.credential_id),
                gives_up=gives_up,
            )
        except refused as error:
            if self.now() < until:
                raise
            raise refusals.store_was_refused(credential_secret_name(situation.name), error.message) from None
        if not written.stands:
            raise refusals.dropped_after_exchange()


def _place_for(target: Target) -> Absent:
    return Absent(target.uid, target.template)
