"""Programs for another machine, run by QEMU: the kernel is told of it for as long as something is built for that machine."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local import tools

# The first 20 bytes of a 64-bit ELF program for AArch64 on Linux, and which of their bits count: as QEMU's own script has them.
_MAGIC = "7f454c460201010000000000000000000200b700"
_MASK = "ffffffffffffff00fffffffffffffffffeffffff"


@contextmanager
def arm64() -> Iterator[None]:
    """While the block runs, programs for arm64 do. It takes root.

    Raises:
        StackError: QEMU cannot be had.
    """
    name = f"datasource-{os.getpid()}"
    # The first character stands between the parts; a version of Debian, which is in the path, may have a colon.
    line = f"|{name}|M||{_escaped(_MAGIC)}|{_escaped(_MASK)}|{tools.qemu()}|F"
    with tempfile.TemporaryDirectory() as folder:
        # Wherever it is mounted, it is the one list of this kernel.
        subprocess.run(["mount", "-t", "binfmt_misc", "none", folder], check=True, capture_output=True)
        try:
            # F: the kernel opens QEMU now, so no root file system has to hold it.
            (Path(folder) / "register").write_text(line)
            yield
        finally:
            if (Path(folder) / name).exists():
                (Path(folder) / name).write_text("-1")
            subprocess.run(["umount", folder], check=True, capture_output=True)


def _escaped(digits: str) -> str:
    return "".join(f"\\x{digits[at : at + 2]}" for at in range(0, len(digits), 2))
