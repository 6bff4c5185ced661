"""The bytes of an archive follow from what is in it."""

import io
import tarfile
import zipfile

import pytest

from release.archives import Member, members_of, tar, tar_gz, zipped

MEMBERS = {"b": Member(b"two"), "a/c": Member(b"one", is_program=True), "ü" * 120: Member(b"")}
EPOCH = 1_700_000_000


@pytest.mark.parametrize("pack", [tar, tar_gz])
def test_what_was_packed_is_found_again(pack: object) -> None:
    assert callable(pack)
    assert members_of(pack(MEMBERS, EPOCH)) == MEMBERS


@pytest.mark.parametrize("pack", [tar, tar_gz, zipped])
def test_order_of_what_is_packed_does_not_matter(pack: object) -> None:
    assert callable(pack)
    assert pack(MEMBERS, EPOCH) == pack(dict(reversed(MEMBERS.items())), EPOCH)


def test_programs_may_be_run_and_nobody_owns_anything() -> None:
    with tarfile.open(fileobj=io.BytesIO(tar_gz(MEMBERS, EPOCH))) as archive:
        entries = {each.name: each for each in archive}
    assert (entries["a/c"].mode, entries["b"].mode) == (0o755, 0o644)
    assert {(each.uid, each.gid, each.uname, each.mtime) for each in entries.values()} == {(0, 0, "", EPOCH)}


@pytest.mark.parametrize("epoch", [0, EPOCH])
def test_zip_holds_dates_that_it_can(epoch: int) -> None:
    with zipfile.ZipFile(io.BytesIO(zipped(MEMBERS, epoch))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {k: v.content for k, v in MEMBERS.items()}
