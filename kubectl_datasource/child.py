"""I/O: a child process that is kubectl. What it says while it goes on is passed on."""

import re
import subprocess
from typing import IO

from kubectl_datasource.exits import Unreachable
from kubectl_datasource.screen import Screen

_TELLS_AFTER = 1.5
"""Seconds after which what kubectl says is no complaint about its end, but meant for somebody who is waited for."""

_KLOG = re.compile(r"[IWEF]\d{4} \d\d:")
"""What client-go logs of each retry, before kubectl says the same in a sentence."""


def started(
    command: list[str], *, stdin: int | None = None, stderr: IO[str] | int = subprocess.PIPE
) -> "subprocess.Popen[str]":
    """A run of kubectl whose output is text.

    Raises:
        Unreachable: it cannot be run.
    """
    pipe = subprocess.PIPE
    try:
        # kubectl writes UTF-8, whatever the locale is.
        return subprocess.Popen(  # noqa: S603
            command, stdin=stdin, stdout=pipe, stderr=stderr, encoding="utf-8", errors="replace"
        )
    except FileNotFoundError:
        raise Unreachable("kubectl is not on PATH.", "Install it: this is a plugin of kubectl.") from None
    except OSError as error:
        raise Unreachable(f"kubectl cannot be run: {error.strerror}.") from None


def communicate(process: "subprocess.Popen[str]", stdin: str | None) -> tuple[str, str]:
    """What kubectl printed. Whatever it says while it goes on is passed on at once: a login plugin tells what to do there."""
    told, unsent = 0, stdin
    try:
        while True:
            try:
                return process.communicate(unsent, timeout=_TELLS_AFTER)
            except subprocess.TimeoutExpired as waiting:
                said, unsent = waiting.stderr or b"", None
                Screen.of_process().pass_on(without_klog(_text(said)[told:]))
                told = len(_text(said))
    except BaseException:
        process.kill()
        raise


def _text(said: bytes | str) -> str:
    return said if isinstance(said, str) else said.decode(errors="replace")


def without_klog(said: str) -> str:
    """What kubectl says itself."""
    return "".join(line for line in said.splitlines(keepends=True) if not _KLOG.match(line))
