"""What commands share: types of what is typed, options that kubectl has as well, the end of a help text."""

import math
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from datasource.api.durations import parse_duration
from datasource.process.installation import SYSTEM_NAMESPACE
from kubectl_datasource.exits import EXIT_CODES, Problem
from kubectl_datasource.kubectl import Kubectl

F = TypeVar("F", bound=Callable[..., Any])

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")

_LONGEST = timedelta(days=36500)
"""kubectl counts nanoseconds in 64 bits, which are 292 years."""


class Name(click.ParamType[str]):
    """The name of an object (RFC 1123 subdomain); completed from the cluster."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse what could not be a name, among it whatever looks like an option to kubectl."""
        if not _NAME.fullmatch(str(value)):
            self.fail(f"{value!r} cannot be a name. Names have small letters, digits, hyphens and dots.", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names of Datasources; none where the cluster does not answer."""
        context, kubeconfig, namespace = (ctx.params.get(key) for key in ("context", "kubeconfig", "namespace"))
        try:
            found = Kubectl(context, kubeconfig, namespace).datasources()
        except Problem:
            return []
        taken = set(ctx.params.get(param.name or "") or ())
        names = (each.metadata.name for each in found)
        return [CompletionItem(name) for name in names if name.startswith(incomplete) and name not in taken]


class Provider(click.ParamType[str]):
    """The name of a preset. The list is read where it is needed only."""

    name = "provider"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take it as it is: the command says which ones there are."""
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names of presets."""
        from datasource.api.presets import PRESETS

        return [CompletionItem(name, help=each.title) for name, each in PRESETS.items() if name.startswith(incomplete)]


NAME = Name()
PROVIDER = Provider()


class Duration(click.ParamType[int]):
    """A duration as kubectl takes it: `10m`, `1h30m`, `90s`; a number alone is seconds. In whole seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Refuse what is none, is negative, or is too long for kubectl. A part of a second counts whole: 0 is never to it."""
        if isinstance(value, int):
            return value
        text = str(value)
        found = parse_duration(f"{text}s" if text.isdecimal() else text)
        if found is None:
            self.fail(f"{text!r} is no duration. Write it like 90s, 10m or 1h30m.", param, ctx)
        if found > _LONGEST:
            self.fail(f"{text!r} is too long: at most 876000h.", param, ctx)
        # What is too short for a timedelta is something, too.
        return max(math.ceil(found.total_seconds()), 1 if re.search("[1-9]", text) else 0)


DURATION = Duration()


def cluster_options(*, all_namespaces: bool = False, namespace: bool = True) -> Callable[[F], F]:
    """The options with which kubectl chooses a cluster, a user and a namespace."""
    options = [
        click.option("--context", help="The context of the kubeconfig to use."),
        click.option("--kubeconfig", help="The kubeconfig to use."),
        click.option("--cluster", help="The cluster of the kubeconfig to use."),
        click.option("--user", help="The user of the kubeconfig to use."),
        click.option("--as", "as_user", help="The user to act as, where you may impersonate."),
        click.option("--as-group", multiple=True, help="A group to act as. Repeat the option for more groups."),
        click.option("--request-timeout", type=DURATION, help="How long one request may take.  [default: 20s]"),
    ]
    if namespace:
        options.append(
            click.option("-n", "--namespace", type=NAME, help="The namespace; that of the context by default.")
        )
    if all_namespaces:
        options.append(click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces."))

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def names_argument(*, required: bool) -> Callable[[F], F]:
    """Names of Datasources, each once however often it is typed."""
    return click.argument(
        "names",
        type=NAME,
        nargs=-1,
        required=required,
        callback=lambda _ctx, _param, names: tuple(dict.fromkeys(names)),
    )


def system_namespace_option(function: F) -> F:
    """Where the operator runs."""
    return click.option(
        "--system-namespace", type=NAME, default=SYSTEM_NAMESPACE, show_default=True, help="Where the operator runs."
    )(function)


def output_option(*formats: str) -> Callable[[F], F]:
    """`-o json` and the like."""
    return click.option("-o", "--output", type=click.Choice(formats), help="How to print the result.")


def wait_options(default: str) -> Callable[[F], F]:
    """Whether and how long to wait."""

    def decorate(function: F) -> F:
        return timeout_option(default)(
            click.option("--wait/--no-wait", default=True, help="Wait until it is done.")(function)
        )

    return decorate


def timeout_option(default: str) -> Callable[[F], F]:
    """How long to wait."""
    return click.option(
        "--timeout",
        type=DURATION,
        default=default,
        show_default=True,
        help="When to give up waiting (exit code 4), such as 90s or 10m.",
    )


def examples(*lines: str) -> str:
    """The end of a help text: what to type, and the exit codes. Lines that begin with # say what the next one does."""
    shown = "\n".join(f"  {line}" for line in lines)
    return f"\b\nExamples:\n{shown}\n\n{EXIT_CODES}"
