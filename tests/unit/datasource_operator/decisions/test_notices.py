"""Who is notified of what, and when two notices are the same."""

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from datasource.api.clock import rfc3339
from datasource.api.objects import Condition, Datasource, Status
from datasource.api.states import GRANT_EXPIRING, MEANING, Reason
from datasource.records.contents import Contents, StoredCredential
from datasource_operator.decisions.notices import (
    MOST_NAMED,
    Kind,
    Notice,
    cloud_event,
    event_of_a_test,
    messages,
    notices_of,
)
from datasource_operator.trimming import trimmed
from tests.support.builders import NAMESPACE, NOW, UID, datasource, facts

LINK = "https://connect.example.com/authorize/shop/calendar?ticket=secret-ticket"
STORED = StoredCredential(facts(), "1", ())


def condition(type_: str, reason: str, message: str = "", status: str = "True") -> Condition:
    return Condition(type=type_, status=status, reason=reason, message=message, last_transition_time=rfc3339(NOW))


def waiting(reason: Reason = Reason.GRANT_REVOKED, message: str = "", **status: Any) -> Datasource:
    ready = condition("Ready", reason, message, "False")
    usual = {"state": MEANING[reason].state, "conditions": (ready,), "authorization_link": LINK}
    return msgspec.structs.replace(datasource(), status=Status(**(usual | status)))


def expiring(near: str = "EndsSoon", ends: timedelta = timedelta(days=9)) -> Datasource:
    conditions = (condition("Ready", Reason.AUTHORIZED), condition(GRANT_EXPIRING, near, "The grant ends."))
    status = Status(state="AUTHORIZED", conditions=conditions, grant_expires_at=rfc3339(NOW + ends))
    return msgspec.structs.replace(datasource(), status=status)


def only(found: Datasource, contents: Contents | None = STORED) -> Notice:
    ((_, notice),) = notices_of(found, contents)
    return notice


def kinds(found: Datasource) -> list[Kind]:
    return [kind for kind, _ in notices_of(found, STORED)]


def test_a_datasource_that_waits_for_a_person_is_told() -> None:
    found = waiting(message="invalid_grant", last_authorized_as="ada@example.com")
    assert kinds(found) == [Kind.PERSON_NEEDED]
    notice = only(found)
    assert (notice.name, notice.uid, notice.reason, notice.message) == (
        found.metadata.name,
        UID,
        "GrantRevoked",
        "invalid_grant",
    )
    assert (notice.since, notice.last_authorized_as) == (rfc3339(NOW), "ada@example.com")


def test_a_grant_that_is_about_to_end_is_told_with_its_end() -> None:
    found = expiring()
    assert kinds(found) == [Kind.GRANT_EXPIRING]
    assert only(found).grant_expires_at == rfc3339(NOW + timedelta(days=9))


@pytest.mark.parametrize(
    "found",
    [
        datasource(),
        waiting(authorization_link=None),
        waiting(conditions=None),
        msgspec.structs.replace(waiting(), spec={**waiting().spec, "suspend": True}),
        msgspec.structs.replace(expiring(), status=Status(state="AUTHORIZED")),
    ],
    ids=["nobody looked yet", "no link", "no condition", "suspended", "authorized"],
)
def test_where_nobody_can_do_anything_nobody_is_told(found: Datasource) -> None:
    assert kinds(found) == []


def test_a_condition_that_is_false_is_no_news() -> None:
    found = expiring()
    turned = tuple(msgspec.structs.replace(each, status="False") for each in found.status.conditions or ())
    assert kinds(msgspec.structs.replace(found, status=msgspec.structs.replace(found.status, conditions=turned))) == []


def test_the_same_state_has_the_same_id_whoever_looks_and_whenever() -> None:
    assert only(waiting(message="one")).id == only(waiting(message="another", redirect_uri="x")).id


@pytest.mark.parametrize(
    "other",
    [
        only(waiting(Reason.REFRESH_INTERRUPTED)),
        only(waiting(), StoredCredential(facts(revision=8), "1", ())),
        only(waiting(), StoredCredential(facts(credential_id="another"), "1", ())),
        only(waiting(), None),
        only(msgspec.structs.replace(waiting(), metadata=msgspec.structs.replace(datasource().metadata, uid="uid-2"))),
    ],
    ids=["reason", "revision", "credential", "no credential", "Datasource"],
)
def test_another_state_has_another_id(other: Notice) -> None:
    assert other.id != only(waiting()).id


def test_refreshes_before_the_same_end_of_a_grant_are_no_news() -> None:
    assert only(expiring(), StoredCredential(facts(revision=8), "1", ())).id == only(expiring()).id


def test_each_threshold_and_each_other_end_is_news() -> None:
    ids = {only(expiring()).id, only(expiring("EndsWithinADay")).id, only(expiring(ends=timedelta(days=2))).id}
    assert len(ids) == 3


def test_an_edit_while_nothing_was_ever_authorized_is_news() -> None:
    edited = msgspec.structs.replace(datasource().metadata, generation=99)
    first = only(waiting(Reason.AUTHORIZATION_REQUIRED), None)
    assert only(msgspec.structs.replace(waiting(Reason.AUTHORIZATION_REQUIRED), metadata=edited), None).id != first.id


def many(count: int) -> list[tuple[Kind, str, Notice]]:
    named = [msgspec.structs.replace(only(waiting()), id=f"id-{each}", name=f"ds-{each:05}") for each in range(count)]
    return [(Kind.PERSON_NEEDED, NAMESPACE, each) for each in named]


def test_ten_thousand_of_a_namespace_are_one_message_that_names_twenty() -> None:
    (message,) = messages(many(10_000))
    event = json.loads(cloud_event(message, source="https://connect.example.com", cluster="", now=NOW))
    assert event["data"]["count"] == 10_000
    assert [each["name"] for each in event["data"]["datasources"]] == [f"ds-{each:05}" for each in range(MOST_NAMED)]
    assert len(json.dumps(event)) < 32 * 1024


def test_an_id_of_a_message_does_not_depend_on_the_order() -> None:
    (one,), (other,) = messages(many(5)), messages(many(5)[::-1])
    assert one.id == other.id
    assert messages(many(6))[0].id != one.id


def test_kinds_and_namespaces_have_messages_of_their_own() -> None:
    notice = only(waiting())
    found = messages(
        [(Kind.PERSON_NEEDED, "a", notice), (Kind.GRANT_EXPIRING, "a", notice), (Kind.PERSON_NEEDED, "b", notice)]
    )
    assert [(each.kind, each.namespace) for each in found] == [
        (Kind.PERSON_NEEDED, "a"),
        (Kind.GRANT_EXPIRING, "a"),
        (Kind.PERSON_NEEDED, "b"),
    ]
    assert len({each.id for each in found}) == 3


def test_an_event_is_a_cloud_event_and_holds_no_link() -> None:
    found = waiting(message="Open status.authorizationLink.")
    shown = msgspec.structs.replace(found, spec={**found.spec, "display": {"contact": "team payments, room 4"}})
    (message,) = messages([(Kind.PERSON_NEEDED, NAMESPACE, only(trimmed(shown)))])
    text = cloud_event(message, source="https://connect.example.com", cluster="prod-eu", now=NOW)
    event = json.loads(text)
    assert {
        key: event[key] for key in ("specversion", "type", "source", "subject", "datacontenttype", "time", "id")
    } == {
        "specversion": "1.0",
        "type": "dev.datasource.person-needed",
        "source": "https://connect.example.com",
        "subject": NAMESPACE,
        "datacontenttype": "application/json",
        "time": rfc3339(NOW),
        "id": message.id,
    }
    assert event["data"]["cluster"] == "prod-eu"
    assert event["data"]["datasources"][0]["contact"] == "team payments, room 4"
    assert b"secret-ticket" not in text


PAGES = "https://connect.example.com/tokens"


@pytest.mark.parametrize("found", [waiting(), expiring()], ids=["person needed", "grant expiring"])
def test_where_people_sign_in_a_notice_has_the_page_and_never_the_ticket_of_a_status(found: Datasource) -> None:
    ((kind, notice),) = notices_of(found, STORED, pages=PAGES)
    assert notice.page == f"{PAGES}/datasources/{found.metadata.namespace}/{found.metadata.name}"
    (message,) = messages([(kind, NAMESPACE, notice)])
    text = cloud_event(message, source=PAGES, cluster="", now=NOW)
    assert json.loads(text)["data"]["datasources"][0]["page"] == notice.page
    assert b"ticket" not in text


def test_where_nobody_signs_in_a_notice_has_no_link_and_signing_in_makes_no_news() -> None:
    ((_, notice),) = notices_of(waiting(), STORED)
    assert b"http" not in msgspec.json.encode(notice)
    ((_, with_page),) = notices_of(waiting(), STORED, pages=PAGES)
    assert with_page.id == notice.id


@pytest.mark.parametrize("display", [None, "text", 7, [], {}, {"contact": 7}, {"contact": {"a": 1}}])
def test_a_display_that_is_none_breaks_nothing(display: Any) -> None:
    found = waiting()
    assert only(msgspec.structs.replace(found, spec={**found.spec, "display": display})).contact == ""


def test_what_a_provider_made_long_is_cut() -> None:
    assert len(only(waiting(message="x" * 30_000)).message) == 512


def test_message_of_a_test_has_the_same_shape_and_tells_of_no_datasource() -> None:
    (message,) = messages(many(1))
    ours = msgspec.json.decode(cloud_event(message, source="s", cluster="c", now=NOW))
    test = msgspec.json.decode(event_of_a_test("1", namespace=NAMESPACE, source="s", cluster="c", now=NOW))
    assert test.keys() == ours.keys()
    assert (test["id"], test["type"].rpartition(".")[2], test["data"]["datasources"]) == ("1", "test", [])
