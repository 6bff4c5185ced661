"""docs/recipes.md, read as whoever follows it does: what stands in the Datasource, and what the program is told."""

import re
from dataclasses import dataclass
from typing import Any

import yaml

from deploy.local.cache import REPOSITORY

PAGE = REPOSITORY / "docs" / "recipes.md"
MOUNTED_AT = "/var/run/token"


@dataclass(frozen=True)
class Recipe:
    """One heading with its blocks of code."""

    name: str
    blocks: tuple[str, ...]

    def at(self, origin: str) -> "Recipe":
        """The same with a service on loopback in the place of those on example.com."""
        host = origin.partition("://")[2]
        return Recipe(self.name, tuple(_moved(block, origin, host) for block in self.blocks))

    @property
    def token_secret(self) -> dict[str, Any]:
        """`spec.tokenSecret`; empty where the usual one will do."""
        found = (yaml.safe_load(block) for block in self.blocks if block.startswith("tokenSecret:"))
        secret: dict[str, Any] = next(found, {"tokenSecret": {}})["tokenSecret"]
        return secret

    def told(self, key: str) -> Any:
        """What the program is told, by the key of a container or of its own configuration."""
        found = (yaml.safe_load(block) for block in self.blocks if block.startswith(f"{key}:"))
        return next(found)[key]

    def text(self, beginning: str) -> str:
        """What the program is told where that is no YAML."""
        return next(block for block in self.blocks if block.startswith(beginning))


def recipes() -> dict[str, Recipe]:
    """Every recipe of the page, by its heading."""
    sections = re.split(r"^## (.+)\n", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return {name: Recipe(name, _blocks(text)) for name, text in zip(sections[::2], sections[1::2], strict=True)}


def _blocks(text: str) -> tuple[str, ...]:
    found = re.findall(r"(?:^ {4}.*\n)+", text, flags=re.MULTILINE)
    return tuple(re.sub(r"^ {4}", "", block, flags=re.MULTILINE) for block in found)


def _moved(block: str, origin: str, host: str) -> str:
    # A netrc file has no ports, and a user name may stand between the scheme and the host.
    block = block.replace("machine api.example.com", f"machine {host.partition(':')[0]}")
    block = re.sub(r"https://[a-z]+\.example\.com", origin, block)
    return re.sub(r"[a-z]+\.example\.com(:443)?", host, block.replace("https://oauth2", "http://oauth2"))
