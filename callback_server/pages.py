"""The pages: what they show as typed views, rendered with Jinja2, headers included."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse

from callback_server.refusals import Refused
from callback_server.security import origin, page_headers, style_source
from callback_server.situation import Situation
from datasource.api.spec import OAuth2, Pkce, RedirectURI
from datasource.api.states import State
from datasource.oauth2.error_reply import ErrorRule
from datasource.records.contents import StoredCredential
from datasource.records.effective import Effective, Source

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
class Shown:
    """One parameter of the dialog."""

    label: str
    values: tuple[str, ...]
    source: str = ""
    """Where the values come from; empty: they are written in spec.oauth2, or there is nothing to say."""


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
    effective: Effective | None
    """None where an endpoint comes from the provider's metadata, and that is not at hand."""
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
        return self.situation.redirect_uri(self.external_url)

    @property
    def authorize_host(self) -> str:
        """Where the person is sent."""
        return _host(None if self.effective is None else self.effective.authorize_url)

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
        """Whether a credential is there that works until the new one is stored."""
        return isinstance(self.situation.credential, StoredCredential)

    @property
    def wants_offline_access(self) -> bool:
        """With OpenID Connect, offline_access is what yields a refresh token (OIDC Core section 11)."""
        scopes = self.situation.oauth2.expanded().scopes
        return "openid" in scopes and "offline_access" not in scopes


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
    content = _environment.get_template("dialog.html").render(dialog=dialog)
    return HTMLResponse(content, headers=page_headers(_STYLE_SOURCE))


def onward_page(onward: Onward) -> HTMLResponse:
    """The page after the button. It leads to the provider by itself, and shows no form.

    Not a redirect: Chromium and Safari check the form-action of the page with the button at every redirect that follows, and
    providers lead on to hosts that nobody here can know. As there is no delay, browsers put the provider's page in this one's
    place: the way back leads to the dialog.
    """
    content = _environment.get_template("onward.html").render(onward=onward)
    return HTMLResponse(content, headers=page_headers(_STYLE_SOURCE) | {"Referrer-Policy": "no-referrer"})


@dataclass(frozen=True, slots=True)
class Message:
    """What a page without a dialog says."""

    title: str
    text: str
    command: str | None = None
    """What to type."""
    again: str | None = None
    """The link to begin again, where there is one."""


def message_page(message: Message, status: HTTPStatus = HTTPStatus.OK) -> HTMLResponse:
    """A page that says something, and perhaps what to do."""
    content = _environment.get_template("message.html").render(message=message)
    return HTMLResponse(content, status_code=status, headers=page_headers(_STYLE_SOURCE))


def refusal_page(refused: Refused) -> HTMLResponse:
    """A page that says what did not work and what to do."""
    page = message_page(Message(refused.title, refused.message, refused.command), refused.status)
    if refused.retry_after is not None:
        page.headers["Retry-After"] = str(int(refused.retry_after.total_seconds()))
    return page


def progress_page() -> HTMLResponse:
    """Another request is exchanging the code at this moment."""
    return message_page(
        Message(
            "The authorization is being finished",
            "The service is being asked for the tokens. Reload this page in a moment.",
        )
    )


def shown_parameters(oauth2: OAuth2, effective: Effective | None) -> tuple[Shown, ...]:
    """What the dialog says of the OAuth2 parameters: what everybody has, then what was said beyond that."""
    whole = oauth2.expanded()
    always = (
        Shown("Client ID", (whole.client_id or "",)),
        _client_authentication(whole),
        _endpoint("Authorize URL", oauth2, "authorize_url", effective),
        _endpoint("Token URL", oauth2, "token_url", effective),
        Shown("Scopes", whole.scopes or ("none",), _source(oauth2, "scopes")),
    )
    return (*_service(oauth2), *always, *_options(oauth2, effective))


def _service(oauth2: OAuth2) -> Iterator[Shown]:
    preset = oauth2.preset
    if preset is not None:
        yield Shown("Service", (preset.title,))
    issuer = oauth2.expanded().issuer
    if issuer:
        yield Shown("Issuer", (issuer,), _source(oauth2, "issuer"))


def _client_authentication(whole: OAuth2) -> Shown:
    method = whole.effective_client_authentication()
    if whole.client_secret_ref is not None:
        ref = whole.client_secret_ref
        return Shown("Client secret", (f"in Secret {ref.name}, key {ref.key} ({method})",))
    if whole.private_key_ref is not None:
        key = whole.private_key_ref
        return Shown("Private key", (f"in Secret {key.name}, key {key.key} ({method})",))
    return Shown("Client secret", ("none (public client)",))


def _endpoint(label: str, oauth2: OAuth2, field: str, effective: Effective | None) -> Shown:
    if effective is None:
        return Shown(label, (getattr(oauth2.expanded(), field) or "told by the issuer's metadata",))
    from_metadata = effective.source(field) is Source.METADATA
    source = "from the issuer's metadata" if from_metadata else _source(oauth2, field)
    return Shown(label, (getattr(effective, field),), source)


def _options(oauth2: OAuth2, effective: Effective | None) -> Iterator[Shown]:
    """What was said beyond what everybody has."""
    whole = oauth2.expanded()
    if effective is not None and effective.pushed_authorization_url is not None:
        source = "from the issuer's metadata" if effective.source("pushed_authorization_url") is Source.METADATA else ""
        yield Shown("Request pushed to", (effective.pushed_authorization_url,), source)
    if whole.pkce is not Pkce.S256:
        yield Shown("PKCE", (whole.pkce,), _pkce_note(oauth2, whole))
    lists = {"discovery_url": "Discovery URL", "bearer_token_types": "Further token types"}
    lists |= {"resource": "Resources", "refresh_url": "Refresh URL", "audience": "Audience", "token_path": "Token path"}
    lists |= {
        "body_format": "Body of requests",
        "default_lifetime": "Default lifetime",
        "max_lifetime": "Longest lifetime",
    }
    for field, label in lists.items():
        value = getattr(whole, field)
        if value:
            yield Shown(label, value if isinstance(value, tuple) else (str(value),), _source(oauth2, field))
    maps = {
        "authorize_parameters": "Authorize parameters",
        "token_parameters": "Token parameters",
        "refresh_parameters": "Refresh parameters",
        "expected_identity": "Who may authorize",
        "error_codes": "Names of errors",
    }
    for field, label in maps.items():
        pairs = tuple(f"{name}={value}" for name, value in getattr(whole, field).items())
        if pairs:
            yield Shown(label, pairs, _source(oauth2, field))
    if whole.redirect_uri is RedirectURI.PER_DATASOURCE:
        yield Shown("Redirect URI", ("of this Datasource alone",))
    if whole.redirect_uri_on_refresh:
        yield Shown("Redirect URI on refresh", ("sent",), _source(oauth2, "redirect_uri_on_refresh"))
    if whole.client_id_in_body:
        yield Shown("Client ID in the body", ("beside the header",), _source(oauth2, "client_id_in_body"))
    if whole.nonce is False:
        yield Shown("Nonce", ("none is sent",), "" if oauth2.nonce is False else _FROM_PRESET)
    if whole.missing_token_type_allowed:
        yield Shown("Token type", ("may be missing",), _source(oauth2, "missing_token_type_allowed"))
    if whole.error_rules:
        rules = tuple(_error_rule(rule) for rule in whole.error_rules)
        is_from_preset = not set(oauth2.error_rules) >= set(whole.error_rules)
        source = "partly from the preset" if oauth2.error_rules else _FROM_PRESET
        yield Shown("Errors", rules, source if is_from_preset else "")
    if whole.captured_names:
        yield Shown("Captured fields", whole.captured_names, _source(oauth2, "captured_fields"))


def _error_rule(rule: ErrorRule) -> str:
    """As one line of YAML."""
    said = (rule.path, rule.error, rule.description, rule.status)
    named = zip(("path", "error", "description", "status"), said, strict=True)
    return ", ".join([f"{name}: {value}" for name, value in named if value is not None] + [f"means: {rule.means}"])


def _pkce_note(oauth2: OAuth2, whole: OAuth2) -> str:
    """RFC 9700 section 2.1.1: PKCE, or the nonce of OpenID Connect, tells the person's own code from a stolen one."""
    if whole.pkce is Pkce.NONE and ("openid" not in whole.scopes or whole.nonce is False):
        return "nothing tells a stolen code from your own: with the scope openid a nonce would"
    return "" if oauth2.pkce is whole.pkce else _FROM_PRESET


_FROM_PRESET = "from the preset"


def _source(oauth2: OAuth2, field: str) -> str:
    """Where a value that is not from metadata comes from."""
    written, whole = getattr(oauth2, field), getattr(oauth2.expanded(), field)
    if not whole or written == whole:
        return ""
    return "partly from the preset" if isinstance(written, dict) and written else _FROM_PRESET


def _host(url: str | None) -> str:
    """The host as the browser would show it, port included."""
    return (origin(url or "") or url or "").partition("://")[2]
