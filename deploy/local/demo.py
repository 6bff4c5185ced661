"""`make demo`: the whole product on this machine, from nothing to AUTHORIZED.

CLUSTER=local (a control plane of our own, the default without Docker), kind, or current (the kubeconfig that exists).
NODE=1 runs the whole product in pods, on a node of our own beside that control plane; it takes root.
AUTO=1 drives the browser itself, and ends.
SIGN_IN=1 has people sign in first: two of them, one of whom may only look.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local import build, demo_sign_in, tools
from deploy.local.cache import BUILD, REPOSITORY
from deploy.local.cluster import Cluster
from deploy.local.controlplane import ControlPlane
from deploy.local.node import needs, product
from deploy.local.node.layout import PLANE
from deploy.local.node.nodes import Nodes
from deploy.local.processes import StackError, free_ports, is_free
from deploy.local.progress import Steps, say
from deploy.local.provider import DEMO_LOGIN, DEMO_PASSWORD, Provider
from deploy.local.provider import install as install_provider
from deploy.local.stack import Stack, install

FOLDER = BUILD / "demo"
EXAMPLES = REPOSITORY / "examples"
KIND_VERSION = "v0.31.0"
PAGES_PORT, PROVIDER_PORT = 18080, 18090
EXAMPLE_ISSUER = f"http://127.0.0.1:{PROVIDER_PORT}"
NAMESPACE, NAME = "default", "calendar"
WAIT_SECONDS = 60.0
CLIENT_ID, CLIENT_SECRET = "calendar-app", "only-for-the-demo"

HEAD = """\
Datasource Operator, the demo. Everything listens on loopback and is gone when you stop it.
  Root is needed for one thing only: installing Chromium where it is missing, for AUTO=1 and the tests.
  Building the control plane takes about 9 minutes on two cores, once; after that the demo is up in about 20 seconds.
"""

EXPLANATION = """\
      What you are about to see: a Datasource gets its credential in three steps:
        1. Application registration: an application is registered at the service, with the redirect URI from the
           Datasource's status. The service gives a client ID and a client secret.
        2. OAuth2 parameters: client ID, client secret, authorize URL, token URL and scopes go into the Datasource.
        3. Credential: a person opens the link in its status, chooses Get new credential, signs in at the service and
           consents. From then on apps mount a Secret with the access token.
"""


@dataclass(frozen=True)
class Choices:
    """What the user chose with variables."""

    cluster: str
    auto: bool
    node: bool = False
    sign_in: bool = False


def choices_in(environ: dict[str, str]) -> Choices:
    """Read CLUSTER, NODE, AUTO and SIGN_IN.

    Raises:
        StackError: CLUSTER has a value that we do not know, or NODE cannot be had with it.
    """
    node = _is_on(environ, "NODE")
    cluster = environ.get("CLUSTER") or ("kind" if not node and docker_runs() else "local")
    if cluster not in {"local", "kind", "current"}:
        raise StackError(f"CLUSTER must be local, kind or current; it is {cluster!r}.")
    if node and cluster != "local":
        raise StackError(f"NODE=1 brings up a cluster of its own: leave CLUSTER={cluster} out.")
    auto, sign_in = _is_on(environ, "AUTO"), _is_on(environ, "SIGN_IN")
    if sign_in and (auto or node):
        raise StackError("SIGN_IN=1 is for you to try: leave AUTO and NODE out.")
    return Choices(cluster, auto, node, sign_in)


def _is_on(environ: dict[str, str], name: str) -> bool:
    return environ.get(name, "") not in {"", "0"}


def docker_runs() -> bool:
    """Whether there is a Docker engine, and not only its client."""
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


@contextmanager
def a_cluster(choice: str) -> Iterator[Cluster]:
    """The chosen cluster; if we started it, it ends with the block."""
    if choice == "local":
        with ControlPlane(FOLDER / "cluster") as control_plane:
            yield control_plane.cluster
    elif choice == "kind":
        with kind_cluster() as cluster:
            yield cluster
    else:
        kubeconfig = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
        if not kubeconfig.exists():
            raise StackError(f"CLUSTER=current uses the kubeconfig {kubeconfig}, which does not exist. Set KUBECONFIG.")
        yield Cluster(kubeconfig, FOLDER / "cluster")


@contextmanager
def kind_cluster() -> Iterator[Cluster]:
    """A cluster of kind, fetched and started by pytest-kind.

    Raises:
        StackError: there is no Docker engine, or kind cannot be fetched.
    """
    # Read at import; its own default is years old.
    os.environ.setdefault("KIND_VERSION", KIND_VERSION)
    from pytest_kind.cluster import KindCluster

    folder = FOLDER / "kind"
    folder.mkdir(parents=True, exist_ok=True)
    kind = KindCluster(
        "datasource-operator", kubeconfig=folder / "kubeconfig", kind_path=folder / f"kind-{KIND_VERSION}"
    )
    try:
        kind.create()
    except (OSError, subprocess.SubprocessError) as error:
        raise StackError(
            f"kind could not bring up a cluster ({error}). Try CLUSTER=local, which needs no Docker."
        ) from None
    try:
        yield Cluster(folder / "kubeconfig", FOLDER / "cluster")
    finally:
        kind.delete()


def main() -> None:
    """Run the demo."""
    try:
        run(choices_in(dict(os.environ)))
    except StackError as error:
        sys.exit(f"\nThe demo cannot go on. {error}")
    except KeyboardInterrupt:
        say("\nStopped; nothing is left running.")


def run(choices: Choices) -> None:
    """Bring everything up, show it, and take it down."""
    say(HEAD)
    steps = Steps(7)
    steps.next("finding the tools: kubectl, node" + (", go" if choices.cluster == "local" else ""))
    find_tools(choices)
    steps.next(what_to_build(choices))
    say(EXPLANATION)
    if choices.node:
        fetch_for_nodes()
    elif choices.cluster == "local":
        build.control_plane_binaries()
    with ExitStack() as stack:
        steps.next(f"starting the cluster ({choices.cluster})" + (" with a node" if choices.node else ""))
        nodes = stack.enter_context(Nodes(FOLDER / "nodes")) if choices.node else None
        cluster = nodes.cluster if nodes else stack.enter_context(a_cluster(choices.cluster))
        steps.next("starting a provider: oidc-provider, with refresh-token rotation and reuse detection")
        provider = stack.enter_context(a_provider())
        steps.next("installing the CRD, rights and admission policies; starting operator and callback server")
        served = in_pods(nodes, provider) if nodes else stack.enter_context(processes(cluster, provider, choices))
        steps.next("applying examples/")
        apply_examples(cluster, provider, PLANE if nodes else "127.0.0.1")
        link = link_in_status(cluster)
        steps.next("getting a credential")
        if choices.auto:
            authorize_with_chromium(cluster, link)
        else:
            if choices.sign_in:
                say(demo_sign_in.told(served.external_url))
            tell(cluster, link, served, provider)
            follow(cluster)


def what_to_build(choices: Choices) -> str:
    """The title of the second step."""
    missing = build.control_plane().missing() if choices.cluster == "local" else []
    if choices.node:
        missing = needs.missing()
    if not missing:
        return "nothing to build: the control plane is there" + (
            ", and so are the node's programs" if choices.node else ""
        )
    minutes = sum(binary.minutes for binary in missing)
    return f"building {', '.join(binary.name for binary in missing)}: about {minutes} minutes, once"


def find_tools(choices: Choices) -> None:
    """Find or fetch the tools, and say where they are."""
    found = [tools.kubectl(), tools.node().node]
    if choices.cluster == "local":
        found.append(tools.go())
    if choices.auto:
        found.append(tools.chromium())
    for path in found:
        say(f"      {path}")


@contextmanager
def a_provider() -> Iterator[Provider]:
    """The identity provider, on 127.0.0.1."""
    install_provider(say)
    with Provider(FOLDER / "provider", port=_preferred(PROVIDER_PORT)) as provider:
        yield provider


@contextmanager
def processes(cluster: Cluster, provider: Provider, choices: Choices) -> Iterator[Stack]:
    """Operator and callback server, under their own ServiceAccounts."""
    stack = Stack(cluster, FOLDER / "logs", _preferred(PAGES_PORT), log_format="text")
    signing_in: dict[str, str] = {}
    if choices.sign_in:
        folder = demo_sign_in.kustomization(FOLDER / "sign-in")
        install(cluster, str(folder))
        demo_sign_in.register(provider, stack.external_url)
        demo_sign_in.bind(cluster, NAMESPACE)
        signing_in = demo_sign_in.settings(provider, folder)
    else:
        install(cluster)
    callback = f"{stack.external_url}/callback/{NAMESPACE}"
    provider.register_client(CLIENT_ID, CLIENT_SECRET, [callback])
    running = [
        stack.operator(DATASOURCE_JOURNAL=_journal("operator"), **signing_in),
        stack.callback_server(DATASOURCE_JOURNAL=_journal("callback-server"), **signing_in),
    ]
    try:
        for process in running:
            process.start()
        say(f"      logs: {stack.folder.relative_to(REPOSITORY)}")
        yield stack
    finally:
        for process in reversed(running):
            process.stop()


def _journal(process: str) -> str:
    """A directory of the demo's own: one for each process, as each pod has one."""
    directory = FOLDER / "journal" / process
    directory.mkdir(parents=True, exist_ok=True)
    return str(directory)


def fetch_for_nodes() -> None:
    """Whatever a node takes.

    Raises:
        StackError: none can run here, or something could not be had.
    """
    why = needs.obstacle()
    if why is not None:
        raise StackError(f"NODE=1 cannot be had here: {why}. Without NODE, both processes run without pods.")
    needs.fetch()


def in_pods(nodes: Nodes, provider: Provider) -> Stack:
    """Operator and callback server in pods, from install.yaml; people reach the pages, and pods the provider."""
    stack = Stack(nodes.cluster, FOLDER / "logs", _preferred(PAGES_PORT))
    product.apply_install_yaml(nodes.cluster, stack.external_url)
    provider.register_client(CLIENT_ID, CLIENT_SECRET, [f"{stack.external_url}/callback/{NAMESPACE}"])
    product.wait_until_available(nodes.cluster)
    nodes.carried_in(stack.pages_port, product.address_of_pages(nodes.cluster), 80)
    nodes.carried_out(_port_of(provider))
    product.wait_until_answered(stack.external_url)
    say(nodes.cluster.kubectl("get", "pods", "-n", stack.system_namespace, "-o", "wide").stdout)
    return stack


def apply_examples(cluster: Cluster, provider: Provider, provider_host: str) -> None:
    """The Datasource first, then the client Secret, so that both can be seen to matter.

    `provider_host` is where our processes find the provider; browsers find it on loopback.
    """
    text = (EXAMPLES / "calendar.yaml").read_text().replace(EXAMPLE_ISSUER, provider.issuer)
    if provider_host != "127.0.0.1":
        # An issuer has one address, and the provider has two here.
        text = re.sub(r"^ *issuer: .*\n", "", at_host(text, provider_host), flags=re.MULTILINE)
    cluster.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=text)
    wait_for_reason(cluster, "ClientSecretNotFound")
    say("      " + state(cluster) + ", and the redirect URI to register is in its status already")
    cluster.kubectl("apply", "-n", NAMESPACE, "-f", str(EXAMPLES / "client-secret.yaml"))
    wait_for_reason(cluster, "AuthorizationRequired")
    say("      " + state(cluster))


def at_host(example: str, host: str) -> str:
    """An example whose endpoints for our processes are on another host; that for browsers stays.

    >>> at_host("authorizeURL: http://127.0.0.1:9/auth\\ntokenURL: http://127.0.0.1:9/token", "10.99.0.1")
    'authorizeURL: http://127.0.0.1:9/auth\\ntokenURL: http://10.99.0.1:9/token'
    """
    return re.sub(r"((?:token|revocation)URL: http://)127\.0\.0\.1", rf"\g<1>{host}", example)


def link_in_status(cluster: Cluster) -> str:
    """The link in the status."""
    return str(_status(cluster)["authorizationLink"])


def authorize_with_chromium(cluster: Cluster, link: str) -> None:
    """Do what a person would, and show what came of it."""
    from deploy.local import browser

    screenshots = FOLDER / "screenshots"
    with browser.chromium() as chromium:
        page = chromium.new_page()
        browser.authorize(page, link, DEMO_LOGIN, DEMO_PASSWORD, screenshots)
    say(f"      screenshots: {screenshots.relative_to(REPOSITORY)}")
    wait_for_reason(cluster, "Authorized")
    say(cluster.kubectl("get", "dsrc", NAME, "-n", NAMESPACE).stdout)
    say_token_keys(cluster)


def tell(cluster: Cluster, link: str, stack: Stack, provider: Provider) -> None:
    """What a person can do now."""
    provider_port = _port_of(provider)
    say(f"""
  Open this link, choose Get new credential, sign in as {DEMO_LOGIN} with the password {DEMO_PASSWORD}, and allow:

      {link}

  From another machine, forward the ports first:
      ssh -L {stack.pages_port}:localhost:{stack.pages_port} -L {provider_port}:127.0.0.1:{provider_port} {socket.gethostname()}

  In another terminal:
      export KUBECONFIG={cluster.kubeconfig}
      export PATH={Path(sys.executable).parent}:$PATH
      kubectl get dsrc -w
      kubectl datasource status {NAME}
      kubectl datasource refresh {NAME}
      kubectl datasource clear {NAME}

  Ctrl-C stops everything. The state, live:
""")


def follow(cluster: Cluster) -> None:
    """Print the state whenever it changes, until Ctrl-C."""
    seen = ""
    while True:
        seen = _look(cluster, seen)
        time.sleep(1)


def _look(cluster: Cluster, seen: str) -> str:
    """Print the state where it is another one than was seen. A cluster that does not answer for a moment ends no demo."""
    try:
        now = state(cluster)
        if now != seen:
            say(f"      {time.strftime('%H:%M:%S')}  {now}")
            if _reason(cluster) == "Authorized":
                say_token_keys(cluster)
    except StackError as error:
        now = "The cluster does not answer."
        if now != seen:
            say(f"      {time.strftime('%H:%M:%S')}  {now} The demo tries again each second. {error}")
    return now


def state(cluster: Cluster) -> str:
    """State and reason, as one line."""
    status = _status(cluster)
    return f"{NAME} is {status.get('state', 'not looked at yet')} ({_reason(cluster)})"


def say_token_keys(cluster: Cluster) -> None:
    """The keys of the token Secret, never its values."""
    name = _status(cluster)["tokenSecretName"]
    keys = ", ".join(sorted(cluster.get("secret", name, "-n", NAMESPACE)["data"]))
    say(f"      Secret {name} has the keys {keys}")


def wait_for_reason(cluster: Cluster, reason: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while _reason(cluster) != reason:
        if time.monotonic() > deadline:
            logs = FOLDER / "logs"
            raise StackError(f"{state(cluster)}; it should have become {reason} within a minute. Logs are in {logs}.")
        time.sleep(0.3)


def _reason(cluster: Cluster) -> str:
    conditions = _status(cluster).get("conditions", [])
    return next((each["reason"] for each in conditions if each["type"] == "Ready"), "")


def _status(cluster: Cluster) -> dict[str, Any]:
    status: dict[str, Any] = cluster.get("dsrc", NAME, "-n", NAMESPACE).get("status", {})
    return status


def _port_of(provider: Provider) -> int:
    return int(provider.issuer.rpartition(":")[2])


def _preferred(port: int) -> int:
    """The same port each time where it is free, so that links and `ssh -L` lines stay the same."""
    return port if is_free(port) else free_ports(1)[0]


if __name__ == "__main__":
    main()
