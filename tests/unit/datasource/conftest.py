"""What every test of the domain stands on."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.hostile_provider import self_signed

# No deadline: a busy machine is no failure. No database: it would leave a folder where the tests were started.
settings.register_profile("domain", max_examples=50, deadline=None, database=None, print_blob=True)
settings.load_profile("domain")

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(scope="session")
def only_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one certificate that is trusted by default: nobody shows it."""
    return self_signed("authority.example.com").write_into(tmp_path_factory.mktemp("authority"))[0]


@pytest.fixture(autouse=True)
def nothing_from_outside(only_authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies and authorities of the machine that runs the tests would come between a client and its loopback server.

    One authority also loads a hundred times faster than those of a whole machine.
    """
    for name in _PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(only_authority))
