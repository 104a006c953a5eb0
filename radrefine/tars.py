"""Read tar archives in place, in constant memory however many members they have."""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from radrefine.errors import SourceError
from radrefine.members import (
    HeldBytes,
    Member,
    RangeLocator,
    Refusal,
    archive_stamp,
    checked,
    has_suffix,
    is_unsafe,
    printable,
)

# A tar may announce names of any length, which tarfile would read into memory at once.
_MAX_TAR_NAME: Final = 1 << 20
_TAR_BLOCK: Final = 512


class TarSource:
    """An uncompressed tar; workers read the members by offset."""

    def __init__(self, path: Path, max_bytes: int, suffixes: tuple[str, ...]) -> None:
        self.path = path
        self._max_bytes, self._suffixes = max_bytes, suffixes

    def members(self) -> Iterator[Member | Refusal]:
        """Yield the image files in the order of the archive."""
        stamp = archive_stamp(self.path)
        length = self.path.stat().st_size
        with self.path.open("rb") as file, _opened_tar(self.path, file, "r:") as tar:
            for found in _walk_tar(tar, self.path.name, self._suffixes):
                if isinstance(found, Refusal):
                    yield found
                elif found.offset_data + found.size > length:
                    yield Refusal(printable(found.name), "the archive ends inside it; get a whole copy", hides=True)
                else:
                    place = RangeLocator(str(self.path), found.offset_data, found.size)
                    yield checked(found.name, found.size, f"{stamp}:{found.offset_data}", place, self._max_bytes)
            file.seek(tar.offset)
            block = file.read(_TAR_BLOCK)
            if block.strip(b"\0") or len(block) < _TAR_BLOCK:
                reason = f"the archive is damaged or cut short at byte {tar.offset:,}; nothing after it was read"
                yield Refusal(self.path.name, reason, hides=True)

    def count(self) -> int | None:
        """Count the names of image files in the archive."""
        return sum(isinstance(member, Member) for member in self.members())


class GzipTarSource:
    """A compressed tar, read once from beginning to end."""

    def __init__(self, path: Path, max_bytes: int, suffixes: tuple[str, ...]) -> None:
        self.path = path
        self._max_bytes, self._suffixes = max_bytes, suffixes

    def members(self) -> Iterator[Member | Refusal]:
        """Yield the image files in the order of the archive, with their bytes."""
        stamp = archive_stamp(self.path)
        try:
            with gzip.open(self.path) as plain, _opened_tar(self.path, plain, "r|") as tar:
                for found in _walk_tar(tar, self.path.name, self._suffixes):
                    if isinstance(found, Refusal):
                        yield found
                        continue
                    member = checked(
                        found.name, found.size, f"{stamp}:{found.offset_data}", HeldBytes(b""), self._max_bytes
                    )
                    content = tar.extractfile(found) if isinstance(member, Member) else None
                    if isinstance(member, Member) and content is not None:
                        member = member._replace(locator=HeldBytes(content.read()))
                    yield member
        except (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError) as error:
            yield _cut_short(self.path.name, error)

    def count(self) -> int | None:
        """Return None: counting would decompress the whole archive."""
        return None


class _BoundedTarInfo(tarfile.TarInfo):
    """A tar header whose extended forms may not ask for much memory."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        extended = not (self.isreg() or self.isdir() or self.islnk() or self.issym() or self.isdev())
        if extended and self.size > _MAX_TAR_NAME:
            raise tarfile.ReadError(f"an extended header of {self.size:,} bytes")
        return super()._proc_member(tar)  # type: ignore[misc]


def _opened_tar(path: Path, file: BinaryIO | gzip.GzipFile, mode: str) -> tarfile.TarFile:
    try:
        return tarfile.open(  # type: ignore[call-overload]
            fileobj=file, mode=mode, tarinfo=_BoundedTarInfo, encoding="utf-8"
        )
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"{path} is not a tar archive ({error}); get a whole copy of it") from None


def _cut_short(archive: str, error: Exception) -> Refusal:
    return Refusal(archive, f"the archive is damaged or cut short ({error}); nothing after it was read", hides=True)


def _walk_tar(tar: tarfile.TarFile, archive: str, suffixes: tuple[str, ...]) -> Iterator[tarfile.TarInfo | Refusal]:
    """Yield the regular image files and what is refused, in constant memory."""
    while True:
        try:
            item = tar.next()
        except (tarfile.TarError, ValueError, OverflowError) as error:  # the latter two from sizes that cannot be
            yield _cut_short(archive, error)
            return
        if item is None:
            return
        tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps every header it has seen
        if item.isdir():
            continue
        if item.issparse():
            yield Refusal(printable(item.name), "a sparse file; expected a plain one")
        elif not item.isreg():
            yield Refusal(printable(item.name), "a link or device; expected a regular file")
        elif is_unsafe(item.name) or has_suffix(item.name, suffixes):
            yield item
