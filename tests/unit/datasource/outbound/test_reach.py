"""What people read of a provider that cannot be reached: what it is, and what to do; no errno, no address, no class name."""

import errno
import re
import ssl

import pytest

from datasource.outbound.reach import Hindrance, Obstacle, Stage, hindrance

HOST = "login.example.com"


def untrusted(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed (_ssl.c:1006)")
    error.verify_code = code
    return error


def tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] (_ssl.c:1006)")
    error.reason = reason
    return error


def because(*causes: BaseException) -> BaseException:
    """An error that was raised from another, that from the next, and so on."""
    first = RuntimeError("what a library says")
    last: BaseException = first
    for cause in causes:
        last.__cause__ = cause
        last = cause
    return first


def several(*errors: Exception) -> BaseException:
    return because(OSError("All connection attempts failed"), ExceptionGroup("several", list(errors)))


CASES = [
    (Stage.NAME, because(), False, Obstacle.NAME_NOT_RESOLVED, "its name has no address (DNS)"),
    (Stage.NAME, because(), True, Obstacle.NAME_NOT_RESOLVED, "no name server answered in time (DNS)"),
    (Stage.CONNECTION, because(), True, Obstacle.NOT_CONNECTED, "NetworkPolicy"),
    (Stage.CONNECTION, because(), False, Obstacle.NOT_CONNECTED, "it closes the connection"),
    (
        Stage.CONNECTION,
        because(OSError(), ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")),
        False,
        Obstacle.NOT_CONNECTED,
        "it refuses the connection",
    ),
    (
        Stage.CONNECTION,
        several(OSError(errno.EBADF, "x"), OSError(errno.ENETUNREACH, "Network is unreachable")),
        False,
        Obstacle.NOT_CONNECTED,
        "no route leads to it",
    ),
    (
        Stage.CONNECTION,
        because(PermissionError(errno.EPERM, "Operation not permitted")),
        False,
        Obstacle.NOT_CONNECTED,
        "a policy of the node",
    ),
    (Stage.TLS, because(), True, Obstacle.TLS_FAILED, "says nothing (TLS)"),
    (Stage.TLS, because(), False, Obstacle.TLS_FAILED, "closes the connection during the TLS handshake"),
    (Stage.TLS, because(untrusted(20)), False, Obstacle.TLS_FAILED, "caBundle"),
    (Stage.TLS, because(untrusted(10)), False, Obstacle.TLS_FAILED, "has expired"),
    (Stage.TLS, because(untrusted(9)), False, Obstacle.TLS_FAILED, "clock"),
    (Stage.TLS, because(untrusted(62)), False, Obstacle.TLS_FAILED, "for another name"),
    (Stage.TLS, because(untrusted(7)), False, Obstacle.TLS_FAILED, "is not valid"),
    (Stage.TLS, because(tls("WRONG_VERSION_NUMBER")), False, Obstacle.TLS_FAILED, "does not speak TLS there"),
    (Stage.TLS, because(tls("TLSV1_ALERT_PROTOCOL_VERSION")), False, Obstacle.TLS_FAILED, "too old"),
    (Stage.PROXY, because(), True, Obstacle.PROXY_FAILED, "the proxy does not answer"),
    (Stage.PROXY, because(), False, Obstacle.PROXY_FAILED, "HTTPS_PROXY"),
    (Stage.PROXY, RuntimeError("403 Forbidden"), False, Obstacle.PROXY_FAILED, "the proxy answers 403"),
]


@pytest.mark.parametrize(("stage", "error", "is_timeout", "obstacle", "words"), CASES)
def test_each_hindrance_is_named_in_words(
    stage: Stage, error: BaseException, is_timeout: bool, obstacle: Obstacle, words: str
) -> None:
    found = hindrance(error, stage, is_timeout=is_timeout)
    told = found.about(HOST, "the token endpoint")
    assert found.obstacle is obstacle
    assert words in told
    assert told.startswith(f"The operator cannot reach the token endpoint at {HOST}: ")
    assert re.search(r"Errno|_ssl|\[SSL|Error\b|what a library says", told) is None


def test_every_obstacle_of_connecting_has_words() -> None:
    told = {obstacle for *_, obstacle, _ in CASES}
    assert told == set(Obstacle) - {Obstacle.EGRESS_DENIED, Obstacle.METADATA_UNREADABLE}


def test_errors_that_caused_each_other_are_looked_at_once() -> None:
    first, second = OSError(errno.EBADF, "x"), OSError(errno.EBADF, "y")
    first.__cause__, second.__cause__ = second, first
    assert isinstance(hindrance(first, Stage.CONNECTION, is_timeout=False), Hindrance)
