"""What every test of the operator stands on."""

import pytest
from hypothesis import settings

# No deadline: a busy machine is no failure. No database: it would leave a folder where the tests were started.
settings.register_profile("operator", deadline=None, database=None, print_blob=True)
settings.load_profile("operator")

_FROM_OUTSIDE = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC")


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies and certificates of the machine that runs the tests would come between a client and its loopback server."""
    for name in _FROM_OUTSIDE:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
