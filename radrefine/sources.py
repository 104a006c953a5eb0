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
from typing import BinaryIO, Final, NamedTuple, Protocol

from radrefine.errors import ImageError, SourceError
from radrefine.headers import SUFFIXES

DEFAULT_MAX_BYTES: Final = 256 * 2**20
"""Size of one member above which it is refused."""

# A tar may announce names of any length, which tarfile would read into memory at once.
_MAX_TAR_NAME: Final = 1 << 20
_TAR_BLOCK: Final = 512
_ZIP_LOCAL: Final = struct.Struct("<4s5H3L2H")


class FileLocator(NamedTuple):
    """A file of its own."""

    path: str


class RangeLocator(NamedTuple):
    """A run of bytes inside an uncompressed archive."""

    path: str
    offset: int
    size: int


class ZipLocator(NamedTuple):
    """A member of a zip archive; `offset` is that of its local header."""

    path: str
    offset: int
    packed: int
    size: int
    method: int
    crc: int


class HeldBytes(NamedTuple):
    """Bytes that had to be read while listing."""

    data: bytes


Locator = FileLocator | RangeLocator | ZipLocator | HeldBytes


class Member(NamedTuple):
    """One image file of a source.

    Attributes:
        path: Relative path in POSIX form, without `.` and `..`.
        size: Size of its contents, bytes.
        stamp: Changes when the file does, as far as can be told without reading it.
        locator: How to read it.
    """

    path: str
    size: int
    stamp: str
    locator: Locator


class Refusal(NamedTuple):
    """A member that is not read, and why."""

    path: str
    reason: str


class Source(Protocol):
    """A place that lists its image files in a fixed order."""

    path: Path

    def members(self) -> Iterator[Member | Refusal]:
        """Yield the image files and what is refused; other files are passed over."""

    def count(self) -> int | None:
        """Count the files with the name of an image; None where that would mean reading all of the source."""


def open_members(path: Path, *, max_bytes: int = DEFAULT_MAX_BYTES, follow_links: bool = False) -> Source:
    """Open a folder, `.tar`, `.tar.gz`, `.tgz` or `.zip` as a list of image files.

    Args:
        path: The folder or archive.
        max_bytes: Size of one member above which it is refused.
        follow_links: Whether links inside a folder are read through; in archives they never are.

    Raises:
        SourceError: It does not exist, or is not what its name says.
    """
    if path.is_dir():
        return FolderSource(path, max_bytes, follow_links)
    if not path.exists():
        raise SourceError(f"there is no source at {path}; expected a folder, .tar, .tar.gz or .zip")
    name = path.name.lower()
    if name.endswith(".tar"):
        return TarSource(path, max_bytes)
    if name.endswith((".tar.gz", ".tgz")):
        return GzipTarSource(path, max_bytes)
    if name.endswith(".zip"):
        return ZipSource(path, max_bytes)
    raise SourceError(f"{path} is no collection: expected a folder or an archive named .tar, .tar.gz, .tgz or .zip")


def read_bytes(locator: Locator, *, max_bytes: int = DEFAULT_MAX_BYTES) -> bytes:
    """Read the contents of a member.

    Raises:
        ImageError: It is larger than `max_bytes`, cut short, or damaged inside its archive.
        OSError: The source cannot be read.
    """
    if isinstance(locator, FileLocator):
        return _read_range(locator.path, 0, None, max_bytes)
    if isinstance(locator, RangeLocator):
        return _read_range(locator.path, locator.offset, locator.size, max_bytes)
    if isinstance(locator, ZipLocator):
        return _read_zip(locator)
    return locator.data


def safe_path(name: str) -> str:
    """Return the relative POSIX path of a member.

    Raises:
        ImageError: The name is absolute, climbs with `..`, or holds characters that no path should.
    """
    if name.startswith("/") or name[1:2] == ":":
        raise ImageError("an absolute path; expected a path inside the collection")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ImageError("a path with '..'; expected a path inside the collection")
    if "\\" in name or any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise ImageError("a name with a backslash or a control character; expected a plain relative path")
    if any(0xD800 <= ord(character) <= 0xDFFF for character in name):
        raise ImageError("a name that is not UTF-8; rename the file")
    if any(len(part.encode()) > 250 for part in parts):
        raise ImageError("a name of more than 250 bytes; rename the file")
    return "/".join(parts)


def is_image_name(name: str) -> bool:
    """Tell by its ending whether a file is taken for an image; hidden files never are."""
    return name.lower().endswith(SUFFIXES) and not name.rpartition("/")[2].startswith(".")


class FolderSource:
    """A folder, walked in the order of names."""

    def __init__(self, path: Path, max_bytes: int, follow_links: bool) -> None:
        self.path = path
        self._max_bytes = max_bytes
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
        if not is_image_name(path):
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
                        elif is_image_name(item.name):
                            total += 1
            except OSError:
                continue  # `members` names it
        return total


class TarSource:
    """An uncompressed tar; workers read the members by offset."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes

    def members(self) -> Iterator[Member | Refusal]:
        """Yield the image files in the order of the archive."""
        stamp = _archive_stamp(self.path)
        length = self.path.stat().st_size
        with self.path.open("rb") as file, _opened_tar(self.path, file, "r:") as tar:
            for found in _walk_tar(tar, self.path.name):
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

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes

    def members(self) -> Iterator[Member | Refusal]:
        """Yield the image files in the order of the archive, with their bytes."""
        stamp = _archive_stamp(self.path)
        try:
            with gzip.open(self.path) as plain, _opened_tar(self.path, plain, "r|") as tar:
                for found in _walk_tar(tar, self.path.name):
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

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes

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
        if _is_unsafe(name) is None and not is_image_name(name):
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


def _walk_tar(tar: tarfile.TarFile, archive: str) -> Iterator[tarfile.TarInfo | Refusal]:
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
        elif _is_unsafe(item.name) is not None or is_image_name(item.name):
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


def _read_range(path: str, offset: int, size: int | None, max_bytes: int) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        wanted = os.fstat(handle).st_size if size is None else size
        if wanted > max_bytes:
            raise ImageError(
                f"{wanted:,} bytes, more than the {max_bytes:,} allowed; raise --max-bytes if that is real"
            )
        data = os.pread(handle, wanted, offset)
        while len(data) < wanted:
            more = os.pread(handle, wanted - len(data), offset + len(data))
            if not more:
                raise ImageError(
                    f"ends after {len(data):,} of {wanted:,} bytes; it changed or its archive is cut short"
                )
            data += more
        return data
    finally:
        os.close(handle)


def _read_zip(place: ZipLocator) -> bytes:
    """Inflate one member, never beyond the size that the directory states."""
    header = _read_range(place.path, place.offset, _ZIP_LOCAL.size, _ZIP_LOCAL.size)
    magic, *_, name_length, extra_length = _ZIP_LOCAL.unpack(header)
    if magic != b"PK\x03\x04":
        raise ImageError("the zip archive is damaged at this member; get a whole copy of it")
    start = place.offset + _ZIP_LOCAL.size + name_length + extra_length
    packed = _read_range(place.path, start, place.packed, place.packed)
    if place.method == zipfile.ZIP_STORED:
        data = packed
    else:
        inflater = zlib.decompressobj(-15)
        try:
            data = inflater.decompress(packed, place.size + 1)
        except zlib.error as error:
            raise ImageError(f"the zip archive is damaged at this member ({error}); get a whole copy of it") from None
    if len(data) != place.size:
        raise ImageError(f"unpacks to another size than the {place.size:,} bytes its archive states; it is damaged")
    if zlib.crc32(data) != place.crc:
        raise ImageError("its checksum in the zip archive is wrong; get a whole copy of it")
    return data
