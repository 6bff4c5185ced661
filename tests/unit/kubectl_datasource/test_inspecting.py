"""What may be shown of a Secret: never a value."""

from base64 import b64encode
from typing import Any

from kubectl_datasource.inspecting import lines, summary
from tests.unit.kubectl_datasource.builders import NOW

TOKEN = "at-very-secret"
SECRET: dict[str, Any] = {
    "metadata": {
        "name": "calendar-token",
        "creationTimestamp": "2026-07-01T11:00:00Z",
        "annotations": {"datasource.dev/expires-at": "2026-07-01T12:10:00Z", "other": TOKEN},
    },
    "type": "datasource.dev/oauth2-token",
    "data": {"access_token": b64encode(TOKEN.encode()).decode(), "broken": "!"},
}


def test_keys_sizes_and_times_are_shown_and_no_value() -> None:
    found = summary(SECRET)
    assert found["bytes"] == {"access_token": 14, "broken": None}
    assert found["times"] == {"expires": "2026-07-01T12:10:00Z"}
    text = "\n".join("".join(cell.text for cell in line) for line in lines("Token Secret", found, NOW))
    assert "expires 2026-07-01T12:10:00Z (in 10m)" in text
    for told in (text, repr(found)):
        assert TOKEN not in told
        assert SECRET["data"]["access_token"] not in told


def test_a_secret_without_data_has_no_keys() -> None:
    assert summary({"metadata": {"name": "x"}})["bytes"] == {}


def test_a_secret_that_is_not_there_is_told() -> None:
    ((cell,),) = lines("Credential", None, NOW)
    assert cell.text == "Credential: there is none"
