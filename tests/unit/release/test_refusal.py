"""What a person reads where nothing is released."""

import pytest

from release.refusal import Refused, named, refusals


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


@pytest.mark.parametrize(
    ("things", "said"),
    [
        (["a"], "1 file differs: a"),
        (["a", "b"], "2 files differ, a among them"),
        (["b"] * 21, "21 files differ, b among them"),
    ],
)
def test_one_thing_is_named_otherwise_than_many(things: list[str], said: str) -> None:
    assert named(things, "file differs", "files differ") == said


@pytest.mark.parametrize("error", [OSError("of no file"), ValueError("a mistake of ours")])
def test_what_is_no_refusal_stays_an_error(error: Exception) -> None:
    with pytest.raises(type(error)), refusals():
        raise error
