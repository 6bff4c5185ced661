"""What the doctor looks at, each thing by itself: what may not be seen hides nothing else. Servers on loopback answer."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, ClassVar

import pytest

from deploy.local.processes import free_ports
from kubectl_datasource.exits import Unreachable
from kubectl_datasource.findings import Answer, Survey, Untold
from kubectl_datasource.kubectl import Kubectl
from kubectl_datasource.survey import survey, survey_before
from tests.support.loopback import Loopback, QuietHandler
from tests.unit.kubectl_datasource.fake_cluster import Cluster, datasource, listing

EGRESS = {"name": "DATASOURCE_EGRESS_ALLOW", "value": "127.0.0.0/8"}
FORBIDDEN = "Error from server (Forbidden): it is forbidden"
HOUR = timedelta(hours=1)


class Page(QuietHandler):
    """Answers with 302 and a Date; remembers what was asked."""

    asked: ClassVar[list[str]]
    date: ClassVar[str]
    url: ClassVar[str]
    status: ClassVar[int] = 302

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response_only(self.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("X-Shouted", "Yes")
        if self.date:
            self.send_header("Date", self.date)
        self.end_headers()


@pytest.fixture
def page() -> Iterator[type[Page]]:
    """A page on loopback; `url` says where."""

    class Ours(Page):
        asked: ClassVar[list[str]] = []
        date = format_datetime(datetime.now(UTC) + HOUR, usegmt=True)
        url = ""

    with Loopback(Ours) as server:
        Ours.url = server.origin
        yield Ours


def look(url: str | None = None, said: list[str] | None = None) -> Survey:
    return survey(
        Kubectl(all_namespaces=True),
        "datasource-system",
        "0.1.0",
        url,
        list[str]().append if said is None else said.append,
    )


def sound(cluster: Cluster, *datasources: Any) -> None:
    """Everything is there and may be seen."""
    cluster.says("version", {"serverVersion": {"gitVersion": "v1.36.3"}})
    cluster.says("get --raw /apis/datasource.dev", {"versions": [{"version": "v1alpha1"}]})
    ahead = format_datetime(datetime.now(UTC) + HOUR, usegmt=True)
    cluster._answer("get --raw /version -v=8", err=f"Response Headers:\n    Date: {ahead}\n")
    container = {"image": "x:0.1.0", "env": [{"name": "DATASOURCE_NAMESPACES", "value": "shop"}, EGRESS]}
    labels = {"app.kubernetes.io/component": "operator"}
    deployment = {
        "metadata": {"name": "o", "labels": labels},
        "spec": {"template": {"spec": {"serviceAccountName": "robot", "containers": [container]}}},
    }
    cluster.says("get deployments", listing(deployment))
    cluster.says("get configmaps", listing())
    pod = {"metadata": {"name": "o-1", "labels": labels}, "status": {"phase": "Pending"}}
    cluster.says("get pods", listing(pod))
    cluster.says("get --raw /apis", {"groups": [{"name": "apps"}, {"name": "cdi.kubevirt.io"}]})
    cluster.says("get lease", {"metadata": {"name": "datasource-operator"}, "spec": {"holderIdentity": "operator-1"}})
    ours, theirs = (
        {"metadata": {"name": "datasource-operator", "namespace": each}} for each in ("datasource-system", "b")
    )
    cluster.says("get leases", listing(ours, theirs))
    enforced = {"spec": {"policyName": "one", "validationActions": ["Deny"]}}
    warned = {"spec": {"policyName": "two", "validationActions": ["Warn"]}}
    cluster.says(
        "get validatingadmissionpolicies", listing({"metadata": {"name": "one"}}, {"metadata": {"name": "two"}})
    )
    cluster.says("get validatingadmissionpolicybindings", listing(enforced, warned))
    cluster.says("get datasources.datasource.dev", listing(*datasources))
    cluster.says("create -f -", '{"spec": {"user": "a"}, "status": {"allowed": true}}\n{"spec": {"user": "b"}}')


def test_everything_that_is_there_is_seen(cluster: Cluster) -> None:
    sound(cluster, datasource())
    said: list[str] = []
    found = look(said=said)
    assert (found.kubernetes, found.api_versions, found.plugin_version) == ("v1.36.3", ("v1alpha1",), "0.1.0")
    assert isinstance(found.api_skew, timedelta)
    assert abs(found.api_skew - HOUR) < timedelta(minutes=2)
    assert found.lease is not None
    assert not isinstance(found.others, Untold)
    assert [(each.lease.metadata.namespace, each.served) for each in found.others] == [("b", ("shop",))]
    assert found.policies == frozenset({"one", "two"})
    assert found.bindings == frozenset({"one"}), "a binding that warns enforces nothing"
    assert not isinstance(found.datasources, Untold)
    assert [each.metadata.name for each in found.datasources] == ["calendar"]
    assert not isinstance(found.pods, Untold)
    assert [each.component for each in found.pods] == ["operator"]
    assert not isinstance(found.reviews, Untold)
    assert len(found.reviews) == 2
    assert len(said) == 3, "somebody waits, and is told what for"


def test_rights_are_asked_for_the_accounts_and_namespaces_of_the_installation(cluster: Cluster) -> None:
    sound(cluster)
    look()
    assert '"system:serviceaccount:datasource-system:robot"' in cluster.stdin
    assert '"system:serviceaccount:datasource-system:datasource-callback-server"' in cluster.stdin, "by its usual name"
    assert '"namespace":"shop"' in cluster.stdin


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ("version", "kubernetes"),
        ("get deployments", "deployments"),
        ("get configmaps", "config_maps"),
        ("get pods", "pods"),
        ("get --raw /apis", "groups"),
        ("get lease", "lease"),
        ("get leases", "others"),
        ("get validatingadmissionpolicies", "policies"),
        ("get validatingadmissionpolicybindings", "bindings"),
        ("get datasources.datasource.dev", "datasources"),
        ("create -f -", "reviews"),
    ],
)
@pytest.mark.parametrize("answer", ["forbidden", "unreadable"])
def test_what_may_not_be_seen_hides_nothing_else(words: str, field: str, answer: str, cluster: Cluster) -> None:
    if answer == "forbidden":
        cluster.refuses(words, FORBIDDEN)
    else:
        cluster.says(words, {"items": [{"metadata": 7}], "spec": 7, "metadata": {"name": "x"}})
    sound(cluster, datasource())
    found = look()
    untold = {name for name in Survey.__slots__ if isinstance(getattr(found, name), Untold)}
    assert untold == {field}


def test_cluster_without_our_api_is_no_riddle(cluster: Cluster) -> None:
    cluster.refuses("get --raw /apis/datasource.dev", "Error from server (NotFound): the server could not find it")
    sound(cluster)
    assert look().api_versions == ()


def test_installation_whose_settings_may_not_be_seen_is_seen_all_the_same(cluster: Cluster) -> None:
    cluster.refuses("get deployments --namespace=b", FORBIDDEN)
    sound(cluster)
    found = look()
    assert not isinstance(found.others, Untold)
    assert [each.served for each in found.others] == [None]


def test_lease_that_nobody_made_is_none(cluster: Cluster) -> None:
    cluster.says("get lease", "")
    sound(cluster)
    assert look().lease is None


def test_api_server_that_does_not_tell_its_time_is_not_called_wrong(cluster: Cluster) -> None:
    cluster.says("get --raw /version -v=8", "{}")
    sound(cluster)
    assert isinstance(look().api_skew, Untold)


def test_where_there_is_no_cluster_there_is_nothing_to_survey(cluster: Cluster) -> None:
    cluster.refuses("--request-timeout=20s", "dial tcp: connection refused")
    with pytest.raises(Unreachable):
        look()
    assert len(cluster.asked) == 1


# What is connected to.


def test_redirect_is_the_answer_and_is_not_followed(cluster: Cluster, page: type[Page]) -> None:
    """Whatever it leads to would answer in the name of the callback server."""
    sound(cluster, datasource())
    answer = look(page.url).callback
    assert isinstance(answer, Answer)
    assert (answer.status, answer.headers["x-shouted"]) == (302, "Yes")
    assert answer.skew is not None
    assert abs(answer.skew - HOUR) < timedelta(minutes=2)
    assert page.asked == ["/authorize/shop/calendar"], "nobody's link: without a ticket"


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Foo 2026 00:00:00 GMT"])
def test_clock_that_cannot_be_read_is_unknown(date: str, cluster: Cluster, page: type[Page]) -> None:
    page.date, page.status = date, 404
    sound(cluster)
    answer = look(page.url).callback
    assert isinstance(answer, Answer)
    assert (answer.status, answer.skew) == (404, None)
    assert page.asked == ["/authorize/shop/doctor"], "a namespace that is served"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1", "javascript:alert(1)", "connect.example.com"])
def test_only_web_addresses_are_opened(url: str, cluster: Cluster) -> None:
    sound(cluster)
    assert look(url).callback == Untold(f"{url}/authorize/shop/doctor is no web address")


def test_callback_server_that_does_not_answer_is_told_with_its_address(cluster: Cluster) -> None:
    (port,) = free_ports(1)
    sound(cluster)
    found = look(f"http://127.0.0.1:{port}").callback
    assert isinstance(found, Untold)
    assert f"127.0.0.1:{port}" in found.why
    assert "it refuses the connection" in found.why


def test_without_an_address_nobody_is_connected_to(cluster: Cluster) -> None:
    sound(cluster)
    assert look().callback is None


def test_before_an_installation_only_what_it_will_meet_is_asked_for(cluster: Cluster) -> None:
    sound(cluster)
    found = survey_before(Kubectl(), "datasource-system", "0.1.0", lambda _: None)
    assert found.groups == frozenset({"apps", "cdi.kubevirt.io"})
    assert not isinstance(found.may_install, Untold)
    assert [each.status.allowed for each in found.may_install] == [True, False]
    assert '"kind":"SelfSubjectAccessReview"' in cluster.stdin
    assert '"customresourcedefinitions"' in cluster.stdin
    assert isinstance(found.deployments, Untold)
