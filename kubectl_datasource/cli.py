"""The commands and their options; those that only look are in `looks_cli.py`."""

from collections.abc import Sequence
from copy import copy
from dataclasses import fields
from typing import Any

import click

from kubectl_datasource import commands, looks_cli
from kubectl_datasource.exits import Exit
from kubectl_datasource.kubectl import Kubectl
from kubectl_datasource.options import (
    NAME,
    PROVIDER,
    cluster_options,
    examples,
    names_argument,
    output_option,
    system_namespace_option,
    wait_options,
)
from kubectl_datasource.screen import Screen
from kubectl_datasource.shells import SHELLS, script

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(
    context_settings=SETTINGS,
    epilog=examples("kubectl datasource list -A", "kubectl datasource status calendar", "kubectl datasource doctor"),
)
@click.version_option(package_name="kubectl-datasource", prog_name="kubectl datasource")
def cli() -> None:
    """Work with Datasources: see their state, get credentials, find out what is wrong."""


for command in looks_cli.COMMANDS:
    cli.add_command(command)


@cli.command(
    epilog=examples(
        "kubectl datasource authorize calendar",
        "# another credential; the current one works until then",
        "kubectl datasource authorize calendar --new --timeout 1h",
    )
)
@click.argument("name", type=NAME)
@click.option(
    "--new", is_flag=True, help="Get another credential, although one is stored. The stored one works until then."
)
@click.option("--no-browser", is_flag=True, help="Only print the link.")
@system_namespace_option
@wait_options("10m")
@cluster_options()
@output_option("json")
def authorize(name: str, output: str | None, timeout: int, system_namespace: str, **options: Any) -> Exit:
    """Get a credential: print the link, and wait for the person.

    The link opens in your browser. It works once, for every person who has it: do not post it where others read. Where the
    external URL is on loopback, this command forwards its port to the callback server for as long as it waits.
    """
    new, no_browser, wait = (options.pop(key) for key in ("new", "no_browser", "wait"))
    wanted = commands.Authorization(
        name, new=new, no_browser=no_browser, wait=wait, seconds=timeout, system_namespace=system_namespace
    )
    return commands.authorize(Kubectl(**options), wanted, output)


@cli.command(
    "import",
    epilog=examples(
        "kubectl datasource import calendar < refresh-token.txt",
        "# typed, and not shown",
        "kubectl datasource import calendar",
    ),
)
@click.argument("name", type=NAME)
@wait_options("2m")
@cluster_options()
@output_option("json")
def import_(name: str, wait: bool, timeout: int, output: str | None, **cluster: Any) -> Exit:
    """Take over a refresh token that another tool got.

    It is read from standard input, and never from an argument. The operator stores it, and tries it once with the parameters of
    the Datasource. This command waits for the result. The other tool must not use the token any more.
    """
    from kubectl_datasource import import_command

    return import_command.import_token(Kubectl(**cluster), name, seconds=timeout if wait else None, output=output)


@cli.command(epilog=examples("kubectl datasource clear calendar --yes"))
@names_argument(required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask first.")
@wait_options("1m")
@cluster_options()
@output_option("json")
def clear(names: Sequence[str], yes: bool, wait: bool, timeout: int, output: str | None, **cluster: Any) -> Exit:
    """Delete the stored tokens of Datasources; parameters stay.

    The provider revokes the grant where a revocation URL is known. Otherwise the old access token works until it expires. New
    pods do not start until a person has authorized again.
    """
    return commands.clear(Kubectl(**cluster), names, sure=yes, seconds=timeout if wait else None, output=output)


@cli.command(epilog=examples("kubectl datasource refresh calendar mail --timeout 2m"))
@names_argument(required=True)
@wait_options("1m")
@cluster_options()
@output_option("json")
def refresh(names: Sequence[str], wait: bool, timeout: int, output: str | None, **cluster: Any) -> Exit:
    """Refresh the access tokens of Datasources now."""
    return commands.refresh(Kubectl(**cluster), names, seconds=timeout if wait else None, output=output)


@cli.command(
    epilog=examples(
        "kubectl datasource doctor",
        "kubectl datasource doctor --test-notification",
        "# before anything is installed",
        "kubectl datasource doctor --pre",
    )
    + " 1 here means that a check failed; warnings, and what you may not see, fail nothing."
)
@cluster_options(all_namespaces=True)
@system_namespace_option
@click.option("--external-url", help="The callback server's public URL, where it cannot be read from the cluster.")
@click.option("--pre", is_flag=True, help="Check what an installation will meet, before there is one.")
@click.option(
    "--test-notification",
    is_flag=True,
    help="Send a test message to the receiver, from the operator's pod (kubectl exec).",
)
@output_option("json")
def doctor(
    system_namespace: str,
    external_url: str | None,
    pre: bool,
    test_notification: bool,
    output: str | None,
    **cluster: Any,
) -> Exit:
    """Check the installation: one line for each check.

    API, pods, leader, rights, policies, callback URL, clocks, and whether the operator's pod reaches the providers, as the
    statuses say. Only the callback URL is connected to from this machine. Without -n it looks at the Datasources of all
    namespaces. Rights are asked for as SubjectAccessReviews, which administrators may create.
    """
    from kubectl_datasource import doctor_command  # HTTP and TLS take longer to import than all the rest.

    cluster["all_namespaces"] = cluster["all_namespaces"] or cluster["namespace"] is None
    return doctor_command.doctor(
        Kubectl(**cluster), system_namespace, external_url, output, pre=pre, test_notification=test_notification
    )


_check = copy(doctor)
_check.short_help = "The same as doctor: check the installation."
cli.add_command(_check, "check")


@cli.command(epilog=examples("kubectl datasource providers github"))
@click.argument("name", required=False, type=PROVIDER)
@output_option("json")
def providers(name: str | None, output: str | None) -> Exit:
    """List the services that have a preset, or describe one.

    With a NAME it shows how to register an application there, and how its tokens behave.
    """
    from kubectl_datasource import provider_commands

    return provider_commands.providers(name, output)


@cli.command(
    epilog=examples(
        "kubectl datasource create calendar --provider google --client-id ID --scope email | kubectl apply -f -"
    )
)
@click.argument("name", type=NAME)
@click.option("--provider", type=PROVIDER, help="A preset; `kubectl datasource providers` lists them.")
@click.option("--client-id", help="The client ID; left out until the application is registered.")
@click.option("--client-secret-name", type=NAME, help="The Secret with the client secret.  [default: NAME-client]")
@click.option("--public", is_flag=True, help="A public client: one without a secret.")
@click.option("--scope", "scopes", multiple=True, help="A scope. Repeat the option for more scopes.")
@click.option("--url", help="The API's URL, where the preset does not know it.")
@click.option("--issuer", help="The provider's issuer identifier, where a service has one for each customer.")
@click.option("--authorize-url", help="The authorize URL, if neither preset nor issuer gives it.")
@click.option("--token-url", help="The token URL, if neither preset nor issuer gives it.")
@click.option("--apply", is_flag=True, help="Apply the manifest, instead of printing it.")
@cluster_options()
def create(name: str, apply: bool, scopes: Sequence[str], **options: Any) -> Exit:
    """Print or apply the manifest of a new Datasource.

    It also prints the command that stores the client secret. --apply applies the manifest.
    """
    from kubectl_datasource import provider_commands
    from kubectl_datasource.creating import Wanted

    endpoints = {"issuer": "issuer", "authorizeURL": "authorize_url", "tokenURL": "token_url"}
    given = {field: value for field, key in endpoints.items() if (value := options.pop(key)) is not None}
    cluster = {each.name: options.pop(each.name) for each in fields(Kubectl) if each.name in options}
    wanted = Wanted(
        name=name,
        namespace=cluster["namespace"],
        client_secret=options.pop("client_secret_name"),
        scopes=tuple(scopes),
        endpoints=given,
        **options,
    )
    return provider_commands.create(Kubectl(**cluster), wanted, apply=apply)


@cli.command(epilog=examples("kubectl datasource export -A -o backup.yaml --with-client-secrets"))
@names_argument(required=False)
@click.option(
    "-o", "--output", "path", required=True, help="The file, .yaml or .json, written with mode 0600; - is stdout."
)
@click.option("--with-client-secrets", is_flag=True, help="Write the client Secrets to the file, too.")
@click.option("--suspend", is_flag=True, help="First set spec.suspend here, so that this side refreshes no more.")
@cluster_options(all_namespaces=True)
def export(names: Sequence[str], path: str, with_client_secrets: bool, suspend: bool, **cluster: Any) -> Exit:
    """Write Datasources with their credentials to a file.

    The file is for a restore, here or in another cluster. A restore MOVES a grant, it never clones it. Restore with:
    kubectl create -f FILE
    """
    wanted = commands.ExportOptions(tuple(names), path, with_client_secrets=with_client_secrets, suspend=suspend)
    return commands.export(Kubectl(**cluster), wanted)


@cli.command(epilog=examples("kubectl datasource version", "kubectl datasource version --client -o json"))
@click.option("--client", is_flag=True, help="Only the version of this plugin; no cluster is asked.")
@system_namespace_option
@cluster_options(namespace=False)
@output_option("json")
def version(client: bool, system_namespace: str, output: str | None, **cluster: Any) -> Exit:
    """Show the versions of the plugin, both processes and the API."""
    from kubectl_datasource import versions

    return versions.version(None if client else Kubectl(**cluster), system_namespace, output)


@cli.command(epilog=examples("source <(kubectl datasource completion bash)"))
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> Exit:
    """Print the completion script for a shell.

    For bash, the line below goes into ~/.bashrc after the one for kubectl's own completion.
    """
    Screen.of_process().show_text(script(shell))
    return Exit.FINE
