"""I/O, once, at import: presets.toml, the options that well-known services want. Data, and nothing that decides."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from datasource.api.spelling import spelled


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename=spelled):
    """What `spec.oauth2.provider` stands for; `options` are fields of spec.oauth2 as written in YAML."""

    title: str
    source: str
    tried: bool
    issuer_example: str | None = None
    """How an issuer is written where the service has none for everybody."""
    options: dict[str, Any] = {}


PRESETS: Mapping[str, Preset] = msgspec.convert(
    tomllib.loads(Path(__file__).with_name("presets.toml").read_text()), dict[str, Preset]
)
"""By the names that `spec.oauth2.provider` may have."""
