"""What a release is told, as variables of make: what cannot be known from the repository."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from release.refusal import Refused

_DIGEST = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)+")
_MAINTAINER = re.compile(r"[^<>\n]*[^<>\s]\s*(<[^<>\s@]+@[^<>\s@]+>)?")


@dataclass(frozen=True)
class Settings:
    """The variables RELEASE_*. Whatever is empty was not told, and is left out of what is written.

    Attributes:
        key: a private key, ECDSA on P-256, as PEM.
        key_password: of that key, where it has one.
        image: an OCI archive of the image.
        base: the image that it was built from, by digest; with several platforms, that of each, after spaces.
        repository: where the image will be pulled from.
        source: the URL of the repository.
        download: the URL of the folder that will hold what is in dist/.
        maintainer: `Name <mail>`, or a name.
        builder: a URI that names who builds, for the provenance.
        archives: a folder with the plugin's archives for other platforms.
    """

    key: str = ""
    key_password: str = ""
    image: str = ""
    base: str = ""
    repository: str = ""
    source: str = ""
    download: str = ""
    maintainer: str = ""
    builder: str = ""
    archives: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Settings":
        """Read them.

        Raises:
            Refused: with the variable and the remedy.
        """
        names = {each.name: f"RELEASE_{each.name.upper()}" for each in fields(cls)}
        known = set(names.values())
        unknown = sorted(name for name in environ if name.startswith("RELEASE_") and name not in known)
        if unknown:
            raise Refused(f"{unknown[0]} is no variable of a release. There are: {', '.join(sorted(known))}.")
        values = {field: environ.get(name, "") for field, name in names.items()}
        # A password may begin or end with a space.
        told = cls(**{field: value if field == "key_password" else value.strip() for field, value in values.items()})
        for problem in told._problems():
            raise Refused(problem)
        return told

    @property
    def bases(self) -> list[str]:
        """One, or that of each platform."""
        return self.base.split()

    def refuse_paths_in(self, *folders: Path) -> None:
        """Nothing that was given may lie where everything is made anew: it would be gone.

        Raises:
            Refused: with the variable and the remedy.
        """
        for name in ("key", "image", "archives"):
            path = Path(getattr(self, name) or os.devnull).resolve()
            for folder in folders:
                if path.is_relative_to(folder.resolve()):
                    raise Refused(
                        f"RELEASE_{name.upper()}: {path} is in {folder}, which a release deletes and writes again. "
                        "Move it to another folder."
                    )

    def refuse_a_key_in(self, checkout: Path) -> None:
        """A key beside the code is one `git add` away from everybody.

        Raises:
            Refused: with the remedy.
        """
        path = Path(self.key).resolve()
        if path.is_relative_to(checkout.resolve()):
            raise Refused(
                f"RELEASE_KEY: {path} is in the checkout, where it may be committed. Move it out of {checkout.resolve()}. "
                "If it was committed before, make a new key."
            )

    def _problems(self) -> list[str]:
        found = []
        if not self.key:
            found.append(
                "RELEASE_KEY is missing: the path of the private key to sign with. Make one: openssl genpkey -algorithm EC "
                "-pkeyopt ec_paramgen_curve:P-256 -out ../release.key"
            )
        for name in ("key", "image"):
            path = getattr(self, name)
            if path and not Path(path).is_file():
                found.append(f"RELEASE_{name.upper()}: there is no file {path}.")
        if self.archives and not Path(self.archives).is_dir():
            found.append(f"RELEASE_ARCHIVES: there is no folder {self.archives}.")
        if self.image and not (self.bases and all(_DIGEST.fullmatch(each) for each in self.bases)):
            found.append(
                f"RELEASE_BASE must name by digest what the image was built from, such as python:3.11-slim@sha256:...; "
                f"it is {self.base or 'empty'}. A tag moves: later it would not be known what was in it."
            )
        if self.repository and not _REPOSITORY.fullmatch(self.repository):
            found.append(
                f"RELEASE_REPOSITORY must be a registry and a path, such as registry.example.com/team/datasource-operator; "
                f"it is {self.repository}."
            )
        for name in ("source", "download", "builder"):
            url = getattr(self, name)
            if url and not re.fullmatch(r"https://[^\s?#]+[^\s?#/]", url):
                found.append(f"RELEASE_{name.upper()} must be an https:// URL without a slash at its end; it is {url}.")
        if self.maintainer and not _MAINTAINER.fullmatch(self.maintainer):
            found.append(f"RELEASE_MAINTAINER must be a name, or Name <mail address>; it is {self.maintainer}.")
        return found
