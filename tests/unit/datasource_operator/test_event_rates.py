"""How many Events are let through about whom."""

from datasource_operator.event_rates import (
    NORMAL_AT_ONCE,
    WARNINGS_AT_ONCE,
    WARNINGS_OF_AN_OBJECT_AT_ONCE,
    EventRates,
)


def test_one_namespace_has_so_many_normal_events_at_once() -> None:
    rates = EventRates()
    assert sum(rates.admits_normal("shop", 0.0) for _ in range(500)) == NORMAL_AT_ONCE


def test_many_namespaces_have_one_each_and_a_few_more_in_all() -> None:
    rates = EventRates()
    passed = [name for name in range(300) for _ in range(10) if rates.admits_normal(f"n{name}", 0.0)]
    assert len(set(passed)) == 300
    assert len(passed) == 300 + NORMAL_AT_ONCE


def test_one_object_has_so_many_warnings_at_once_and_one_a_minute_after() -> None:
    rates = EventRates()
    passed = sum(rates.admits_warning("shop", "one", float(second)) for second in range(600))
    assert passed == WARNINGS_OF_AN_OBJECT_AT_ONCE + 9


def test_many_objects_of_a_namespace_have_one_warning_each_and_a_few_more_in_all() -> None:
    rates = EventRates()
    passed = [uid for uid in range(300) for _ in range(5) if rates.admits_warning("shop", str(uid), 0.0)]
    assert len(set(passed)) == 300
    assert len(passed) == 300 + WARNINGS_AT_ONCE
    assert rates.admits_warning("victim", "its", 0.0)
