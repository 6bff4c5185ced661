"""The pages of people who signed in, as typed views. A view also says which buttons the person sees. Pure."""

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
    """A form with one button. A person fills in no field."""

    action: str
    token: str
    seen: str = ""
    """The ID of the credential that the button is about."""


@dataclass(frozen=True, slots=True)
class SignInPage:
    """The page for a person who has not signed in. It is the same for each of our pages."""

    action: str
    leads_to: str
    token: str
    issuer_host: str
    branding: Branding
    was_lost: bool = False
    """Whether the person tried to change something without a session. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class HomePage:
    """The first page. It asks for a namespace."""

    account: Account
    action: str
    groups: tuple[str, ...]
    who_am_i: str = WHO_AM_I
    all_path: str | None = None
    """The path of the list of all namespaces; None where not all namespaces are served."""


@dataclass(frozen=True, slots=True)
class Row:
    """A Datasource in a list."""

    name: str
    path: str
    state: str
    expires: str
    authorized_as: str
    namespace: str = ""
    """The namespace in a list of all namespaces; else empty."""

    @property
    def state_class(self) -> str:
        """The CSS class of the state."""
        return {str(State.AUTHORIZED): "good", str(State.ERROR): "bad"}.get(self.state, "open")


@dataclass(frozen=True, slots=True)
class Choice:
    """A link to the same list, with only the Datasources of one state; None as the state: all of them."""

    path: str
    state: State | None
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list of at most 100 Datasources, of a namespace or of all namespaces."""

    account: Account
    namespace: str | None
    """None: all namespaces."""
    home: str
    rows: tuple[Row, ...]
    next_page: str | None
    choices: tuple[Choice, ...] = ()

    @property
    def title(self) -> Text:
        """The heading, which says what is listed."""
        return text("list.title_of_all") if self.namespace is None else text("list.title", namespace=self.namespace)

    @property
    def nothing(self) -> Text:
        """The text of a list that has no rows."""
        chosen = next((each.state for each in self.choices if each.is_chosen and each.state is not None), None)
        return text("list.nothing") if chosen is None else text("list.none_in_state", state=chosen)


@dataclass(frozen=True, slots=True)
class DatasourcePage:
    """One Datasource, and the buttons that the person may press."""

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
        """The message of the Ready condition, without the advice to open the link: the person is on that page already."""
        return self.dialog.message.replace(f" {OPEN_THE_LINK}", "")

    @property
    def replaces(self) -> str:
        """The warning that a new credential replaces the stored one. It names the account of that one where it is known."""
        whose = self.dialog.situation.status.authorized_as
        return text("dialog.replaces") if whose is None else text("datasource.replaces", account=whose)

    @property
    def facts(self) -> tuple[Shown, ...]:
        """What the status says about the stored credential."""
        status = self.dialog.situation.status
        shown = []
        if status.authorized_as is not None:
            shown.append(Shown(text("done.authorized_as"), (status.authorized_as,)))
        if status.expires_at is not None:
            shown.append(Shown(text("list.expires"), (_time(status.expires_at),)))
        return tuple(shown)


@dataclass(frozen=True, slots=True)
class ClearPage:
    """Asks for confirmation of a clear, because apps lose their access."""

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
    """The page that asks for confirmation of a clear."""
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
    """One line of the history in words: time, act, person and result.

    The reason of a failure and the name of a person are shown as they are recorded.
    """
    return (time_in_words(entry.time), _in_words(entry.what), _by_in_words(by), _in_words(entry.result))


def _in_words(told: str) -> str:
    key = _ACTS.get(told)
    return Words(told) if key is None else text(f"history.{key}")


def _by_in_words(by: str) -> str:
    key = _BY.get(by)
    return by if key is None else text(f"history.{key}")


def choices_of(path: str, chosen: State | None) -> tuple[Choice, ...]:
    """Links to the list: one for all Datasources, and one for each state."""
    return tuple(
        Choice(path if state is None else f"{path}?{urlencode({'state': state})}", state, state is chosen)
        for state in (None, *State)
    )


def rows_of(table: TablePage, path_of: Callable[[str, str], str], namespace: str | None) -> tuple[Row, ...]:
    """The rows of a list, from the table that the API server printed.

    In a list of all namespaces, `namespace` is None and each row names its own.

    Raises:
        KeyError: a row names none.
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
    """A moment of a status in words. Text that is not an RFC 3339 time is shown as it is."""
    try:
        moment: datetime = parse_rfc3339(written)
    except ValueError:
        return printable(written)
    return time_in_words(moment)
