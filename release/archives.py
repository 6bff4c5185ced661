"""Archives whose bytes depend on what is in them, and on nothing else."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Member:
    """A file of an archive."""

    content: bytes
    is_program: bool = False

    @property
    def mode(self) -> int:
        """As chmod takes it."""
        return 0o755 if self.is_program else 0o644


def tar(members: Mapping[str, Member], epoch: int) -> bytes:
    """A tar archive."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, member in sorted(members.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(member.content), member.mode, epoch
            archive.addfile(entry, io.BytesIO(member.content))
    return written.getvalue()


def tar_gz(members: Mapping[str, Member], epoch: int) -> bytes:
    """The same, compressed. The header of gzip has a date, too."""
    return gzip.compress(tar(members, epoch), mtime=epoch)


def zipped(members: Mapping[str, Member], epoch: int) -> bytes:
    """A zip archive, for Windows."""
    # The format counts from 1980.
    date = datetime.fromtimestamp(max(epoch, 315532800), UTC).timetuple()[:6]
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in sorted(members.items()):
            entry = zipfile.ZipInfo(name, date)
            entry.external_attr, entry.compress_type = member.mode << 16, zipfile.ZIP_DEFLATED
            entry.create_system = 3  # modes are Unix'
            archive.writestr(entry, member.content)
    return written.getvalue()


def members_of(archive: bytes) -> dict[str, Member]:
    """The files of a tar archive, compressed or not."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        found = {}
        for entry in opened:
            content = opened.extractfile(entry) if entry.isreg() else None
            if content is not None:
                found[entry.name] = Member(content.read(), bool(entry.mode & 0o100))
    return found
