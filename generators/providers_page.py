"""Write docs/providers.md from presets.toml: `make docs`. A test fails while the two differ."""

import sys
from collections.abc import Iterator

import yaml

from datasource.api.presets import PRESETS, Preset
from deploy.local.cache import REPOSITORY
from kubectl_datasource.creating import example, refresh_token, steps

PAGE = REPOSITORY / "docs" / "providers.md"

_HEAD = """# Providers

These are the values of `spec.oauth2.provider`. Each entry says how to register an application at the service, and how its
tokens behave. `make docs` writes this page from [presets.toml](../datasource/api/presets.toml).

A preset fills in what you do not write. Your values override it. The entries follow the documentation of the services, and each
has a link to it. Services change, so look there before you rely on a lifetime. No entry was tried with its live service. Tests
go through an imitation that behaves as the entry says.

Each registration asks for a redirect URI: it is in `status.redirectURI` of your Datasource. The [plugin](plugin.md) prints
manifests like those below, and the command that stores the client secret: `kubectl datasource create box --provider box`. In a
terminal, `kubectl datasource providers box` shows the same.
"""


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([_HEAD, *_table(), "", *(line for name, each in PRESETS.items() for line in _section(name, each))])


def _table() -> Iterator[str]:
    yield "| service | `provider` | access token lasts | refresh token | revoked at a clear |"
    yield "|---|---|---|---|---|"
    for name, each in PRESETS.items():
        link = f"[{each.title}](#{name})"
        yield f"| {link} | `{name}` | {each.access_token} | {refresh_token(each)} | {_revoked(each)} |"


def _revoked(preset: Preset) -> str:
    if "revocationURL" in preset.options:
        return "yes"
    return "where its metadata says how" if preset.issuer_example or "issuer" in preset.options else "no"


def _section(name: str, preset: Preset) -> Iterator[str]:
    yield f"## {name}\n"
    yield f"{preset.title}: [documentation]({preset.source}), read on {preset.date}.\n"
    yield f"Register an application at <{preset.register}>:\n"
    yield from (f"{number}. {step}" for number, step in enumerate(steps(preset, "`status.redirectURI`"), start=1))
    yield "\n```yaml"
    yield yaml.safe_dump(example(name), sort_keys=False, width=float("inf")).rstrip()
    yield "```\n"
    if preset.notes or preset.consent_ends:
        yield from (f"- {note}" for note in (*preset.notes, *([preset.consent_ends] if preset.consent_ends else [])))
        yield ""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE.relative_to(REPOSITORY)} is written\n")


if __name__ == "__main__":
    main()
