import json

import pytest

from kubectl_datasource.exits import Exit, Forbidden, NotFound, NotInstalled, Problem, Refused, Unreachable
from kubectl_datasource.kubectl import Kubectl, failure
from tests.unit.kubectl_datasource.fake_cluster import Cluster

GONE = 'Error from server (NotFound): datasources.datasource.dev "x" not found'


@pytest.mark.parametrize(
    ("stderr", "means", "says"),
    [
        (
            'Error from server (NotFound): datasources.datasource.dev "x" not found\n',
            NotFound,
            'datasources.datasource.dev "x" not found.',
        ),
        (
            'Error from server (Forbidden): secrets is forbidden: User "ada" cannot list resource "secrets"',
            Forbidden,
            'secrets is forbidden: User "ada" cannot list resource "secrets".',
        ),
        ("Error from server (Invalid): it is too long.", Refused, "It is too long."),
        (
            'error: the server doesn\'t have a resource type "datasources"',
            NotInstalled,
            "This cluster does not know Datasources.",
        ),
        (
            'error: the server doesn\'t have a resource type "leases"',
            Refused,
            'Error: the server doesn\'t have a resource type "leases".',
        ),
        (
            'E1124 21:39:15.173430 22187 memcache.go:265] "Unhandled Error"\nThe connection was refused',
            Unreachable,
            "The cluster cannot be asked. kubectl says: The connection was refused",
        ),
        (
            "error: You must be logged in to the server (Unauthorized)",
            Unreachable,
            "The cluster cannot be asked. kubectl says: error: You must be logged in to the server (Unauthorized)",
        ),
        (
            "Error from server (ServiceUnavailable): try later",
            Unreachable,
            "The cluster cannot be asked. kubectl says: Error from server (ServiceUnavailable): try later",
        ),
        ("", Unreachable, "The cluster cannot be asked. kubectl says: nothing"),
    ],
)
def test_complaints_of_kubectl_are_told_apart(stderr: str, means: type[Problem], says: str) -> None:
    problem = failure(stderr)
    assert type(problem) is means
    assert problem.what == says


def test_only_an_answer_counts_as_one() -> None:
    assert failure("Error from server (Conflict): changed").exit is Exit.NOT_AS_WANTED
    assert failure("dial tcp: i/o timeout").exit is Exit.UNREACHABLE


def test_flags_choose_what_the_user_chose_and_leave_the_rest_to_the_kubeconfig() -> None:
    assert Kubectl().flags == Kubectl().scope == ()
    chosen = Kubectl(context="c", kubeconfig="/k", namespace="shop")
    assert chosen.flags == ("--context=c", "--kubeconfig=/k")
    assert chosen.scope == ("--namespace=shop",)
    assert Kubectl(namespace="shop", all_namespaces=True).scope == ("--all-namespaces",)


def test_missing_kubectl_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Unreachable, match="not on PATH"):
        Kubectl().datasources()


def test_the_same_complaint_about_many_objects_is_said_once() -> None:
    one = (
        'Error from server (Forbidden): error when creating "STDIN": subjectaccessreviews.authorization.k8s.io is forbidden: '
        'User "ada" cannot create resource\n'
    )
    problem = failure(one * 26)
    assert isinstance(problem, Forbidden)
    assert problem.what == (
        'subjectaccessreviews.authorization.k8s.io is forbidden: User "ada" cannot create resource. '
        "25 more have the same error."
    )
    assert failure(f"Warning: x is deprecated\n{one}").what.startswith("subjectaccessreviews")


def test_a_complaint_of_several_lines_stays_whole_on_one_line() -> None:
    said = "Error from server (Invalid): admission webhook denied the request:\n* first\n* second"
    assert failure(said).what == "Admission webhook denied the request: first; second."


@pytest.mark.parametrize(
    "before",
    [
        'error when creating "STDIN": ',
        'error when retrieving current configuration of:\nResource: "r"\nName: "x"\nfrom server for: "STDIN": ',
        'error when applying patch:\n{"spec":{}}\nto:\nResource: "r"\nfor: "STDIN": error when patching "STDIN": ',
    ],
)
def test_what_kubectl_was_doing_with_an_object_is_left_out(before: str) -> None:
    problem = failure(f'Error from server (Forbidden): {before}datasources.datasource.dev "x" is forbidden: no right')
    assert isinstance(problem, Forbidden)
    assert problem.what == 'datasources.datasource.dev "x" is forbidden: no right.'


def test_group_without_a_user_is_wrong_usage() -> None:
    problem = failure("error: requesting uid, groups or user-extra for  without impersonating a user")
    assert (problem.exit, problem.remedy) == (Exit.USAGE, "Add --as USER.")


def test_object_that_validation_refuses_is_an_answer_of_the_cluster() -> None:
    problem = failure('The Datasource "x" is invalid: \n* spec.url: Invalid value: "a"\n* spec.oauth2: too long')
    assert (type(problem), problem.exit) == (Refused, Exit.NOT_AS_WANTED)
    assert problem.what == 'The Datasource "x" is invalid: spec.url: Invalid value: "a"; spec.oauth2: too long.'


def test_field_to_sort_by_that_there_is_not_is_wrong_usage() -> None:
    problem = failure('error: couldn\'t find any field with path "{.foo}" in the list of objects')
    assert problem.exit is Exit.USAGE


@pytest.mark.parametrize(
    "advice", ["", "; if you choose to ignore these errors, turn validation off with --validate=false"]
)
def test_schema_that_cannot_be_read_is_a_cluster_that_cannot_be_asked(advice: str) -> None:
    problem = failure(
        'error: error validating "STDIN": error validating data: failed to download openapi: connection refused'
        + advice
    )
    assert isinstance(problem, Unreachable)
    assert (
        problem.what
        == "The cluster cannot be asked. kubectl says: error: failed to download openapi: connection refused"
    )


def test_who_asks_and_where_is_chosen_as_with_kubectl() -> None:
    chosen = Kubectl("c", "/k", "shop", cluster="one", user="ada", as_user="bob", as_group=("dev", "ops"))
    assert chosen.flags == (
        "--context=c",
        "--kubeconfig=/k",
        "--cluster=one",
        "--user=ada",
        "--as=bob",
        "--as-group=dev",
        "--as-group=ops",
    )
    assert chosen.at("bank").scope == ("--namespace=bank",)


def test_request_timeout_is_that_of_the_user(cluster: Cluster) -> None:
    cluster.says("version", "{}")
    Kubectl(request_timeout=7).run("version")
    Kubectl().run("version")
    assert [each.rpartition(" ")[2] for each in cluster.asked] == ["--request-timeout=7s", "--request-timeout=20s"]


def test_datasource_that_is_not_there_is_named_with_its_namespace(cluster: Cluster) -> None:
    for verb in ("get", "patch", "annotate"):
        cluster.refuses(verb, GONE)
    with pytest.raises(NotFound, match="There is no Datasource x in namespace shop"):
        Kubectl(namespace="shop").datasource("x")
    for act in (Kubectl().datasource, Kubectl().suspend, lambda name: Kubectl().annotate(name, "a", "b")):
        with pytest.raises(NotFound, match="There is no Datasource x in the namespace of your context") as caught:
            act("x")
        assert "kubectl datasource list -A" in caught.value.remedy


def test_a_watch_tells_one_event_after_another(cluster: Cluster) -> None:
    first, second = ({"type": kind, "object": {"metadata": {"name": "x}\n}"}}} for kind in ("ADDED", "MODIFIED"))
    cluster.says("--watch", f"{json.dumps(first, indent=4)}\n{json.dumps(second, indent=4)}\n")
    assert list(Kubectl().watched("dsrc")) == [first, second]
    assert "--request-timeout" not in cluster.asked[0], "a watch goes on"


def test_lines_that_end_with_a_complaint_say_so(cluster: Cluster) -> None:
    cluster.refuses("logs", 'Error from server (Forbidden): pods is forbidden: User "ada" cannot list resource "pods"')
    with pytest.raises(Forbidden, match="pods is forbidden"):
        list(Kubectl().lines("logs"))


def test_whoever_has_read_enough_ends_kubectl(cluster: Cluster) -> None:
    cluster.says("logs", "one\ntwo\n")
    for line in Kubectl().lines("logs"):
        assert line == "one\n"
        break


def test_without_kubectl_lines_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unreachable, match="not on PATH"):
        list(Kubectl().lines("logs"))
