"""The pages of people who signed in: what they show as typed views, and who may see which button. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urlencode

from starlette.responses import HTMLResponse

from callback_server.language import Text, Words, text
from callback_server.pages import Dialog, page_of, time_in_words
from callback_server.parameter_rows import Shown
from callback_server.way_on import Account
from datasource.api.clock import parse_rfc3339
from datasource.api.states import OPEN_THE_LINK, State
from datasource.cluster.tables import TablePage
from datasource.outbound.printable import printable
from datasource.process.branding import Branding
from datasource.records.history import STORED, SUCCEEDED, Act, By, HistoryEntry

WHO_AM_I = "kubectl auth whoami"


@dataclass(frozen=True, slots=True)
class Button:
    """A form without a field that a person fills in."""

    action: str
    token: str
    seen: str = ""
    """ID of the credential that it is about."""


@dataclass(frozen=True, slots=True)
class SignInPage:
    """For whoever has not signed in, the same for each of our pages."""

    action: str
    leads_to: str
    token: str
    issuer_host: str
    branding: Branding
    was_lost: bool = False
    """Whether somebody wanted to change something, and nothing was changed."""


@dataclass(frozen=True, slots=True)
class HomePage:
    """Where all begins: it asks for a namespace."""

    account: Account
    action: str
    groups: tuple[str, ...]
    who_am_i: str = WHO_AM_I
    all_path: str | None = None
    """Of the list of all namespaces, where they are all served."""


@dataclass(frozen=True, slots=True)
class Row:
    """A Datasource in a list."""

    name: str
    path: str
    state: str
    expires: str
    authorized_as: str
    namespace: str = ""
    """Where the list is one of all namespaces."""

    @property
    def state_class(self) -> str:
        """How the state looks."""
        return {str(State.AUTHORIZED): "good", str(State.ERROR): "bad"}.get(self.state, "open")


@dataclass(frozen=True, slots=True)
class Choice:
    """A link that shows the same list by another state; no state shows all."""

    path: str
    state: State | None
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class ListPage:
    """The Datasources of a namespace, or of all of them, a hundred at a time."""

    account: Account
    namespace: str | None
    """None: all of them."""
    home: str
    rows: tuple[Row, ...]
    next_page: str | None
    choices: tuple[Choice, ...] = ()

    @property
    def title(self) -> Text:
        """What is listed."""
        return text("list.title_of_all") if self.namespace is None else text("list.title", namespace=self.namespace)

    @property
    def nothing(self) -> Text:
        """What stands there where there are no rows."""
        chosen = next((each.state for each in self.choices if each.is_chosen and each.state is not None), None)
        return text("list.nothing") if chosen is None else text("list.none_in_state", state=chosen)


@dataclass(frozen=True, slots=True)
class DatasourcePage:
    """One Datasource, and the buttons that whoever looks may press."""

    account: Account
    list_path: str
    dialog: Dialog
    authorize: Button | None
    why_no_button: str
    refresh: Button | None = None
    clear_path: str | None = None
    pending: str = ""
    history: tuple[tuple[str, ...], ...] = ()

    @property
    def message(self) -> str:
        """What the Ready condition says, but for how to come to this page."""
        return self.dialog.message.replace(f" {OPEN_THE_LINK}", "")

    @property
    def replaces(self) -> str:
        """Whose credential a new one takes the place of."""
        whose = self.dialog.situation.status.authorized_as
        return text("dialog.replaces") if whose is None else text("datasource.replaces", account=whose)

    @property
    def facts(self) -> tuple[Shown, ...]:
        """What the status says of the credential that there is."""
        status = self.dialog.situation.status
        shown = []
        if status.authorized_as is not None:
            shown.append(Shown(text("done.authorized_as"), (status.authorized_as,)))
        if status.expires_at is not None:
            shown.append(Shown(text("list.expires"), (_time(status.expires_at),)))
        return tuple(shown)


@dataclass(frozen=True, slots=True)
class ClearPage:
    """Asks whether that is meant: apps lose their access."""

    account: Account
    namespace: str
    name: str
    whose: str | None
    form: Button
    back: str


def sign_in_page(page: SignInPage, status: HTTPStatus) -> HTMLResponse:
    """The page with the button that leads to the issuer."""
    return page_of("sign_in.html", status, page=page)


def home_page(page: HomePage) -> HTMLResponse:
    """The page that asks for a namespace."""
    return page_of("home.html", page=page)


def list_page(page: ListPage) -> HTMLResponse:
    """The page with a table."""
    return page_of("list.html", page=page)


def datasource_page(page: DatasourcePage) -> HTMLResponse:
    """The page with the buttons."""
    return page_of("datasource.html", page=page)


def clear_page(page: ClearPage) -> HTMLResponse:
    """The page that asks once more."""
    return page_of("clear.html", page=page)


_ACTS: Mapping[str, str] = {
    Act.NEW_CREDENTIAL: "new_credential",
    Act.CLEAR: "clear",
    Act.REFRESH: "refresh",
    SUCCEEDED: "succeeded",
    STORED: "stored",
}
_BY: Mapping[str, str] = {By.ANNOTATION: "annotation", By.LINK: "link", By.IMPORT: "import", By.UNPROVEN: "unproven"}


def told_of(entry: HistoryEntry, by: str) -> tuple[str, ...]:
    """A line of the history. A reason for a failure is as the status has it, and a person is called what they are called."""
    return (time_in_words(entry.time), _in_words(entry.what), _by_in_words(by), _in_words(entry.result))


def _in_words(told: str) -> str:
    key = _ACTS.get(told)
    return Words(told) if key is None else text(f"history.{key}")


def _by_in_words(by: str) -> str:
    key = _BY.get(by)
    return by if key is None else text(f"history.{key}")


def choices_of(path: str, chosen: State | None) -> tuple[Choice, ...]:
    """Links to a list by each state, and to the whole."""
    return tuple(
        Choice(path if state is None else f"{path}?{urlencode({'state': state})}", state, state is chosen)
        for state in (None, *State)
    )


def rows_of(table: TablePage, path_of: Callable[[str, str], str], namespace: str | None) -> tuple[Row, ...]:
    """The rows of a list as the API server printed them: of one namespace, or of all, of which each row says its own.

    Raises:
        KeyError: one of them does not.
    """
    return tuple(
        Row(
            name=row["Name"],
            path=path_of(namespace or row["Namespace"], row["Name"]),
            state=row.get("State", ""),
            expires=_time(row["Expires"]) if "Expires" in row else "",
            authorized_as=printable(row.get("Authorized as", "")),
            namespace="" if namespace else row["Namespace"],
        )
        for row in table.rows
        if "Name" in row
    )


def _time(written: str) -> str:
    """A moment of a status in words; as it is where somebody else wrote it."""
    try:
        moment: datetime = parse_rfc3339(written)
    except ValueError:
        return printable(written)
    return time_in_words(moment)
