"""The commands that look, and those that only switch, with their options."""

from collections.abc import Sequence
from typing import Any

import click

from kubectl_datasource import looks
from kubectl_datasource.exits import Exit
from kubectl_datasource.kubectl import Kubectl
from kubectl_datasource.options import (
    DURATION,
    NAME,
    cluster_options,
    examples,
    names_argument,
    output_option,
    system_namespace_option,
    timeout_option,
    wait_options,
)
from kubectl_datasource.printing import FORMATS

READY = " 0 here means AUTHORIZED and ready."


@click.command(
    "list",
    epilog=examples(
        "kubectl datasource list -A -o wide",
        "# those of one team, the first to expire first",
        "kubectl datasource list -l team=mobile --sort-by .status.expiresAt",
        "# keeps running, and prints every change",
        "kubectl datasource list -w",
    ),
)
@names_argument(required=False)
@click.option("-l", "--selector", help="Only Datasources with these labels, as in kubectl.")
@click.option("--sort-by", help="Sort by a field, as in kubectl, such as .status.expiresAt.")
@click.option("-w", "--watch", is_flag=True, help="Keep running, and print a line for each change.")
@cluster_options(all_namespaces=True)
@output_option("wide", *FORMATS)
def list_(
    names: tuple[str, ...], selector: str | None, sort_by: str | None, watch: bool, output: str | None, **cluster: Any
) -> Exit:
    """List Datasources."""
    return looks.list_datasources(Kubectl(**cluster), looks.Listing(names, output, selector, sort_by, watch))


@click.command(epilog=examples("kubectl datasource status calendar") + READY)
@click.argument("name", type=NAME)
@cluster_options()
@output_option(*FORMATS)
def status(name: str, output: str | None, **cluster: Any) -> Exit:
    """Show one Datasource on one screen, and what to do next.

    The screen has the state, who authorized, when the token expires, the conditions and the history.
    """
    return looks.status(Kubectl(**cluster), name, output)


@click.command(epilog=examples("kubectl datasource explain calendar") + READY)
@click.argument("name", type=NAME)
@cluster_options()
@output_option("json", "yaml")
def explain(name: str, output: str | None, **cluster: Any) -> Exit:
    """Show what is wrong with a Datasource, and how to fix it.

    It names the field or the Secret, and prints the commands that fix the problem. The latest Events follow.
    """
    return looks.explain(Kubectl(**cluster), name, output)


@click.command(epilog=examples("kubectl datasource events calendar"))
@click.argument("name", type=NAME)
@cluster_options()
@output_option("json", "yaml")
def events(name: str, output: str | None, **cluster: Any) -> Exit:
    """Show the Events of a Datasource, the latest last."""
    return looks.events(Kubectl(**cluster), name, output)


@click.command(epilog=examples("kubectl datasource history calendar", "kubectl datasource history calendar -o json"))
@click.argument("name", type=NAME)
@cluster_options()
@output_option("json", "yaml")
def history(name: str, output: str | None, **cluster: Any) -> Exit:
    """Show who authorized, cleared or refreshed a Datasource.

    Five acts are kept with the credential. The author is a person who signed in, by their name in the cluster. Or it is
    annotation if the Datasource was annotated, link if a link was used, and import if a token was imported. It is unproven if
    the request has no mark of the callback server.
    """
    return looks.show_history(Kubectl(**cluster), name, output)


@click.command(epilog=examples("kubectl datasource tree calendar"))
@click.argument("name", type=NAME)
@cluster_options()
@output_option("json", "yaml")
def tree(name: str, output: str | None, **cluster: Any) -> Exit:
    """Show what belongs to a Datasource, and which pods use it.

    These are its Secrets, and the Secrets and ConfigMaps that its spec names.
    """
    return looks.show_tree(Kubectl(**cluster), name, output)


@click.command(epilog=examples("kubectl datasource inspect calendar"))
@click.argument("name", type=NAME)
@cluster_options()
@output_option("json", "yaml")
def inspect(name: str, output: str | None, **cluster: Any) -> Exit:
    """Show what is in the Secrets of a Datasource, but no values.

    It prints keys, sizes and times. It needs the right to read the Secrets, and neither prints nor keeps their values.
    """
    return looks.inspect(Kubectl(**cluster), name, output)


@click.command(epilog=examples("kubectl datasource logs calendar --since 10m", "kubectl datasource logs calendar -f"))
@click.argument("name", type=NAME)
@click.option("--since", type=DURATION, default="1h", show_default=True, help="How far back, such as 10m.")
@click.option("-f", "--follow", is_flag=True, help="Keep running, and print new lines.")
@system_namespace_option
@cluster_options()
def logs(name: str, since: int, follow: bool, system_namespace: str, **cluster: Any) -> Exit:
    """Show the log lines about a Datasource, of both processes.

    It reads the logs of pods in the system namespace, so it is for administrators.
    """
    return looks.logs(Kubectl(**cluster), name, system_namespace, since, follow=follow)


@click.command(epilog=examples("kubectl datasource suspend calendar"))
@names_argument(required=True)
@wait_options("1m")
@cluster_options()
@output_option("json")
def suspend(names: Sequence[str], wait: bool, timeout: int, output: str | None, **cluster: Any) -> Exit:
    """Stop the refreshes and links of Datasources; tokens stay.

    It sets spec.suspend. Apps keep the token that they have until it expires.
    """
    return looks.switch(Kubectl(**cluster), names, suspended=True, seconds=timeout if wait else None, output=output)


@click.command(epilog=examples("kubectl datasource resume calendar"))
@names_argument(required=True)
@wait_options("1m")
@cluster_options()
@output_option("json")
def resume(names: Sequence[str], wait: bool, timeout: int, output: str | None, **cluster: Any) -> Exit:
    """Continue the refreshes and links of Datasources."""
    return looks.switch(Kubectl(**cluster), names, suspended=False, seconds=timeout if wait else None, output=output)


@click.command(
    "wait",
    epilog=examples(
        "kubectl datasource wait calendar",
        "# until a person has consented",
        "kubectl datasource wait calendar --for authorized --timeout 1h",
    ),
)
@names_argument(required=True)
@click.option(
    "--for",
    "condition",
    type=click.Choice(looks.CONDITIONS),
    default="ready",
    show_default=True,
    help="What to wait for.",
)
@timeout_option("1m")
@cluster_options()
@output_option("json")
def wait_(names: Sequence[str], condition: str, timeout: int, output: str | None, **cluster: Any) -> Exit:
    """Wait until Datasources have a state or condition."""
    return looks.wait_until(Kubectl(**cluster), names, condition, timeout, output)


COMMANDS: tuple[click.Command, ...] = (
    list_,
    status,
    explain,
    events,
    history,
    tree,
    inspect,
    logs,
    suspend,
    resume,
    wait_,
)
