"""Failures that flow records tell of: the news among them, one for each Datasource that there is."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
import pytest

from datasource.api.names import uid_digest
from datasource.api.objects import FAILED, LastAuthorization, Status
from datasource.records.flow import FailedFlow
from datasource_operator.cache import Cache, Key
from datasource_operator.failed_authorizations import FailedAuthorizations
from tests.support.builders import NAME, NAMESPACE, NOW, UID, datasource

KEY = Key(NAMESPACE, NAME)


def failed(ended_at: datetime = NOW, uid: str = UID, name: str = NAME) -> FailedFlow:
    return FailedFlow(NAMESPACE, name, uid_digest(uid), ended_at, "Consent was denied.")


@dataclass
class Bench:
    """One Datasource, and who is to look at it again."""

    last: LastAuthorization | None = None
    again: list[Key] = field(default_factory=list)
    known: FailedAuthorizations = field(init=False)

    def __post_init__(self) -> None:
        cache = Cache()
        status = Status(last_authorization=self.last)
        cache.store_datasource(msgspec.structs.replace(datasource(), status=status))
        self.known = FailedAuthorizations(cache, lambda: NOW, self.again.append)


def at(moment: str) -> LastAuthorization:
    return LastAuthorization(moment, FAILED, "Earlier.")


def test_news_is_remembered_and_looked_at_once_however_often_it_is_heard() -> None:
    bench = Bench(at("2026-07-01T11:00:00Z"))
    for _ in range(3):
        bench.known.hear(failed())
    assert bench.again == [KEY]
    assert bench.known.of(KEY) == LastAuthorization("2026-07-01T12:00:00Z", FAILED, "Consent was denied.")


def test_of_several_the_latest_counts() -> None:
    bench = Bench()
    for minutes in (3, 1, 2):
        bench.known.hear(failed(NOW - timedelta(minutes=minutes)))
    last = bench.known.of(KEY)
    assert last is not None
    assert last.time == "2026-07-01T11:59:00Z"
    assert len(bench.again) == 2


@pytest.mark.parametrize(
    ("stands", "flow"),
    [
        pytest.param(at("2026-07-01T12:00:00Z"), failed(), id="stands in the status, as after a restart"),
        pytest.param(at("2026-07-01T12:30:00Z"), failed(), id="something newer stands there"),
        pytest.param(None, failed(uid="another"), id="of an earlier Datasource of that name"),
        pytest.param(None, failed(name="nobody"), id="of no Datasource"),
        pytest.param(None, failed(NOW + timedelta(seconds=1)), id="of the future"),
    ],
)
def test_what_is_no_news_is_not_looked_at(stands: LastAuthorization | None, flow: FailedFlow) -> None:
    bench = Bench(stands)
    bench.known.hear(flow)
    assert bench.again == []
    assert bench.known.of(KEY) is None


def test_what_is_gone_is_forgotten() -> None:
    bench = Bench()
    bench.known.hear(failed())
    bench.known.forget(KEY)
    assert bench.known.of(KEY) is None
