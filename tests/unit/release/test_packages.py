"""What the environment of a release may change; tests/release makes one."""

import pytest

from release.packages import environment


def test_what_would_change_a_package_is_left_out_and_the_rest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PYTHONOPTIMIZE", "PYTHONUTF8", "HATCH_BUILD_HOOKS_ENABLE", "PYINSTALLER_CONFIG_DIR"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example")
    told = environment(PYTHONHASHSEED="1")
    python = {name: value for name, value in told.items() if name.startswith(("PYTHON", "HATCH", "PYINSTALLER"))}
    assert python == {"PYTHONHASHSEED": "1", "PYTHONSAFEPATH": "1", "PYTHONUTF8": "1"}
    assert told["PIP_INDEX_URL"] == "https://packages.example"
