"""A build that is interrupted leaves nothing behind that goes on, and nothing half made."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.cache import REPOSITORY
from tests.support.patience import eventually

# As go does: a compiler in the same process group, and both write what takes long.
GO = """\
#!/bin/sh
[ "$1" = version ] && { echo go version go9.9.9; exit; }
sleep 1000 &
echo "$$ $!" > "$0.part"
mv "$0.part" "$0.pids"
wait
"""

# Python has a handler only where SIGINT was not ignored: a shell ignores it for what it runs in the background.
BUILDS = """\
import signal
import sys
from pathlib import Path
from deploy.local.build import Binary, GoModule
signal.signal(signal.SIGINT, signal.default_int_handler)
folder = Path(sys.argv[1])
GoModule(folder, folder / "kept", (Binary("program", ".", 1),), {}).built(lambda line: None)
"""


@pytest.fixture
def building(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that builds, in a group of its own."""
    go = tmp_path / "go"
    go.write_text(GO)
    go.chmod(0o755)
    process = subprocess.Popen(  # noqa: S603 - this very file
        [sys.executable, "-c", BUILDS, tmp_path],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    yield process
    process.kill()
    process.wait()
    for pid in filter(runs, noted_by(go)):
        os.kill(pid, signal.SIGKILL)


def noted_by(go: Path) -> list[int]:
    """The processes of a build; none before it began."""
    noted = go.with_name("go.pids")
    return [int(each) for each in noted.read_text().split()] if noted.exists() else []


def runs(pid: int) -> bool:
    """Whether a process does; one that has ended and that nobody waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux ends children with their parent")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_go_and_its_compilers_end_with_who_builds(
    building: subprocess.Popen[bytes], tmp_path: Path, number: signal.Signals
) -> None:
    eventually("go compiles", lambda: noted_by(tmp_path / "go"))
    pids = noted_by(tmp_path / "go")
    assert [runs(each) for each in pids] == [True, True]

    building.send_signal(number)
    building.wait()

    eventually("nothing of it runs", lambda: not any(runs(each) for each in pids))
    assert not (tmp_path / "kept" / "program").exists()


def test_what_an_interrupted_build_left_is_taken_away_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / "kept" / ".go-build" / "left"
    left.mkdir(parents=True)
    go = tmp_path / "go"
    go.write_text('#!/bin/sh\n[ "$1" = version ] && { echo go version go9.9.9; exit; }\nls "$GOTMPDIR" > "$7"\n')
    go.chmod(0o755)
    subprocess.run(  # noqa: S603 - this very file
        [sys.executable, "-c", BUILDS, tmp_path],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)},
        check=True,
    )
    assert (tmp_path / "kept" / "program").read_text() == ""
    assert not left.exists()
