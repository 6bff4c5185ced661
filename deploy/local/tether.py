"""`python tether.py COMMAND...`: become COMMAND, and be killed by the kernel when the parent ends, however it ends.

A launcher of its own, because Python's `preexec_fn` may deadlock in a program with threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def main(parent: int, command: list[str]) -> None:
    """Replace this process by `command`; the process id stays."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the parent ended already")
    os.execvp(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
