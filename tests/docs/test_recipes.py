"""Each recipe's program reads a first token, and the one after a refresh: the real program, with what the operator writes.

The files are rendered by the operator's own code and laid out as kubelet does it; a service on loopback notes what it is told.
"""

import io
import json
import os
import subprocess
import sys
import urllib.request
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from datasource.api.objects import Secret
from datasource.api.template_problems import template_problem
from datasource.records.credential import CredentialData
from datasource.records.token_secret import plan_token_secret
from deploy.local import tools
from deploy.local.processes import free_ports
from tests.support.builders import NAME, NAMESPACE, UID, facts, spec
from tests.support.loopback import Loopback, QuietHandler
from tests.support.mounted import Mount
from tests.support.recipes import MOUNTED_AT, PAGE, Recipe, recipes
from tests.support.user import eventually

TOKENS = ("first+token/1==", "second~token._-2")
"""With every sign that a token may have (RFC 6750 section 2.1)."""

PATIENCE = 60

RECIPES = recipes()


def bearer(token: str) -> str:
    return f"Bearer {token}"


def basic(token: str) -> str:
    return f"Basic {b64encode(f'oauth2:{token}'.encode()).decode()}"


class Service(Loopback):
    """A service on loopback that notes who called, and answers nobody without a token."""

    def __init__(self) -> None:
        self.authorizations: list[str] = []
        self.files: dict[str, bytes] = {}
        service = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                told = self.headers["Authorization"]
                if told is not None:
                    service.authorizations.append(told)
                content = service.files.get(self.path.partition("?")[0])
                self.send_response(401 if told is None else 404 if content is None else 200)
                if told is None:
                    self.send_header("WWW-Authenticate", 'Basic realm="service"')
                self.send_header("Content-Type", "text/html" if (content or b"").startswith(b"<") else "text/plain")
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

        super().__init__(Handler)

    def was_called_with(self, authorization: str) -> bool:
        return authorization in self.authorizations


@pytest.fixture
def service() -> Iterator[Service]:
    """What the programs call."""
    with Service() as started:
        yield started


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    """Where the token Secret is mounted."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    return Mount(folder)


def rendered(recipe: Recipe, token: str) -> dict[str, str]:
    """The files of the token Secret, as the operator would write it."""
    wanted = spec(token_secret=recipe.token_secret)
    data = CredentialData(
        access_token=token,
        token_type="Bearer",
        token_endpoint="https://login.example.com/token",
        fingerprint="fp",
        client_id="my-app",
    )
    plan = plan_token_secret(namespace=NAMESPACE, name=NAME, uid=UID, spec=wanted, facts=facts())
    secret = msgspec.json.decode(msgspec.json.encode(plan.manifest(facts(), data)), type=Secret)
    return {key: secret.value(key) or "" for key in secret.data or {}}


def environ_of(tmp_path: Path, **more: str) -> dict[str, str]:
    """Nothing of whoever runs the tests: no proxy, no configuration."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", **more}


def ran(command: list[str], environ: dict[str, str], folder: Path) -> None:
    done = subprocess.run(
        command, env=environ, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr


def at_mount(told: Any, mount: Mount) -> Any:
    """What a container is told, where its Secret is mounted elsewhere."""
    return json.loads(json.dumps(told).replace(MOUNTED_AT, str(mount.folder)))


# Programs that read the file at each start.


def by_arguments(recipe: Recipe, mount: Mount, service: Service, tmp_path: Path) -> Callable[[], None]:
    service.files["/v3/events"] = b"events\n"
    command = at_mount(recipe.told("args"), mount)
    return lambda: ran([*command, "--fail", "--silent", "--show-error"], environ_of(tmp_path), tmp_path)


def by_environment(recipe: Recipe, mount: Mount, tmp_path: Path, command: list[str]) -> Callable[[], None]:
    told = {each["name"]: each["value"] for each in at_mount(recipe.told("env"), mount)}
    return lambda: ran(command, environ_of(tmp_path, **told), tmp_path)


def git(recipe: Recipe, mount: Mount, service: Service, tmp_path: Path) -> Callable[[], None]:
    service.files["/team/calendar/info/refs"] = b"0" * 40 + b"\trefs/heads/main\n"
    service.files["/team/calendar/HEAD"] = b"ref: refs/heads/main\n"
    return by_environment(recipe, mount, tmp_path, ["git", "ls-remote", f"{service.origin}/team/calendar"])


def npm(recipe: Recipe, mount: Mount, service: Service, tmp_path: Path) -> Callable[[], None]:
    version = {
        "name": "demo",
        "version": "1.0.0",
        "dist": {"tarball": f"{service.origin}/demo.tgz", "shasum": "0" * 40},
    }
    package = {"name": "demo", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
    service.files["/demo"] = json.dumps(package).encode()
    node = tools.node()
    options = ["--prefer-online", "--no-update-notifier", "--cache", str(tmp_path / "npm")]
    # npm is a Node script, and its first line looks for node on PATH.
    command = [str(node.node), str(node.npm), "view", "demo", "version", *options]
    return by_environment(recipe, mount, tmp_path, command)


def pip(recipe: Recipe, mount: Mount, service: Service, tmp_path: Path) -> Callable[[], None]:
    service.files["/simple/demo/"] = (
        b'<!DOCTYPE html><a href="/demo-1.0-py3-none-any.whl">demo-1.0-py3-none-any.whl</a>'
    )
    service.files["/demo-1.0-py3-none-any.whl"] = wheel()
    options = ["--no-deps", "--no-cache-dir", "--disable-pip-version-check", "--dest", str(tmp_path / "wheels")]
    return by_environment(recipe, mount, tmp_path, [sys.executable, "-m", "pip", "download", "demo", *options])


def image_pull(recipe: Recipe, mount: Mount, service: Service, tmp_path: Path) -> Callable[[], None]:
    """skopeo reads the file as kubelet does, by the library of containers/image, podman and cri-o."""
    service.files["/v2/"] = b"{}"
    service.files["/v2/team/calendar/tags/list"] = b'{"name": "team/calendar", "tags": ["1.0"]}'
    image = f"docker://{service.origin.removeprefix('http://')}/team/calendar"
    options = ["--tls-verify=false", "--authfile", str(mount.folder / ".dockerconfigjson")]
    return lambda: ran([str(tools.skopeo()), "list-tags", *options, image], environ_of(tmp_path), tmp_path)


def wheel() -> bytes:
    """The least that pip takes for a package."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        archive.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("demo-1.0.dist-info/RECORD", "")
    return written.getvalue()


AT_EACH_START = {
    "curl": (by_arguments, bearer),
    ".netrc": (by_arguments, basic),
    "git": (git, basic),
    "npm": (npm, bearer),
    "pip": (pip, basic),
    "Image pull Secret": (image_pull, basic),
}


@pytest.mark.parametrize("name", AT_EACH_START)
def test_program_uses_the_token_that_is_mounted_when_it_starts(
    name: str, service: Service, mount: Mount, tmp_path: Path
) -> None:
    prepare, header = AT_EACH_START[name]
    recipe = RECIPES[name].at(service.origin)
    run = prepare(recipe, mount, service, tmp_path)
    for token in TOKENS:
        service.authorizations.clear()
        mount.show(rendered(recipe, token))
        run()
        assert set(service.authorizations) == {header(token)}


# Programs that go on.


@contextmanager
def started(command: list[str], environ: dict[str, str], folder: Path) -> Iterator[None]:
    """A program that runs meanwhile; what it says goes into a file beside it."""
    with (
        (folder / "said").open("w") as said,
        subprocess.Popen(command, env=environ, cwd=folder, stdout=said, stderr=said) as program,
    ):
        try:
            yield
        finally:
            program.terminate()


def test_prometheus_reads_the_token_anew_for_each_scrape(service: Service, mount: Mount, tmp_path: Path) -> None:
    recipe = RECIPES["Prometheus"].at(service.origin)
    service.files["/metrics"] = b"events 1\n"
    (job,) = at_mount(recipe.told("scrape_configs"), mount)
    job |= {"scheme": "http", "scrape_interval": "100ms", "scrape_timeout": "100ms"}
    configuration = tmp_path / "prometheus.yaml"
    configuration.write_text(yaml.safe_dump({"scrape_configs": [job]}))
    (port,) = free_ports(1)
    command = [
        str(tools.prometheus()),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    mount.show(rendered(recipe, TOKENS[0]))
    with started(command, environ_of(tmp_path), tmp_path):
        for token in TOKENS:
            mount.show(rendered(recipe, token))
            eventually(f"it scrapes with {token}", partial(service.was_called_with, bearer(token)))
    assert set(service.authorizations) == {bearer(token) for token in TOKENS}


def nginx_configuration(recipe: Recipe, mount: Mount, tmp_path: Path, port: int) -> Path:
    """The server of the recipe, in a configuration that needs nothing of the machine."""
    server = recipe.text("server").replace(MOUNTED_AT, str(mount.folder)).replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {tmp_path / kind};" for kind in kinds)
    path = tmp_path / "nginx.conf"
    path.write_text(f"pid {tmp_path / 'pid'};\nevents {{}}\nhttp {{ access_log off; {places}\n{server} }}\n")
    return path


def test_nginx_adds_the_token_that_is_mounted_when_it_is_told_to_look(
    service: Service, mount: Mount, tmp_path: Path
) -> None:
    recipe = RECIPES["nginx"].at(service.origin)
    service.files["/events"] = b"events\n"
    (port,) = free_ports(1)
    configuration = nginx_configuration(recipe, mount, tmp_path, port)
    nginx = [str(tools.nginx()), "-p", str(tmp_path), "-e", "stderr", "-c", str(configuration)]

    def adds(token: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/events", timeout=PATIENCE) as answer:
                assert answer.read() == b"events\n"
        except OSError:
            return False  # it listens in a moment
        return service.authorizations[-1] == bearer(token)

    mount.show(rendered(recipe, TOKENS[0]))
    with started([*nginx, "-g", "daemon off;"], environ_of(tmp_path), tmp_path):
        eventually("it adds the first token", lambda: adds(TOKENS[0]))
        mount.show(rendered(recipe, TOKENS[1]))
        ran([*nginx, "-s", "reload"], environ_of(tmp_path), tmp_path)
        eventually("it adds the next one", lambda: adds(TOKENS[1]))
    assert "nginx -s reload" in recipe.text("command")


# Those that need a cluster, or something else that is not here.


def test_image_pull_secret_is_what_programs_read_of_docker() -> None:
    recipe = RECIPES["Image pull Secret"]
    config = json.loads(rendered(recipe, TOKENS[0])[".dockerconfigjson"])
    assert basic(TOKENS[0]) == f"Basic {config['auths']['registry.example.com']['auth']}"
    assert recipe.token_secret["type"] == "kubernetes.io/dockerconfigjson"
    assert recipe.told("imagePullSecrets") == [{"name": recipe.token_secret["name"]}]


def test_envoy_is_given_a_secret_of_the_name_that_it_asks_for() -> None:
    (resource,) = yaml.safe_load(rendered(RECIPES["Envoy"], TOKENS[0])["sds.yaml"])["resources"]
    assert resource["generic_secret"]["secret"]["inline_string"] == bearer(TOKENS[0])
    asked = yaml.safe_load(RECIPES["Envoy"].text("name: envoy"))["typed_config"]["credential"]["typed_config"]
    assert asked["credential"]["name"] == resource["name"]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_rendered_and_its_yaml_read(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.blocks
    assert template_problem(spec(token_secret=recipe.token_secret)) is None
    assert rendered(recipe, TOKENS[0])
    for block in recipe.blocks:
        if not block.startswith("server {"):
            assert isinstance(yaml.safe_load(block), dict), block


def test_page_says_which_programs_were_run() -> None:
    by_gitops = {"Flux", "Argo CD"}  # tests/gitops/test_repositories.py
    run = {*AT_EACH_START, "Prometheus", "nginx", *by_gitops}
    page = " ".join(PAGE.read_text().split())
    sentence = page.partition("The programs of ")[2].partition(" are run by the tests")[0]
    assert {name for name in RECIPES if f"[{name}](#" in sentence} == run
