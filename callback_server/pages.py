"""The pages: what they show as typed views, rendered with Jinja2, headers included."""

import dataclasses
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from callback_server.consent import Consent
from callback_server.language import Text, shown, text
from callback_server.parameter_rows import Shown, shown_parameters
from callback_server.presentation import PRESENTATION
from callback_server.refusals import SOON, Refused
from callback_server.security import origin, page_headers
from callback_server.situation import Situation
from callback_server.way_on import WayOn
from datasource.api.clock import parse_rfc3339
from datasource.api.states import GRANT_EXPIRING, State
from datasource.process.branding import Branding
from datasource.records.contents import StoredCredential
from datasource.records.effective import Effective

_TEMPLATES = Path(__file__).with_name("templates")

_environment = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    # Templates are part of the program: to ask the file system for their age costs as much as a page does.
    auto_reload=False,
    # Everything that is shown is escaped; no template marks anything as safe but our own style sheet.
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# The first letter alone: what follows may be a name.
_environment.filters["begin_large"] = lambda text: text[:1].upper() + text[1:]


def breakable(url: str) -> Markup:
    """A URL that a narrow window breaks behind a slash, before it breaks a word. Copied, it is as it was: `wbr` is no text."""
    return Markup("/<wbr>").join(escape(part) for part in url.split("/"))


_environment.filters["breakable"] = breakable


def _rendered(template: str, **views: object) -> str:
    """A page in the language of the request that is being answered."""
    presentation = PRESENTATION.get()

    def show(value: object) -> Markup:
        return shown(value, presentation.language, presentation.texts)

    def said(key: str, **values: str) -> Markup:
        return show(text(key, **values))

    return _environment.get_template(template).render(
        views,
        language=presentation.language,
        style=presentation.style,
        logo=presentation.logo,
        icon=presentation.icon,
        show=show,
        t=said,
    )


def _headers() -> dict[str, str]:
    presentation = PRESENTATION.get()
    spoken = {"Content-Language": presentation.language, "Vary": "Accept-Language"}
    return page_headers(presentation.style_source) | spoken


def page_of(template: str, status: HTTPStatus = HTTPStatus.OK, **views: object) -> HTMLResponse:
    """A page, in the language of the request that is being answered."""
    return HTMLResponse(_rendered(template, **views), status_code=status, headers=_headers())


UNBRANDED = Branding()

_TRY_AGAIN = text("page.try_again")


@dataclass(frozen=True, slots=True)
class Banner:
    """What happened, at the top of a page."""

    title: str
    message: str
    is_success: bool
    advice: str = ""
    """What the person can do."""
    reference: str = ""
    """What stands in the log, too."""


@dataclass(frozen=True, slots=True)
class Form:
    """What the button of the dialog sends."""

    action: str
    ticket: str
    token: str


@dataclass(frozen=True, slots=True)
class Dialog:
    """The dialog about one Datasource: with a form before an authorization, with a banner after it."""

    situation: Situation
    external_url: str
    effective: Effective | None
    """None where an endpoint comes from the provider's metadata, and that is not at hand."""
    form: Form | None = None
    banner: Banner | None = None
    again: str | None = None
    """A link to begin once more."""
    show_reload: bool = False
    branding: Branding = UNBRANDED
    gained: tuple[Shown, ...] = ()
    """What the person should know once a credential is stored."""
    way_on: WayOn | None = None

    @property
    def consent(self) -> Consent:
        """What the person is asked."""
        return Consent(self.situation, self.branding, self.authorize_host)

    @property
    def state(self) -> str:
        """The state, as `kubectl get` prints it; empty where the operator has not looked yet."""
        return self.situation.status.state or ""

    @property
    def message(self) -> str:
        """What the Ready condition says."""
        ready = self.situation.status.condition("Ready")
        return "" if ready is None else ready.message

    @property
    def state_class(self) -> str:
        """How the state looks."""
        return (
            {State.AUTHORIZED: "good", State.ERROR: "bad"}.get(State(self.state), "open") if self._is_known else "open"
        )

    @property
    def _is_known(self) -> bool:
        return self.situation.status.state in set(State)

    @property
    def redirect_uri(self) -> str:
        """What to register with the service."""
        return self.situation.redirect_uri(self.external_url)

    @property
    def authorize_host(self) -> str:
        """Where the person is sent."""
        return authorize_host_of(self.effective)

    @property
    def token_host(self) -> str:
        """Where the code, and the client secret with it, is sent."""
        return _host(None if self.effective is None else self.effective.token_url)

    @property
    def parameters(self) -> tuple[Shown, ...]:
        """The OAuth2 parameters as they hold."""
        return shown_parameters(self.situation.oauth2, self.effective)

    @property
    def replaces_one(self) -> bool:
        """Whether a credential is there that apps use until the new one is stored.

        What was refused, or is an import that nobody has proved yet, they use only as long as an access token lasts.
        """
        there = self.situation.credential
        if not isinstance(there, StoredCredential):
            return False
        is_of_no_use = there.facts.verdict is not None or there.facts.is_unproven
        return not is_of_no_use or self.situation.status.expires_at is not None

    @property
    def ends_at(self) -> str | None:
        """When the grant of the credential that is there ends, where that is near."""
        status = self.situation.status
        if status.condition(GRANT_EXPIRING) is None or status.grant_expires_at is None:
            return None
        try:
            return time_in_words(parse_rfc3339(status.grant_expires_at))
        except ValueError:
            # Somebody else wrote the status; the operator corrects it.
            return None

    @property
    def wants_offline_access(self) -> bool:
        """With OpenID Connect, offline_access gives a refresh token (OIDC Core section 11); Google has a way of its own."""
        whole = self.situation.oauth2.expanded()
        asks_otherwise = whole.authorize_parameters.get("access_type") == "offline"
        return "openid" in whole.scopes and "offline_access" not in whole.scopes and not asks_otherwise


@dataclass(frozen=True, slots=True)
class Onward:
    """Where an authorization goes on: at the provider."""

    namespace: str
    name: str
    url: str = dataclasses.field(repr=False)

    @property
    def host(self) -> str:
        """Where the person is sent."""
        return _host(self.url)

    @property
    def refresh(self) -> str:
        """For a meta element (HTML, section 4.2.5.3). A URL that begins with its scheme is taken as it is up to the end."""
        return f"0;url={self.url}"


def dialog_page(dialog: Dialog) -> HTMLResponse:
    """The page that mirrors the dialog administrators know: parameters, state, the button, what came of it."""
    return page_of("dialog.html", dialog=dialog)


def onward_page(onward: Onward, template: str = "onward.html") -> HTMLResponse:
    """The page after the button. It leads to the provider by itself, and shows no form.

    Not a redirect: Chromium and Safari check the form-action of the page with the button at every redirect that follows, and
    providers lead on to hosts that nobody here can know. As there is no delay, browsers put the provider's page in this one's
    place: the way back leads to the dialog.
    """
    page = page_of(template, onward=onward)
    page.headers["Referrer-Policy"] = "no-referrer"
    return page


@dataclass(frozen=True, slots=True)
class Message:
    """What a page without a dialog says."""

    title: str
    text: str
    advice: str = ""
    """What the person can do, who may know nothing of clusters."""
    command: str | None = None
    """What to type."""
    again: str | None = None
    """The link to begin again, where there is one."""
    reference: str = ""
    """What stands in the log, too."""
    branding: Branding = UNBRANDED
    again_label: str = _TRY_AGAIN
    way_on: WayOn | None = None


def message_page(message: Message, status: HTTPStatus = HTTPStatus.OK) -> HTMLResponse:
    """A page that says something, and perhaps what to do."""
    return page_of("message.html", status, message=message)


def refusal_page(
    refused: Refused,
    *,
    reference: str = "",
    again: str | None = None,
    branding: Branding | None = None,
    reloads: bool = False,
    way_on: WayOn | None = None,
) -> HTMLResponse:
    """A page that says what did not work and what to do.

    Args:
        refused: what did not work.
        reference: what stands in the log, too.
        again: where the visitor came from, if that may help.
        branding: how the installation calls itself.
        reloads: whether the page may open its own address again, if that may help.
        way_on: where whoever signed in goes on.
    """
    if again is None and way_on is not None:
        again = way_on.path
    reload_after = refused.reload_after if reloads else None
    message = Message(
        refused.title,
        refused.message,
        refused.advice if reload_after is None else _looks_again_in(reload_after),
        refused.command,
        again if refused.can_try_again else None,
        reference,
        branding or UNBRANDED,
        way_on=way_on,
    )
    page = message_page(message, refused.status)
    if refused.retry_after is not None:
        page.headers["Retry-After"] = str(int(refused.retry_after.total_seconds()))
    return page if reload_after is None else _that_reloads(page, reload_after)


def progress_page() -> HTMLResponse:
    """Another request is exchanging the code at this moment."""
    advice = text("done.under_way_advice")
    page = message_page(Message(text("done.under_way"), text("done.under_way_message"), advice=advice))
    return _that_reloads(page, SOON)


def _looks_again_in(pause: timedelta) -> Text:
    return text("common.looks_again", seconds=_whole_seconds(pause))


def _that_reloads(page: HTMLResponse, pause: timedelta) -> HTMLResponse:
    """The same page, which opens its own address again without any script (HTML standard, "the Refresh header")."""
    page.headers["Refresh"] = _whole_seconds(pause)
    return page


def _whole_seconds(pause: timedelta) -> str:
    return str(math.ceil(pause.total_seconds()))


def time_in_words(moment: datetime) -> Text:
    """A moment, for people: 3 July 2026, 12:00 UTC."""
    utc = moment.astimezone(UTC)
    month, day = text(f"months.{utc.month}"), text("done.first_day") if utc.day == 1 else str(utc.day)
    return text("done.time", day=day, month=month, year=str(utc.year), clock=f"{utc:%H:%M}")


def authorize_host_of(effective: Effective | None) -> str:
    """Where a person is sent; empty where that is not known."""
    return _host(None if effective is None else effective.authorize_url)


def _host(url: str | None) -> str:
    """The host as the browser would show it, port included."""
    return (origin(url or "") or url or "").partition("://")[2]
