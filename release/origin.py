"""Whether an image was built of the commit that is released: with its code, and with the packages that it pins."""

import csv
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from release import sbom
from release.image import Image, is_record
from release.refusal import Refused, named

_REMEDY = "Build it again from the commit that is released (docs/release.md)."


def check(image: Image, wheel: Path, lock: str) -> None:
    """Hold what is installed in the image against the wheel and the lock file of the commit.

    Raises:
        Refused: with the first difference.
    """
    with zipfile.ZipFile(wheel) as opened:
        code = _code({name: opened.read(name) for name in opened.namelist()})
    for each in image.platforms:
        differing = sorted({path for path, _ in _code(each.files) ^ code})
        if differing:
            raise Refused(
                f"The image for {each.platform} has other code than the commit that is released. "
                f"{named(differing, 'file differs', 'files differ')}. {_REMEDY}"
            )
        missing = sorted(_names(sbom.locked(lock)) - _names(sbom.installed(each)))
        if missing:
            raise Refused(
                f"The image for {each.platform} lacks what requirements/run.txt pins. "
                f"{named(missing, 'package is missing', 'packages are missing')}. {_REMEDY}"
            )


def _code(files: Mapping[str, bytes]) -> set[tuple[str, str]]:
    """Our own files with their hashes, and the version, as RECORD has them: not what pip adds where it installs."""
    found = set()
    for name, content in files.items():
        if is_record(PurePosixPath(name)):
            metadata = PurePosixPath(name).parent.name
            found.add((metadata, ""))
            for path, hash_, _ in csv.reader(content.decode().splitlines()):
                parts = PurePosixPath(path).parts
                if not {"..", "__pycache__", metadata} & set(parts):
                    found.add((path, hash_))
    return found


def _names(components: Iterable[sbom.Component]) -> set[str]:
    return {f"{each['name']} {each['version']}" for each in components}
