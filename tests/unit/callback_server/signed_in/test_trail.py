"""The log stream `audit` of people at their pages."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from callback_server.signed_in.trail import Trail
from datasource.oauth2.kubernetes_user import User
from datasource.process.audit import AuditLog
from datasource.records.credential import CredentialFacts
from datasource.records.page_request import RequestKind, page_request
from tests.support.builders import NOW
from tests.unit.callback_server.signed_in.company import Company, company

ADA = User("ada", ("dev",))
PLACE = "/datasources/shop/calendar"


def told(act: Any) -> dict[str, Any]:
    lines = list[str]()
    act(Trail(AuditLog(is_wanted=True, write=lines.append), lambda: NOW, lambda size: b"x" * size))
    (line,) = lines
    found: dict[str, Any] = json.loads(line)
    return found


def test_line_says_who_did_what_where_and_no_group() -> None:
    assert told(lambda trail: trail.came_in(ADA)) == {
        "stream": "audit",
        "id": "78" * 16,
        "time": "2026-07-01T12:00:00Z",
        "event": "SignIn",
        "by": "ada",
    }
    assert told(lambda trail: trail.went_out(ADA))["event"] == "SignOut"
    denied = told(lambda trail: trail.denied(ADA, "patch", "shop", "calendar"))
    assert (denied["event"], denied["verb"], denied["namespace"], denied["datasource"]) == (
        "Denied",
        "patch",
        "shop",
        "calendar",
    )
    assert "datasource" not in told(lambda trail: trail.denied(ADA, "list", "shop", None))


@pytest.mark.parametrize(("kind", "event"), [(RequestKind.CLEAR, "ClearCredential"), (RequestKind.REFRESH, "Refresh")])
def test_request_is_told_with_the_id_under_which_the_operator_acts_on_it(kind: RequestKind, event: str) -> None:
    request = page_request(kind, user="ada", credential_id="c-1", now=NOW, token_bytes=lambda size: b"y" * size)
    line = told(lambda trail: trail.asked(request, ("shop", "calendar")))
    assert (line["id"], line["event"], line["by"], line["result"]) == (f"{request.id}/asked", event, "ada", "Asked")


def test_person_who_is_called_like_a_way_of_asking_is_told_from_it() -> None:
    assert told(lambda trail: trail.came_in(User("annotation")))["by"] == "user annotation"


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Company]:
    async with company(tmp_path / "secret") as made:
        yield made


async def test_everything_at_the_pages_is_told_and_no_secret(
    there: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    there.cluster.allow("ada", "get", "patch")
    there.add(replaces=CredentialFacts("c-1", fingerprint="f", has_refresh_token=True))
    browser = await there.signed_in("ada", "dev")
    await browser.get("/datasources/shop")
    await browser.submit(await browser.get(PLACE), f"{PLACE}/refresh")
    kept = browser.cookies["__Host-datasource-session"]
    await browser.submit(await browser.get("/"), "/sign-out")
    out = capsys.readouterr().out
    lines = [json.loads(line) for line in out.splitlines() if line.startswith('{"stream":"audit"')]
    assert [line["event"] for line in lines] == ["SignIn", "Denied", "Refresh", "SignOut"]
    assert {line["by"] for line in lines} == {"ada"}
    assert len({line["id"] for line in lines}) == 4
    assert kept not in out
    assert "s3cret-of-sign-in" not in out
