"""How near to the raw driver the CPU of an object lets our process come."""

import pytest

from bench.limit import DRIVER, Spent, attainable

BEFORE = Spent(100.0, {"etcd": 10.0, DRIVER: 5.0})
AFTER = Spent(160.0, {"etcd": 24.0, DRIVER: 11.0})


def test_what_was_spent_since_a_moment_is_shared_by_the_objects() -> None:
    each = (AFTER - BEFORE) / 4
    assert each.machine == pytest.approx(15.0)
    assert each.by_process == pytest.approx({"etcd": 3.5, DRIVER: 1.5})


def test_who_costs_no_more_than_the_raw_driver_can_be_as_fast() -> None:
    raw = Spent(20.0, {"etcd": 5.0, DRIVER: 2.0})
    ours = Spent(33.0, {"etcd": 9.0, DRIVER: 0.5})
    assert attainable(raw, ours, process=1.5) == pytest.approx(1.0)


def test_only_our_process_and_the_bench_count() -> None:
    raw = Spent(20.0, {"etcd": 5.0, DRIVER: 2.0})
    ours = Spent(99.0, {"etcd": 50.0, DRIVER: 2.0})
    assert attainable(raw, ours, process=20.0) == pytest.approx(0.5)
