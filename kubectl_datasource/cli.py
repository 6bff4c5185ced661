"""The commands and their options."""

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from datasource.process.installation import SYSTEM_NAMESPACE
from kubectl_datasource import commands
from kubectl_datasource.exits import EXIT_CODES, Exit, Problem
from kubectl_datasource.kubectl import Kubectl
from kubectl_datasource.shells import SHELLS, script

F = TypeVar("F", bound=Callable[..., Any])

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class Name(click.ParamType[str]):
    """The name of an object (RFC 1123 subdomain); completed from the cluster."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse what could not be a name, among it whatever looks like an option to kubectl."""
        if not _NAME.fullmatch(str(value)):
            self.fail(f"{value!r} cannot be the name of an object.", param, ctx)
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


def cluster_options(*, all_namespaces: bool = False) -> Callable[[F], F]:
    """The options with which kubectl chooses a cluster and a namespace."""
    options = [
        click.option("--context", help="The context of the kubeconfig to use."),
        click.option("--kubeconfig", help="The kubeconfig to use."),
        click.option("-n", "--namespace", type=NAME, help="The namespace; that of the context by default."),
    ]
    if all_namespaces:
        options.append(click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces."))

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def output_option(*formats: str) -> Callable[[F], F]:
    """`-o json` and the like."""
    return click.option("-o", "--output", type=click.Choice(formats), help="How to print the result.")


def wait_options(seconds: int) -> Callable[[F], F]:
    """Whether and how long to wait."""

    def decorate(function: F) -> F:
        timeout = click.option(
            "--timeout",
            type=click.IntRange(min=0),
            default=seconds,
            show_default=True,
            help="Seconds after which to give up waiting (exit code 4).",
        )
        return timeout(click.option("--wait/--no-wait", default=True, help="Wait until it is done.")(function))

    return decorate


@click.group(context_settings=SETTINGS, epilog=EXIT_CODES)
@click.version_option(package_name="kubectl-datasource", prog_name="kubectl datasource")
def cli() -> None:
    """Work with Datasources: see their state, get and clear credentials, find out what is wrong, back up."""


@cli.command("list", epilog=EXIT_CODES)
@cluster_options(all_namespaces=True)
@output_option("wide", "json")
def list_(output: str | None, **cluster: Any) -> Exit:
    """List Datasources: state, ready, when the access token expires, who authorized."""
    return commands.list_datasources(Kubectl(**cluster), output)


@cli.command(epilog=EXIT_CODES)
@click.argument("name", type=NAME)
@click.option("--new", is_flag=True, help="Get another credential although one is stored; it works until then.")
@click.option("--no-browser", is_flag=True, help="Only print the link.")
@wait_options(600)
@cluster_options()
@output_option("json")
def authorize(name: str, output: str | None, timeout: int, **options: Any) -> Exit:
    """Get a credential: print the link, open it in a browser, and wait until the Datasource is AUTHORIZED.

    The link works once, for every person who has it. Do not post it where others can read it.
    """
    new, no_browser, wait = (options.pop(key) for key in ("new", "no_browser", "wait"))
    wanted = commands.Authorization(name, new=new, no_browser=no_browser, wait=wait, seconds=timeout)
    return commands.authorize(Kubectl(**options), wanted, output)


@cli.command(epilog=EXIT_CODES)
@click.argument("names", type=NAME, nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask first.")
@wait_options(60)
@cluster_options()
@output_option("json")
def clear(names: Sequence[str], yes: bool, wait: bool, timeout: int, output: str | None, **cluster: Any) -> Exit:
    """Clear credentials: the stored tokens are deleted, the parameters stay."""
    return commands.clear(Kubectl(**cluster), names, sure=yes, seconds=timeout if wait else None, output=output)


@cli.command(epilog=EXIT_CODES)
@click.argument("names", type=NAME, nargs=-1, required=True)
@wait_options(60)
@cluster_options()
@output_option("json")
def refresh(names: Sequence[str], wait: bool, timeout: int, output: str | None, **cluster: Any) -> Exit:
    """Refresh access tokens now, and print the result."""
    return commands.refresh(Kubectl(**cluster), names, seconds=timeout if wait else None, output=output)


@cli.command(epilog=f"{EXIT_CODES} 0 here means AUTHORIZED and ready.")
@click.argument("name", type=NAME)
@cluster_options()
@output_option("json")
def explain(name: str, output: str | None, **cluster: Any) -> Exit:
    """Show what is wrong with a Datasource, in which field or Secret, and the command that fixes it."""
    return commands.explain(Kubectl(**cluster), name, output)


@cli.command(epilog=f"{EXIT_CODES} 1 here means that a check failed. Warnings and unknown results are not failures.")
@click.option("--context", help="The context of the kubeconfig to use.")
@click.option("--kubeconfig", help="The kubeconfig to use.")
@click.option("-n", "--namespace", type=NAME, help="Look at the Datasources of this namespace only.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Look at all Datasources; so it is without -n.")
@click.option(
    "--system-namespace", type=NAME, default=SYSTEM_NAMESPACE, show_default=True, help="Where the operator runs."
)
@click.option("--external-url", help="The callback server's public URL, where it cannot be read from the cluster.")
@output_option("json")
def doctor(system_namespace: str, external_url: str | None, output: str | None, **cluster: Any) -> Exit:
    """Check the installation: API, processes, leader, rights, policies, callback URL, clocks, token endpoints.

    All connections are made from this machine, not from the pods. Rights are checked with SubjectAccessReviews, which
    administrators may create.
    """
    cluster["all_namespaces"] = cluster["all_namespaces"] or cluster["namespace"] is None
    return commands.doctor(Kubectl(**cluster), system_namespace, external_url, output)


@cli.command(epilog=EXIT_CODES)
@click.argument("name", required=False, type=PROVIDER)
@output_option("json")
def providers(name: str | None, output: str | None) -> Exit:
    """List the services that have a preset; with a NAME, how to register an application there, and what to know."""
    from kubectl_datasource import provider_commands

    return provider_commands.providers(name, output)


@cli.command(epilog=EXIT_CODES)
@click.argument("name", type=NAME)
@click.option("--provider", type=PROVIDER, help="A preset; `kubectl datasource providers` lists them.")
@click.option("--client-id", help="The client ID; left out until the application is registered.")
@click.option("--client-secret-name", type=NAME, help="The Secret with the client secret.  [default: NAME-client]")
@click.option("--public", is_flag=True, help="A public client: one without a secret.")
@click.option("--scope", "scopes", multiple=True, help="A scope; say it once for each.")
@click.option("--url", help="The API's URL, where the preset does not know it.")
@click.option("--issuer", help="The provider's issuer identifier, where a service has one for each customer.")
@click.option("--authorize-url", help="The authorize URL, if neither preset nor issuer gives it.")
@click.option("--token-url", help="The token URL, if neither preset nor issuer gives it.")
@click.option("--apply", is_flag=True, help="Apply it, instead of printing it.")
@cluster_options()
def create(name: str, apply: bool, scopes: Sequence[str], **options: Any) -> Exit:
    """Print the manifest of a Datasource, and the command for the Secret with its client secret; --apply applies it.

    For example: kubectl datasource create calendar --provider google --client-id ID --scope email
    """
    from kubectl_datasource import provider_commands
    from kubectl_datasource.creating import Wanted

    fields = {"issuer": "issuer", "authorizeURL": "authorize_url", "tokenURL": "token_url"}
    given = {field: value for field, key in fields.items() if (value := options.pop(key))}
    cluster = {key: options.pop(key) for key in ("context", "kubeconfig", "namespace")}
    wanted = Wanted(
        name=name,
        namespace=cluster["namespace"],
        client_secret=options.pop("client_secret_name"),
        scopes=tuple(scopes),
        endpoints=given,
        **options,
    )
    return provider_commands.create(Kubectl(**cluster), wanted, apply=apply)


@cli.command(epilog=EXIT_CODES)
@click.argument("names", type=NAME, nargs=-1)
@click.option(
    "-o", "--output", "path", required=True, help="The file, .yaml or .json, written with mode 0600; - is stdout."
)
@click.option("--with-client-secrets", is_flag=True, help="Take the client Secrets along.")
@click.option("--suspend", is_flag=True, help="First set spec.suspend here, so that this side refreshes no more.")
@cluster_options(all_namespaces=True)
def export(names: Sequence[str], path: str, with_client_secrets: bool, suspend: bool, **cluster: Any) -> Exit:
    """Write Datasources and their credentials to a file, for another cluster.

    A restore MOVES a grant, it never clones it. Restore with: kubectl create -f FILE
    """
    wanted = commands.ExportOptions(tuple(names), path, with_client_secrets=with_client_secrets, suspend=suspend)
    return commands.export(Kubectl(**cluster), wanted)


@cli.command(epilog=EXIT_CODES)
@click.option("--client", is_flag=True, help="Only that of this plugin; no cluster is asked.")
@click.option(
    "--system-namespace", type=NAME, default=SYSTEM_NAMESPACE, show_default=True, help="Where the operator runs."
)
@click.option("--context", help="The context of the kubeconfig to use.")
@click.option("--kubeconfig", help="The kubeconfig to use.")
@output_option("json")
def version(client: bool, system_namespace: str, output: str | None, **cluster: Any) -> Exit:
    """Show the version of this plugin, of both processes and of the API in the cluster."""
    from kubectl_datasource import versions

    return versions.version(None if client else Kubectl(**cluster), system_namespace, output)


@cli.command(epilog=EXIT_CODES)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> Exit:
    """Print what completes `kubectl datasource` and `kubectl-datasource` in a shell.

    For bash: source <(kubectl datasource completion bash), in ~/.bashrc after the line for kubectl's own completion.
    """
    sys.stdout.write(script(shell))
    return Exit.FINE
