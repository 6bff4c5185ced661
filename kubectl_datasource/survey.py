"""I/O: looks at what `doctor` judges: the cluster through kubectl, and the callback URL from here."""

import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec

from datasource.api.names import GROUP
from datasource.api.objects import Lease
from datasource.outbound.reach import Stage, hindrance
from datasource.process.clock import utc_now
from datasource.process.installation import LEASE_NAME
from kubectl_datasource.exits import NotFound, Problem, Unreachable
from kubectl_datasource.findings import (
    Answer,
    OtherInstallation,
    SentTest,
    Survey,
    Untold,
    Untrusted,
    credentials_to_ask_for,
    external_url_of,
    named_namespaces,
    served_namespaces,
    service_account,
    settings_of,
)
from kubectl_datasource.installation import ConfigMap, Deployment
from kubectl_datasource.kubectl import Kubectl
from kubectl_datasource.notification_check import COMMAND
from kubectl_datasource.objects import Datasource
from kubectl_datasource.pods import Pod
from kubectl_datasource.rights import (
    ACCOUNTS,
    INSTALLING,
    Review,
    own_reviews,
    reviews,
    reviews_of_credentials,
    user_name,
    with_sign_in,
)
from kubectl_datasource.sign_in_check import signs_in

CONNECT_TIMEOUT = 5.0
NAMESPACES_TRIED = 20

_OURS = "app.kubernetes.io/name=datasource-operator"

_DATE = re.compile(r"\bDate: (\w{3}, \d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2} GMT)")

T = TypeVar("T")


def survey(
    kubectl: Kubectl,
    system_namespace: str,
    plugin_version: str,
    external_url: str | None,
    tell: Callable[[str], None],
) -> Survey:
    """Look at everything; what may not be looked at is Untold.

    Raises:
        Unreachable: there is no cluster to look at.
    """
    tell("asking the API server")
    found = Survey(
        now=utc_now(),
        system_namespace=system_namespace,
        plugin_version=plugin_version,
        kubernetes=_told(lambda: str(kubectl.json("version")["serverVersion"]["gitVersion"])),
        api_versions=_told(lambda: api_versions(kubectl)),
        api_skew=_told(lambda: _api_skew(kubectl)),
        deployments=_told(lambda: deployments(kubectl, system_namespace)),
        config_maps=_told(lambda: _listed(kubectl, ConfigMap, "configmaps", f"--namespace={system_namespace}")),
        pods=_told(lambda: _pods(kubectl, system_namespace)),
        groups=_told(lambda: _groups(kubectl)),
        lease=_told(lambda: _lease(kubectl, system_namespace)),
        others=_told(lambda: _others(kubectl, system_namespace)),
        policies=_told(lambda: _policies(kubectl)),
        bindings=_told(lambda: _denying_bindings(kubectl)),
        datasources=_told(kubectl.datasources),
    )
    tell("asking for the rights of the two ServiceAccounts")
    found = replace(found, reviews=_told(lambda: _reviews(kubectl, found)))
    url = external_url or external_url_of(found)
    tell("connecting to the callback URL")
    datasources = () if isinstance(found.datasources, Untold) else found.datasources
    return replace(found, callback=None if url is None else _answer(_page(url, datasources, found)))


def survey_before(kubectl: Kubectl, system_namespace: str, plugin_version: str, tell: Callable[[str], None]) -> Survey:
    """Look at what an installation will meet; what may not be looked at is Untold.

    Raises:
        Unreachable: there is no cluster to look at.
    """
    tell("asking the API server")
    asked = msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": own_reviews(INSTALLING)}).decode()
    return Survey(
        now=utc_now(),
        system_namespace=system_namespace,
        plugin_version=plugin_version,
        kubernetes=_told(lambda: str(kubectl.json("version")["serverVersion"]["gitVersion"])),
        api_versions=_told(lambda: api_versions(kubectl)),
        api_skew=_told(lambda: _api_skew(kubectl)),
        groups=_told(lambda: _groups(kubectl)),
        others=_told(lambda: _others(kubectl, system_namespace)),
        may_install=_told(lambda: _asked(kubectl, asked)),
    )


def sent_test(kubectl: Kubectl, found: Survey) -> SentTest | Untold:
    """Have the operator's pod send a test message; what counts is what that pod reaches."""
    operators = () if isinstance(found.deployments, Untold) else found.deployments
    names = [each.metadata.name for each in operators if each.component == "operator"]
    if not names:
        return Untold(f"there is no Deployment of the operator in namespace {found.system_namespace}")
    place = (f"deployment/{names[0]}", f"--namespace={found.system_namespace}")
    return _told(lambda: _sent_test(kubectl, *place))


def _sent_test(kubectl: Kubectl, *place: str) -> SentTest:
    said = kubectl.exec(*place, command=COMMAND)
    return msgspec.json.decode(said.strip().rpartition("\n")[2], type=SentTest)


def _told(ask: Callable[[], T]) -> T | Untold:
    try:
        return ask()
    except Unreachable:
        raise
    except Problem as error:
        return Untold(error.what)
    except (KeyError, TypeError, msgspec.MsgspecError) as error:
        return Untold(f"the answer cannot be read: {error}")


def api_versions(kubectl: Kubectl) -> tuple[str, ...]:
    """Discovery is open to every user, CRDs are not."""
    try:
        group = msgspec.json.decode(kubectl.run("get", "--raw", f"/apis/{GROUP}"))
    except NotFound:
        return ()
    return tuple(each["version"] for each in group["versions"])


def _api_skew(kubectl: Kubectl) -> timedelta | Untold:
    told = _DATE.search(kubectl.run_verbosely("get", "--raw", "/version"))
    return Untold("the API server did not say its time") if told is None else _skew(told[1])


def _skew(date: str) -> timedelta:
    return parsedate_to_datetime(date) - utc_now().replace(microsecond=0)


def _listed(kubectl: Kubectl, type_: type[T], *arguments: str) -> tuple[T, ...]:
    items = kubectl.json("get", *arguments)["items"]
    return tuple(msgspec.convert(each, type_) for each in items)


def deployments(kubectl: Kubectl, namespace: str) -> tuple[Deployment, ...]:
    return _listed(kubectl, Deployment, "deployments", f"--namespace={namespace}", f"--selector={_OURS}")


def _pods(kubectl: Kubectl, namespace: str) -> tuple[Pod, ...]:
    return _listed(kubectl, Pod, "pods", f"--namespace={namespace}", f"--selector={_OURS}")


def _groups(kubectl: Kubectl) -> frozenset[str]:
    found: Any = msgspec.json.decode(kubectl.run("get", "--raw", "/apis"))
    return frozenset(each["name"] for each in found["groups"])


def _lease(kubectl: Kubectl, namespace: str) -> Lease | None:
    found = kubectl.json("get", "lease", LEASE_NAME, f"--namespace={namespace}", "--ignore-not-found")
    return None if found is None else msgspec.convert(found, Lease)


def _others(kubectl: Kubectl, own_namespace: str) -> tuple[OtherInstallation, ...]:
    """By the Leases of that name everywhere else, and by what is installed beside them."""
    leases = _listed(kubectl, Lease, "leases", "--all-namespaces", f"--field-selector=metadata.name={LEASE_NAME}")
    return tuple(
        OtherInstallation(lease, _served_from(kubectl, lease.metadata.namespace))
        for lease in leases
        if lease.metadata.namespace != own_namespace
    )


def _served_from(kubectl: Kubectl, namespace: str) -> tuple[str, ...] | None:
    settings = _told(lambda: _settings_in(kubectl, namespace))
    return None if isinstance(settings, Untold) else named_namespaces(settings)


def _settings_in(kubectl: Kubectl, namespace: str) -> Mapping[str, str] | Untold:
    there = Survey(
        now=utc_now(),
        system_namespace=namespace,
        deployments=deployments(kubectl, namespace),
        config_maps=_listed(kubectl, ConfigMap, "configmaps", f"--namespace={namespace}"),
    )
    return settings_of(there)


def _policies(kubectl: Kubectl) -> frozenset[str]:
    found: Any = kubectl.json("get", "validatingadmissionpolicies")
    return frozenset(each["metadata"]["name"] for each in found["items"])


def _denying_bindings(kubectl: Kubectl) -> frozenset[str]:
    """The policies that a binding enforces."""
    found: Any = kubectl.json("get", "validatingadmissionpolicybindings")
    return frozenset(
        each["spec"]["policyName"] for each in found["items"] if "Deny" in each["spec"]["validationActions"]
    )


def _reviews(kubectl: Kubectl, found: Survey) -> tuple[Review, ...]:
    settings = settings_of(found)
    is_signed_in = not isinstance(settings, Untold) and signs_in(settings)
    asked = [
        review
        for account in ACCOUNTS
        for review in reviews(
            with_sign_in(account) if is_signed_in else account,
            user_name(found.system_namespace, service_account(found, account.component)),
            served_namespaces(found),
            found.system_namespace,
        )
    ]
    callback_server = user_name(found.system_namespace, service_account(found, "callback-server"))
    asked += reviews_of_credentials(callback_server, credentials_to_ask_for(found, NAMESPACES_TRIED))
    listed = msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": asked}).decode()
    return _asked(kubectl, listed)


def _asked(kubectl: Kubectl, reviews_: str) -> tuple[Review, ...]:
    return tuple(msgspec.convert(each, Review) for each in kubectl.jsons("create", "-f", "-", stdin=reviews_))


def _page(url: str, datasources: tuple[Datasource, ...], found: Survey) -> str:
    """A page for which the callback server reads from the API server, and which nobody's link leads to: without a ticket."""
    first = next(iter(datasources), None)
    namespace = next(iter(served_namespaces(found)), "default")
    place = (namespace, "doctor") if first is None else (first.metadata.namespace, first.metadata.name)
    return f"{url}/authorize/{quote(place[0], safe='')}/{quote(place[1], safe='')}"


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """A redirect is an answer: it would hide who gave it."""


def _answer(url: str) -> Answer | Untold:
    if not url.startswith(("https://", "http://")):
        return Untold(f"{url} is no web address")
    try:
        request = Request(url, headers={"Accept": "text/html", "User-Agent": "kubectl-datasource"})  # noqa: S310
        with build_opener(_NoRedirects).open(request, timeout=CONNECT_TIMEOUT) as response:
            return _headers(response.status, response.headers.items())
    except HTTPError as error:
        with error:
            return _headers(error.code, error.headers.items())
    except (OSError, ValueError) as error:  # URLError is an OSError
        why = why_not_connected(url, error)
        untrusted = isinstance(error, URLError) and isinstance(error.reason, ssl.SSLCertVerificationError)
        return Untrusted(why) if untrusted else Untold(why)


def why_not_connected(url: str, error: Exception) -> str:
    """In words: no errno, and nothing of OpenSSL's source."""
    cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
    if not isinstance(cause, OSError):
        return f"{url} cannot be asked for"
    stage = Stage.CONNECTION
    if isinstance(cause, socket.gaierror):
        stage = Stage.NAME
    elif isinstance(cause, ssl.SSLError):
        stage = Stage.TLS
    return f"{url}: {hindrance(cause, stage, is_timeout=isinstance(cause, TimeoutError)).problem}"


def _headers(status: int, headers: Any) -> Answer:
    small = {name.lower(): value for name, value in headers}
    try:
        skew = _skew(small["date"])
    except (KeyError, ValueError, TypeError):
        skew = None
    return Answer(status, small, skew)
