"""Flow records: one authorization under way, found by its state, readable only with it."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.names import FLOW_SLOTS, Annotation, SecretType, redirect_uri, uid_digest
from datasource.api.objects import Secret
from datasource.api.requests import HandledSet, Requests
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.records.flow import (
    FLOW_LIFETIME,
    LONGEST_MESSAGE,
    FailedFlow,
    Flow,
    FlowKey,
    Outcome,
    StoredFlow,
    UnreadableFlow,
    came_back_to,
    done_id_is_of,
    failed_flow,
    flow_key_origin,
    flow_manifest,
    has_expired,
    key_hash,
    new_flow_key,
    parse_flow_key,
    read_flow,
    replacement_patch,
    slot_to_give_up,
    state_is_of,
)
from datasource.records.link_keys import KNOWN_AFTER, LENIENCE, LinkKeys, Origin, Purpose
from tests.support.merge_patch import merge_patched
from tests.unit.datasource.builders import NOW, UID, metadata, secret


def key(slot: int = 3, random: bytes = b"\x00" * 32) -> FlowKey:
    return new_flow_key(UID, slot, lambda _: random)


def flow(**changes: Any) -> Flow:
    every: dict[str, Any] = {
        "state_hash": key_hash(key()),
        "done_id": key(random=b"\x01" * 32).text,
        "code_verifier": "verifier",
        "nonce": "nonce",
        "namespace": "shop",
        "name": "sales",
        "uid": UID,
        "parameters_hash": "ph",
        "replaces": "cred-0",
        "requested": HandledSet().with_requests(Requests(refresh="1")),
        "cookie_hash": "ch",
        "ticket_hash": "th",
        "redirect_uri": "https://connect.example.com/callback/shop",
        "created_at": NOW,
        "expires_at": NOW + FLOW_LIFETIME,
    }
    return Flow(**(every | changes))


def record(**changes: Any) -> StoredFlow:
    return StoredFlow(flow=flow(**changes), resource_version="7")


def stored(body: Any) -> Secret:
    """The Secret as the API server would give it back."""
    return msgspec.json.decode(msgspec.json.encode(body), type=Secret)


# Keys.


def test_key_carries_256_random_bits_and_says_which_record() -> None:
    asked: list[int] = []

    def token_bytes(count: int) -> bytes:
        asked.append(count)
        return b"\xff" * count

    made = new_flow_key(UID, 7, token_bytes)
    assert asked == [32]
    assert made.text == f"{uid_digest(UID)}-7.{'_' * 42}8"
    assert made.secret_name == f"datasource-flow-{uid_digest(UID)}-7"


@given(uid=st.text(), slot=st.integers(0, FLOW_SLOTS - 1), random=st.binary(min_size=32, max_size=32))
def test_key_that_comes_back_leads_to_its_record(uid: str, slot: int, random: bytes) -> None:
    made = new_flow_key(uid, slot, lambda _: random)
    assert parse_flow_key(made.text) == made


KEYS = LinkKeys().renewed(NOW, lambda size: b"k" * size)
SETTLED = NOW + LENIENCE


def marked_key(purpose: Purpose = Purpose.STATE) -> FlowKey:
    return new_flow_key(UID, 3, lambda size: b"r" * size, lambda text: KEYS.mark(purpose, text, NOW + KNOWN_AFTER))


def test_marked_key_comes_back_and_is_known_as_ours() -> None:
    made = marked_key()
    assert parse_flow_key(made.text) == made
    assert flow_key_origin(made, Purpose.STATE, KEYS, SETTLED) is Origin.OURS
    assert len(made.text.partition(".")[2]) <= 64, "v0.1.0 takes no more, and may be the one that it comes back to"


def test_key_of_v0_1_0_is_looked_up() -> None:
    assert flow_key_origin(key(), Purpose.STATE, KEYS, SETTLED) is Origin.UNKNOWN


def test_mark_of_a_done_id_is_none_of_a_state() -> None:
    assert flow_key_origin(marked_key(Purpose.DONE), Purpose.STATE, KEYS, SETTLED) is Origin.FORGED


@pytest.mark.parametrize("position", [3, 17, 20, -17, -1])
def test_altered_marked_key_is_forged(position: int) -> None:
    text = list(marked_key().text)
    text[position] = "0" if text[position] != "0" else "1"
    altered = parse_flow_key("".join(text))
    assert altered is not None
    assert flow_key_origin(altered, Purpose.STATE, KEYS, SETTLED) is Origin.FORGED


_DIGEST = "0123456789abcdef"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("st-1", id="a state of somebody else"),
        pytest.param(f"{_DIGEST}-3", id="no secret"),
        pytest.param(f"{_DIGEST}-3.short", id="a short secret"),
        pytest.param(f"{_DIGEST}-3.{'x' * 60}", id="a long secret"),
        pytest.param(f"{_DIGEST}-3.{'x' * 58}", id="a part of a mark"),
        pytest.param(f"{_DIGEST}-10.{'x' * 43}", id="a slot there is not"),
        pytest.param(f"{_DIGEST}--1.{'x' * 43}", id="a negative slot"),
        pytest.param(f"{_DIGEST}-\uff13.{'x' * 43}", id="a slot in another script"),
        pytest.param(f"{_DIGEST.upper()}-3.{'x' * 43}", id="a digest in capitals"),
        pytest.param(f"{_DIGEST[:-1]}-3.{'x' * 43}", id="a short digest"),
        pytest.param(f"../secrets/x-3.{'x' * 43}", id="a path"),
        pytest.param(f"{_DIGEST}-3.{'x' * 42}/", id="a slash"),
        pytest.param(f"{_DIGEST}-3.{'x' * 43}\n", id="a line break at the end"),
    ],
)
def test_key_that_was_never_made_is_none(text: str) -> None:
    assert parse_flow_key(text) is None


@given(st.text(alphabet=st.characters()))
def test_arbitrary_text_never_raises(text: str) -> None:
    assert parse_flow_key(text) is None


def test_state_and_done_id_are_told_apart() -> None:
    state, done = key(), key(random=b"\x01" * 32)
    assert state_is_of(state, flow())
    assert not state_is_of(done, flow())
    assert done_id_is_of(done, flow())
    assert not done_id_is_of(state, flow())


def test_record_keeps_the_hash_of_the_state_and_not_the_state() -> None:
    state = key(random=b"sentinel" * 4)
    body = flow_manifest(flow(state_hash=key_hash(state)), system_namespace="system", slot=3)
    held = stored(body).value("flow")
    assert held is not None
    assert state.text not in held
    assert state.text.partition(".")[2] not in held


def test_nothing_secret_prints() -> None:
    shown = repr(flow(code_verifier="sentinel", nonce="sentinel", outcome=Outcome.STORED)) + repr(key())
    assert "sentinel" not in shown
    assert key().text not in shown
    assert shown.startswith("Flow(shop/sales, outcome=stored)FlowKey(datasource-flow-")


# Records.


def test_manifest_is_the_secret_of_the_design() -> None:
    body = flow_manifest(flow(), system_namespace="system", slot=3)
    assert stored(body).type == "datasource.dev/oauth2-flow"
    assert body["metadata"] == {
        "name": f"datasource-flow-{uid_digest(UID)}-3",
        "namespace": "system",
        "annotations": {
            "datasource.dev/datasource": "shop/sales",
            "datasource.dev/role": "flow",
            "datasource.dev/expires-at": "2026-07-01T12:10:00Z",
        },
    }


def test_name_of_the_record_is_the_one_its_state_leads_to() -> None:
    assert flow_manifest(flow(), system_namespace="system", slot=3)["metadata"]["name"] == key(slot=3).secret_name


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="under way"),
        pytest.param({"code_verifier": None, "nonce": None, "requested": HandledSet()}, id="with the least in it"),
        pytest.param({"claim": "claim-1"}, id="claimed"),
        pytest.param(
            {"claim": "c", "outcome": Outcome.STORED, "outcome_title": "Done", "outcome_message": "…"}, id="ended"
        ),
    ],
)
def test_what_was_written_is_read_back(changes: dict[str, Any]) -> None:
    read = read_flow(stored(flow_manifest(flow(**changes), system_namespace="system", slot=3)))
    assert read.flow == flow(**changes)


def test_replacement_is_a_compare_and_swap_of_the_whole_record() -> None:
    change = replacement_patch(flow(), slot=3, resource_version="7")
    whole = flow_manifest(flow(), system_namespace="system", slot=3)
    left = dict.fromkeys((Annotation.OUTCOME, Annotation.OUTCOME_MESSAGE, Annotation.ENDED_AT))
    assert change == {
        "metadata": {"resourceVersion": "7", "annotations": whole["metadata"]["annotations"] | left},
        "data": whole["data"],
    }


# How it ended, for the operator.

DENIED: dict[str, Any] = {
    "claim": "c",
    "outcome": Outcome.NOT_STORED,
    "outcome_title": "Consent was denied",
    "outcome_message": "Nothing was stored.",
    "ended_at": NOW,
}


def told(**changes: Any) -> FailedFlow | None:
    """What the record's metadata says."""
    return failed_flow(stored(flow_manifest(flow(**changes), system_namespace="system", slot=3)).metadata)


def test_failure_is_told_in_annotations() -> None:
    assert told(**DENIED) == FailedFlow(
        "shop", "sales", uid_digest(UID), NOW, "Consent was denied. Nothing was stored."
    )


@pytest.mark.parametrize("changes", [{}, {"outcome": Outcome.STORED}, {"ended_at": None}])
def test_nothing_is_told_of_an_authorization_that_did_not_fail(changes: dict[str, Any]) -> None:
    assert told(**(changes and DENIED | changes)) is None


def test_failure_says_no_more_than_a_status_takes_and_nothing_that_moves_a_cursor() -> None:
    failed = told(**DENIED | {"outcome_message": "\x1b[2J\n\u202e" + "x" * 5000})
    assert failed is not None
    assert len(failed.message) == LONGEST_MESSAGE
    assert failed.message.isprintable()


def test_flow_that_takes_a_slot_takes_away_how_the_one_before_ended() -> None:
    before = flow_manifest(flow(**DENIED), system_namespace="system", slot=3)
    after = merge_patched(before, replacement_patch(flow(), slot=3, resource_version="7"))
    assert failed_flow(stored(after).metadata) is None
    assert Annotation.OUTCOME not in after["metadata"]["annotations"]


@pytest.mark.parametrize(
    "altered",
    [
        {"name": "datasource-flow-0"},
        {"annotations": {Annotation.DATASOURCE: "sales"}},
        {"annotations": {Annotation.ENDED_AT: "soon"}},
        {"annotations": {Annotation.ENDED_AT: "2026-07-01T12:00:00"}},
        {"annotations": {Annotation.OUTCOME: "perhaps"}},
    ],
)
def test_what_somebody_altered_tells_nothing(altered: dict[str, Any]) -> None:
    whole = flow_manifest(flow(**DENIED), system_namespace="system", slot=3)
    assert failed_flow(stored(merge_patched(whole, {"metadata": altered})).metadata) is None


def flow_secret(text: str | bytes | None, type_: str = SecretType.FLOW) -> Secret:
    return secret({} if text is None else {"flow": text}, type_=type_)


WRITTEN = msgspec.json.encode(flow()).decode()


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(flow_secret(WRITTEN, "Opaque"), id="another type of Secret"),
        pytest.param(flow_secret(None), id="no data"),
        pytest.param(flow_secret(""), id="empty data"),
        pytest.param(flow_secret(b"\xff"), id="data that is no text"),
        pytest.param(flow_secret("{"), id="JSON cut short"),
        pytest.param(flow_secret("{}"), id="nothing in it"),
        pytest.param(flow_secret(WRITTEN.replace("under-way", "lost")), id="an outcome there is not"),
        pytest.param(flow_secret(WRITTEN.replace("2026-07-01T12:10:00Z", "soon")), id="an end in words"),
        pytest.param(
            flow_secret(WRITTEN.replace("2026-07-01T12:10:00Z", "2026-07-01T12:10:00")), id="an end without an offset"
        ),
        pytest.param(
            flow_secret(WRITTEN.replace("2026-07-01T12:00:00Z", "2026-07-01T12:00:00")),
            id="a beginning without an offset",
        ),
        pytest.param(Secret(metadata=metadata(), type=SecretType.FLOW, data={"flow": "?"}), id="no base64"),
    ],
)
def test_record_that_does_not_say_what_it_should_is_unreadable(broken: Secret) -> None:
    with pytest.raises(UnreadableFlow):
        read_flow(broken)


# Time.


def test_flow_lives_for_ten_minutes() -> None:
    assert timedelta(minutes=10) == FLOW_LIFETIME
    assert not flow().has_expired(NOW + FLOW_LIFETIME - timedelta(microseconds=1))
    assert flow().has_expired(NOW + FLOW_LIFETIME)


@pytest.mark.parametrize(
    ("expires_at", "expired"),
    [
        pytest.param("2026-07-01T12:00:01Z", False, id="a second to come"),
        pytest.param("2026-07-01T12:00:00Z", True, id="now"),
        pytest.param("2026-07-01T11:59:59Z", True, id="a second ago"),
        pytest.param("soon", True, id="a word"),
        pytest.param("", True, id="nothing"),
        pytest.param("9999-12-31T23:59:59-01:00", True, id="after all time"),
        pytest.param("2026-07-02T12:00:00Z", False, id="a day to come"),
        pytest.param("2026-07-02T12:00:01Z", True, id="later than any record of ours ends"),
        pytest.param("9999-12-31T23:59:59Z", True, id="the end of all time"),
    ],
)
def test_record_may_be_swept_when_its_annotation_says_so_or_says_nothing(expires_at: str, expired: bool) -> None:
    assert has_expired(metadata(annotations={Annotation.EXPIRES_AT: expires_at}), NOW) is expired


def test_record_without_annotation_may_be_swept() -> None:
    assert has_expired(metadata(), NOW)


# Slots.


def ago(minutes: int) -> dict[str, Any]:
    return {"created_at": NOW - timedelta(minutes=minutes), "expires_at": NOW + timedelta(minutes=10 - minutes)}


@pytest.mark.parametrize(
    ("taken", "slot"),
    [
        pytest.param({4: record(**ago(3)), 1: record(**ago(9)), 7: record(**ago(5))}, 1, id="the oldest"),
        pytest.param(
            {4: record(**ago(9), claim="c"), 1: record(**ago(5)), 7: record(**ago(3))}, 1, id="the oldest unclaimed"
        ),
        pytest.param(
            {4: record(**ago(3), claim="c"), 7: record(**ago(9), claim="c")}, 7, id="else the oldest of the claimed"
        ),
        pytest.param({4: record(**ago(3)), 1: record(**ago(3))}, 1, id="the first of two that are as old"),
    ],
)
def test_slot_is_taken_from_whom_it_hurts_least(taken: dict[int, StoredFlow], slot: int) -> None:
    assert slot_to_give_up(taken) == slot


# Where an answer comes back to.

MOVED = "https://moved.example.com/prefix"


@pytest.mark.parametrize(
    ("recorded", "path", "fits"),
    [
        (redirect_uri(MOVED, "shop"), ("shop", None), True),
        (redirect_uri(MOVED, "shop"), ("shop", "sales"), False),
        (redirect_uri(MOVED, "shop"), ("sales", None), False),
        (redirect_uri(MOVED, "shop", "sales"), ("shop", "sales"), True),
        (redirect_uri(MOVED, "shop", "sales"), ("shop", None), False),
        (redirect_uri(MOVED, "shop", "sales"), ("shop", "other"), False),
        (redirect_uri(MOVED, "other", "sales"), ("other", "sales"), False),
        ("", ("shop", None), False),
    ],
)
def test_answer_fits_the_redirect_uri_of_its_request(recorded: str, path: tuple[str, str | None], fits: bool) -> None:
    assert came_back_to(flow(redirect_uri=recorded), *path) is fits


def test_namespace_named_callback_is_no_way_into_another() -> None:
    confusing = flow(namespace="callback", name="shop", redirect_uri=redirect_uri(MOVED, "callback", "shop"))
    assert came_back_to(confusing, "callback", "shop")
    assert not came_back_to(confusing, "shop", None)


# What v0.1.0 wrote, and what is not written any more.


def test_record_of_v0_1_0_knows_its_requests() -> None:
    as_written = msgspec.json.decode(WRITTEN)
    del as_written["requested"]
    as_written["requests"] = {"clear_credential": "c", "new_credential": None, "refresh": None}
    read = read_flow(flow_secret(msgspec.json.encode(as_written))).flow
    assert read.known == HandledSet().with_requests(Requests(clear_credential="c"))


def test_record_does_not_grow_with_what_people_write_into_annotations() -> None:
    """The instance: 321 kB for one click on a Datasource with long annotations."""
    long = HandledSet().with_requests(Requests("c" * 250_000, "n" * 250_000, "r" * 250_000))
    methods = tuple(f"m-{number}" * 30 for number in range(99))
    said = ProviderMetadata(
        issuer="https://login.example.com",
        code_challenge_methods_supported=("S256", *methods),
        token_endpoint_auth_methods_supported=methods,
        id_token_signing_alg_values_supported=methods,
    )
    written = msgspec.json.encode(flow(requested=long, metadata=said.without_lists))
    assert len(written) < 2000
    assert flow(requested=long).known == long
    assert said.without_lists.supports_s256
    assert not ProviderMetadata(issuer="x", code_challenge_methods_supported=methods).without_lists.supports_s256
