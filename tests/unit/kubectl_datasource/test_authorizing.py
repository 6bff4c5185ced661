import pytest

from datasource.api.states import MEANING, Reason, State
from kubectl_datasource.authorizing import AskForNew, Open, authorized, beginning, is_web_link, link_is_offered
from kubectl_datasource.exits import Exit
from kubectl_datasource.waiting import Ended, Going
from tests.unit.kubectl_datasource.builders import LINK, datasource

OPENED = Open(LINK, "uid-1")


@pytest.mark.parametrize("reason", [each for each in Reason if MEANING[each].state is State.NOT_AUTHORIZED])
def test_link_is_opened_whenever_a_person_is_needed(reason: Reason) -> None:
    assert beginning(datasource(reason, authorizationLink=LINK), new=False) == OPENED


@pytest.mark.parametrize(
    "reason", [each for each in Reason if MEANING[each].state in {State.NOT_CONFIGURED, State.ERROR}]
)
def test_where_no_link_can_come_it_says_why(reason: Reason) -> None:
    ended = beginning(datasource(reason, message="Set spec.oauth2.clientID."), new=False)
    assert isinstance(ended, Ended)
    assert ended.exit is Exit.NOT_AS_WANTED
    assert "Set spec.oauth2.clientID." in ended.text
    assert "kubectl datasource explain calendar -n shop" in ended.text


def test_authorized_is_left_alone_unless_a_new_credential_is_wanted() -> None:
    ended = beginning(datasource(), new=False)
    assert isinstance(ended, Ended)
    assert ended.exit is Exit.FINE
    assert "--new" in ended.text
    assert beginning(datasource(), new=True) == AskForNew()


@pytest.mark.parametrize("new", [True, False])
def test_link_that_is_offered_beside_a_credential_is_opened_without_asking(new: bool) -> None:
    assert beginning(datasource(authorizationLink=LINK), new=new) == OPENED


@pytest.mark.parametrize("reason", [None, Reason.AUTHORIZED, Reason.OAUTH2_MISSING])
def test_status_of_an_older_spec_decides_nothing(reason: Reason | None) -> None:
    stale = datasource(reason, generation=2)
    assert isinstance(beginning(stale, new=True), Going)
    assert isinstance(link_is_offered(stale), Going)
    assert isinstance(authorized(OPENED)(stale), Going)


@pytest.mark.parametrize("reason", [Reason.AUTHORIZED, Reason.AUTHORIZATION_REQUIRED])
def test_no_link_is_waited_for_while_suspended(reason: Reason) -> None:
    suspended = datasource(reason, spec={"suspend": True})
    for ended in (beginning(suspended, new=True), link_is_offered(suspended)):
        assert isinstance(ended, Ended)
        assert ended.exit is Exit.NOT_AS_WANTED
        assert "spec.suspend" in ended.text


def test_link_that_was_asked_for_is_waited_for() -> None:
    assert isinstance(link_is_offered(datasource()), Going)
    assert link_is_offered(datasource(authorizationLink=LINK)) == OPENED


def test_it_is_over_once_the_credential_is_stored_and_the_link_gone() -> None:
    judge = authorized(OPENED)
    assert isinstance(judge(datasource(Reason.AUTHORIZATION_REQUIRED, authorizationLink=LINK)), Going)
    assert isinstance(judge(datasource(authorizationLink=LINK)), Going)
    done = judge(datasource(authorizedAs="ada@example.com"))
    assert isinstance(done, Ended)
    assert done.exit is Exit.FINE
    assert "as ada@example.com" in done.text
    assert "Secret calendar-token" in done.text


def test_another_link_takes_the_place_of_the_first() -> None:
    another = f"{LINK}-2"
    changed = datasource(Reason.AUTHORIZATION_REQUIRED, authorizationLink=another)
    assert authorized(OPENED)(changed) == Open(another, "uid-1")


def test_another_datasource_of_that_name_is_not_the_one() -> None:
    ended = authorized(OPENED)(datasource(uid="uid-2"))
    assert isinstance(ended, Ended)
    assert ended.exit is Exit.NOT_AS_WANTED


def test_parameters_that_break_meanwhile_end_the_wait() -> None:
    ended = authorized(OPENED)(datasource(Reason.INVALID_CONFIGURATION))
    assert isinstance(ended, Ended)
    assert ended.exit is Exit.NOT_AS_WANTED


@pytest.mark.parametrize("link", ["file:///etc/passwd", "javascript:alert(1)", "ftp://x", ""])
def test_browser_is_sent_to_web_pages_only(link: str) -> None:
    assert is_web_link(LINK)
    assert not is_web_link(link)
