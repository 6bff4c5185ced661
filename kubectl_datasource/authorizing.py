"""`authorize`: how the way to a credential begins, and when it is over. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from datasource.api.states import State
from kubectl_datasource.exits import Exit
from kubectl_datasource.objects import Datasource
from kubectl_datasource.waiting import Ended, Going, is_suspended, needs_a_person, not_looked_at, why_not


@dataclass(frozen=True, slots=True)
class AskForNew:
    """AUTHORIZED, and another credential is wanted: a link has to be asked for first."""


@dataclass(frozen=True, slots=True)
class Open:
    """A link that a person has to open."""

    link: str
    uid: str
    """The Datasource that it is for."""


def beginning(datasource: Datasource, *, new: bool) -> AskForNew | Open | Going | Ended:
    """What to do first: ask for a link, open the one that is there, or nothing because all is well."""
    unseen = not_looked_at(datasource)
    if unseen is not None:
        return unseen
    if _is_settled(datasource):
        if new and datasource.is_suspended:
            return is_suspended(datasource)
        if new:
            return AskForNew()
        return Ended(
            Exit.FINE,
            f"{datasource.place} is AUTHORIZED already. To get another credential while this one works: "
            f"kubectl datasource authorize {datasource.metadata.name} -n {datasource.metadata.namespace} --new",
        )
    return _link_or_why(datasource)


def link_is_offered(datasource: Datasource) -> Open | Going | Ended:
    """Until there is a link to open."""
    return not_looked_at(datasource) or _link_or_why(datasource)


def authorized(opened: Open) -> Callable[[Datasource], Open | Going | Ended]:
    """Until the credential of this very Datasource is stored: AUTHORIZED, and nobody is asked for any more."""

    def judge(datasource: Datasource) -> Open | Going | Ended:
        if datasource.metadata.uid != opened.uid:
            return Ended(Exit.NOT_AS_WANTED, f"{datasource.place} was deleted, and another one of that name created.")
        unseen = not_looked_at(datasource)
        if unseen is not None:
            return unseen
        if _is_settled(datasource):
            return Ended(Exit.FINE, _done(datasource))
        found = _link_or_why(datasource)
        return Going("waiting for a person to consent at the service") if found == opened else found

    return judge


def _is_settled(datasource: Datasource) -> bool:
    return datasource.status.state == State.AUTHORIZED and datasource.status.authorization_link is None


def _link_or_why(datasource: Datasource) -> Open | Going | Ended:
    link = datasource.status.authorization_link
    if link is not None:
        return Open(link, datasource.metadata.uid)
    if datasource.is_suspended:
        return is_suspended(datasource)
    if needs_a_person(datasource):
        return Going("waiting for a link")
    return Ended(Exit.NOT_AS_WANTED, why_not(datasource))


def _done(datasource: Datasource) -> str:
    who = "" if datasource.status.authorized_as is None else f" as {datasource.status.authorized_as}"
    return (
        f"{datasource.place} is AUTHORIZED{who}. Apps find the access token in Secret {datasource.token_secret_name}."
    )


def is_web_link(link: str) -> bool:
    """Whether a browser may be sent there: never to file:, javascript: and the like."""
    return link.startswith(("https://", "http://"))
