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
from datasource.records.stored_token_secret import StoredTokenSecret
from datasource.records.ticket import TicketScope, ticket_scope
from datasource_operator.decisions.acceptance import Acceptance


@dataclass(frozen=True, slots=True)
class Finding:
    """What holds for a Datasource. The reason decides the state; the message tells a person what to do."""

    reason: Reason
    message: str
    needs_person: bool = False
    """Whether the status offers an authorization link."""
    message_without_link: str | None = None
    """The message where no link is offered; None: the same message."""
    is_suspended: bool = False

    @property
    def state(self) -> State:
        """The state that users read."""
        return MEANING[self.reason].state

    @property
    def progress(self) -> Progress:
        """Whether the state changes without help, waits for a person, or stays until a mistake is corrected."""
        if self.is_suspended and self.reason is Reason.REFRESH_FAILING:
            # The operator does not refresh until a person resumes the Datasource.
            return Progress.WAITING
        return MEANING[self.reason].progress


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What live reads showed of objects that no watch covers: the client Secret, and Secrets of others with our names."""

    problem: Finding | None = None
    """What stands in the way; None: nothing does."""
    watched_secret: str | None = None
    """The Secret whose change may mend the problem."""
    refused: frozenset[type[object]] = frozenset()
    """Kinds of steps that the API server refused in this run; none of them is asked for again."""


_IMMUTABLE = re.compile(r'\ASecret "[^"]*" is invalid: .*field is immutable when `immutable` is set', re.DOTALL)
_OTHER_TYPE = re.compile(r'\ASecret "[^"]*" is invalid: .*\btype: Invalid value: .*: field is immutable', re.DOTALL)
_NO_RIGHT = re.compile(
    r'\A(?!admission webhook )(?:(?! is forbidden: ).)* is forbidden: User "[^"]*" cannot [a-z]+ resource'
)
"""A policy or a webhook may use the same words in its message. The API server's own words come first, here and above."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server refused a step, for missing rights, a quota, a policy, a webhook or an object that it does not accept."""

    is_forbidden: bool
    """Whether the HTTP status was 403. Otherwise it was 400 or 422."""
    words: str
    """The message of the API server (metav1.Status.message)."""

    @property
    def is_about_rights(self) -> bool:
        """Whether RBAC refused the step. Quotas and admission answer 403, too."""
        return self.is_forbidden and _NO_RIGHT.search(self.words) is not None

    @property
    def is_about_immutable_secret(self) -> bool:
        """Whether the Secret is immutable."""
        return not self.is_forbidden and _IMMUTABLE.search(self.words) is not None

    @property
    def is_about_type(self) -> bool:
        """Whether the existing Secret has another type than the one to write."""
        return not self.is_forbidden and _OTHER_TYPE.search(self.words) is not None


@dataclass(frozen=True, slots=True)
class Trouble:
    """The last refresh of a credential failed: why, and when the operator tries again.

    It is kept in memory, so the operator tries at once after a restart. A `Setback` becomes one when it is remembered.
    """

    credential_id: str
    revision: int
    reason: Reason
    """RefreshFailing shows in the status only once the access token has expired. Others (ClientRejected ...) show at once."""
    message: str
    try_again_at: datetime
    watched_secret: str | None = None
    """The name of the Secret whose change may remove the cause."""
    asks_for_a_person: bool = False
    """Whether a new credential may remove the cause."""
    failed_at: datetime | None = None
    """When the refresh failed; None: that is not known any more."""
    asked: str | None = None
    """The request for a refresh (`Observed.asked_refresh`) that was open when the refresh failed."""
    told: str = ""
    """The time of the next try for the status message. It is the same at each reconciliation, so it causes no writes."""
    provider: str = ""
    """The provider whose answer to another Datasource ends the pause; empty: none does, as where a provider asked for it."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What requests to spec.probe have shown."""

    acceptance: Acceptance | None = None
    wants_refresh: bool = False
    """Whether the service refused the current access token, so that a refresh may help."""
    next_look: timedelta | None = None
    """When the next probe is due; None: one is under way, or none is asked for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who requested a clear or a refresh, as the history shows it."""

    by: str = By.ANNOTATION
    page_request: str = ""
    """The ID of the request, where the person used a page; else empty."""


BY_ANNOTATION = Asked()


@dataclass(frozen=True, slots=True)
class HistoryRead:
    """The history that was read from the data of a credential Secret."""

    entry_id: str | None
    """The ID of the last entry, which the annotation had at that time."""
    entries: History


@dataclass(frozen=True, slots=True)
class ImportLook:
    """What a read of an import Secret showed: the hash of its refresh token, or what is wrong with it."""

    token_hash: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SeenImport:
    """An import Secret, and what is known of its data."""

    secret: ImportSecret
    look: ImportLook | None = None
    """None: its data were not read yet."""


@dataclass(frozen=True)
class Observed:
    """Everything that a decision depends on, for one Datasource at one time.

    The class has no slots because its cached properties need a dict. `Situation` is its counterpart in the callback server.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    being_deleted: bool
    spec: Spec | SpecProblem
    requests: Requests
    status: Status
    credential: Contents | None
    """The content of the credential Secret. What belongs to an earlier Datasource of the same name is `Leaving`."""
    token_secrets: tuple[StoredTokenSecret, ...]
    now: datetime
    surroundings: Surroundings | None = None
    look_around: bool = False
    """Whether to read the surroundings (`Surroundings`) even where the status already says that they are in order."""
    is_live: bool = False
    """Whether credential and Datasource were read live in this reconciliation. Destructive steps require that."""
    trouble: Trouble | None = None
    """The failure of the last refresh, if it was of this revision of the credential."""
    first_seen: datetime | None = None
    """When this process first saw this revision of the credential; None: now."""
    rights_outlive_namespace: bool = True
    """Whether our rights come from a ClusterRole. A Role is deleted with its namespace, before Secrets with our finalizer."""
    stands_in_ring: bool = False
    """Whether renames of token Secrets form a ring: the owner of the wanted name waits, directly or not, for our name."""
    failed_authorization: LastAuthorization | None = None
    """The last failed authorization that a flow record recorded."""
    unrenderable: SpecProblem | None = None
    """Why the token Secret of this revision could not be made: it is too large, or the API server would not accept it."""
    names_looked_at: frozenset[str] = frozenset()
    """Names of Secrets that were read live in this reconciliation, to see whether they are token Secrets."""
    reach: Reach | None = None
    """What the last check of its provider showed; None: there was none yet."""
    probed: Probed = Probed()
    page_request_by: str = By.UNPROVEN
    """The person who made the request of a page, if there is such a request."""
    history: HistoryRead | None = None
    """The history, where it was read from the Secret because the status lacks the last entry."""
    imported: SeenImport | None = None
    """The import Secret with a refresh token from another tool."""
    import_waits: str = ""
    """Why the import cannot go on in this reconciliation; empty: it can."""

    @cached_property
    def oauth2(self) -> OAuth2 | None:
        """The OAuth2 parameters, where the spec has any that can be read."""
        return self.spec.oauth2 if isinstance(self.spec, Spec) else None

    @cached_property
    def template_problem(self) -> SpecProblem | None:
        """Why no token Secret can be written, even if the credential is in order; None: one can."""
        return self.unrenderable or (template_problem(self.spec) if isinstance(self.spec, Spec) else None)

    @cached_property
    def own_token_secrets(self) -> tuple[StoredTokenSecret, ...]:
        """The token Secrets that this Datasource may write and delete.

        Secrets of an earlier Datasource of the same name are left to the garbage collector. Copies that kubectl or a replicator
        made have our annotations, too, and are left alone. But a Secret of our type under the wanted name is not taken for a
        copy: a restore brings it back.
        """
        return tuple(each for each in self.token_secrets if self._is_own(each))

    def _is_own(self, stored: StoredTokenSecret) -> bool:
        if ownership(stored.owners, self.uid) is Ownership.DANGLING:
            return False
        is_restored = stored.has_usual_type and self.token_secret_name == stored.name
        return is_restored or not stored.is_copy

    @property
    def token_secret_name(self) -> str | None:
        """The wanted name of the token Secret; None where the spec cannot be read."""
        return self.spec.token_secret_name(self.name) if isinstance(self.spec, Spec) else None

    @property
    def is_suspended(self) -> bool:
        """Whether spec.suspend is true: the operator then neither refreshes nor offers links."""
        return isinstance(self.spec, Spec) and self.spec.suspend

    @cached_property
    def fingerprint(self) -> str | None:
        """The fingerprint of the OAuth2 parameters; None where there are none."""
        return None if self.oauth2 is None else fingerprint(self.oauth2)

    @cached_property
    def facts(self) -> CredentialFacts | None:
        """The facts about the stored tokens, without the tokens; None where none are stored."""
        return self.credential.facts if isinstance(self.credential, StoredCredential) else None

    @cached_property
    def is_ownerless(self) -> bool:
        """Whether the credential Secret came without ownerReferences, as a restore leaves it."""
        if not isinstance(self.credential, Readable):
            return False
        return ownership(self.credential.owners, self.uid) is Ownership.OWNERLESS

    @property
    def handled(self) -> HandledSet:
        """The requests (annotations) that the operator has already acted on."""
        return handled_by(self.credential)

    @cached_property
    def ticket_scope(self) -> TicketScope:
        """What the ticket of a link is bound to, if one is offered now."""
        return ticket_scope(self.uid, self.oauth2, self.credential)

    @cached_property
    def pending(self) -> Requests:
        """The requests (annotations) that the operator has not acted on yet."""
        return self.handled.pending(self.requests)

    def page_request(self, kind: RequestKind) -> PageRequest | None:
        """The request that a person made at a page; None where there is none of that kind."""
        request = None if self.facts is None else self.facts.page_request
        return request if request is not None and request.kind is kind else None

    @property
    def asked_refresh(self) -> str | None:
        """The open request for a refresh, from the annotation or a page; None: there is none. Each request is another text."""
        page = self.page_request(RequestKind.REFRESH)
        return self.pending.refresh if page is None else f"{self.pending.refresh or ''}\0{page.id}"

    @property
    def last_act(self) -> str | None:
        """The ID of the last entry of the history, from the credential Secret's annotation."""
        return self.credential.facts.history if isinstance(self.credential, Readable) else None

    def was_told(self, reason: Reason) -> bool:
        """Whether the current status has this reason."""
        ready = self.status.condition("Ready")
        return ready is not None and ready.reason == reason

    def with_unreadable(self, unreadable: Unreadable) -> "Observed":
        """A copy in which the credential is unreadable, because its data were altered. The handled requests are kept."""
        return replace(self, credential=msgspec.structs.replace(unreadable, handled=self.handled))
