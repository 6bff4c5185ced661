"""A turn can be written down and read again, whatever it holds."""

import msgspec
import pytest

from datasource.api.requests import Requests
from datasource.records.intent import Intent
from datasource.records.turn import Turn
from tests.support.builders import NOW, facts
from tests.unit.datasource.builders import credential_data


def turn() -> Turn:
    intent = Intent(id="i", process="p", pod="q", at=NOW, sends=2)
    return Turn(
        namespace="shop",
        name="calendar",
        facts=msgspec.structs.replace(facts(expires_at=NOW, granted_scopes=("read",)), intent=intent),
        intent=intent,
        resource_version="7",
        requests=Requests(refresh="1"),
        data=credential_data(refresh_token="sentinel-refresh-token"),
        client_secret_name="app",
    )


def test_turn_survives_the_way_over_json() -> None:
    assert Turn.decode(turn().encode()) == turn()


def test_turn_shows_no_token() -> None:
    assert "sentinel" not in repr(turn())


@pytest.mark.parametrize(
    "record", [b"", b"{}", turn().encode()[:-20], turn().encode().replace(b'"sends":2', b'"sends":"x"')]
)
def test_damaged_record_is_refused(record: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        Turn.decode(record)


def test_act_is_known_by_the_request_of_the_page_or_else_by_the_intent() -> None:
    asked = msgspec.structs.replace(turn(), asked_by="ada", page_request="request-1")
    assert (asked.act_id, turn().act_id) == ("request-1", turn().intent.id)
