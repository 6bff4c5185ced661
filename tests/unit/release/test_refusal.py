"""What a person reads where nothing is released."""

import pytest

from release.refusal import Refused, refusals


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Refused("No key."), "No key."),
        (PermissionError(13, "Permission denied", "/x/dist"), "/x/dist: Permission denied. Nothing was released."),
        (OSError(28, "No space left on device", "a"), "a: No space left on device. Nothing was released."),
    ],
)
def test_refusal_is_one_sentence(error: Exception, said: str) -> None:
    with pytest.raises(SystemExit) as ended, refusals():
        raise error
    assert ended.value.code == said


@pytest.mark.parametrize("error", [OSError("of no file"), ValueError("a mistake of ours")])
def test_what_is_no_refusal_stays_an_error(error: Exception) -> None:
    with pytest.raises(type(error)), refusals():
        raise error
