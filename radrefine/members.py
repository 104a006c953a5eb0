"""The members of a collection: where each lies, how it is read, and which names are refused."""

import os
import re
import struct
import threading
import zipfile
import zlib
from pathlib import Path
from typing import Final, NamedTuple

from radrefine.errors import ImageError
from radrefine.images import DEFAULT_MAX_PIXELS, encode_png

DEFAULT_MAX_BYTES: Final = 256 * 2**20
"""Size of one member above which it is refused."""

DICOM_SUFFIXES: Final = (".dcm", ".dicom")
"""Endings of the names of DICOM files, in lower case; each lists as its frames."""

UNREAD_SUFFIXES: Final = (
    *(".gif", ".webp", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".jpx", ".jfif", ".ppm", ".pgm", ".pnm"),
    *(".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".svs", ".ima", ".npy", ".npz", ".avi", ".mp4", ".mov", ".wmv"),
)
"""Endings of pictures and volumes that nothing here reads: they are named as refused, not passed over."""

NO_SUFFIX: Final = "/"
"""Stands among suffixes for names that have none, as those of DICOM files on discs."""

# The DICOM file that a thread read last, while frames of it are left.
_LAST: Final = threading.local()

_LONGEST_NAME: Final = 250
_ODD: Final = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
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


class FrameLocator(NamedTuple):
    """One frame of a DICOM file, counted from 0 and read as a PNG file."""

    file: "Locator"
    frame: int
    max_pixels: int = DEFAULT_MAX_PIXELS


Locator = FileLocator | RangeLocator | ZipLocator | HeldBytes | FrameLocator


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
    """A member that is not read, and why.

    Attributes:
        path: As the source has it.
        reason: A sentence.
        hides: Whether other members may lie behind it, unseen: a folder, or the rest of an archive.
    """

    path: str
    reason: str
    hides: bool = False


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
    if isinstance(locator, FrameLocator):
        return _read_frame(locator, max_bytes)
    return locator.data


def read_head(locator: Locator, count: int) -> bytes:
    """Read the first bytes of a file, or all of it where that is no more; errors as of `read_bytes`."""
    if isinstance(locator, FileLocator):
        return _read_range(locator.path, 0, min(count, Path(locator.path).stat().st_size), count)
    if isinstance(locator, RangeLocator):
        return _read_range(locator.path, locator.offset, min(count, locator.size), count)
    return read_bytes(locator)[:count]


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
    if _ODD.search(name) is not None:
        raise ImageError("a name with a backslash, a control character or bytes that are not UTF-8; rename the file")
    if len(name) > 60 and any(len(part.encode()) > _LONGEST_NAME for part in parts):
        raise ImageError(f"a name of more than {_LONGEST_NAME} bytes; rename the file")
    return "/".join(parts)


def is_unsafe(name: str) -> bool:
    """Tell whether a name of a member is one that `safe_path` refuses."""
    try:
        safe_path(name)
    except ImageError:
        return True
    return False


def checked(name: str, size: int, stamp: str, locator: Locator, max_bytes: int) -> Member | Refusal:
    """Return a member, or why it is refused: its name, or a size above `max_bytes`."""
    try:
        path = safe_path(name)
    except ImageError as error:
        return Refusal(printable(name), str(error))
    if size > max_bytes:
        return Refusal(path, f"{size:,} bytes, more than the {max_bytes:,} allowed; raise --max-bytes if that is real")
    return Member(path, size, stamp, locator)


def printable(name: str) -> str:
    """Return a name with what is not UTF-8 in it spelt out."""
    return name.encode("utf-8", "backslashreplace").decode()


def archive_stamp(path: Path) -> str:
    """Return what changes when an archive does, as far as can be told without reading it."""
    status = path.stat()
    return f"{status.st_size}:{status.st_mtime_ns}"


def has_suffix(name: str, suffixes: tuple[str, ...]) -> bool:
    """Tell by its ending whether a file counts; hidden files never do."""
    own = name.rpartition("/")[2]
    ends = name.lower().endswith(suffixes) or (NO_SUFFIX in suffixes and "." not in own)
    return ends and not own.startswith(".")


def _read_frame(place: FrameLocator, max_bytes: int) -> bytes:
    """Return a frame as a PNG file; those of one file follow each other, so that it is kept open until its last."""
    from radrefine.dicom import DicomFile

    stamp = None if isinstance(place.file, HeldBytes | FrameLocator) else archive_stamp(Path(place.file.path))
    key = (place.file, stamp, place.max_pixels, max_bytes)
    file: DicomFile | None = _LAST.file if getattr(_LAST, "key", None) == key else None
    _LAST.key = _LAST.file = None
    if file is None:
        file = DicomFile(read_bytes(place.file, max_bytes=max_bytes), max_pixels=place.max_pixels)
    if place.frame + 1 < file.frames:
        _LAST.key, _LAST.file = key, file
    return encode_png(file.read(place.frame))


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
