"""For how much of the time apps had a valid token."""

from datetime import UTC, datetime, timedelta

from tests.soak.valid_seconds import Mounted, ValidSeconds

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So long after the beginning."""
    return BEGIN + timedelta(seconds=seconds)


def token(name: str, until: float) -> Mounted:
    """One that runs out then."""
    return Mounted(name, at(until))


def expecting(until: float = 60) -> ValidSeconds:
    """One Datasource, whose first token runs out then."""
    seconds = ValidSeconds()
    seconds.expect("one", at(0), token("first", until))
    return seconds


def test_a_token_that_is_swapped_in_time_is_valid_all_the_time() -> None:
    seconds = expecting()
    seconds.looked(at(50), {"one": token("second", 110)})
    seconds.looked(at(100), {"one": token("second", 110)})
    assert (seconds.valid, seconds.expected, seconds.worst) == (100.0, 100.0, {})


def test_what_ran_out_counts_from_its_end_on_and_not_from_the_look_that_saw_it() -> None:
    seconds = expecting(until=60)
    seconds.looked(at(100), {"one": token("second", 200)})
    assert (seconds.valid, seconds.expected, seconds.worst) == (60.0, 100.0, {"one": 40.0})


def test_an_app_goes_on_with_its_token_while_nobody_can_be_asked() -> None:
    seconds = expecting(until=60)
    seconds.not_looked(at(30))
    seconds.not_looked(at(90))
    assert (seconds.valid, seconds.expected) == (60.0, 90.0)


def test_a_token_secret_that_is_gone_is_no_token() -> None:
    seconds = expecting()
    seconds.looked(at(10), {})
    seconds.looked(at(30), {})
    assert (seconds.valid, seconds.expected) == (10.0, 30.0)


def test_a_token_that_the_provider_refuses_is_not_valid_though_it_has_not_run_out() -> None:
    seconds = expecting()
    seconds.looked(at(10), {"one": token("first", 60)})
    seconds.refused("one", "first")
    seconds.looked(at(30), {"one": token("first", 60)})
    assert (seconds.valid, seconds.expected) == (10.0, 30.0)
    assert list(seconds.to_try(at(30))) == []


def test_a_refusal_of_a_token_that_was_swapped_meanwhile_says_nothing() -> None:
    seconds = expecting()
    seconds.looked(at(10), {"one": token("second", 100)})
    seconds.refused("one", "first")
    seconds.looked(at(30), {"one": token("second", 100)})
    assert seconds.share == 1.0


def test_nothing_is_expected_of_what_somebody_clears_until_a_new_credential_stands() -> None:
    seconds = expecting()
    seconds.withdraw("one", at(20))
    seconds.looked(at(1000), {})
    seconds.expect("one", at(1000), token("second", 1060))
    seconds.looked(at(1010), {"one": token("second", 1060)})
    assert (seconds.valid, seconds.expected) == (30.0, 30.0)


def test_withdrawing_what_was_never_expected_changes_nothing() -> None:
    seconds = ValidSeconds()
    seconds.withdraw("one", at(0))
    assert seconds.share == 1.0
    assert not seconds.is_expected("one")


def test_a_clock_that_is_set_back_takes_nothing_away() -> None:
    seconds = expecting()
    seconds.looked(at(-10), {"one": token("first", 60)})
    seconds.looked(at(10), {"one": token("first", 60)})
    assert 0 <= seconds.valid <= seconds.expected
