from datetime import UTC, datetime, timedelta

import pytest

from datasource.api.names import Annotation
from datasource.api.states import Reason
from kubectl_datasource.asking import TRIED_WITHIN, Request, clear, new_value, refresh
from kubectl_datasource.exits import Exit
from kubectl_datasource.objects import Datasource
from kubectl_datasource.waiting import Ended, Going
from tests.unit.kubectl_datasource.builders import NOW, datasource

CLEAR = {Annotation.CLEAR_CREDENTIAL.value: "v-1"}
REFRESH = {Annotation.REFRESH.value: "v-1"}


def refresh_of(before: Datasource) -> Request:
    request = refresh(before, "v-1", lambda: NOW)
    assert isinstance(request, Request)
    return request


def test_values_made_in_the_same_second_differ() -> None:
    moment = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert new_value(moment, b"\x01\x02") == "2026-07-01T12:00:00Z-0102"
    assert new_value(moment, b"\x01\x03") != new_value(moment, b"\x01\x02")


def test_clear_is_handled_once_the_operator_echoes_the_value() -> None:
    request = clear(datasource(), "v-1")
    assert isinstance(request.judge(datasource(annotations=CLEAR)), Going)
    assert isinstance(request.judge(datasource(annotations=CLEAR, handled={"clearCredential": "older"})), Going)

    cleared = datasource(Reason.CREDENTIAL_CLEARED, annotations=CLEAR, handled={"clearCredential": "v-1"})
    ended = request.judge(cleared)
    assert ended == Ended(Exit.FINE, "shop/calendar is cleared: NOT AUTHORIZED (CredentialCleared).")


def test_echo_of_another_request_is_none() -> None:
    assert isinstance(
        clear(datasource(), "v-1").judge(datasource(annotations=CLEAR, handled={"refresh": "v-1"})), Going
    )


def test_somebody_authorizes_right_after_the_clear() -> None:
    ended = clear(datasource(), "v-1").judge(datasource(annotations=CLEAR, handled={"clearCredential": "v-1"}))
    assert isinstance(ended, Ended)
    assert "another credential is stored" in ended.text


@pytest.mark.parametrize("annotations", [{}, {Annotation.CLEAR_CREDENTIAL.value: "from-git"}])
def test_request_that_a_pipeline_took_away_ends_the_wait(annotations: dict[str, str]) -> None:
    ended = clear(datasource(), "v-1").judge(datasource(annotations=annotations))
    assert isinstance(ended, Ended)
    assert ended.exit is Exit.NOT_AS_WANTED
    assert "GitOps" in ended.text


def test_datasource_that_was_made_anew_ends_the_wait() -> None:
    ended = clear(datasource(), "v-1").judge(datasource(uid="uid-2", annotations=CLEAR))
    assert isinstance(ended, Ended)
    assert ended.exit is Exit.NOT_AS_WANTED


@pytest.mark.parametrize("reason", [Reason.AUTHORIZATION_REQUIRED, Reason.CLIENT_SECRET_NOT_FOUND])
def test_without_a_credential_no_refresh_is_asked_for(reason: Reason) -> None:
    ended = refresh(datasource(reason), "v-1", lambda: NOW)
    assert isinstance(ended, Ended)
    assert ended.exit is Exit.NOT_AS_WANTED
    assert reason in ended.text


def test_no_refresh_is_asked_for_while_suspended() -> None:
    ended = refresh(datasource(spec={"suspend": True}), "v-1", lambda: NOW)
    assert isinstance(ended, Ended)
    assert "To continue: kubectl datasource resume calendar -n shop" in ended.text


def test_refresh_of_a_rejected_client_may_be_asked_for() -> None:
    assert isinstance(refresh(datasource(Reason.CLIENT_REJECTED), "v-1", lambda: NOW), Request)


def test_refresh_tells_how_long_the_new_token_lives() -> None:
    request = refresh_of(datasource(refreshedAt="2026-07-01T11:00:00Z"))
    after = datasource(
        annotations=REFRESH,
        handled={"refresh": "v-1"},
        refreshedAt="2026-07-01T12:00:00Z",
        expiresAt="2026-07-01T12:50:00Z",
    )
    expected = "shop/calendar was refreshed; the access token expires in 50m."
    assert request.judge(after) == Ended(Exit.FINE, expected)


def test_handled_without_a_new_token_means_that_there_is_no_refresh_token() -> None:
    before = datasource(refreshedAt="2026-07-01T11:00:00Z")
    after = datasource(annotations=REFRESH, handled={"refresh": "v-1"}, refreshedAt="2026-07-01T11:00:00Z")
    ended = refresh_of(before).judge(after)
    assert isinstance(ended, Ended)
    assert ended.exit is Exit.NOT_AS_WANTED
    assert "no refresh token" in ended.text


def test_refresh_that_ends_with_a_verdict_tells_it() -> None:
    after = datasource(Reason.GRANT_REVOKED, annotations=REFRESH, handled={"refresh": "v-1"}, message="Revoked.")
    ended = refresh_of(datasource()).judge(after)
    assert isinstance(ended, Ended)
    assert ended.exit is Exit.NOT_AS_WANTED
    assert "NOT AUTHORIZED (GrantRevoked). Revoked." in ended.text


def test_client_that_is_rejected_at_the_requested_refresh_ends_the_wait() -> None:
    request = refresh_of(datasource())
    assert isinstance(request.judge(datasource(annotations=REFRESH)), Going)
    ended = request.judge(datasource(Reason.CLIENT_REJECTED, annotations=REFRESH, message="The provider rejects it."))
    assert isinstance(ended, Ended)
    assert ended.exit is Exit.NOT_AS_WANTED
    assert ended.text.startswith("shop/calendar is ERROR (ClientRejected). The provider rejects it. What to do: ")
    assert ended.text.endswith("The request stays: the operator refreshes once that is corrected.")


def test_client_that_was_rejected_before_is_tried_once_more_and_then_ends_the_wait() -> None:
    clock = [NOW]
    rejected = datasource(Reason.CLIENT_REJECTED, annotations=REFRESH, message="The provider rejects it.")
    request = refresh(rejected, "v-1", lambda: clock[0])
    assert isinstance(request, Request)
    clock[0] = NOW + TRIED_WITHIN - timedelta(seconds=1)
    going = request.judge(rejected)
    assert isinstance(going, Going)
    assert going.in_the_way.startswith(
        "The provider rejects it. What to do: kubectl datasource explain calendar -n shop"
    )
    clock[0] = NOW + TRIED_WITHIN
    ended = request.judge(rejected)
    assert isinstance(ended, Ended)
    assert "The provider rejects it." in ended.text


def test_rejected_client_that_is_refreshed_after_all_is_a_success() -> None:
    before = datasource(Reason.CLIENT_REJECTED, refreshedAt="2026-07-01T11:00:00Z")
    after = datasource(annotations=REFRESH, handled={"refresh": "v-1"}, refreshedAt="2026-07-01T12:00:00Z")
    assert refresh_of(before).judge(after) == Ended(Exit.FINE, "shop/calendar was refreshed.")


def test_clear_of_a_rejected_client_is_waited_for() -> None:
    rejected = datasource(Reason.CLIENT_REJECTED, annotations=CLEAR)
    assert isinstance(clear(datasource(), "v-1").judge(rejected), Going)
