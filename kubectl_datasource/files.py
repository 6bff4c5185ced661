"""I/O: writes a file that nobody else may read, whole or not at all."""

import os
import tempfile
from pathlib import Path

from kubectl_datasource.exits import Misused


def write_private(path: Path, text: str) -> None:
    """Write a file with mode 0600; one that is there is replaced, whatever its mode was.

    Raises:
        Misused: it cannot be written there.
    """
    try:
        # mkstemp makes it 0600 from the start; a rename leaves no half of it behind.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise Misused(f"{path} cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise Misused(f"{path} cannot be written: {error.strerror}.") from None
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
