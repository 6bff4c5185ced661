"""Type the terminal session of README on the local stack, and keep what was said: `make recording`.

A control plane, the provider and both processes run as in `make demo`. The commands are those of a shell; a person consents in
the meantime. What is kept is what was said, but for the ticket of a link that ended with the stack.
"""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from deploy.local import demo, tools
from deploy.local.cache import REPOSITORY
from deploy.local.processes import StackError
from deploy.local.progress import say
from generators import recording

COMMANDS = (
    "kubectl apply -f examples/client-secret.yaml -f examples/calendar.yaml",
    "kubectl get dsrc",
    "kubectl datasource authorize calendar",
    "kubectl get dsrc",
    "kubectl get secret calendar-token",
    "kubectl datasource refresh calendar",
)

_TICKET = re.compile(r"ticket=[\w-]+")


def shell(kubeconfig: Path) -> dict[str, str]:
    """The environment of somebody who sits in the root of a checkout."""
    folders = [Path(sys.executable).parent, tools.kubectl().parent]
    return {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "PATH": os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": str(REPOSITORY),
        "BROWSER": f"{sys.executable} -m tests.support.consenting_browser %s",
        "NO_COLOR": "1",
        "COLUMNS": str(recording.COLUMNS),
    }


def type_in(command: str, environ: dict[str, str]) -> recording.Typed:
    """Run one command.

    Raises:
        StackError: it failed; with what it said.
    """
    began = time.monotonic()
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        cwd=REPOSITORY,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=demo.WAIT_SECONDS,
    )
    if done.returncode != 0:
        raise StackError(f"{command}: {done.stdout}")
    output = _TICKET.sub("ticket=...", done.stdout)
    return recording.Typed(command, tuple(output.splitlines()), round(time.monotonic() - began, 1))


def main() -> None:
    """Type all of it, and write both files."""
    with ExitStack() as stack:
        cluster = stack.enter_context(demo.a_cluster("local"))
        provider = stack.enter_context(demo.a_provider())
        if provider.issuer != demo.EXAMPLE_ISSUER:
            raise StackError(
                f"{demo.EXAMPLE_ISSUER} is in use: the examples name that provider. End what listens there."
            )
        stack.enter_context(demo.processes(cluster, provider, demo.Choices("local", auto=False)))
        environ = shell(cluster.kubeconfig)
        typed = [type_in(COMMANDS[0], environ)]
        demo.wait_for_reason(cluster, "AuthorizationRequired")
        typed += [type_in(command, environ) for command in COMMANDS[1:]]
    kept = [{"command": each.command, "output": each.output, "seconds": each.seconds} for each in typed]
    recording.SESSION.write_text(json.dumps(kept, indent=1) + "\n")
    recording.main()
    say(f"{recording.RESULT.relative_to(REPOSITORY)} is drawn")


if __name__ == "__main__":
    main()
