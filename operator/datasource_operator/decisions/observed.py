"""What was observed of a Datasource, and what was found: the shapes that every decision rests on. Pure."""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

import msgspec

from datasource.api.objects import LastAuthorization, Ownership, Status, ownership
from datasource.api.requests import HandledSet, Requests
from datasource.api.spec import OAuth2, Spec, SpecProblem
from datasource.api.states import MEANING, Progress, Reason, State
from datasource.api.template_problems import template_problem
from datasource.outbound.reach import Reach
from datasource.records.contents import Contents, Readable, StoredCredential, handled_by
from datasource.records.credential import CredentialFacts, Unreadable
from datasource.records.fingerprint import fingerprint
from datasource.records.history import By, History
from datasource.records.import_secret import ImportSecret
from datasource.records.page_request import PageRequest, RequestKind
from datasource.records.ticket import TicketScope, ticket_scope
from datasource.records.token_secret import StoredTokenSecret
from datasource_operator.decisions.acceptance import Acceptance


@dataclass(frozen=True, slots=True)
class Finding:
    """What holds for a Datasource: the reason decides the state, the message tells a person what to do."""

    reason: Reason
    message: str
    needs_person: bool = False
    message_without_link: str | None = None
    """What to say where no link is offered; None: the message."""
    is_suspended: bool = False

    @property
    def state(self) -> State:
        """The state that users read."""
        return MEANING[self.reason].state

    @property
    def progress(self) -> Progress:
        """Whether it heals by itself, waits for a person, or is stuck."""
        if self.is_suspended and self.reason is Reason.REFRESH_FAILING:
            # Nobody tries until a person resumes it.
            return Progress.WAITING
        return MEANING[self.reason].progress


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a live look at things that are not watched showed: the client Secret, names taken by others."""

    problem: Finding | None = None
    look_again_at: str | None = None
    """The Secret whose change may mend the problem."""
    refused: frozenset[type[object]] = frozenset()
    """Kinds of steps that the API server refused in this run; none of them is asked for again."""


_IMMUTABLE = re.compile(r'\ASecret "[^"]*" is invalid: .*field is immutable when `immutable` is set', re.DOTALL)
_OTHER_TYPE = re.compile(r'\ASecret "[^"]*" is invalid: .*\btype: Invalid value: .*: field is immutable', re.DOTALL)
_NO_RIGHT = re.compile(
    r'\A(?!admission webhook )(?:(?! is forbidden: ).)* is forbidden: User "[^"]*" cannot [a-z]+ resource'
)
"""Whoever writes a policy or a webhook may use the same words: the API server's own come first, here and above."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server refused a step: no rights, a quota, somebody's policy or webhook, or an object that it does not take."""

    is_forbidden: bool
    """403; else 400 or 422."""
    words: str
    """What it said (metav1.Status.message)."""

    @property
    def is_about_rights(self) -> bool:
        """Whether RBAC refused; quotas and admission answer 403, too."""
        return self.is_forbidden and _NO_RIGHT.search(self.words) is not None

    @property
    def is_about_immutable_secret(self) -> bool:
        """Whether somebody made the Secret immutable."""
        return not self.is_forbidden and _IMMUTABLE.search(self.words) is not None

    @property
    def is_about_type(self) -> bool:
        """Whether the Secret that stands has another type than the one that was to be written."""
        return not self.is_forbidden and _OTHER_TYPE.search(self.words) is not None


@dataclass(frozen=True, slots=True)
class Trouble:
    """The last refresh of a credential failed: why, and when it is tried again. Kept in memory: a restart tries at once."""

    credential_id: str
    revision: int
    reason: Reason
    """RefreshFailing: tried again, told once the token is dead. Others (ClientRejected ...) wait for a correction."""
    message: str
    try_again_at: datetime
    look_again_at: str | None = None
    """The Secret whose change may mend it."""
    asks_for_a_person: bool = False
    """Whether a new credential may be what mends it."""
    failed_at: datetime | None = None
    """When it failed; None: nobody knows any more."""
    asked: str | None = None
    """The request for a refresh that stood when it failed: it was answered with this."""
    told: str = ""
    """When it is tried again, as people read it: the same at every look."""
    provider: str = ""
    """Whose answer to another Datasource ends the pause; empty: nobody's, as where the provider asked for it."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What spec.probe has shown."""

    acceptance: Acceptance | None = None
    wants_refresh: bool = False
    """Whether the service refused this very token, and a refresh may help."""
    next_look: timedelta | None = None
    """When the next probe is due; None: one is under way, or none is asked for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asked for something by hand, as the history tells it."""

    by: str = By.ANNOTATION
    page_request: str = ""
    """The ID of the request, where that was at a page."""


BY_ANNOTATION = Asked()


@dataclass(frozen=True, slots=True)
class HistoryRead:
    """What the data of a credential Secret told of what people did."""

    entry_id: str | None
    """The ID of the last entry, as the annotation named it then."""
    entries: History


@dataclass(frozen=True, slots=True)
class ImportLook:
    """What a look at an import Secret showed: a refresh token, by its hash, or what is wrong."""

    token_hash: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SeenImport:
    """An import Secret, and what is known of its data; None: it was not looked at yet."""

    secret: ImportSecret
    look: ImportLook | None = None


@dataclass(frozen=True)
class Observed:
    """Everything that a decision rests on. No slots: what many checks ask for is worked out once."""

    namespace: str
    name: str
    uid: str
    generation: int
    being_deleted: bool
    spec: Spec | SpecProblem
    requests: Requests
    status: Status
    credential: Contents | None
    """What the credential Secret holds, as this Datasource sees it."""
    token_secrets: tuple[StoredTokenSecret, ...]
    now: datetime
    surroundings: Surroundings | None = None
    look_around: bool = False
    """Whether the surroundings are due for a look, however settled the status seems."""
    is_live: bool = False
    """Whether credential and Datasource were read live in this run: destructive steps ask for it."""
    trouble: Trouble | None = None
    """What went wrong at the last refresh of this very revision."""
    first_seen: datetime | None = None
    """When this process first saw this revision of the credential; None: now."""
    rights_outlive_namespace: bool = True
    """Whether our rights come from a ClusterRole. A Role goes with its namespace, before what our finalizer holds there."""
    stands_in_ring: bool = False
    """Whether its token Secret is to be renamed to one whose owner waits, perhaps by way of others, for this one's name."""
    failed_authorization: LastAuthorization | None = None
    """The last one of which a flow record told."""
    unrenderable: SpecProblem | None = None
    """What came of rendering the token Secret for this very revision: one too large, or one that no API server takes."""
    names_looked_at: frozenset[str] = frozenset()
    """Names of which is known in this run whether they have a token Secret, whatever watches show."""
    reach: Reach | None = None
    """What the last look at its provider showed; None where none was taken yet."""
    probed: Probed = Probed()
    page_request_by: str = By.UNPROVEN
    """Who asked at a page, where somebody did."""
    history: HistoryRead | None = None
    """What people did, where it was read because the status does not tell it."""
    imported: SeenImport | None = None
    """The refresh token that somebody brought along."""
    import_waits: str = ""
    """Why nothing can be done about it in this run; empty: nothing is known to be in the way."""

    @cached_property
    def oauth2(self) -> OAuth2 | None:
        """The OAuth2 parameters, where the spec has any that can be read."""
        return self.spec.oauth2 if isinstance(self.spec, Spec) else None

    @cached_property
    def template_problem(self) -> SpecProblem | None:
        """Why no token Secret can be written, although the credential may be in order."""
        return self.unrenderable or (template_problem(self.spec) if isinstance(self.spec, Spec) else None)

    @cached_property
    def own_token_secrets(self) -> tuple[StoredTokenSecret, ...]:
        """The token Secrets that are ours to write and to delete.

        Not those of a Datasource that had this name before: the garbage collector takes them. Not copies that kubectl or a
        replicator made, which have our annotations, too; but a Secret of our very type under the name of ours comes back with
        a restore.
        """
        return tuple(each for each in self.token_secrets if self._is_own(each))

    def _is_own(self, stored: StoredTokenSecret) -> bool:
        if ownership(stored.owners, self.uid) is Ownership.DANGLING:
            return False
        is_restored = stored.has_usual_type and self.token_secret_name == stored.name
        return is_restored or not stored.is_copy

    @property
    def token_secret_name(self) -> str | None:
        """The name that the token Secret is to have, where the spec can be read."""
        return self.spec.token_secret_name(self.name) if isinstance(self.spec, Spec) else None

    @property
    def is_suspended(self) -> bool:
        """Whether the spec asks for neither refreshes nor links."""
        return isinstance(self.spec, Spec) and self.spec.suspend

    @cached_property
    def fingerprint(self) -> str | None:
        """Of the parameters, where there are any."""
        return None if self.oauth2 is None else fingerprint(self.oauth2)

    @cached_property
    def facts(self) -> CredentialFacts | None:
        """What is known of the tokens of this Datasource; None where it has none."""
        return self.credential.facts if isinstance(self.credential, StoredCredential) else None

    @cached_property
    def is_ownerless(self) -> bool:
        """Whether the credential Secret came without ownerReferences, as a restore leaves it."""
        if not isinstance(self.credential, Readable):
            return False
        return ownership(self.credential.owners, self.uid) is Ownership.OWNERLESS

    @property
    def handled(self) -> HandledSet:
        """The requests already acted on."""
        return handled_by(self.credential)

    @cached_property
    def ticket_scope(self) -> TicketScope:
        """What a link offered now is bound to."""
        return ticket_scope(self.uid, self.oauth2, self.credential)

    @cached_property
    def pending(self) -> Requests:
        """The requests not acted on yet."""
        return self.handled.pending(self.requests)

    def page_request(self, kind: RequestKind) -> PageRequest | None:
        """What somebody asked for at a page, where it is of that kind."""
        request = None if self.facts is None else self.facts.page_request
        return request if request is not None and request.kind is kind else None

    @property
    def asked_refresh(self) -> str | None:
        """What asks for a refresh, on the Datasource or at a page: another text once somebody asks anew; None: nothing."""
        page = self.page_request(RequestKind.REFRESH)
        return self.pending.refresh if page is None else f"{self.pending.refresh or ''}\0{page.id}"

    @property
    def last_act(self) -> str | None:
        """The ID of the last thing that people did, as the credential Secret names it."""
        return self.credential.facts.history if isinstance(self.credential, Readable) else None

    def was_told(self, reason: Reason) -> bool:
        """Whether the status that stands gives this reason."""
        ready = self.status.condition("Ready")
        return ready is not None and ready.reason == reason

    def with_unreadable(self, unreadable: Unreadable) -> "Observed":
        """The same, where the data of the credential Secret turned out to be altered: what it handled is known still."""
        return replace(self, credential=msgspec.structs.replace(unreadable, handled=self.handled))
