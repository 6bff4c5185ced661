"""The rows of the dialog: what it says of the OAuth2 parameters, and where each value comes from. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from datasource.api.spec import OAuth2, Pkce, RedirectURI, TokenHeader
from datasource.oauth2.error_reply import ErrorRule
from datasource.records.effective import Effective, Source


@dataclass(frozen=True, slots=True)
class Shown:
    """One parameter of the dialog."""

    label: str
    values: tuple[str, ...]
    source: str = ""
    """Where the values come from; empty: they are written in spec.oauth2, or there is nothing to say."""


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
        return Shown(label, (getattr(oauth2.expanded(), field) or "from the issuer's metadata",))
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
        "grant_lifetime": "The grant lasts",
        "grant_idle_lifetime": "The grant lasts, after each refresh",
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
    if whole.token_urls:
        choices = tuple(f"{each.url} where {each.parameter} is {each.value}" for each in whole.token_urls)
        yield Shown("Token URLs to choose from", choices, _source(oauth2, "token_urls"))
    if whole.token_headers:
        yield Shown("Headers of token requests", tuple(_header(header) for header in whole.token_headers))
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


def _header(header: TokenHeader) -> str:
    ref = header.secret_ref
    return f"{header.name}: {header.value}" if ref is None else f"{header.name}: in Secret {ref.name}, key {ref.key}"


def _error_rule(rule: ErrorRule) -> str:
    """As one line of YAML."""
    said = (rule.path, rule.error, rule.description, rule.status)
    named = zip(("path", "error", "description", "status"), said, strict=True)
    return ", ".join([f"{name}: {value}" for name, value in named if value is not None] + [f"means: {rule.means}"])


def _pkce_note(oauth2: OAuth2, whole: OAuth2) -> str:
    """RFC 9700 section 2.1.1: PKCE, or the nonce of OpenID Connect, tells the person's own code from a stolen one."""
    if whole.pkce is Pkce.NONE and ("openid" not in whole.scopes or whole.nonce is False):
        return "a stolen code cannot be recognized: add the scope openid, which brings a nonce"
    return "" if oauth2.pkce is whole.pkce else _FROM_PRESET


_FROM_PRESET = "from the preset"


def _source(oauth2: OAuth2, field: str) -> str:
    """Where a value that is not from metadata comes from."""
    written, whole = getattr(oauth2, field), getattr(oauth2.expanded(), field)
    if not whole or written == whole:
        return ""
    return "partly from the preset" if isinstance(written, dict) and written else _FROM_PRESET
