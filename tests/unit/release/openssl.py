"""openssl, which makes keys and checks signatures."""

import shutil
import subprocess
from pathlib import Path

P_256 = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


def openssl(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run it in a folder."""
    found = shutil.which("openssl")
    assert found is not None
    return subprocess.run([found, *arguments], cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603


def key(folder: Path, *arguments: str) -> Path:
    """A private key in a file, on P-256 where nothing else is said."""
    made = openssl("genpkey", *(arguments or P_256), "-out", "k", cwd=folder)
    assert made.returncode == 0, made.stderr
    return folder / "k"
