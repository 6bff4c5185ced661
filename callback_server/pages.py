"""The pages: what they show as typed views, rendered with Jinja2, headers included."""

from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse

from callback_server.refusals import Refused
from callback_server.security import origin, page_headers, style_source
from callback_server.situation import Situation
from datasource.names import redirect_uri
from datasource.states import State

_TEMPLATES = Path(__file__).with_name("templates")
_STYLE = (_TEMPLATES / "style.css").read_text()
_STYLE_SOURCE = style_source(_STYLE)

_environment = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    # Everything that is shown is escaped; no template marks anything as safe but our own style sheet.
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals["style"] = _STYLE


@dataclass(frozen=True, slots=True)
class Banner:
    """What happened, at the top of a page."""

    title: str
    message: str
    is_success: bool


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
    form: Form | None = None
    banner: Banner | None = None
    again: str | None = None
    """A link to begin once more."""
    show_reload: bool = False

    @property
    def state(self) -> str:
        """The state, as `kubectl get` prints it."""
        return self.situation.status.state or "not looked at yet"

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
        return redirect_uri(self.external_url, self.situation.namespace)

    @property
    def authorize_host(self) -> str:
        """Where the person is sent."""
        return _host(self.situation.oauth2.authorize_url)

    @property
    def token_host(self) -> str:
        """Where the code, and the client secret with it, is sent."""
        return _host(self.situation.oauth2.token_url)

    @property
    def replaces_one(self) -> bool:
        """Whether a credential is there that works until the new one is stored."""
        credential = self.situation.credential
        return credential is not None and credential.facts.tombstone is None

    @property
    def wants_offline_access(self) -> bool:
        """With OpenID Connect, offline_access is what yields a refresh token (OIDC Core section 11)."""
        scopes = self.situation.oauth2.scopes
        return "openid" in scopes and "offline_access" not in scopes


def dialog_page(dialog: Dialog) -> HTMLResponse:
    """The page that mirrors the dialog administrators know: parameters, state, the button, what came of it."""
    target = origin(dialog.situation.oauth2.authorize_url or "") if dialog.form is not None else None
    content = _environment.get_template("dialog.html").render(dialog=dialog)
    return HTMLResponse(content, headers=page_headers(_STYLE_SOURCE, target))


def message_page(refused: Refused, *, again: str | None = None) -> HTMLResponse:
    """A page that says what did not work and what to do."""
    content = _environment.get_template("message.html").render(refused=refused, again=again)
    headers = page_headers(_STYLE_SOURCE)
    if refused.retry_after is not None:
        headers["Retry-After"] = str(int(refused.retry_after.total_seconds()))
    return HTMLResponse(content, status_code=refused.status, headers=headers)


def progress_page() -> HTMLResponse:
    """Another request is exchanging the code at this moment."""
    refused = Refused(
        "The authorization is being finished",
        "The service is being asked for the tokens. Reload this page in a moment.",
        HTTPStatus.OK,
    )
    return message_page(refused)


def _host(url: str | None) -> str:
    """The host as the browser would show it, port included."""
    return (origin(url or "") or url or "").partition("://")[2]
