"""`python tether.py alone|all PARENT COMMAND...`: COMMAND ends with its parent, the process PARENT, however that ends.

With `alone`, this process becomes COMMAND, and the kernel kills it. With `all`, COMMAND is a child of this process. Then
everything in its process group is killed, also on SIGTERM. That takes a group of its own.

A launcher of its own, because Python's `preexec_fn` may deadlock in a program with threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def main(extent: str, parent: int, command: list[str]) -> None:
    """Run `command` until it or the parent ends; with `alone` the process id stays."""
    if extent == "all":
        signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM if extent == "all" else signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the parent ended already")
    if extent == "alone":
        os.execvp(command[0], command)  # noqa: S606 - no shell is the point
    _, status = os.waitpid(os.posix_spawnp(command[0], command, os.environ), 0)
    code = os.waitstatus_to_exitcode(status)
    sys.exit(128 - code if code < 0 else code)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
