"""The last line of `make test` hides nothing."""

import pytest

from deploy.local.node import needs


@pytest.mark.parametrize(
    ("obstacle", "line"),
    [
        (None, "Everything passed."),
        (
            "namespaces and mounts take root",
            "Everything passed but the tests in pods, which were not run: namespaces and mounts take root",
        ),
    ],
)
def test_last_line_names_what_this_machine_could_not_run(
    obstacle: str | None, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(needs, "obstacle", lambda: obstacle)
    monkeypatch.setattr("sys.argv", ["needs", "conclusion"])
    needs.main()
    assert capsys.readouterr().out == f"{line}\n"
