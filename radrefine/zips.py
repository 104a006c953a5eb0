"""Read zip archives in place, in constant memory however many members they have.

Python's zipfile keeps half a kilobyte for each member; here the archive's directory is read one entry at a time.
"""

import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from radrefine.errors import SourceError
from radrefine.members import (
    Member,
    Refusal,
    ZipLocator,
    archive_stamp,
    checked,
    has_suffix,
    is_unsafe,
    printable,
)

# Records at the end of an archive: the end itself, and its 64-bit form with the size of the locator behind that.
_END: Final = struct.Struct("<4s4H2LH")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64: Final = 20
# An entry of the directory, without its name and extra fields.
_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_LONGEST_COMMENT: Final = 0xFFFF
_IN_EXTRA: Final = 0xFFFFFFFF
_ENCRYPTED: Final = 0x1
_UTF8: Final = 0x800


class _Entry(NamedTuple):
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    mode: int
    offset: int


class ZipSource:
    """A zip archive; workers read the members by offset."""

    def __init__(self, path: Path, max_bytes: int, suffixes: tuple[str, ...]) -> None:
        self.path = path
        self._max_bytes, self._suffixes = max_bytes, suffixes

    def members(self) -> Iterator[Member | Refusal]:
        """Yield the image files in the order of the archive's directory."""
        stamp = archive_stamp(self.path)
        with self.path.open("rb") as file:
            start, length, shift = _directory(file, self.path)
            for item in _entries(file, start, length, shift):
                if item is None:
                    reason = "the archive's directory is damaged; nothing after it was read, so get a whole copy"
                    yield Refusal(self.path.name, reason, hides=True)
                    return
                found = self._look_at(item, stamp)
                if found is not None:
                    yield found

    def _look_at(self, item: _Entry, stamp: str) -> Member | Refusal | None:
        if item.name.endswith("/"):
            return None
        if stat.S_IFMT(item.mode) not in (0, stat.S_IFREG):
            return Refusal(printable(item.name), "a link or device; expected a regular file")
        if not is_unsafe(item.name) and not has_suffix(item.name, self._suffixes):
            return None
        if item.flags & _ENCRYPTED:
            return Refusal(printable(item.name), "encrypted; unpack the archive with its password first")
        if item.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return Refusal(printable(item.name), f"packed by method {item.method}; expected stored or deflated")
        place = ZipLocator(str(self.path), item.offset, item.packed, item.size, item.method, item.crc)
        return checked(item.name, item.size, f"{stamp}:{item.offset}", place, self._max_bytes)

    def count(self) -> int | None:
        """Count the names of image files in the archive."""
        return sum(isinstance(member, Member) for member in self.members())


def _directory(file: BinaryIO, path: Path) -> tuple[int, int, int]:
    """Find the directory of an archive: where it begins, its length, and how far all offsets are shifted.

    Raises:
        SourceError: There is none.
    """
    whole = file.seek(0, 2)
    tail_start = max(0, whole - _END.size - _LONGEST_COMMENT - _LOCATOR64)
    file.seek(tail_start)
    tail = file.read()
    place = tail.rfind(b"PK\x05\x06", 0, len(tail) - _END.size + 4)
    if place < 0:
        raise SourceError(f"{path} is not a zip archive (it has no directory); get a whole copy of it")
    end = tail_start + place
    *_, length, offset, _ = _END.unpack_from(tail, place)
    end64 = end - _LOCATOR64 - _END64.size
    if end64 >= 0 and tail.startswith(b"PK\x06\x07", max(0, place - _LOCATOR64)):
        # The locator states where the record lies, but what was put before the archive shifts it; it lies just before.
        file.seek(end64)
        record = file.read(_END64.size)
        if record.startswith(b"PK\x06\x06"):
            *_, length, offset = _END64.unpack(record)
            end = end64
    start = end - length
    if start < 0 or start < offset:
        raise SourceError(f"{path} is not a zip archive (its directory is damaged); get a whole copy of it")
    return start, length, start - offset


def _entries(file: BinaryIO, start: int, length: int, shift: int) -> Iterator[_Entry | None]:
    """Yield the entries of the directory one by one, None where it is damaged."""
    file.seek(start)
    left = length
    while left > 0:
        head = file.read(_ENTRY.size)
        if len(head) < _ENTRY.size or not head.startswith(b"PK\x01\x02"):
            yield None
            return
        (_, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment_length,
         _, _, attributes, offset) = _ENTRY.unpack(head)  # fmt: skip
        rest = file.read(name_length + extra_length + comment_length)
        left -= _ENTRY.size + len(rest)
        wide = _wide(rest[name_length : name_length + extra_length], [size, packed, offset])
        if len(rest) < name_length + extra_length + comment_length or wide is None:
            yield None
            return
        size, packed, offset = wide
        name = rest[:name_length].decode("utf-8" if flags & _UTF8 else "cp437", "surrogateescape")
        yield _Entry(name, flags, method, crc, packed, size, attributes >> 16, offset + shift)


def _wide(extra: bytes, values: list[int]) -> list[int] | None:
    """Replace the numbers that did not fit 32 bits by those of the extra field; None where they are missing."""
    if _IN_EXTRA not in values:
        return values
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == 1:
            wide = extra[4 : 4 + length]
            count = values.count(_IN_EXTRA)
            if len(wide) < 8 * count:
                return None
            numbers = iter(struct.unpack_from(f"<{count}Q", wide))
            return [next(numbers) if value == _IN_EXTRA else value for value in values]
        extra = extra[4 + length :]
    return None
