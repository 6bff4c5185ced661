"""What is typed, read: names, durations."""

import click
import pytest

from kubectl_datasource.options import DURATION, NAME, examples


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600), ("90s", 90), ("1h30m", 5400), ("600", 600), ("0", 0), ("1.5m", 90), ("0s", 0)]
)
def test_durations_are_those_of_kubectl_and_a_number_is_seconds(text: str, seconds: int) -> None:
    assert DURATION.convert(text, None, None) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0.5s", 1), ("0.000000001s", 1), ("1.2s", 2), ("1m0.1s", 61), ("0.0001h", 1), ("876000h", 3153600000)],
)
def test_part_of_a_second_is_a_whole_one_since_kubectl_takes_zero_for_never(text: str, seconds: int) -> None:
    assert DURATION.convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["876001h", "999999999h", "999999999h" * 99])
def test_duration_that_kubectl_cannot_count_is_too_long(text: str) -> None:
    with pytest.raises(click.BadParameter, match="too long: at most 876000h"):
        DURATION.convert(text, None, None)


@pytest.mark.parametrize("text", ["", "-1", "-5m", "10", "1d", "ten", "1e9h", "1h-5m", " 5m", "٣m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    if text == "10":
        assert DURATION.convert(text, None, None) == 10
        return
    with pytest.raises(click.BadParameter, match="10m"):
        DURATION.convert(text, None, None)


def test_a_name_is_never_an_option() -> None:
    with pytest.raises(click.BadParameter):
        NAME.convert("--all", None, None)


def test_the_end_of_a_help_text_shows_what_to_type() -> None:
    assert examples("kubectl datasource list").splitlines()[:3] == ["\b", "Examples:", "  kubectl datasource list"]
