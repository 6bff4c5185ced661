"""A mounted Secret, laid out as kubelet does it."""

import os
from collections.abc import Mapping
from pathlib import Path


class Mount:
    """Files are links into `..data`, which is swapped as a whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._versions = 0

    def show(self, files: Mapping[str, str]) -> None:
        """Have these files there, all at once."""
        self._versions += 1
        version = self.folder / f"..version_{self._versions}"
        version.mkdir()
        for name, content in files.items():
            (version / name).write_text(content)
        link = self.folder / "..data_tmp"
        link.symlink_to(version.name)
        os.replace(link, self.folder / "..data")
        for name in files:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
