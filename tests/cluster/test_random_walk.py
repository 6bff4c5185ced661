"""Whatever people and clusters do in whatever order: what is true at every step, and how it ends once all is well again.

A short walk runs with the other tests, the same one each time. `RANDOM_WALK=long` walks for long (`make faults`), by a seed
that is printed; `RANDOM_WALK_SEED` repeats one. The journal of what was done when is random-walk.log beside the other logs:
races do not always come again.
"""

import contextlib
import json
import os
import random
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from datasource.api.names import SecretType
from datasource.api.spec import InvalidSpec
from datasource.api.spec_problems import parse_spec
from datasource.api.states import MEANING, PROVIDER_REACHABLE, Progress, Reason, State
from datasource.api.template_problems import template_problem
from datasource.records.fingerprint import fingerprint
from deploy.local.cluster import Cluster
from deploy.local.controlplane import ControlPlane
from deploy.local.processes import StackError
from deploy.local.provider import Provider, TokenRequest
from deploy.local.stack import Process, Stack
from tests.support.api import DATASOURCES, SECRETS
from tests.support.hostile_provider import ON_LOOPBACK
from tests.support.person import Person, forms_in
from tests.support.refresh import leads_on_to
from tests.support.user import CLIENT_SECRET, User

pytestmark = pytest.mark.cluster

PATIENCE = 120.0
"""Seconds until a wait gives up. A Lease of a killed leader and an intent of a killed process both have to run out."""

WRONG_SECRET = "sentinel-wrong-client-secret"
SECRET_NAMES = {None: "to none", WRONG_SECRET: "to a wrong one", CLIENT_SECRET: "to the right one"}
CREDENTIAL = "calendar-oauth2-credential"
TOKEN_NAMES = ("calendar-token", "renamed-token")
TAKEN_NAMES = (CREDENTIAL, *TOKEN_NAMES)
DEFAULT_KEYS = {"access_token", "token_type", "expires_at"}

LONG_LIVED, SHORT_LIVED = timedelta(hours=1), timedelta(seconds=20)

ROUNDS = 8
"""How often the end may need a person: once for each request that is still pending, and for a grant found dead."""

_numbers = count(1)


class Parameters(Enum):
    """What `spec.oauth2` may be."""

    GOOD = auto()
    NO_OAUTH2 = auto()
    NO_CLIENT_ID = auto()
    NO_TOKEN_URL = auto()
    OTHER_CLIENT_ID = auto()
    OTHER_TOKEN_URL = auto()
    INSECURE_TOKEN_URL = auto()
    PUBLIC_CLIENT = auto()
    NO_REFRESH_TOKEN = auto()
    MORE_SCOPES = auto()


TOKEN_SECRETS: Mapping[str, Mapping[str, Any] | None] = {
    "default": None,
    "renamed": {"name": "renamed-token"},
    "header": {
        "template": {
            "labels": {"app.kubernetes.io/name": "x"},
            "data": {"header": "Bearer {{ access_token }}", "u": "{{ url }}"},
        }
    },
    "annotated": {
        "template": {"annotations": {"reloader.stakater.com/match": "true"}, "data": {"token": "{{ access_token }}"}}
    },
    "curious": {"template": {"data": {"stolen": "{{ refresh_token }}"}}},
}
"""`spec.tokenSecret`; a template that asks for the refresh token is no configuration."""


class Mood(Enum):
    """What the provider does with the next token request."""

    UNAVAILABLE = auto()
    THROTTLING = auto()
    BAD_GATEWAY = auto()
    CUTS_AFTER_ACTING = auto()
    SLOW = auto()


FAULTS: Mapping[Mood, Mapping[str, Any]] = {
    Mood.UNAVAILABLE: {"status": 503},
    Mood.THROTTLING: {"status": 429, "retry_after": 1},
    Mood.BAD_GATEWAY: {"status": 502},
    Mood.CUTS_AFTER_ACTING: {"drop_after": True},
    Mood.SLOW: {"hold_reply": timedelta(seconds=2)},
}

FOREIGN: Mapping[str, Mapping[str, Any]] = {
    "opaque": {"type": "Opaque"},
    "of our type": {"type": None},
    "of another Datasource": {"type": None, "annotations": {"datasource.dev/datasource": "other"}},
}
"""Secrets of somebody else that have a name of ours; None stands for the type that we would give it."""


@dataclass
class Stage:
    """What all walks share: one cluster, one provider, our two processes."""

    cluster: Cluster
    provider: Provider
    stack: Stack
    operator: Process
    journal: Path
    killed_at: list[datetime] = field(default_factory=list)

    @property
    def operator_runs(self) -> bool:
        """Whether the operator's process is there."""
        return self.operator.child.pid is not None

    def stop_operator(self, *, kill: bool) -> None:
        """SIGKILL, or SIGTERM and wait."""
        if kill:
            self.operator.child.kill()
            self.killed_at.append(datetime.now(UTC))
        else:
            self.operator.stop()

    def start_operator(self) -> None:
        """Start it if it does not run."""
        if not self.operator_runs:
            self.operator.start()

    def note(self, text: str) -> None:
        """Write a line of the journal."""
        with self.journal.open("a") as journal:
            journal.write(f"{datetime.now(UTC):%H:%M:%S.%f} {text}\n")


@dataclass(frozen=True)
class Seen:
    """A Datasource and every Secret of its namespace, read one after the other."""

    datasource: dict[str, Any]
    secrets: dict[str, dict[str, Any]]

    @property
    def status(self) -> dict[str, Any]:
        """Its status, empty while the operator has not seen it."""
        status: dict[str, Any] = self.datasource.get("status", {})
        return {} if set(status) <= {"observedGeneration"} else status

    @property
    def generation(self) -> int:
        """Of the spec."""
        return int(self.datasource["metadata"]["generation"])

    @property
    def ready(self) -> dict[str, Any]:
        """The Ready condition."""
        return next((each for each in self.status.get("conditions", []) if each["type"] == "Ready"), {})

    @property
    def reason(self) -> Reason | None:
        """Its reason; None while the operator has not seen the Datasource."""
        return Reason(self.ready["reason"]) if self.ready else None

    @property
    def requests(self) -> dict[str, str]:
        """The values of the request annotations, by their name in `status.handled`."""
        annotations = self.datasource["metadata"].get("annotations", {})
        names = {"clear-credential": "clearCredential", "new-credential": "newCredential", "refresh": "refresh"}
        found = {name: annotations.get(f"datasource.dev/{key}") for key, name in names.items()}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def token_secret_name(self) -> str:
        """Where apps find their token, by the spec."""
        return str(self.datasource["spec"].get("tokenSecret", {}).get("name", TOKEN_NAMES[0]))

    @property
    def credential(self) -> dict[str, Any] | None:
        """The credential Secret of this very Datasource."""
        secret = self.secrets.get(CREDENTIAL)
        return secret if secret is not None and self.is_ours(secret) else None

    @property
    def facts(self) -> dict[str, str]:
        """The credential's annotations, without our prefix."""
        annotations = {} if self.credential is None else self.credential["metadata"]["annotations"]
        return {key.removeprefix("datasource.dev/"): value for key, value in annotations.items()}

    @property
    def token_secrets(self) -> dict[str, dict[str, Any]]:
        """What this Datasource gave to apps."""
        return {
            name: each for name, each in self.secrets.items() if each["type"] == SecretType.TOKEN and self.is_ours(each)
        }

    def is_ours(self, secret: dict[str, Any]) -> bool:
        """Whether the Secret is owned by this Datasource."""
        owners = secret["metadata"].get("ownerReferences", [])
        return any(owner["uid"] == self.datasource["metadata"]["uid"] for owner in owners)


def values_of(secret: dict[str, Any] | None) -> dict[str, str]:
    """The data of a Secret as text."""
    return {} if secret is None else {key: b64decode(value).decode() for key, value in secret.get("data", {}).items()}


# What must hold at every step.


def status_is_legal(seen: Seen) -> None:
    """The state fits the reason; conditions are there only while True; a link only where a person is asked to open it."""
    status, reason = seen.status, seen.reason
    observed = status.get("observedGeneration", -1)
    assert observed <= seen.generation
    if reason is None or "state" not in status or observed == -1:
        return  # wiped while the operator was writing: whether that heals, `state_is_true` asks
    meaning = MEANING[reason]
    assert status["state"] == meaning.state, status
    shown = {each["type"]: each["status"] for each in status["conditions"] if each["type"] != PROVIDER_REACHABLE}
    assert shown == {"Ready": "True" if reason is Reason.AUTHORIZED else "False", **conditions_of(meaning.progress)}
    assert {each["observedGeneration"] for each in status["conditions"]} == {observed}, status
    asks_a_person = "status.authorizationLink" in seen.ready["message"]
    assert ("authorizationLink" in status) == asks_a_person, status
    if meaning.state is State.NOT_AUTHORIZED:
        assert asks_a_person, status
    if meaning.state in {State.NOT_CONFIGURED, State.ERROR}:
        assert "authorizationLink" not in status, status
    if meaning.state is not State.AUTHORIZED:
        assert not {"refreshedAt", "grantedScopes", "authorizedAs"} & set(status), status


def conditions_of(progress: Progress) -> dict[str, str]:
    """What kstatus reads besides Ready."""
    match progress:
        case Progress.RECONCILING:
            return {"Reconciling": "True"}
        case Progress.STALLED:
            return {"Stalled": "True"}
        case Progress.WAITING:
            return {}


def no_app_sees_a_refresh_token(seen: Seen, refresh_tokens: tuple[str, ...]) -> None:
    """Nothing that the provider issued to refresh with stands anywhere but in the credential Secret."""
    for name, secret in seen.secrets.items():
        if name != CREDENTIAL:
            text = json.dumps([secret["metadata"], *values_of(secret).values()])
            assert not [token[:6] for token in refresh_tokens if token in text], name


def no_token_is_spent_twice(requests: list[TokenRequest], killed_at: list[datetime]) -> None:
    """Once the provider acted on a refresh token, it is not sent again, unless nobody can know that it did."""
    answered: dict[str, TokenRequest] = {}
    for request in requests:
        digest = request.refresh_token_sha256
        if digest is None:
            continue
        earlier = answered.get(digest)
        if earlier is not None:
            assert is_unknown(earlier, until=request.at, killed_at=killed_at), (earlier, request)
        if request.status == 200 or request.error == "invalid_grant":
            answered[digest] = request


def is_unknown(request: TokenRequest, *, until: datetime, killed_at: list[datetime]) -> bool:
    """Whether the answer was cut off, or whoever asked was killed before the next request."""
    was_cut = bool((request.fault or {}).get("dropAfter"))
    return was_cut or any(request.at <= killed <= until for killed in killed_at)


# What is true once the operator has had its time.


def true_reasons(seen: Seen, foreign: set[str], client_secret: str | None) -> set[Reason]:
    """The reasons that would tell the truth about what is there; more than one where they depend on what was tried."""
    try:
        spec = parse_spec(seen.datasource["spec"], allow_insecure_http=False, egress=ON_LOOPBACK)
    except InvalidSpec:
        return {Reason.INVALID_CONFIGURATION}
    if template_problem(spec) is not None:
        return {Reason.INVALID_CONFIGURATION}
    if spec.oauth2 is None:
        return {Reason.OAUTH2_MISSING}
    if spec.oauth2.missing():
        return {Reason.PARAMETERS_INCOMPLETE}
    has_conflict = bool(foreign & {CREDENTIAL, seen.token_secret_name})
    is_refused = seen.secrets.get(seen.token_secret_name, {}).get("immutable", False)
    missing = why_a_person_is_needed(seen, fingerprint(spec.oauth2))
    if missing is not None:
        no_client_secret = spec.oauth2.client_secret_ref is not None and client_secret is None
        return (
            {missing}
            | ({Reason.SECRET_CONFLICT} if has_conflict else set())
            | ({Reason.CLIENT_SECRET_NOT_FOUND} if no_client_secret else set())
        )
    may_be_rejected = client_secret != CLIENT_SECRET or spec.oauth2.client_secret_ref is None
    return (
        {Reason.SECRET_CONFLICT if has_conflict else Reason.AUTHORIZED}
        # Whether what stands there is as it should be already, only the operator knows.
        | ({Reason.SECRET_CONFLICT} if is_refused else set())
        | ({Reason.CLIENT_REJECTED} if may_be_rejected else set())
        | ({Reason.REFRESH_FAILING} if has_run_out(seen) and not has_conflict else set())
    )


def why_a_person_is_needed(seen: Seen, wanted_fingerprint: str) -> Reason | None:
    """Why what is stored cannot be used; None if it can."""
    facts = seen.facts
    if not facts or facts.get("tombstone") == Reason.AUTHORIZATION_REQUIRED:
        return Reason.AUTHORIZATION_REQUIRED
    if "tombstone" in facts:
        return Reason.CREDENTIAL_CLEARED
    if "verdict" in facts:
        return Reason(facts["verdict"])
    if facts["fingerprint"] != wanted_fingerprint:
        return Reason.PARAMETERS_CHANGED
    return Reason.TOKEN_EXPIRED if "has-refresh-token" not in facts and has_run_out(seen) else None


def has_run_out(seen: Seen) -> bool:
    """Whether the access token is dead."""
    expires_at = seen.facts.get("expires-at")
    return expires_at is not None and datetime.fromisoformat(expires_at) <= datetime.now(UTC)


def state_is_true(seen: Seen, foreign: set[str], client_secret: str | None) -> bool:
    """Whether the status says what is there, clears that were asked for are done, and apps have what they should."""
    if seen.status.get("observedGeneration") != seen.generation or "state" not in seen.status:
        return False
    clear = seen.requests.get("clearCredential")
    if (
        clear is not None
        and CREDENTIAL not in foreign
        and seen.status.get("handled", {}).get("clearCredential") != clear
    ):
        return False
    return seen.reason in true_reasons(seen, foreign, client_secret) and apps_have_what_they_should(seen)


def apps_have_what_they_should(seen: Seen) -> bool:
    """While AUTHORIZED the stored token, in one Secret; nothing once it must not be used any more."""
    match seen.reason:
        case Reason.AUTHORIZED:
            held = "\n".join(values_of(seen.token_secrets.get(seen.token_secret_name)).values())
            return (
                set(seen.token_secrets) == {seen.token_secret_name}
                and values_of(seen.credential)["access_token"] in held
            )
        case (
            Reason.CREDENTIAL_CLEARED | Reason.AUTHORIZATION_REQUIRED | Reason.PARAMETERS_CHANGED | Reason.TOKEN_EXPIRED
        ):
            return not seen.token_secrets
        case _:
            return True


class Walk(RuleBasedStateMachine):
    """One Datasource called `calendar` in its own namespace. Rules do not wait for what they cause: there the races are."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        self.namespace = f"random-walk-{next(_numbers)}"
        self.user = User(stage.cluster, self.namespace, stage.provider, stage.stack.external_url)
        self.client_secret: str | None = None
        self.foreign: dict[str, dict[str, Any]] = {}
        self.under_way: list[tuple[Person, str]] = []
        self.stops_left = 0
        self.revisions = count(1)
        # Hypothesis tears a walk down also when a step failed; then it is not for us to fail once more.
        self.failure_before = sys.exception()

    def note(self, text: str) -> None:
        """Write a line of the journal."""
        self.stage.note(f"{self.namespace} {text}")

    @initialize(
        lifetime=st.sampled_from([LONG_LIVED, LONG_LIVED, SHORT_LIVED]),
        is_authorized=st.sampled_from([True, True, True, False]),
        stops=st.sampled_from([0, 1]),
    )
    def begin(self, lifetime: timedelta, is_authorized: bool, stops: int) -> None:
        """Everything that an administrator prepares, and mostly a person's consent."""
        self.note(f"begin {lifetime=!s} {is_authorized=}")
        self.stops_left = stops
        self.stage.cluster.kubectl("create", "namespace", self.namespace)
        self.register(lifetime)
        self.user.create_client_secret()
        self.client_secret = CLIENT_SECRET
        self.apply(Parameters.GOOD)
        if is_authorized:
            self.eventually("a link is offered", lambda seen: "authorizationLink" in seen.status)
            self.authorize()
            self.eventually("it is authorized", lambda seen: seen.reason is Reason.AUTHORIZED)

    # The spec.

    @rule(
        parameters=st.sampled_from([Parameters.GOOD] * 5 + list(Parameters)),
        token_secret=st.sampled_from(sorted(TOKEN_SECRETS)),
        refresh_before=st.sampled_from([None, "30s", "10m", "59m30s"]),
    )
    def apply_any(self, parameters: Parameters, token_secret: str, refresh_before: str | None) -> None:
        """Any spec."""
        self.apply(parameters, token_secret, refresh_before)

    @rule(spec=st.sampled_from([{"refreshBefore": "1s"}, {"tokenSecret": {"name": CREDENTIAL}}, {"url": "no URL"}]))
    def apply_what_is_refused(self, spec: dict[str, Any]) -> None:
        """What the schema does not let in changes nothing."""
        self.note(f"apply_what_is_refused {spec}")
        with pytest.raises(StackError, match="spec"):
            self.user.apply(self.user.datasource(self.user.oauth2(), **spec))

    @rule()
    def make_the_datasource_anew(self) -> None:
        """Same name, nothing inherited."""
        self.note("make_the_datasource_anew")
        self.user.kubectl("delete", "datasource", "calendar")
        self.apply(Parameters.GOOD)

    @rule()
    def wipe_the_status(self) -> None:
        """As a restore does."""
        self.note("wipe_the_status")
        self.user.kubectl(
            "patch", "datasource", "calendar", "--subresource=status", "--type=merge", "-p", '{"status":null}'
        )

    @rule(
        request=st.sampled_from(["clear-credential", "new-credential", "refresh", "refresh"]),
        value=st.sampled_from(["new", "new", "1", "2", None]),
    )
    def annotate(self, request: str, value: str | None) -> None:
        """Ask for something, with a value never used before, with an old one, or take the request away."""
        chosen = f"new-{next(self.revisions)}" if value == "new" else value
        self.note(f"annotate {request}={chosen}")
        self.user.annotate(request, chosen)

    # Secrets.

    @rule(value=st.sampled_from([None, WRONG_SECRET, CLIENT_SECRET, CLIENT_SECRET]))
    def change_the_client_secret(self, value: str | None) -> None:
        """Delete it, or put another or the right one there."""
        # The journal is a log, too, and none may hold a secret.
        self.note(f"change_the_client_secret {SECRET_NAMES[value]}")
        self.put_client_secret(value)

    @rule(name=st.sampled_from(TAKEN_NAMES))
    def delete_a_secret_of_ours(self, name: str) -> None:
        """kubectl delete secret."""
        self.note(f"delete_a_secret_of_ours {name}")
        if name not in self.foreign:
            self.user.kubectl("delete", "secret", name, "--ignore-not-found", "--wait=false")

    @rule(
        name=st.sampled_from(TOKEN_NAMES),
        patch=st.sampled_from(
            [
                {"stringData": {"access_token": "tampered", "header": "tampered", "token": "tampered"}},
                {"stringData": {"more": "of somebody"}},
                {
                    "metadata": {
                        "labels": {"app.kubernetes.io/name": None},
                        "annotations": {"datasource.dev/content": "tampered"},
                    }
                },
                {"metadata": {"labels": {"backup": "yes"}}},
                {"immutable": True},
            ]
        ),
    )
    def alter_a_token_secret(self, name: str, patch: dict[str, Any]) -> None:
        """Somebody edits what is not theirs."""
        self.note(f"alter_a_token_secret {name} {patch}")
        if name not in self.foreign:
            self.try_kubectl("patch", "secret", name, "--type=merge", "-p", json.dumps(patch))

    @rule()
    def label_the_credential_secret(self) -> None:
        """As backup tools do; it changes the resourceVersion under a refresh."""
        self.note("label_the_credential_secret")
        if CREDENTIAL not in self.foreign:
            self.try_kubectl("label", "secret", CREDENTIAL, f"backup=at-{next(self.revisions)}", "--overwrite")

    @rule(
        name=st.sampled_from([TOKEN_NAMES[0], *TAKEN_NAMES]),
        kind=st.sampled_from(sorted(FOREIGN)),
        first_delete=st.sampled_from([True, True, False]),
    )
    def create_a_foreign_secret(self, name: str, kind: str, first_delete: bool) -> None:
        """Somebody else's Secret has a name of ours; perhaps in the place of ours, if they are quicker than we are."""
        self.note(f"create_a_foreign_secret {name} {kind} {first_delete=}")
        if name in self.foreign:
            return
        if first_delete:
            self.user.kubectl("delete", "secret", name, "--ignore-not-found")
        created = self.try_kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(foreign_secret(name, kind)))
        if created:
            self.note(f"created {name}")
            self.foreign[name] = json.loads(created)

    @rule()
    def delete_foreign_secrets(self) -> None:
        """They make room."""
        self.note("delete_foreign_secrets")
        self.take_foreign_secrets_away()

    # The provider and people.

    @rule(mood=st.sampled_from([None, *Mood]), is_asked=st.sampled_from([True, True, False]))
    def refresh_in_a_mood(self, mood: Mood | None, is_asked: bool) -> None:
        """The provider is in a mood at the next token request; mostly that is a refresh that somebody asks for at once."""
        self.note(f"refresh_in_a_mood {mood} {is_asked=}")
        if mood is not None:
            self.stage.provider.fault(client_id=self.user.client_id, **FAULTS[mood])
        if is_asked:
            self.user.annotate("refresh", f"new-{next(self.revisions)}")

    @rule()
    def revoke_the_grants(self) -> None:
        """At the provider: every refresh token is dead."""
        self.note("revoke_the_grants")
        self.stage.provider.revoke_grants(self.user.client_id)

    @rule(goes_to_the_end=st.sampled_from([True, True, False]))
    def authorize(self, goes_to_the_end: bool = True) -> None:
        """A person follows the link, if there is one; perhaps they come back late."""
        self.begin_to_authorize()
        if goes_to_the_end:
            self.come_back()

    def begin_to_authorize(self) -> None:
        """A person consents, and is slow to come back."""
        link = self.seen().status.get("authorizationLink")
        self.note(f"begin_to_authorize {link is not None}")
        if link is not None:
            person = Person()
            callback = way_back(person, link)
            self.note(f"consented {callback is not None}")
            self.under_way.append((person, callback)) if callback is not None else person.__exit__(None, None, None)

    @rule()
    def come_back_late(self) -> None:
        """The person who consented last comes back; where nobody did, somebody goes all the way."""
        if not self.under_way:
            self.begin_to_authorize()
        self.come_back()

    def come_back(self) -> None:
        """Whatever changed meanwhile, a person gets a page."""
        self.note(f"come_back {len(self.under_way)}")
        if self.under_way:
            person, callback = self.under_way.pop()
            with person:
                page = person.come_back(callback)
            self.note(f"came back to {page.status_code}")
            assert page.status_code != httpx.codes.INTERNAL_SERVER_ERROR, page.text

    # The operator.

    @precondition(lambda self: self.stops_left > 0)
    @rule(
        kill=st.sampled_from([False, False, False, True]),
        missed=st.sampled_from(["nothing", "a clear", "a deleted credential", "a deleted token Secret", "an edit"]),
    )
    def restart_the_operator(self, kill: bool, missed: str) -> None:
        """SIGTERM or SIGKILL, at most once in a walk: both take their time. What happens meanwhile is seen afterwards."""
        self.note(f"restart_the_operator {kill=} {missed=}")
        self.stops_left -= 1
        self.stage.stop_operator(kill=kill)
        match missed:
            case "a clear":
                self.user.clear(f"new-{next(self.revisions)}")
            case "a deleted credential":
                self.delete_a_secret_of_ours(CREDENTIAL)
            case "a deleted token Secret":
                self.delete_a_secret_of_ours(TOKEN_NAMES[0])
            case "an edit":
                self.apply(Parameters.MORE_SCOPES)
        self.stage.start_operator()

    @rule()
    def settle(self) -> None:
        """Wait until the status is true."""
        self.note("settle")
        self.eventually("the status is true", lambda seen: state_is_true(seen, set(self.foreign), self.client_secret))

    @rule()
    def recover(self) -> None:
        """Somebody puts everything right; the walk goes on from there."""
        self.note("recover")
        self.put_everything_right()

    # At every step, and at the end.

    @invariant()
    def all_is_as_it_must_be(self) -> None:
        """What holds however far the operator has got."""
        seen = self.seen()
        status_is_legal(seen)
        assert {name: seen.secrets.get(name) for name in self.foreign} == self.foreign
        no_app_sees_a_refresh_token(seen, self.stage.provider.secrets().refresh_tokens)
        no_token_is_spent_twice(self.token_requests(), self.stage.killed_at)

    def teardown(self) -> None:
        """All is well again: whatever happened, it ends AUTHORIZED, and the grant is alive."""
        try:
            failure = sys.exception()
            if failure is self.failure_before:
                self.end_well()
            else:
                self.note(f"broken off: {failure!r}")
        except BaseException as error:
            self.note(f"did not end well: {error}")
            raise
        finally:
            self.clean_up()

    def end_well(self) -> None:
        """Put everything right once more; the grant is alive, and apps have what was issued."""
        self.note("end_well")
        self.register(LONG_LIVED)
        self.put_everything_right()
        self.note(f"ended after {len(self.token_requests())} token requests")
        self.all_is_as_it_must_be()
        self.stored_token_is_the_providers()

    def put_everything_right(self) -> None:
        """Good parameters, no faults, a request for a refresh, and a person who follows every link that is offered."""
        self.stage.provider.forget_faults()
        self.take_foreign_secrets_away()
        self.take_immutable_secrets_away()
        self.put_client_secret(CLIENT_SECRET)
        number = next(self.revisions)
        # The request shows that the refresh token works, or finds out that it does not.
        self.user.annotate("refresh", f"right-{number}")
        self.apply(Parameters.GOOD, url=f"https://api.example.com/right-{number}")
        for _ in range(ROUNDS):
            self.eventually("a link is offered, or all is well", lambda seen: is_offered(seen) or is_well(seen))
            if is_well(seen := self.seen()):
                return
            used = seen.status.get("authorizationLink")
            self.authorize()
            self.eventually("the link is used", partial(offers_another_link, used=used))
        raise AssertionError(f"not well after {ROUNDS} rounds")

    def stored_token_is_the_providers(self) -> None:
        """What is stored was issued by the provider, and apps have it in the default shape."""
        seen, issued = self.seen(), self.stage.provider.secrets()
        assert is_well(seen), seen.status
        credential, token = values_of(seen.credential), values_of(seen.token_secrets[TOKEN_NAMES[0]])
        assert credential["access_token"] in issued.access_tokens
        assert credential["refresh_token"] in issued.refresh_tokens
        assert token["access_token"] == credential["access_token"]
        assert "app.kubernetes.io/name" not in seen.token_secrets[TOKEN_NAMES[0]]["metadata"].get("labels", {})
        assert state_is_true(seen, set(), CLIENT_SECRET), seen.status

    def clean_up(self) -> None:
        """Leave the stage as it was."""
        self.stage.start_operator()
        self.stage.provider.forget_faults()
        for person, _ in self.under_way:
            person.__exit__(None, None, None)
        self.stage.cluster.kubectl("delete", "namespace", self.namespace, "--wait=false", "--ignore-not-found")

    # How it is done.

    def seen(self) -> Seen:
        """Read the Datasource and all Secrets."""
        (datasource,) = self.user.all_of(DATASOURCES)
        return Seen(datasource, {each["metadata"]["name"]: each for each in self.user.all_of(SECRETS)})

    def eventually(self, what: str, is_so: Callable[[Seen], object]) -> None:
        """Wait until it is so."""
        deadline = time.monotonic() + PATIENCE
        while not is_so(seen := self.seen()):
            if time.monotonic() > deadline:
                facts = {name: each["metadata"] for name, each in seen.secrets.items()}
                raise AssertionError(f"{what}: not within {PATIENCE:.0f} s.\n{seen.datasource}\n{facts}")
            time.sleep(0.2)

    def try_kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl where it may well fail, for nothing may be there; returns what it printed."""
        return self.stage.cluster.kubectl("-n", self.namespace, *arguments, stdin=stdin, check=False).stdout

    def token_requests(self) -> list[TokenRequest]:
        """What was asked of the provider for this namespace."""
        made = self.stage.provider.token_requests()
        return [each for each in made if each.client_id in {self.user.client_id, self.other_client_id}]

    @property
    def other_client_id(self) -> str:
        """Another application, registered for the same namespace."""
        return f"{self.user.client_id}-other"

    def register(self, lifetime: timedelta) -> None:
        """Both applications."""
        self.user.register_application(access_token_lifetime=lifetime)
        callback = f"{self.user.external_url}/callback/{self.namespace}"
        self.stage.provider.register_client(
            self.other_client_id, CLIENT_SECRET, [callback], access_token_lifetime=lifetime
        )

    def apply(
        self, parameters: Parameters, token_secret: str = "default", refresh_before: str | None = None, **spec: Any
    ) -> None:
        """kubectl apply."""
        self.note(f"apply {parameters.name} token_secret={token_secret} {refresh_before=} {spec}")
        wanted = {"tokenSecret": TOKEN_SECRETS[token_secret], "refreshBefore": refresh_before, **spec}
        given = {key: value for key, value in wanted.items() if value is not None}
        self.user.apply(self.user.datasource(self.oauth2(parameters), **given))

    def oauth2(self, parameters: Parameters) -> dict[str, Any] | None:
        """`spec.oauth2`."""
        changes: dict[Parameters, dict[str, Any]] = {
            Parameters.GOOD: {},
            Parameters.NO_CLIENT_ID: {"clientID": None},
            Parameters.NO_TOKEN_URL: {"tokenURL": None},
            Parameters.OTHER_CLIENT_ID: {"clientID": self.other_client_id},
            Parameters.OTHER_TOKEN_URL: {"tokenURL": f"{self.stage.provider.issuer}/elsewhere"},
            Parameters.INSECURE_TOKEN_URL: {"tokenURL": "http://login.example.com/token"},
            Parameters.PUBLIC_CLIENT: {"clientSecretRef": None},
            Parameters.NO_REFRESH_TOKEN: {"scopes": ["openid", "read"]},
            Parameters.MORE_SCOPES: {"scopes": ["openid", "email", "offline_access", "read", "profile"]},
        }
        return None if parameters is Parameters.NO_OAUTH2 else self.user.oauth2(**changes[parameters])

    def put_client_secret(self, value: str | None) -> None:
        """Make it so, whatever is there."""
        self.user.kubectl("delete", "secret", "app", "--ignore-not-found")
        if value is not None:
            self.user.create_client_secret(value)
        self.client_secret = value

    def take_immutable_secrets_away(self) -> None:
        """Somebody deletes what nobody can write, as the status says."""
        for name, secret in self.seen().secrets.items():
            if secret.get("immutable"):
                self.user.kubectl("delete", "secret", name, "--ignore-not-found")

    def take_foreign_secrets_away(self) -> None:
        """Only theirs."""
        for name in list(self.foreign):
            del self.foreign[name]
            self.user.kubectl("delete", "secret", name)


def foreign_secret(name: str, kind: str) -> dict[str, Any]:
    """A Secret of somebody else."""
    ours = SecretType.CREDENTIAL if name == CREDENTIAL else SecretType.TOKEN
    annotations = {"note": "of somebody else", **FOREIGN[kind].get("annotations", {})}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "annotations": annotations},
        "type": FOREIGN[kind]["type"] or ours,
        "stringData": {"theirs": "untouched"},
    }


def is_offered(seen: Seen) -> bool:
    """Whether a person can do something now."""
    return "authorizationLink" in seen.status and seen.status.get("observedGeneration") == seen.generation


def offers_another_link(seen: Seen, *, used: str | None) -> bool:
    """Whether the link that was used is gone."""
    return seen.status.get("authorizationLink") != used


def is_well(seen: Seen) -> bool:
    """AUTHORIZED, nothing asked for, nothing under way, one token Secret in the default shape."""
    return (
        seen.reason is Reason.AUTHORIZED
        and not is_offered(seen)
        and seen.status["observedGeneration"] == seen.generation
        and seen.status.get("handled") is not None
        and seen.requests.items() <= seen.status["handled"].items()
        and "intent" not in seen.facts
        and set(seen.token_secrets) == {TOKEN_NAMES[0]}
        and set(values_of(seen.token_secrets[TOKEN_NAMES[0]])) >= DEFAULT_KEYS
    )


def way_back(person: Person, link: str) -> str | None:
    """Follow a link through the provider; returns the URL that leads back to us. None where the link is over by now."""
    page = person.get(link)
    assert page.status_code != httpx.codes.INTERNAL_SERVER_ERROR, page.text
    if not any("Get new credential" in form.buttons for form in forms_in(page.text)):
        return None
    answer = person.submit(page, "Get new credential")
    assert answer.status_code != httpx.codes.INTERNAL_SERVER_ERROR, answer.text
    at_provider = leads_on_to(answer.text)
    return None if at_provider is None else person.consent(at_provider)


def is_long() -> bool:
    """Whether to walk for long."""
    return os.environ.get("RANDOM_WALK") == "long"


def profile() -> hypothesis.settings:
    """How many walks, of how many steps."""
    return hypothesis.settings(
        max_examples=40 if is_long() else 8,
        stateful_step_count=40 if is_long() else 15,
        derandomize=not is_long(),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        # A walk that failed is told by its journal; making it shorter takes long, and races do not always come again.
        phases=[Phase.generate, Phase.shrink] if is_long() else [Phase.generate],
        report_multiple_bugs=False,
        print_blob=True,
    )


@pytest.fixture
def stage(
    control_plane: ControlPlane,
    provider: Provider,
    stack: Stack,
    operator: Process,
    callback_server: Process,
    folder: Path,
) -> Iterator[Stage]:
    """Where walks take place."""
    stage = Stage(control_plane.cluster, provider, stack, operator, folder / "logs" / "random-walk.log")
    with contextlib.ExitStack() as afterwards:
        afterwards.callback(stage.start_operator)
        yield stage


def test_random_walk_keeps_what_must_hold_and_ends_well(stage: Stage) -> None:
    def walk() -> Walk:
        return Walk(stage)

    if is_long():
        seed = int(os.environ.get("RANDOM_WALK_SEED") or random.SystemRandom().randrange(2**32))
        print(f"RANDOM_WALK_SEED={seed}")
        hypothesis.seed(seed)(walk)
    run_state_machine_as_test(walk, settings=profile())  # type: ignore[arg-type]
