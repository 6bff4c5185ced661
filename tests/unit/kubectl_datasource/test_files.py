import os
import stat
from pathlib import Path

import pytest

from kubectl_datasource.exits import Exit, Misused
from kubectl_datasource.files import write_private


def test_file_is_for_its_owner_only_even_where_another_was_there(tmp_path: Path) -> None:
    path = tmp_path / "backup.yaml"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["backup.yaml"]


def test_link_is_replaced_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("untouched")
    path = tmp_path / "backup.yaml"
    path.symlink_to(elsewhere)
    write_private(path, "new")
    assert elsewhere.read_text() == "untouched"
    assert not path.is_symlink()


def test_folder_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(Misused, match="cannot be written") as raised:
        write_private(tmp_path / "missing" / "backup.yaml", "new")
    assert raised.value.exit is Exit.USAGE


def test_nothing_is_left_behind_where_the_name_is_taken_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "backup.yaml" / "inside").mkdir(parents=True)
    with pytest.raises(Misused):
        write_private(tmp_path / "backup.yaml", "sentinel")
    assert os.listdir(tmp_path) == ["backup.yaml"]
