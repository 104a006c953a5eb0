"""Read collections in place: a folder, a tar, a compressed tar, a zip; nothing is unpacked to disk.

A source lists its members in a fixed order and hands out locators: small records with which a worker reads the bytes
by itself. Only a compressed tar, which can be read in one direction alone, carries the bytes along.
What could do harm is refused by name and the rest goes on: absolute paths, `..`, links, devices, sparse and
oversized members.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from radrefine.errors import SourceError
from radrefine.frames import FrameSource
from radrefine.headers import SUFFIXES
from radrefine.images import DEFAULT_MAX_PIXELS
from radrefine.members import (
    DEFAULT_MAX_BYTES,
    DICOM_SUFFIXES,
    NO_SUFFIX,
    UNREAD_SUFFIXES,
    FileLocator,
    HeldBytes,
    Locator,
    Member,
    Refusal,
    checked,
    has_suffix,
    printable,
    read_bytes,
    safe_path,
)
from radrefine.tars import GzipTarSource, TarSource
from radrefine.zips import ZipSource

__all__ = ["DEFAULT_MAX_BYTES", "HeldBytes", "Locator", "Member", "Refusal", "open_members", "read_bytes", "safe_path"]


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
    max_pixels: int = DEFAULT_MAX_PIXELS,
    follow_links: bool = False,
    suffixes: tuple[str, ...] | None = None,
) -> Source:
    """Open a folder, `.tar`, `.tar.gz`, `.tgz` or `.zip` as a list of image files.

    Args:
        path: The folder or archive.
        max_bytes: Size of one member above which it is refused.
        max_pixels: Pixels of one frame above which a DICOM file is refused; other images are sized when they are read.
        follow_links: Whether links inside a folder are read through; in archives they never are.
        suffixes: Endings of the names that count, in lower case; None takes all images, lists the frames of
            DICOM files as images, and refuses DICOM files without a suffix and pictures of formats that are not read.

    Raises:
        SourceError: It does not exist, or is not what its name says.
    """
    if suffixes is None:
        files = _open_files(path, max_bytes, SUFFIXES + DICOM_SUFFIXES + UNREAD_SUFFIXES + (NO_SUFFIX,), follow_links)
        return FrameSource(files, max_bytes, max_pixels)
    return _open_files(path, max_bytes, suffixes, follow_links)


def _open_files(path: Path, max_bytes: int, suffixes: tuple[str, ...], follow_links: bool) -> Source:
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
        above = [_identity(os.stat(root))]  # noqa: PTH116 - as below
        while open_folders:
            name = next(open_folders[-1], None)
            if name is None:
                open_folders.pop()
                prefixes.pop()
                above.pop()
                continue
            path = prefixes[-1] + name
            found = self._look_at(path, f"{root}/{path}", above)
            if isinstance(found, _Folder):
                open_folders.append(iter(found.names))
                prefixes.append(path + "/")
                above.append(found.identity)
            elif found is not None:
                yield found

    def _look_at(self, path: str, full: str, above: list[tuple[int, int]]) -> "Member | Refusal | _Folder | None":
        try:
            status = os.stat(full, follow_symlinks=self._follow)  # noqa: PTH116 - a Path for each of a million files is slow
            if stat.S_ISDIR(status.st_mode):
                here = _identity(status)
                if here in above:
                    return Refusal(printable(path), "a link to a folder that it lies in; its images are listed there")
                return _Folder(_listed(full), here)
        except OSError as error:
            return Refusal(printable(path), f"cannot be read: {error.strerror}", hides=True)
        if stat.S_ISLNK(status.st_mode):
            return Refusal(printable(path), "a link; name --follow-links to read through links")
        if not has_suffix(path, self._suffixes):
            return None
        if not stat.S_ISREG(status.st_mode):
            return Refusal(printable(path), "not a regular file; expected an image file")
        stamp = f"{status.st_size}:{status.st_mtime_ns}"
        # Where links are followed, what they lead to is read and linked: a hard link to a link would be a link.
        place = os.path.realpath(full) if self._follow else full
        return checked(path, status.st_size, stamp, FileLocator(place), self._max_bytes)

    def count(self) -> int | None:
        """Count the names of image files below the folder."""
        total = 0
        folders = [str(self.path)]
        seen: set[tuple[int, int]] = set()
        while folders:
            folder = folders.pop()
            try:
                if self._follow:  # links may lead round in circles
                    here = _identity(os.stat(folder))  # noqa: PTH116 - as above
                    if here in seen:
                        continue
                    seen.add(here)
                with os.scandir(folder) as found:
                    for item in found:
                        if item.is_dir(follow_symlinks=self._follow) and not item.name.startswith("."):
                            folders.append(item.path)
                        elif has_suffix(item.name, self._suffixes):
                            total += 1
            except OSError:
                continue  # `members` names it
        return total


class _Folder(NamedTuple):
    names: list[str]
    identity: tuple[int, int]


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _listed(folder: str) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208 - names alone are small
