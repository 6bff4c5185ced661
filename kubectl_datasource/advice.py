"""What an advice consists of: what is wrong, where, and the commands that mend it, as a shell takes them. Pure."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubectl_datasource.objects import Datasource

if TYPE_CHECKING:
    from datasource.api.spec import OAuth2


@dataclass(frozen=True, slots=True)
class Command:
    """A command to type, and what it is for."""

    line: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Advice:
    """What to know and to do about a reason."""

    what: str
    where: tuple[str, ...] = ()
    """The fields and Secrets it is about."""
    commands: tuple[Command, ...] = ()
    """That which mends it first."""


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """What the client proves itself with: a client secret that somebody types, or a private key in a file."""

    field: str
    name: str
    key: str

    @property
    def source(self) -> str:
        """The file that kubectl reads it from. Never an argument: that would stand in the shell's history."""
        return "/dev/stdin" if self.field == "clientSecretRef" else "PRIVATE_KEY.pem"

    @property
    def source_is(self) -> str:
        """Where the value comes from, for people."""
        return "asks for the client secret" if self.field == "clientSecretRef" else "name the file with the key"

    def asking(self, line: str) -> str:
        """The line, after asking for the secret where it is typed."""
        if self.field != "clientSecretRef":
            return line
        return f'(read -rs secret; printf %s "$secret") | {line}'


@dataclass(frozen=True, slots=True)
class Target:
    """Where a command that is shown is to work: the namespace, None for the kubeconfig's own, and the cluster."""

    namespace: str | None
    flags: tuple[str, ...] = ()

    def kubectl(self, *words: str) -> str:
        """A line to copy into a shell: every word quoted where it has to be."""
        namespace = [] if self.namespace is None else ["-n", self.namespace]
        return shlex.join(["kubectl", *words, *namespace, *self.flags])


@dataclass(frozen=True, slots=True)
class Case:
    """A Datasource whose reason is to be explained, and how kubectl reaches it."""

    datasource: Datasource
    flags: tuple[str, ...] = ()
    client_secret_exists: bool | None = None
    """None: nobody looked, or the user may not know."""

    @property
    def name(self) -> str:
        """The name of the Datasource."""
        return self.datasource.metadata.name

    @property
    def oauth2(self) -> "OAuth2":
        """`spec.oauth2`, empty where it is missing."""
        from datasource.api.spec import OAuth2  # As in objects.

        return self.datasource.oauth2 or OAuth2()

    @property
    def client_secret(self) -> ClientSecret | None:
        """What `spec.oauth2` names; None for a public client."""
        named = {
            "clientSecretRef": (self.oauth2.client_secret_ref, "client-secret"),
            "privateKeyRef": (self.oauth2.private_key_ref, "private-key"),
        }
        found = ((field, ref, key) for field, (ref, key) in named.items() if ref is not None)
        return next((ClientSecret(field, ref.name, ref.key or key) for field, ref, key in found), None)

    @property
    def target(self) -> Target:
        """Where its commands work."""
        return Target(self.datasource.metadata.namespace, self.flags)

    def kubectl(self, *words: str) -> str:
        """A line to copy into a shell: every word quoted where it has to be."""
        return self.target.kubectl(*words)

    def plugin(self, command: str, *options: str) -> str:
        """The same for a command of this plugin."""
        return self.kubectl("datasource", command, self.name, *options)

    def patch(self, spec: Mapping[str, object]) -> str:
        """A merge patch of the spec."""
        return self.kubectl("patch", "dsrc", self.name, "--type=merge", "-p", json.dumps({"spec": spec}))


FIELD = re.compile(r"spec(?:\.[A-Za-z0-9]+(?:\[[^\]]*\])?)+")


def editing(case: Case) -> tuple[Command, ...]:
    return (Command(case.kubectl("edit", "dsrc", case.name), "to correct it"),)


def creating(target: Target, ref: ClientSecret) -> Command:
    line = target.kubectl("create", "secret", "generic", ref.name, f"--from-file={ref.key}={ref.source}")
    return Command(ref.asking(line), f"creates it; {ref.source_is}")


def replacing(target: Target, ref: ClientSecret) -> Command:
    words = ["create", "secret", "generic", ref.name, f"--from-file={ref.key}={ref.source}", "--dry-run=client"]
    apply = target.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-")
    line = f"{ref.asking(target.kubectl(*words, '-o', 'yaml'))} | {apply}"
    return Command(line, f"adds or replaces the key, if the Secret is there; {ref.source_is}")


def fields_in(case: Case) -> tuple[str, ...]:
    return tuple(dict.fromkeys(FIELD.findall(case.datasource.message)))
