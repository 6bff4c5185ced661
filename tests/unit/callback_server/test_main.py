"""The entry point: the program is imported while the collector rests, and runs while it does not."""

import gc

import pytest

from callback_server import program
from callback_server.__main__ import main


def test_program_runs_with_the_collector_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(program, "main", lambda: seen.append(gc.isenabled()))
    main()
    assert seen == [True]
