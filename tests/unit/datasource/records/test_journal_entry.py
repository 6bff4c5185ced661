"""What is written down of a reply is enough to judge it by, and nothing that proves who we are."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from datasource.api.requests import Requests
from datasource.api.spec import OAuth2
from datasource.oauth2.errors import MalformedTokenResponse, OAuth2Error, OutcomeUnknown
from datasource.oauth2.token_response import TokenResponse, parse_token_response
from datasource.outbound.provider_request import Reply
from datasource.records.effective import reply_options
from datasource.records.intent import Intent
from datasource.records.journal_entry import (
    LARGEST_BUNDLE,
    CodeEntry,
    RecordedReply,
    RefreshEntry,
    decode_entry,
    encode_entry,
    place_of,
    token_hash,
)
from datasource.records.turn import Turn
from tests.unit.datasource.builders import NOW, credential_data, facts, oauth2
from tests.unit.datasource.records.test_flow import flow

LATER = NOW + timedelta(seconds=2)
ANSWER = b'{"access_token": "at-2", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "rt-2"}'
EVERYTHING = oauth2(
    clientSecretRef={"name": "my-app", "key": "client-secret"},
    issuer="https://login.example.com",
    scopes=["openid", "read"],
    expectedIdentity={"email": "ada@example.com"},
    errorRules=[{"means": "invalidGrant", "path": "error.code", "error": "7"}],
    capturedFields={"tokenResponse": ["instance_url"]},
    maxLifetime="1m",
    tokenHeaders=[{"name": "X-Api-Key", "secretRef": {"name": "my-app", "key": "api-key"}}],
    tokenParameters={"tenant": "sentinel"},
    refreshParameters={"tenant": "sentinel"},
    authorizeParameters={"tenant": "sentinel"},
)


def reply(body: bytes = ANSWER, *, is_whole: bool = True, content_type: str = "application/json") -> RecordedReply:
    came = Reply(200, {"content-type": content_type, "set-cookie": "sentinel"}, body)
    return RecordedReply.of(came, is_whole=is_whole, sent_at=NOW, received_at=LATER)


def turn() -> Turn:
    intent = Intent(id="0a", process="p", pod="q", at=NOW, sends=2, journal=True)
    data = credential_data(
        refresh_token="sentinel-rt",
        access_token="sentinel-at",
        client_secret="sentinel-secret",
        ca_bundle="sentinel-bundle",
        token_headers='{"X-Api-Key": "sentinel-key"}',
        captured='{"site": "sentinel"}',
        identity='{"sub": "sentinel"}',
    )
    known = msgspec.structs.replace(facts(), intent=intent)
    return Turn("shop", "calendar", known, intent, "7", Requests(refresh="1"), data)


def entry() -> RefreshEntry:
    return RefreshEntry.of(turn(), EVERYTHING, reply())


def test_entry_survives_the_way_over_its_file() -> None:
    assert decode_entry(encode_entry(entry()), RefreshEntry) == entry()


def test_nothing_that_was_sent_and_nothing_that_proves_who_we_are_is_written_down() -> None:
    assert b"sentinel" not in encode_entry(entry())
    assert b"at-2" not in encode_entry(entry())  # it is base64
    assert "at-2" not in repr(entry())


def test_turn_is_as_it_was_once_the_credential_secret_is_read_again() -> None:
    read = decode_entry(encode_entry(entry()), RefreshEntry)
    assert read.turn_with(turn().data) == turn()
    assert read.sent_hash == token_hash("sentinel-rt")


def test_endpoints_are_those_that_were_recorded_whatever_the_secret_says_now() -> None:
    altered = msgspec.structs.replace(turn().data, token_endpoint="https://elsewhere.example.com/token")
    assert entry().turn_with(altered).data.token_endpoint == turn().data.token_endpoint


def test_reply_is_read_as_it_was_when_it_came() -> None:
    options = reply_options(EVERYTHING, refreshed=facts())
    read = decode_entry(encode_entry(entry()), RefreshEntry)
    now = parse_token_response(200, {"content-type": "application/json"}, ANSWER, received_at=NOW, options=options)
    parsed = read.reply.parsed(reply_options(read.parameters, refreshed=read.turn.facts), ())
    assert parsed == now
    # From before the request, and no longer than the spec said then.
    assert parsed.expires_at == NOW + timedelta(minutes=1)


def test_reply_as_a_form_is_read_by_its_content_type() -> None:
    form = reply(b"access_token=at-2&token_type=bearer", content_type="application/x-www-form-urlencoded")
    assert form.parsed(reply_options(OAuth2()), ()) == TokenResponse("at-2", "Bearer")


def test_reply_that_broke_off_behind_its_tokens_has_them() -> None:
    parsed = reply(ANSWER, is_whole=False).parsed(reply_options(OAuth2()), ())
    assert (parsed.access_token, parsed.refresh_token) == ("at-2", "rt-2")


@pytest.mark.parametrize(
    ("body", "is_whole", "error", "refresh_token"),
    [
        (b'{"access_token": "at', False, OutcomeUnknown, None),
        (b'{"refresh_token": "rt-2"}', True, MalformedTokenResponse, "rt-2"),
        (b"<html>", True, MalformedTokenResponse, None),
    ],
)
def test_reply_of_no_use_is_told_as_it_was(
    body: bytes, is_whole: bool, error: type[OAuth2Error], refresh_token: str | None
) -> None:
    with pytest.raises(error) as raised:
        reply(body, is_whole=is_whole).parsed(reply_options(OAuth2()), ())
    assert raised.value.refresh_token == refresh_token


def test_large_bundle_is_left_out_so_that_the_reply_fits() -> None:
    for length, kept in ((LARGEST_BUNDLE, True), (LARGEST_BUNDLE + 1, False)):
        parameters = msgspec.structs.replace(EVERYTHING, ca_bundle="x" * length)
        assert (RefreshEntry.of(turn(), parameters, reply()).parameters.ca_bundle is not None) is kept


@pytest.mark.parametrize(
    "record",
    [b"", b"{}", encode_entry(entry())[:-9], encode_entry(entry()).replace(b'"refresh",', b'"consent",', 1), b"\xff"],
    ids=["empty", "nothing", "cut", "of a kind that a later version knows", "no text"],
)
def test_what_is_no_entry_cannot_be_read(record: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, UnicodeError)):
        decode_entry(record, RefreshEntry)


OLDEST = (
    b'{"type":"refresh","turn":{"namespace":"shop","name":"calendar","facts":{"credential_id":"cred-1","fingerprint":"fp-1"},'
    b'"intent":{"id":"0a","process":"p","pod":"q","at":"2026-07-01T12:00:00Z","journal":true},"resource_version":"7",'
    b'"requests":{},"data":{"access_token":"","token_type":"","token_endpoint":"https://login.example.com/token",'
    b'"fingerprint":"fp-1","client_id":"my-app"}},"sent_hash":"ab","parameters":{},'
    b'"reply":{"status":200,"content_type":"application/json","body":"e30=","is_whole":true,'
    b'"sent_at":"2026-07-01T12:00:00Z","received_at":"2026-07-01T12:00:02Z"}}'
)
"""The least that the first version with a journal wrote. A later one must read it: its pod may have been restarted with it."""


def test_entry_of_the_first_version_is_read() -> None:
    read = decode_entry(OLDEST, RefreshEntry)
    assert (read.turn.name, read.turn.intent.journal, read.reply.body) == ("calendar", True, b"{}")


@pytest.mark.parametrize(
    "within", [b'{"type":"refresh",', b'"facts":{', b'"intent":{', b'"parameters":{', b'"reply":{']
)
def test_field_that_only_a_later_version_knows_keeps_no_reply_from_being_stored(within: bytes) -> None:
    """After a rollback within the pod: to set the reply aside for it would cost the grant that it holds."""
    later = encode_entry(entry()).replace(within, within + b'"later":{"and":["deeper"]},', 1)
    assert b"later" in later
    assert decode_entry(later, RefreshEntry) == entry()


def code_entry(**data: Any) -> CodeEntry:
    template = (facts(), credential_data(**data))
    return CodeEntry.of(flow(), 3, template, EVERYTHING, None, reply(), None)


def test_entry_of_a_code_survives_its_file_without_what_proves_who_we_are() -> None:
    entry = code_entry(client_secret="sentinel-secret", ca_bundle="sentinel-ca", token_headers="{}")
    assert b"sentinel" not in encode_entry(entry)
    assert decode_entry(encode_entry(entry), CodeEntry) == entry
    assert entry.keeps_client
    assert not code_entry(client_secret=None, ca_bundle=None, token_headers=None).keeps_client
    assert repr(entry) == "CodeEntry(shop/sales)"


def test_entry_of_the_other_process_cannot_be_read() -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_entry(encode_entry(code_entry()), RefreshEntry)
    with pytest.raises(msgspec.MsgspecError):
        decode_entry(encode_entry(entry()), CodeEntry)


def test_place_stands_for_one_datasource() -> None:
    assert place_of("shop", "calendar") == place_of("shop", "calendar")
    assert len({place_of("shop", "calendar"), place_of("shop", "mail"), place_of("sho", "p/calendar")}) == 3
