"""The manifest of a new Datasource, from a preset and a few options, and what its author does next. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import msgspec

from datasource.api.names import API_VERSION, KIND
from datasource.api.presets import PRESETS, REDIRECT_URI, Preset
from kubectl_datasource import advice
from kubectl_datasource.advice import ClientSecret, Target
from kubectl_datasource.exits import Misused
from kubectl_datasource.typed_options import (
    look_at_client_id,
    look_at_names,
    look_at_query,
    look_at_scopes,
    look_at_urls,
)
from kubectl_datasource.words import Cell, Line, aligned

KEY = "client-secret"
"""The key in the client Secret; the schema's default."""

OPTIONS = {"issuer": "--issuer", "authorizeURL": "--authorize-url", "tokenURL": "--token-url"}
"""The options that write a field of spec.oauth2."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of `create`. `endpoints` are fields of spec.oauth2, such as issuer, as far as they were given."""

    name: str
    provider: str | None
    namespace: str | None = None
    url: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    """The name of the Secret; None for NAME-client."""
    public: bool = False
    scopes: tuple[str, ...] = ()
    endpoints: Mapping[str, str] = field(default_factory=dict)

    @property
    def secret_name(self) -> str | None:
        """The Secret with the client secret; None for a public client."""
        return None if self.public else self.client_secret or f"{self.name}-client"


def preset_named(name: str) -> Preset:
    """The preset.

    Raises:
        Misused: there is none of this name.
    """
    if name not in PRESETS:
        near = get_close_matches(name.lower(), PRESETS, n=1)
        meant = f"Did you mean {near[0]}? " if near else ""
        raise Misused(f"{name} is not a known provider.", f"{meant}Use one of {', '.join(PRESETS)}.")
    return PRESETS[name]


def manifest(wanted: Wanted) -> dict[str, Any]:
    """The Datasource, as kubectl takes it.

    Raises:
        Misused: what it needs was not given, or does not go together.
    """
    _look_at_what_was_typed(wanted)
    preset = None if wanted.provider is None else preset_named(wanted.provider)
    if wanted.public and wanted.client_secret is not None:
        raise Misused("A public client has no client secret.", "Leave --public or --client-secret-name out.")
    url = wanted.url if wanted.url is not None else preset.url if preset else None
    if url is None:
        raise Misused("The URL of the API is not known.", "Say it with --url.")
    _look_at_endpoints(wanted, preset)
    metadata = {"name": wanted.name} | ({"namespace": wanted.namespace} if wanted.namespace else {})
    spec = {"url": url, "oauth2": _oauth2(wanted)}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}


def _look_at_what_was_typed(wanted: Wanted) -> None:
    look_at_names(wanted.name, wanted.secret_name)
    if wanted.client_id is not None:
        look_at_client_id(wanted.client_id)
    look_at_scopes(wanted.scopes)
    urls = {OPTIONS[field]: url for field, url in wanted.endpoints.items()}
    look_at_urls(urls if wanted.url is None else {"--url": wanted.url} | urls)
    for name, url in wanted.endpoints.items():
        look_at_query(OPTIONS[name], url, name)


def _look_at_endpoints(wanted: Wanted, preset: Preset | None) -> None:
    given = wanted.endpoints
    if preset is None:
        if "issuer" not in given and not {"authorizeURL", "tokenURL"} <= given.keys():
            raise Misused(
                "Nothing says where the provider is.",
                "Give --provider, or --issuer, or both --authorize-url and --token-url.",
            )
        return
    for name, example in preset.asks_for.items():
        if name not in given and "issuer" not in given:
            raise Misused(
                f"{preset.title} has a host or tenant for each customer.", f"Give it with {OPTIONS[name]} {example}"
            )


def _oauth2(wanted: Wanted) -> dict[str, Any]:
    written: dict[str, Any] = {"provider": wanted.provider} if wanted.provider else {}
    written |= {name: wanted.endpoints[name] for name in OPTIONS if name in wanted.endpoints}
    if wanted.client_id is not None:
        written["clientID"] = wanted.client_id
    if wanted.secret_name is not None:
        written["clientSecretRef"] = {"name": wanted.secret_name, "key": KEY}
    if wanted.scopes:
        written["scopes"] = list(wanted.scopes)
    return written


def example(name: str) -> dict[str, Any]:
    """A whole Datasource of a provider, for people to start from; what only its customer knows is in capitals."""
    preset = PRESETS[name]
    return manifest(
        Wanted(
            name=name,
            provider=name,
            url=preset.url or "https://API-OF-THE-SERVICE.example.com",
            client_id="CLIENT-ID",
            scopes=preset.scopes,
            endpoints=dict(preset.asks_for),
        )
    )


def next_steps(wanted: Wanted, target: Target) -> tuple[str, ...]:
    """What is left to do once the manifest is applied, a step a line. Commands stand indented on lines of their own."""
    lines: list[str] = []
    if wanted.client_id is None:
        lines += [
            "Register the application at the provider. Its redirect URI, once the Datasource is applied:",
            f"  {target.kubectl('get', 'dsrc', wanted.name, '-o', 'jsonpath={.status.redirectURI}')}",
            "Then add the client ID with --client-id, and apply the manifest again.",
        ]
    if wanted.secret_name is not None:
        lines += [
            "Store the client secret. It is read from the terminal, and stays out of the shell's history:",
            f"  {advice.creating(target, ClientSecret('clientSecretRef', wanted.secret_name, KEY)).line}",
        ]
    return (*lines, "Get the credential:", f"  {target.kubectl('datasource', 'authorize', wanted.name)}")


def told(name: str) -> tuple[str, ...]:
    """What is known of a provider, for a terminal."""
    preset = preset_named(name)
    lines = [f"{preset.title} ({name})", "", f"Register the application: {preset.register}"]
    lines += [f"  {step}" for step in steps(preset, "the URI in status.redirectURI")]
    lines += ["", f"Access token: {preset.access_token}.", f"Refresh token: {refresh_token(preset)}."]
    lines += [preset.consent_ends] if preset.consent_ends else []
    lines += [f"Scopes, for example: {', '.join(preset.scopes)}."] if preset.scopes else []
    lines += [f"Write spec.oauth2.{field}, such as {value}" for field, value in preset.asks_for.items()]
    lines += preset.notes
    return (*lines, "", f"Documentation: {preset.source} (read on {preset.date})")


def steps(preset: Preset, redirect_uri: str) -> Sequence[str]:
    """The steps of the registration, with what the redirect URI is called where they are shown."""
    return [step.replace(REDIRECT_URI, redirect_uri) for step in preset.steps]


def refresh_token(preset: Preset) -> str:
    """What becomes of a refresh token, in words."""
    said = {
        "rotates": "a new one at each refresh",
        "stays": "stays the same",
        "may rotate": "sometimes a new one at a refresh",
        "none": "none",
    }[preset.refresh_token]
    return f"{said}; lasts {preset.refresh_lifetime}" if preset.refresh_lifetime else said


def as_json(name: str, preset: Preset) -> dict[str, Any]:
    """A preset for programs, under the names of presets.toml."""
    return {"name": name, **msgspec.to_builtins(preset)}


def table() -> list[Line]:
    """The presets, a line each."""
    rows = [
        tuple(Cell(text) for text in (name, each.title, each.access_token, refresh_token(each)))
        for name, each in PRESETS.items()
    ]
    return aligned(("name", "service", "access token", "refresh token"), rows)
