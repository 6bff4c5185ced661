import pytest

from kubectl_datasource.exits import Exit, Forbidden, NotFound, NotInstalled, Problem, Refused, Unreachable
from kubectl_datasource.kubectl import Kubectl, failure


@pytest.mark.parametrize(
    ("stderr", "means", "says"),
    [
        (
            'Error from server (NotFound): datasources.datasource.dev "x" not found\n',
            NotFound,
            'Datasources.datasource.dev "x" not found.',
        ),
        (
            'Error from server (Forbidden): secrets is forbidden: User "ada" cannot list resource "secrets"',
            Forbidden,
            'Secrets is forbidden: User "ada" cannot list resource "secrets".',
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
