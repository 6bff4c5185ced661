"""Where what takes long to make is kept between runs, outside of the repository."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.local.progress import Say

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = REPOSITORY / "build"


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """`datasource-operator` in the user's cache folder (XDG Base Directory Specification)."""
    base = environ.get("XDG_CACHE_HOME", "")
    # The specification: a path that is not absolute is ignored.
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "datasource-operator"


@contextmanager
def locked(folder: Path, say: Say) -> Iterator[None]:
    """Hold the folder's lock: the demo and the tests may want to fill it at the same time."""
    # Windows has none, and needs none for what is made there (release/program.py).
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"      waiting for another run that is filling {folder}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
