"""Read collections in place: a folder, a tar, a compressed tar, a zip; nothing is unpacked to disk.

A source lists its members in a fixed order and hands out locators: small records with which a worker reads the bytes
by itself. Only a compressed tar, which can be read in one direction alone, carries the bytes along.
What could do harm is refused by name and the rest goes on: absolute paths, `..`, links, devices, sparse and
oversized members.
"""

import gzip
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from radrefine.errors import ImageError, SourceError
from radrefine.headers import SUFFIXES
from radrefine.members import (
    DEFAULT_MAX_BYTES,
    FileLocator,
    HeldBytes,
    Locator,
    Member,
    RangeLocator,
    Refusal,
    ZipLocator,
    has_suffix,
    read_bytes,
    safe_path,
)

__all__ = ["DEFAULT_MAX_BYTES", "HeldBytes", "Locator", "Member", "Refusal", "open_members", "read_bytes", "safe_path"]

# A tar may announce names of any length, which tarfile would read into memory at once.
_MAX_TAR_NAME: Final = 1 << 20
_TAR_BLOCK: Final = 512


class Source(Protocol):
    """A place that lists its image files in a fixed order."""

    path: Path

    def members(self) -> Iterator[Member | Refusal]:
        """Yield the image files and what is refused; other files are passed over."""

    def count(self) -> int | None:
        """Count the files with the name of an image; None where that would mean reading all of the source."""


def open_members(
    path: Path,
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
    follow_links: bool = False,
    suffixes: tuple[str, ...] = SUFFIXES,
) -> Source:
    """Open a folder, `.tar`, `.tar.gz`, `.tgz` or `.zip` as a list of image files.

    Args:
        path: The folder or archive.
        max_bytes: Size of one member above which it is refused.
        follow_links: Whether links inside a folder are read through; in archives they never are.
        suffixes: Endings of the names that count, in lower case.

    Raises:
        SourceError: It does not exist, or is not what its name says.
    """
    if path.is_dir():
        return FolderSource(path, max_bytes, suffixes, follow_links)
    if not path.exists():
        raise SourceError(f"there is no source at {path}; expected a folder, .tar, .tar.gz or .zip")
    name = path.name.lower()
    if name.endswith(".tar"):
        return TarSource(path, max_bytes, suffixes)
    if name.endswith((".tar.gz", ".tgz")):
        return GzipTarSource(path, max_bytes, suffixes)
    if name.endswith(".zip"):
        return ZipSource(path, max_bytes, suffixes)
    raise SourceError(f"{path} is no collection: expected a folder or an archive named .tar, .tar.gz, .tgz or .zip")


class FolderSource:
    """A folder, walked in the order of names."""

    def __init__(self, path: Path, max_bytes: int, suffixes: tuple[str, ...], follow_links: bool) -> None:
        self.path = path
        self._max_bytes, self._suffixes = max_bytes, suffixes
        self._follow = follow_links

    def members(self) -> Iterator[Member | Refusal]:
        """Yield the image files below the folder; hidden files and folders are passed over."""
        root = str(self.path)
        open_folders = [iter(_listed(root))]
        prefixes = [""]
        while open_folders:
            name = next(open_folders[-1], None)
            if name is None:
                open_folders.pop()
                prefixes.pop()
                continue
            path = prefixes[-1] + name
            found = self._look_at(path, f"{root}/{path}")
            if isinstance(found, list):
                open_folders.append(iter(found))
                prefixes.append(path + "/")
            elif found is not None:
                yield found

    def _look_at(self, path: str, full: str) -> Member | Refusal | list[str] | None:
        try:
            status = os.stat(full, follow_symlinks=self._follow)  # noqa: PTH116 - a Path for each of a million files is slow
            if stat.S_ISDIR(status.st_mode):
                return _listed(full)
        except OSError as error:
            return Refusal(_printable(path), f"cannot be read: {error.strerror}")
        if stat.S_ISLNK(status.st_mode):
            return Refusal(_printable(path), "a link; name --follow-links to read through links")
        if not has_suffix(path, self._suffixes):
            return None
        if not stat.S_ISREG(status.st_mode):
            return Refusal(_printable(path), "not a regular file; expected an image file")
        stamp = f"{status.st_size}:{status.st_mtime_ns}"
        return _checked(path, status.st_size, stamp, FileLocator(full), self._max_bytes)

    def count(self) -> int | None:
        """Count the names of image files below the folder."""
        total = 0
        folders = [str(self.path)]
        while folders:
            try:
                with os.scandir(folders.pop()) as found:
                    for item in found:
                        if item.is_dir(follow_symlinks=self._follow) and not item.name.startswith("."):
                            folders.append(item.path)
                        elif has_suffix(item.name, self._suffixes):
                            total += 1
            except OSError:
                continue  # `members` names it
        return total


class TarSource:
    """An uncompressed tar; workers read the members by offset."""

    def __init__(self, path: Path, max_bytes: int, suffixes: tuple[str, ...]) -> None:
        self.path = path
        self._max_bytes, self._suffixes = max_bytes, suffixes

    def members(self) -> Iterator[Member | Refusal]:
        """Yield the image files in the order of the archive."""
        stamp = _archive_stamp(self.path)
        length = self.path.stat().st_size
        with self.path.open("rb") as file, _opened_tar(self.path, file, "r:") as tar:
            for found in _walk_tar(tar, self.path.name, self._suffixes):
                if isinstance(found, Refusal):
                    yield found
                elif found.offset_data + found.size > length:
                    yield Refusal(_printable(found.name), "the archive ends inside it; get a whole copy")
                else:
                    place = RangeLocator(str(self.path), found.offset_data, found.size)
                    yield _checked(found.name, found.size, f"{stamp}:{found.offset_data}", place, self._max_bytes)
            file.seek(tar.offset)
            block = file.read(_TAR_BLOCK)
            if block.strip(b"\0") or len(block) < _TAR_BLOCK:
                reason = f"the archive is damaged or cut short at byte {tar.offset:,}; nothing after it was read"
                yield Refusal(self.path.name, reason)

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
        stamp = _archive_stamp(self.path)
        try:
            with gzip.open(self.path) as plain, _opened_tar(self.path, plain, "r|") as tar:
                for found in _walk_tar(tar, self.path.name, self._suffixes):
                    if isinstance(found, Refusal):
                        yield found
                        continue
                    member = _checked(
                        found.name, found.size, f"{stamp}:{found.offset_data}", HeldBytes(b""), self._max_bytes
                    )
                    content = tar.extractfile(found) if isinstance(member, Member) else None
                    if isinstance(member, Member) and content is not None:
                        member = member._replace(locator=HeldBytes(content.read()))
                    yield member
        except (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError) as error:
            yield Refusal(self.path.name, f"the archive is damaged or cut short ({error}); nothing after it was read")

    def count(self) -> int | None:
        """Return None: counting would decompress the whole archive."""
        return None


class ZipSource:
    """A zip archive; workers read the members by offset."""

    def __init__(self, path: Path, max_bytes: int, suffixes: tuple[str, ...]) -> None:
        self.path = path
        self._max_bytes, self._suffixes = max_bytes, suffixes

    def members(self) -> Iterator[Member | Refusal]:
        """Yield the image files in the order of the archive's directory."""
        stamp = _archive_stamp(self.path)
        try:
            archive = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, NotImplementedError, struct.error) as error:
            raise SourceError(f"{self.path} is not a zip archive ({error}); get a whole copy of it") from None
        with archive:
            for item in archive.infolist():
                found = self._look_at(item, stamp)
                if found is not None:
                    yield found

    def _look_at(self, item: zipfile.ZipInfo, stamp: str) -> Member | Refusal | None:
        name = item.orig_filename
        mode = item.external_attr >> 16
        if name.endswith("/"):
            return None
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            return Refusal(_printable(name), "a link or device; expected a regular file")
        if _is_unsafe(name) is None and not has_suffix(name, self._suffixes):
            return None
        if item.flag_bits & 0x1:
            return Refusal(_printable(name), "encrypted; unpack the archive with its password first")
        if item.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return Refusal(_printable(name), f"packed by method {item.compress_type}; expected stored or deflated")
        place = ZipLocator(
            str(self.path), item.header_offset, item.compress_size, item.file_size, item.compress_type, item.CRC
        )
        return _checked(name, item.file_size, f"{stamp}:{item.header_offset}", place, self._max_bytes)

    def count(self) -> int | None:
        """Count the names of image files in the archive."""
        return sum(isinstance(member, Member) for member in self.members())


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


def _walk_tar(tar: tarfile.TarFile, archive: str, suffixes: tuple[str, ...]) -> Iterator[tarfile.TarInfo | Refusal]:
    """Yield the regular image files and what is refused, in constant memory."""
    while True:
        try:
            item = tar.next()
        except tarfile.TarError as error:
            yield Refusal(archive, f"the archive is damaged or cut short ({error}); nothing after it was read")
            return
        if item is None:
            return
        tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps every header it has seen
        if item.isdir():
            continue
        if item.issparse():
            yield Refusal(_printable(item.name), "a sparse file; expected a plain one")
        elif not item.isreg():
            yield Refusal(_printable(item.name), "a link or device; expected a regular file")
        elif _is_unsafe(item.name) is not None or has_suffix(item.name, suffixes):
            yield item


def _checked(name: str, size: int, stamp: str, locator: Locator, max_bytes: int) -> Member | Refusal:
    try:
        path = safe_path(name)
    except ImageError as error:
        return Refusal(_printable(name), str(error))
    if size > max_bytes:
        return Refusal(path, f"{size:,} bytes, more than the {max_bytes:,} allowed; raise --max-bytes if that is real")
    return Member(path, size, stamp, locator)


def _is_unsafe(name: str) -> str | None:
    try:
        safe_path(name)
    except ImageError as error:
        return str(error)
    return None


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _listed(folder: str) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208 - names alone are small


def _archive_stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size}:{status.st_mtime_ns}"
