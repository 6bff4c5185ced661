"""I/O: put a new credential in its Secret: rehearsed before the code is spent, retried, never over a newer one."""

from dataclasses import dataclass
from datetime import datetime

import msgspec
import structlog

from callback_server import refusals
from callback_server.situation import Situation
from datasource.api.clock import Now
from datasource.api.names import credential_secret_name
from datasource.api.objects import PartialObject
from datasource.api.requests import HandledSet
from datasource.cluster.api_errors import ApiError, Conflict, Forbidden, Invalid, NotFound, Unavailable
from datasource.cluster.credential_secrets import CredentialSecrets, Stale
from datasource.records.contents import Readable
from datasource.records.credential import Change, CredentialData, CredentialFacts
from datasource.records.credential_patches import credential_patch
from datasource.records.standing import Absent, standing

logger = structlog.get_logger(__name__)

REFUSALS = (Forbidden, Invalid)
"""What the API server says of a write that it will not have: rights, quotas, webhooks."""


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
        self, situation: Situation, facts: CredentialFacts, data: CredentialData, *, known: HandledSet, until: datetime
    ) -> None:
        """Store a credential that the provider has issued; it answers the requests that are `known`.

        An API server that does not answer is waited for as long as the process lives; one that refuses, until `until`.

        Raises:
            Refused: another credential, or a clear, came first; or the API server would not have it.
        """

        replaced: Readable | Absent = situation.credential or _place_for(situation)

        def change(before: Readable | Absent) -> Change:
            handled = situation.handled if isinstance(before, Absent) else before.facts.handled
            return Change(msgspec.structs.replace(facts, handled=handled.with_all(known)), data)

        # Where there was nothing to replace, what cannot be found is the namespace.
        refused = REFUSALS if situation.credential is not None else (*REFUSALS, NotFound)

        def gives_up(error: ApiError | Unavailable) -> bool:
            return isinstance(error, refused) and self.now() >= until

        try:
            written = await self.credential_secrets.write_until_it_stands(
                situation.namespace,
                situation.name,
                replaced,
                change,
                lambda found: standing(found, before=replaced, ours=facts.credential_id),
                gives_up=gives_up,
            )
        except refused as error:
            raise refusals.store_was_refused(credential_secret_name(situation.name), error.message) from None
        if not written.stands:
            raise refusals.dropped_after_exchange()


def _place_for(situation: Situation) -> Absent:
    return Absent(situation.uid, situation.spec.credential_secret.template)
