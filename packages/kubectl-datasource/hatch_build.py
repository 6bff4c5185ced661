"""What the plugin's wheel and sdist hold: modules of this repository, each of which stands in one place only.

A unit test compares them with what the plugin imports.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = (
    "kubectl_datasource",
    "datasource/__init__.py",
    "datasource/api/__init__.py",
    "datasource/api/clock.py",
    "datasource/api/display.py",
    "datasource/api/durations.py",
    "datasource/api/link_ticket.py",
    "datasource/api/names.py",
    "datasource/api/objects.py",
    "datasource/api/presets.py",
    "datasource/api/presets.toml",
    "datasource/api/probe.py",
    "datasource/api/secret_metadata.py",
    "datasource/api/spec.py",
    "datasource/api/spelling.py",
    "datasource/api/states.py",
    "datasource/api/token_endpoints.py",
    "datasource/oauth2/__init__.py",
    "datasource/oauth2/error_reply.py",
    "datasource/oauth2/errors.py",
    "datasource/oauth2/extra_headers.py",
    "datasource/oauth2/reply_members.py",
    "datasource/oauth2/reserved_parameters.py",
    "datasource/oauth2/strict_json.py",
    "datasource/oauth2/token_request.py",
    "datasource/outbound/__init__.py",
    "datasource/outbound/egress.py",
    "datasource/outbound/endpoint.py",
    "datasource/outbound/printable.py",
    "datasource/outbound/provider_request.py",
    "datasource/outbound/reach.py",
    "datasource/outbound/redaction.py",
    "datasource/process/__init__.py",
    "datasource/process/clock.py",
    "datasource/process/installation.py",
    "datasource/process/sign_in_variables.py",
    "datasource/records/__init__.py",
    "datasource/records/import_secret.py",
)


class Sources(BuildHookInterface[Any]):
    """Brings them in: from the checkout, or from beside this file once that is an unpacked sdist."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before each build."""
        if version == "editable":
            return
        here = Path(self.root)
        checkout = here.parents[1]
        root = here if (here / "kubectl_datasource").is_dir() else checkout
        for source in SOURCES:
            for path in sorted((root / source).rglob("*.py")) if "." not in source else [root / source]:
                build_data["force_include"][str(path)] = path.relative_to(root).as_posix()
        if root == checkout and self.target_name == "sdist":
            build_data["force_include"][str(checkout / "LICENSE")] = "LICENSE"
