"""The credential that an authorization makes: what is known before the reply, and what the reply fills in."""

from datetime import timedelta

import pytest

from callback_server.identity import Authorizer
from callback_server.new_credential import (
    NewCredential,
    authorized_by,
    blank_credential,
    filled,
    named_server,
    scopes_on_the_way_back,
)
from callback_server.situation import Situation
from datasource.api.objects import Status
from datasource.api.requests import Requests
from datasource.cluster.clients import ClientMaterial
from datasource.oauth2.callback import AuthorizationResponse
from datasource.oauth2.token_response import TokenResponse
from datasource.records.effective import effective_oauth2
from tests.unit.datasource.builders import NOW, UID, oauth2, spec
from tests.unit.datasource.records.test_flow import flow

LATER = NOW + timedelta(hours=1)


def blank(granted: tuple[str, ...] = ()) -> NewCredential:
    wanted = oauth2(scopes=["read", "write"], revocationURL="https://login.example.com/revoke")
    at = Situation("shop", "sales", UID, spec(), wanted, Status(), Requests(), None)
    effective = effective_oauth2(wanted, None)
    material = ClientMaterial(effective.parameters)
    return blank_credential(
        at, effective, flow(), captured={"site": "eu"}, granted=granted, credential_id="claim-1", material=material
    )


def test_nothing_of_a_token_is_known_before_the_reply() -> None:
    facts, data = blank()
    assert (data.access_token, data.refresh_token, facts.granted_scopes, facts.expires_at) == ("", None, (), None)
    assert (facts.credential_id, facts.requested_scopes, facts.is_revocable) == ("claim-1", ("read", "write"), True)
    assert data.captured_fields == {"site": "eu"}


def test_reply_fills_in_tokens_lifetimes_and_scopes() -> None:
    response = TokenResponse(
        "at-1",
        "Bearer",
        LATER,
        "rt-1",
        scopes=("read",),
        captured={"site": "us", "tenant": "7"},
        grant_expires_at=LATER,
    )
    facts, data = filled(blank(), response, NOW)
    assert (data.access_token, data.token_type, data.refresh_token) == ("at-1", "Bearer", "rt-1")
    assert data.captured_fields == {"site": "us", "tenant": "7"}
    assert (facts.granted_scopes, facts.expires_at, facts.grant_expires_at) == (("read",), LATER, LATER)
    assert (facts.refreshed_at, facts.authorized_at, facts.has_refresh_token) == (NOW, NOW, True)


def test_reply_that_names_no_scopes_granted_those_that_were_asked_for() -> None:
    facts, data = filled(blank(), TokenResponse("at-1", "Bearer"), NOW)
    assert (facts.granted_scopes, facts.has_refresh_token, data.refresh_token) == (("read", "write"), False, None)


@pytest.mark.parametrize(
    ("query", "separator", "scopes"),
    [
        ("read,activity:read", ",", ("read", "activity:read")),
        ("read write", None, ("read", "write")),
        ("read,write", None, ("read", "write")),
        ("", None, ()),
        (None, None, ()),
        ("x" * 20_000, None, ()),
        ("\u202e r\u00e9ad", None, ()),
    ],
)
def test_scopes_that_the_callback_names_are_read(
    query: str | None, separator: str | None, scopes: tuple[str, ...]
) -> None:
    """Strava says there, and nowhere else, what a person left of them."""
    effective = effective_oauth2(oauth2(scopeSeparator=separator), None)
    answer = AuthorizationResponse(None, other={} if query is None else {"scope": query})
    assert scopes_on_the_way_back(effective, answer) == scopes


def test_scopes_of_the_callback_hold_where_the_reply_names_none() -> None:
    assert filled(blank(("read",)), TokenResponse("at-1", "Bearer"), NOW)[0].granted_scopes == ("read",)
    told = TokenResponse("at-1", "Bearer", scopes=("write",))
    assert filled(blank(("read",)), told, NOW)[0].granted_scopes == ("write",)


def test_who_authorized_is_kept_with_it() -> None:
    credential = filled(blank(), TokenResponse("at-1", "Bearer"), NOW)
    facts, data = authorized_by(Authorizer("ada", '{"sub": "1"}', "hash"), credential)
    assert (facts.authorized_as, facts.identity_checked, facts.identity_fits) == ("ada", "hash", True)
    assert data.identity == '{"sub": "1"}'
    unknown, _ = authorized_by(Authorizer(problem="no keys"), credential)
    assert (unknown.authorized_as, unknown.identity_problem, unknown.identity_fits) == (None, "no keys", False)


def test_server_that_an_answer_names_is_told_and_nothing_more() -> None:
    assert (
        named_server(AuthorizationResponse(None, other={"accounts-server": "https://accounts.example.eu"})) is not None
    )
    assert named_server(AuthorizationResponse(None)) is None
