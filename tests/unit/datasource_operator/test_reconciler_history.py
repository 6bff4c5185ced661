"""What somebody asks for at a page, acted on once, and what people did, told in the status: on an API server in memory."""

from base64 import b64decode, b64encode
from typing import Any

import msgspec
import pytest

from datasource.api.names import Annotation
from datasource.api.objects import Datasource, Status
from datasource.api.requests import Requests
from datasource.api.states import Reason
from datasource.cluster.resources import DATASOURCES, SECRETS
from datasource.records.credential import CredentialFacts, TombstoneFacts, read_facts
from datasource.records.history import Act, appended, entry_of, read_history
from datasource.records.link_keys import LinkKeys
from datasource.records.page_request import PageRequest, RequestKind
from tests.support.builders import NAME, NAMESPACE, NOW, credential, fingerprint_of, raw_spec, spec
from tests.unit.datasource_operator.world import SECRET, World, credential_data

KEYS = LinkKeys().renewed(NOW, lambda size: b"k" * size)
PLACE = (NAMESPACE, NAME)
NOTHING_ASKED = Requests()


def asked(kind: RequestKind = RequestKind.CLEAR, *, user: str = "ada", credential: str = "credential-1") -> PageRequest:
    return PageRequest(kind, "0" * 32, NOW, user, credential).marked(KEYS, PLACE)


def world(request: PageRequest | None = None, requests: Requests = NOTHING_ASKED, **changes: Any) -> World:
    """One whose credential was settled before the request came."""
    made = World(link_keys=KEYS)
    made.has_client_secret(**{"client-secret": "s3cret"})
    made.has_datasource(raw_spec(), NOTHING_ASKED, Status())
    made.has_credential(credential(**changes), credential_data(fingerprint_of(spec())))
    made.watch_catches_up()
    made.reconcile()
    made.has_datasource(raw_spec(), requests, status_of(made))
    if request is not None:
        annotate(made, request)
    made.watch_catches_up()
    made.kube.calls.clear()
    return made


def annotate(made: World, request: PageRequest) -> None:
    stored = made.kube.object(SECRETS, NAMESPACE, SECRET)
    stored["metadata"]["annotations"][Annotation.PAGE_REQUEST] = request.encode()
    del stored["metadata"]["resourceVersion"]
    made.kube.put(SECRETS, NAMESPACE, SECRET, **stored)


def status_of(made: World) -> Status:
    return msgspec.convert(made.kube.object(DATASOURCES, NAMESPACE, NAME), Datasource).status


def facts_in(made: World) -> CredentialFacts | TombstoneFacts:
    return read_facts(made.kube.object(SECRETS, NAMESPACE, SECRET)["metadata"]["annotations"])


def told(made: World) -> list[tuple[str, str, str]]:
    """What the status tells: what, by whom, and what came of it."""
    return [(each.what, each.by, each.result) for each in status_of(made).history or ()]


def test_clear_from_a_page_takes_the_tokens_and_tells_who_asked() -> None:
    made = world(asked())
    made.reconcile()
    assert made.ready.reason == Reason.CREDENTIAL_CLEARED
    assert told(made) == [("ClearCredential", "ada", "Succeeded")]
    stored = made.kube.object(SECRETS, NAMESPACE, SECRET)
    assert set(stored["data"]) == {"history"}
    assert Annotation.PAGE_REQUEST not in stored["metadata"]["annotations"]
    (entry,) = read_history(b64decode(stored["data"]["history"]).decode())
    assert entry.is_ours(KEYS, PLACE, NOW)


def test_clear_is_acted_on_once_whatever_restarts() -> None:
    made = world(asked())
    made.reconcile()
    made.restart()
    made.kube.calls.clear()
    for _ in range(3):
        made.restart()
        made.reconcile()
    assert made.writes == []
    assert made.kube.calls == [], "and nothing is read for it either"


def test_clear_of_an_annotation_tells_that_and_no_name() -> None:
    made = world(requests=Requests(clear_credential="now"))
    made.reconcile()
    assert told(made) == [("ClearCredential", "annotation", "Succeeded")]


def test_two_who_ask_at_once_are_one_clear_and_both_are_answered() -> None:
    made = world(asked(), Requests(clear_credential="now"))
    made.reconcile()
    made.restart()
    made.reconcile()
    assert told(made) == [("ClearCredential", "ada", "Succeeded")]
    assert facts_in(made).handled.pending(Requests(clear_credential="now")) == NOTHING_ASKED


def test_request_that_nobody_of_ours_wrote_names_nobody() -> None:
    made = world(msgspec.structs.replace(asked(), user="the.boss@example.com"))
    made.reconcile()
    assert told(made) == [("ClearCredential", "unproven", "Succeeded")]


def test_request_older_than_the_credential_clears_nothing() -> None:
    made = world(asked(credential="credential-0"))
    made.reconcile()
    assert made.ready.reason == Reason.AUTHORIZED
    assert made.writes == []


def test_request_whose_datasource_is_going_or_gone_does_nothing() -> None:
    made = world(asked())
    made.has_datasource(raw_spec(), NOTHING_ASKED, status_of(made), deletionTimestamp="2026-07-01T11:00:00Z")
    made.watch_catches_up()
    made.kube.remove(DATASOURCES, NAMESPACE, NAME)
    made.reconcile()
    assert made.writes == []


@pytest.mark.parametrize("kind", RequestKind)
def test_while_suspended_only_a_clear_is_acted_on(kind: RequestKind) -> None:
    made = world(asked(kind))
    made.has_datasource(raw_spec() | {"suspend": True}, NOTHING_ASKED, status_of(made))
    made.watch_catches_up()
    comeback = made.reconcile()
    assert comeback.refresh is None
    left = facts_in(made)
    assert isinstance(left, TombstoneFacts) is (kind is RequestKind.CLEAR)
    assert isinstance(left, TombstoneFacts) or left.page_request == asked(kind)


def test_refresh_from_a_page_is_begun_at_once() -> None:
    comeback = world(asked(RequestKind.REFRESH)).reconcile()
    assert comeback.refresh is not None
    assert comeback.refresh.is_urgent


@pytest.mark.parametrize(
    ("changes", "result"),
    [({"has_refresh_token": False}, "NoRefreshToken"), ({"verdict": Reason.GRANT_REVOKED}, "GrantRevoked")],
)
def test_refresh_in_vain_is_told_with_why_and_not_asked_again(changes: dict[str, Any], result: str) -> None:
    made = world(asked(RequestKind.REFRESH), **changes)
    made.reconcile()
    assert told(made) == [("Refresh", "ada", result)]
    made.restart()
    made.kube.calls.clear()
    made.reconcile()
    assert made.writes == []


def test_refresh_in_vain_of_what_was_cleared_is_told_too() -> None:
    made = world(asked())
    made.reconcile()
    made.has_datasource(raw_spec(), Requests(refresh="now"), status_of(made))
    made.watch_catches_up()
    made.reconcile()
    assert told(made) == [("ClearCredential", "ada", "Succeeded"), ("Refresh", "annotation", "NoRefreshToken")]


# The copy in the status.


def with_history(made: World, text: str, entry_id: str) -> None:
    stored = made.kube.object(SECRETS, NAMESPACE, SECRET)
    stored["metadata"]["annotations"][Annotation.HISTORY] = entry_id
    stored["data"]["history"] = text
    del stored["metadata"]["resourceVersion"]
    made.kube.put(SECRETS, NAMESPACE, SECRET, **stored)
    made.watch_catches_up()


def test_status_that_was_wiped_tells_it_again() -> None:
    made = world(asked())
    made.reconcile()
    before = told(made)
    made.has_datasource(raw_spec(), NOTHING_ASKED, Status())
    made.restart()
    made.reconcile()
    assert told(made) == before


@pytest.mark.parametrize("text", ["", "/w==", "W10=", "bm8gSlNPTg=="])
def test_history_that_somebody_took_out_is_read_once_and_written_never_again(text: str) -> None:
    """v0.1.0 does the same with a clear: it leaves the annotation, and not the data."""
    made = world()
    with_history(made, text, "gone")
    made.reconcile()
    assert told(made) == []
    made.kube.calls.clear()
    made.reconcile()
    made.reconcile()
    assert made.writes == []


def test_credential_of_an_earlier_version_has_no_history_and_costs_no_read() -> None:
    made = world()
    made.restart()
    made.reconcile()
    assert made.kube.calls == []
    assert told(made) == []


def test_secret_that_is_gone_leaves_what_the_status_tells() -> None:
    made = world(asked())
    made.reconcile()
    made.kube.remove(SECRETS, NAMESPACE, SECRET)
    made.restart()
    made.reconcile()
    assert told(made) == [("ClearCredential", "ada", "Succeeded")]


# The log stream.


def audited(made: World) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in made.audit]


def test_what_was_done_is_told_to_the_log_stream_before_the_status_says_so() -> None:
    made = world(asked())
    made.reconcile()
    (line,) = audited(made)
    assert line == {
        "stream": "audit",
        "id": "0" * 32,
        "time": "2026-07-01T12:00:00Z",
        "event": "ClearCredential",
        "by": "ada",
        "result": "Succeeded",
        "namespace": NAMESPACE,
        "datasource": NAME,
    }


def test_who_ended_before_the_status_was_written_tells_it_again_with_the_same_id() -> None:
    made = world(asked())
    before = status_of(made)
    made.reconcile()
    made.has_datasource(raw_spec(), NOTHING_ASKED, before)
    made.restart()
    made.reconcile()
    assert [line["id"] for line in audited(made)] == ["0" * 32] * 2


def test_entry_that_somebody_wrote_into_the_secret_is_told_in_nobodys_name() -> None:
    made = world()
    forged = appended(None, entry_of("forged", Act.CLEAR, by="the.boss@example.com", at=NOW))
    with_history(made, b64encode(forged.encode()).decode(), "forged")
    made.reconcile()
    assert [line["by"] for line in audited(made)] == ["unproven"]
