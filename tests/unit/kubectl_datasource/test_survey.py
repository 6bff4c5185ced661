"""What `doctor` says of a URL that it could not read, and that it connects to none that a Datasource names."""

import socket
import ssl
from urllib.error import URLError

import pytest

from kubectl_datasource.kubectl import Kubectl
from kubectl_datasource.survey import survey, why_not_connected
from tests.unit.kubectl_datasource.fake_cluster import Cluster, datasource, listing

URL = "https://connect.example.com"


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed (_ssl.c:1006)")
    error.verify_code = 20
    return error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (URLError(socket.gaierror(-2, "Name or service not known")), "its name has no address (DNS)"),
        (URLError(ConnectionRefusedError(111, "Connection refused")), "it refuses the connection"),
        (URLError(TimeoutError("timed out")), "it does not answer"),
        (URLError(untrusted()), "not trusted here"),
        (ConnectionResetError(104, "Connection reset by peer"), "it closes the connection"),
        (ValueError("unknown url type"), "cannot be asked for"),
    ],
)
def test_why_a_url_was_not_read_is_said_in_words(error: Exception, says: str) -> None:
    said = why_not_connected(URL, error)
    assert said.startswith(URL)
    assert says in said
    assert "Errno" not in said
    assert "_ssl" not in said


def test_a_datasource_has_the_machine_of_whoever_runs_doctor_connect_nowhere(cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        place = f"http://127.0.0.1:{listening.getsockname()[1]}"
        mean = datasource()
        mean["spec"]["oauth2"] |= {"tokenURL": f"{place}/token", "issuer": place, "authorizeURL": f"{place}/a"}
        cluster.says("get datasources.datasource.dev", listing(mean))
        cluster.says("version", {"serverVersion": {"gitVersion": "v1.36.3"}})
        found = survey(Kubectl(all_namespaces=True), "datasource-system", "0.1.0", None, lambda _: None)
        assert found.datasources
        with pytest.raises(BlockingIOError):
            listening.accept()
