"""List the frames of DICOM files as images of a collection."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from radrefine.dicom import count_frames
from radrefine.errors import ImageError
from radrefine.headers import SUFFIXES
from radrefine.members import (
    DICOM_SUFFIXES,
    NO_SUFFIX,
    FrameLocator,
    Member,
    Refusal,
    has_suffix,
    read_bytes,
    read_head,
)

# What a DICOM file begins with: so many bytes of anything, then these.
_PREAMBLE: Final = 128
_MAGIC: Final = b"DICM"
_HEAD: Final = _PREAMBLE + len(_MAGIC)
# What images that are read begin with, but for BMP, whose two letters begin texts as well.
_IMAGES: Final = {
    b"\x89PNG\r\n\x1a\n": ("PNG", ".png"),
    b"\xff\xd8\xff": ("JPEG", ".jpg"),
    b"II*\0": ("TIFF", ".tif"),
    b"MM\0*": ("TIFF", ".tif"),
}


class Listing(Protocol):
    """A source as `radrefine.sources.Source`."""

    path: Path

    def members(self) -> Iterator[Member | Refusal]:
        """Yield files and what is refused."""

    def count(self) -> int | None:
        """Count the files."""


class FrameSource:
    """A source in which every DICOM file is listed as its frames, `a.dcm/0000.png` and so on, and others are refused.

    Args:
        files: The source that lists files.
        max_bytes: Size of one file above which it is refused.
        max_pixels: Pixels of one frame above which its file is refused.
    """

    def __init__(self, files: Listing, max_bytes: int, max_pixels: int) -> None:
        self.path = files.path
        self._files, self._max_bytes, self._max_pixels = files, max_bytes, max_pixels

    def members(self) -> Iterator[Member | Refusal]:
        """Yield the images of the source in its order, frames in the order of their file."""
        for found in self._files.members():
            if isinstance(found, Refusal) or has_suffix(found.path, SUFFIXES):
                yield found
            elif has_suffix(found.path, DICOM_SUFFIXES):
                yield from self._frames(found)
            elif has_suffix(found.path, (NO_SUFFIX,)):
                kind = _kind_of(found)
                if kind is not None:
                    yield Refusal(found.path, f"a {kind[0]} file without the suffix {kind[1]}; rename such files")
            else:
                yield Refusal(found.path, "no format that is read; expected PNG, JPEG, TIFF, BMP or DICOM: convert it")

    def count(self) -> int | None:
        """Count the files; a DICOM file counts once, since only reading it would tell its frames."""
        return self._files.count()

    def _frames(self, file: Member) -> Iterator[Member | Refusal]:
        try:
            data = read_bytes(file.locator, max_bytes=self._max_bytes)
            frames = count_frames(data, max_pixels=self._max_pixels)
        except (ImageError, OSError) as error:
            yield Refusal(file.path, str(error))
            return
        for index in range(frames):
            place = FrameLocator(file.locator, index, self._max_pixels)
            yield Member(f"{file.path}/{index:04d}.png", file.size // frames, f"{file.stamp}:{index}", place)


def _kind_of(file: Member) -> tuple[str, str] | None:
    """Tell by its first bytes what a file without a suffix is, and the suffix it should have; None for no image."""
    try:
        head = read_head(file.locator, _HEAD)
    except (ImageError, OSError):
        return None
    if head[_PREAMBLE:] == _MAGIC:
        return "DICOM", ".dcm"
    return next((kind for magic, kind in _IMAGES.items() if head.startswith(magic)), None)
