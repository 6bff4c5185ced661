"""I/O: the user's own kubectl, run as a child process. Every word is an argument of its own; no shell ever sees one."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from tempfile import TemporaryFile
from typing import Any, TypeVar

import msgspec

from datasource.api.names import GROUP, PLURAL, credential_secret_name
from kubectl_datasource.child import communicate, started, without_klog
from kubectl_datasource.exits import Forbidden, Misused, NotFound, NotInstalled, Problem, Refused, Unreachable
from kubectl_datasource.objects import Datasource, DatasourceList, Event, EventList

RESOURCE = f"{PLURAL}.{GROUP}"
REQUEST_TIMEOUT = "20s"

FIELD_MANAGER = "kubectl-datasource"

T = TypeVar("T")

_REFUSAL = re.compile(r"Error from server \((?P<reason>\w+)\): (?P<message>.*)", re.DOTALL)
_COMPLAINTS = re.compile(r"^(?=Error from server \()", re.MULTILINE)
_IS_INVALID = re.compile(r'The \S+ "[^"]*" is invalid: ')
_PREFACE = re.compile(r'error when .*(for:|creating|patching|replacing) "STDIN": ', re.DOTALL)
"""What kubectl was doing with an object from its input, and all of the object."""

_VALIDATION = re.compile(
    r'error validating "STDIN": error validating data: |; if you choose to ignore these errors.*', re.DOTALL
)
"""What kubectl says about a schema that it could not read, beside the cause: its advice is to go without."""

_UNKNOWN_RESOURCE = "doesn't have a resource type"
_MEANINGS: Mapping[str, type[Refused]] = {"NotFound": NotFound, "Forbidden": Forbidden}
_NO_ANSWER = {"ServiceUnavailable", "InternalError", "Timeout", "ServerTimeout", "TooManyRequests", "Unknown"}
"""Reasons of metav1.Status with which nothing was decided."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """How kubectl is called: which cluster, which namespace; None leaves it to the kubeconfig."""

    context: str | None = None
    kubeconfig: str | None = None
    namespace: str | None = None
    all_namespaces: bool = False
    cluster: str | None = None
    user: str | None = None
    as_user: str | None = None
    as_group: tuple[str, ...] = ()
    request_timeout: int | None = None
    """Seconds; None: as long as a request usually may take."""

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags that choose cluster and user, for commands that are shown to the user, too."""
        chosen = {
            "--context": self.context,
            "--kubeconfig": self.kubeconfig,
            "--cluster": self.cluster,
            "--user": self.user,
            "--as": self.as_user,
        }
        groups = tuple(f"--as-group={group}" for group in self.as_group)
        return (*(f"{flag}={value}" for flag, value in chosen.items() if value is not None), *groups)

    def at(self, namespace: str) -> "Kubectl":
        """The same in a namespace."""
        return replace(self, namespace=namespace, all_namespaces=False)

    @property
    def scope(self) -> tuple[str, ...]:
        """The flags that choose the namespace."""
        if self.all_namespaces:
            return ("--all-namespaces",)
        return () if self.namespace is None else (f"--namespace={self.namespace}",)

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl; returns what it printed.

        Raises:
            Refused: the API server said no.
            Unreachable: it could not be asked.
        """
        return self._run(arguments, stdin).stdout

    def run_verbosely(self, *arguments: str) -> str:
        """Run kubectl so that it tells of its requests; returns what it told. kubectl masks credentials itself."""
        return self._run((*arguments, "-v=8"), None).stderr

    def exec(self, *place: str, command: tuple[str, ...]) -> str:
        """Run a command in a pod; returns what it printed, also where it ended with another exit code than 0.

        Raises:
            Problem: it was not run; Unreachable only where there is no kubectl.
        """
        ended = self._ended(("exec", *place), None, after=("--", *command))
        if ended.returncode != 0 and not ended.stdout.strip():
            raise _not_run(ended.stderr)
        return ended.stdout

    def json(self, *arguments: str, stdin: str | None = None) -> Any:
        """Run kubectl with `-o json`; returns the object, None where it printed nothing."""
        return next(self.jsons(*arguments, stdin=stdin), None)

    def jsons(self, *arguments: str, stdin: str | None = None) -> Iterator[Any]:
        """The same for commands that print one object after another."""
        rest, decoder = self.run(*arguments, "-o", "json", stdin=stdin).lstrip(), json.JSONDecoder()
        while rest:
            parsed, end = decoder.raw_decode(rest)
            yield parsed
            rest = rest[end:].lstrip()

    def lines(self, *arguments: str) -> Iterator[str]:
        """What kubectl prints, line by line, for as long as it goes on: no request timeout ends it.

        Raises:
            Refused, Unreachable: it ended with a complaint.
        """
        command = ["kubectl", *arguments, *self.flags]
        with TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
            with started(command, stderr=complaints) as process:
                try:
                    yield from process.stdout or ()
                finally:
                    process.terminate()
                code = process.wait()
            complaints.seek(0)
            if code > 0:
                raise failure(complaints.read())

    def watched(self, *arguments: str) -> Iterator[Any]:
        """The events of a watch: `{"type": ..., "object": ...}`, first of what is there."""
        text = ""
        for line in self.lines("get", *arguments, "--watch", "--output-watch-events", "-o", "json"):
            text += line
            # kubectl indents what stands within an object.
            if line.startswith("}"):
                yield json.loads(text)
                text = ""

    def datasources(self, *options: str) -> tuple[Datasource, ...]:
        """The Datasources of the scope; options of `kubectl get` choose among them, or sort them."""
        return self._decoded(DatasourceList, "get", RESOURCE, *options, *self.scope).items

    def datasource(self, name: str) -> Datasource:
        """One Datasource.

        Raises:
            NotFound: there is none of that name.
        """
        with self._naming(name):
            return self._decoded(Datasource, "get", RESOURCE, name, *self.scope)

    def annotate(self, name: str, key: str, value: str) -> None:
        """Write one annotation of a Datasource."""
        with self._naming(name):
            self.run(
                *("annotate", RESOURCE, name, f"{key}={value}", "--overwrite", f"--field-manager={FIELD_MANAGER}"),
                *self.scope,
            )

    def suspend(self, name: str, *, suspended: bool = True) -> Any:
        """Set `spec.suspend`; returns the Datasource as it is then, undecoded."""
        patch = json.dumps({"spec": {"suspend": suspended}})
        with self._naming(name):
            return self.json("patch", RESOURCE, name, "--type=merge", "--patch", patch, *self.scope)

    @contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        """Whatever is asked of a Datasource that is not there ends with the same words."""
        try:
            yield
        except NotFound:
            where = "the namespace of your context" if self.namespace is None else f"namespace {self.namespace}"
            raise NotFound(
                f"There is no Datasource {name} in {where}.", "To see all of them: kubectl datasource list -A"
            ) from None

    def events(self, datasource: Datasource) -> tuple[Event, ...]:
        """The Events about a Datasource, in no order."""
        about = f"involvedObject.kind=Datasource,involvedObject.name={datasource.metadata.name}"
        scope = f"--namespace={datasource.metadata.namespace}"
        return self._decoded(EventList, "get", "events", f"--field-selector={about}", scope).items

    def has_secret(self, namespace: str, name: str) -> bool | None:
        """Whether a Secret is there; None where the user may not know. Its values are not shown."""
        return self.has("secret", namespace, name)

    def has(self, resource: str, namespace: str, name: str) -> bool | None:
        """Whether an object is there; None where the user may not know."""
        try:
            found = self.run("get", resource, name, f"--namespace={namespace}", "--ignore-not-found", "--output=name")
        except Refused:
            return None
        return bool(found.strip())

    def raw_datasources(self, names: tuple[str, ...]) -> list[Any]:
        """Whole Datasources: those named, or all of the scope."""
        return _items(self.json("get", RESOURCE, *names, *self.scope))

    def raw_secrets(self, selector: str) -> list[Any]:
        """Whole Secrets of the scope that a field selector finds."""
        return _items(self.json("get", "secrets", f"--field-selector={selector}", *self.scope))

    def raw_secrets_named(self, namespace: str, names: list[str]) -> list[Any]:
        """Whole Secrets by their names; those that are not there are left out."""
        if not names:
            return []
        return _items(self.json("get", "secrets", *names, f"--namespace={namespace}", "--ignore-not-found"))

    def credentials_of(self, namespace: str, names: list[str]) -> list[Any]:
        """The credential Secrets of named Datasources."""
        return self.raw_secrets_named(namespace, [credential_secret_name(name) for name in names])

    def _decoded(self, type_: type[T], *arguments: str) -> T:
        try:
            return msgspec.json.decode(self.run(*arguments, "-o", "json"), type=type_)
        except msgspec.MsgspecError as error:
            raise Problem(
                f"What the cluster answered cannot be read: {error}", "Is the plugin of its version?"
            ) from None

    def current_context(self) -> str | None:
        """The context that is used; None where there is none, as in a pod."""
        try:
            return self.context or self.run("config", "current-context").strip()
        except Problem:
            return None

    def _run(self, arguments: tuple[str, ...], stdin: str | None) -> "subprocess.CompletedProcess[str]":
        ended = self._ended(arguments, stdin)
        if ended.returncode != 0:
            raise failure(ended.stderr)
        return ended

    def _ended(
        self, arguments: tuple[str, ...], stdin: str | None, *, after: tuple[str, ...] = ()
    ) -> "subprocess.CompletedProcess[str]":
        """Run kubectl to its end, whatever that is; `after` stands behind all of its own words."""
        patience = REQUEST_TIMEOUT if self.request_timeout is None else f"{self.request_timeout}s"
        command = ["kubectl", *arguments, *self.flags, f"--request-timeout={patience}", *after]
        # Without input for it, kubectl keeps our stdin: login plugins may ask there.
        source = None if stdin is None else subprocess.PIPE
        with started(command, stdin=source) as process:
            stdout, stderr = communicate(process, stdin)
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def failure(stderr: str) -> Problem:
    """What kubectl's complaint means."""
    said, more = _first_complaint(without_klog(stderr).strip())
    refusal = _REFUSAL.search(said)
    if refusal is not None and refusal["reason"] not in _NO_ANSWER:
        return _MEANINGS.get(refusal["reason"], Refused)(_sentence(refusal["message"]) + more)
    if _IS_INVALID.match(said):
        return Refused(_sentence(said))
    if "couldn't find any field with path" in said:
        return Misused("kubectl cannot sort by this field.", "Write one of a Datasource, such as .status.expiresAt.")
    if "without impersonating a user" in said:
        return Misused("--as-group needs a user to act as.", "Add --as USER.")
    if _UNKNOWN_RESOURCE in said and PLURAL in said:
        return NotInstalled(
            "This cluster does not know Datasources.", "Look what is missing: kubectl datasource doctor"
        )
    if _UNKNOWN_RESOURCE in said:
        return Refused(_sentence(said))
    return Unreachable(f"The cluster cannot be asked. kubectl says: {_VALIDATION.sub('', said) or 'nothing'}")


def _not_run(stderr: str) -> Problem:
    """Why no command was run in a pod. Of that kubectl complains as of a connection, although the API server has answered."""
    found = failure(stderr)
    if not isinstance(found, Unreachable):
        return found
    said = without_klog(stderr).strip().removeprefix("error: ").removeprefix("unable to upgrade connection: ")
    if " is forbidden: " in said:
        return Forbidden(_sentence(said))
    *_, last = said.splitlines() or ["nothing"]
    return Problem(f"kubectl says: {last}")


def _first_complaint(said: str) -> tuple[str, str]:
    """Of complaints about one object after another the first, and how many more there are: they are alike, and long."""
    before, *complaints = _COMPLAINTS.split(said)
    if not complaints:
        return before, ""
    more = len(complaints) - 1
    return complaints[0], f" {more} more have the same error." if more else ""


def _sentence(text: str) -> str:
    stripped = _PREFACE.sub("", text.strip().rstrip("."), count=1)
    stripped = re.sub(r"\s*\n[ *]*", "; ", stripped).replace(":;", ":")
    # The names of resources have no capitals, wherever they stand.
    named = re.match(r'[a-z][a-z0-9.-]*( "| is forbidden)', stripped)
    return (stripped if named else stripped[:1].upper() + stripped[1:]) + "."


def _items(answer: Any) -> list[Any]:
    """kubectl prints one object for one name, a List for more, and nothing for none."""
    if answer is None:
        return []
    return list(answer["items"]) if answer.get("kind", "").endswith("List") else [answer]
