"""What `make adversary` measures, and when it is as wanted."""

import math

import msgspec
import pytest

from tests.adversary.figures import Figures, missed, percentile_99, table
from tests.adversary.parameters import LIFETIME, Parameters
from tests.adversary.victim import late_refreshes, seconds_dead

GOOD = Figures(
    refreshes_late=0,
    dead_token_seconds=0.0,
    authorizations=100,
    authorize_p99_seconds=1.5,
    peak_mib={"operator": 120.0, "callback_server": 110.0},
    longest_stall_ms=40.0,
    restarts=0,
)


def test_nothing_is_missed_where_all_is_as_wanted() -> None:
    assert missed(GOOD, seconds=300) == []
    assert "NOT MET" not in table(GOOD, GOOD, seconds=300)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"refreshes_late": 1}, "refreshes_late"),
        ({"dead_token_seconds": 0.1}, "dead_token_seconds"),
        ({"authorizations": 19}, "authorizations"),
        ({"authorize_p99_seconds": 5.1}, "authorize_p99_seconds"),
        ({"authorize_p99_seconds": math.inf}, "authorize_p99_seconds"),
        ({"peak_mib": {"operator": 513.0, "callback_server": 1.0}}, "peak_mib.operator"),
        ({"peak_mib": {"operator": 1.0, "callback_server": 257.0}}, "peak_mib.callback_server"),
        ({"longest_stall_ms": 251.0}, "longest_stall_ms"),
        ({"restarts": 1}, "restarts"),
    ],
    ids=str,
)
def test_each_figure_can_be_missed(change: dict[str, object], name: str) -> None:
    bad = msgspec.structs.replace(GOOD, **change)
    (told,) = missed(bad, seconds=300)
    assert told.startswith(f"{name} is ")
    (line,) = [line for line in table(bad, None, seconds=300).splitlines() if "NOT MET" in line]
    assert line.startswith(name)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [([], math.inf), ([3.0], 3.0), ([1.0] * 98 + [9.0, 30.0], 9.0), ([1.0] * 50 + [30.0], 30.0)],
    ids=["nobody came", "one", "a hundred", "few: the worst"],
)
def test_the_99th_percentile_is_one_that_somebody_waited(samples: list[float], expected: float) -> None:
    assert percentile_99(samples) == expected


@pytest.mark.parametrize(
    ("moments", "late"),
    [
        pytest.param([0, 40, 80, 120], 0, id="each as it was due"),
        pytest.param([0, 46, 86, 126], 1, id="one late"),
        pytest.param([0, 40, 80], 1, id="the last never came"),
        pytest.param([-100, 0, 40, 80, 120], 0, id="late before it was measured"),
    ],
)
def test_refreshes_that_come_late_or_never_are_counted(moments: list[float], late: int) -> None:
    issued = {"family": {str(number): float(moment) for number, moment in enumerate(moments)}}
    assert late_refreshes(issued, {"family"}, since=1.0, now=130.0) == late


@pytest.mark.parametrize(
    ("held", "dead"),
    [
        pytest.param("family.1.aaa", 0.0, id="alive"),
        pytest.param("family.0.aaa", 5.0, id="ran out"),
        pytest.param(None, 10.0, id="missing"),
        pytest.param("family.7.aaa", 10.0, id="never issued"),
    ],
)
def test_a_dead_token_is_one_that_its_provider_does_not_take(held: str | None, dead: float) -> None:
    now = 1000.0
    issued = {"family": {"0": now - 5 - LIFETIME, "1": now - 5}}
    assert seconds_dead(held, issued, since=now - 10, now=now) == dead


def test_parameters_are_read_from_the_environment() -> None:
    read = Parameters.of({"ADVERSARY_SECONDS": "7", "ADVERSARY_SEED": "3", "SECONDS": "9"})
    assert (read.seconds, read.seed, read.junk) == (7, 3, Parameters().junk)
    assert read.told()["seconds"] == 7
    assert "folder" not in read.told()


def test_a_parameter_that_is_no_number_is_named() -> None:
    with pytest.raises(SystemExit, match="ADVERSARY_SECONDS must be a number, such as 300; it is 'long'"):
        Parameters.of({"ADVERSARY_SECONDS": "long"})
