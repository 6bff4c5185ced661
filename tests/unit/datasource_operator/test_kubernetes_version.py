"""The version of the cluster: what is too old ends the operator, what cannot be read does not."""

import pytest

from datasource_operator.kubernetes_version import ClusterTooOld, require_supported_cluster
from tests.unit.datasource.api_server import ApiServer, Reply, cuts, fails, json_reply


async def ask(reply: Reply) -> None:
    async with ApiServer(reply) as server, server.kube() as kube:
        await require_supported_cluster(kube)


def version(major: str, minor: str) -> Reply:
    return json_reply({"major": major, "minor": minor, "gitVersion": f"v{major}.{minor}.0", "platform": "linux/amd64"})


@pytest.mark.parametrize(("major", "minor"), [("1", "30"), ("1", "30+"), ("1", "9"), ("0", "99")])
async def test_older_cluster_ends_the_operator_and_says_which(major: str, minor: str) -> None:
    with pytest.raises(ClusterTooOld, match=rf"Kubernetes v{major}\.{minor}".replace("+", r"\+")) as error:
        await ask(version(major, minor))
    assert "1.31 or newer is needed" in str(error.value)


@pytest.mark.parametrize(("major", "minor"), [("1", "31"), ("1", "31+"), ("1", "100"), ("2", "0")])
async def test_newer_cluster_is_fine(major: str, minor: str) -> None:
    await ask(version(major, minor))


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(version("", ""), id="empty"),
        pytest.param(version("one", "x"), id="no numbers"),
        pytest.param(json_reply({}), id="nothing"),
        pytest.param(json_reply([]), id="something else"),
        pytest.param(fails(403, "Forbidden"), id="forbidden"),
        pytest.param(cuts(), id="no answer"),
    ],
)
async def test_version_that_cannot_be_read_ends_nothing(reply: Reply) -> None:
    await ask(reply)
