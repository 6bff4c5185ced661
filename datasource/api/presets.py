"""I/O, once, at import: presets.toml, what is known of well-known services. Data, and nothing that decides."""

import tomllib
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from datasource.api.spelling import spelled

REDIRECT_URI = "{redirect URI}"
"""Stands in the steps of a registration for what the dialog shows."""


class Rotation(StrEnum):
    """Whether a refresh brings a new refresh token, and ends the old one (RFC 6749 section 6)."""

    ROTATES = "rotates"
    STAYS = "stays"
    MAY_ROTATE = "may rotate"
    NONE = "none"
    """The service gives no refresh token."""


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename=spelled):
    """What `spec.oauth2.provider` stands for; `options` are fields of spec.oauth2 as written in YAML.

    The texts are for people: docs/providers.md, the dialog and the plugin show them. Nothing is decided with them.
    """

    title: str
    source: str
    date: date
    """When the entry was last gone through."""
    tried: bool
    register: str
    """Where an application is registered."""
    steps: tuple[str, ...]
    scopes: tuple[str, ...]
    """An example, among it whatever yields a refresh token."""
    access_token: str
    """How long one lasts, in words."""
    refresh_token: Rotation
    url: str | None = None
    """Its API, where that is one URL for everybody: an example of spec.url."""
    refresh_lifetime: str | None = None
    """How long a refresh token lasts, in words; None where the documentation does not say."""
    consent_ends: str | None = None
    notes: tuple[str, ...] = ()
    issuer_example: str | None = None
    """How an issuer is written where the service has none for everybody."""
    url_examples: dict[str, str] = {}
    """How endpoints are written where each customer has a host and the service has no metadata, by field."""
    scope_texts: dict[str, str] = {}
    """What some scopes let an app do, for whoever consents: It will be able to ..."""
    scope_includes: dict[str, tuple[str, ...]] = {}
    """By scopes, those that the service grants with them and does not name beside them; a star is any end of a name."""
    other_account: dict[str, str] = {}
    """Parameters of the authorize request with which the service lets a person choose the account; empty: none is known. One
    that a provider does not know may be an error there (OIDC Core section 3.1.2.1), so nothing is sent by guess."""
    options: dict[str, Any] = {}

    @property
    def asks_for(self) -> Mapping[str, str]:
        """The fields of spec.oauth2 that tell the customer's own host or tenant, with an example each."""
        return self.url_examples if self.issuer_example is None else {"issuer": self.issuer_example}


PRESETS: Mapping[str, Preset] = msgspec.convert(
    tomllib.loads(Path(__file__).with_name("presets.toml").read_text()), dict[str, Preset]
)
"""By the names that `spec.oauth2.provider` may have."""


def scopes_included(provider: str | None) -> Mapping[str, tuple[str, ...]]:
    """By scopes of a provider, those that it grants with them and does not name beside them."""
    preset = PRESETS.get(provider or "")
    return {} if preset is None else preset.scope_includes
