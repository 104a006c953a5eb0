"""Write the refined folder: whole files or none, one run at a time.

Every file is written under `.radrefine/tmp` and renamed into place, so that after a crash no half-written file stands
under a final name and the leftovers lie in one place.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import logging
import os
import shutil
import socket
import threading
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from radrefine.errors import RadrefineError, RefinedFolderError
from radrefine.images import DEFAULT_MAX_PIXELS
from radrefine.members import DEFAULT_MAX_BYTES

log = logging.getLogger(__name__)

STATE: Final = ".radrefine"
"""Folder inside a refined folder that holds what a later run needs."""

JOURNAL: Final = "journal.sqlite"
"""File in it that is there while a run lasts, and after one that did not finish."""

_TEMPORARY: Final = "tmp"
_PORTION: Final = 256
# ioctl of Linux that lets two files share their blocks until one is changed.
_FICLONE: Final = 0x40049409
_HOST: Final = "".join(letter for letter in socket.gethostname() if letter.isalnum())[:32]

# Destinations whose file system was found unable to share blocks; asking again costs time for each image.
_NO_CLONES: Final[set[str]] = set()


def temporary_folder(out: str | Path) -> str:
    """Return the folder for unfinished files of the refined folder `out`."""
    return f"{out}/{STATE}/{_TEMPORARY}"


def refuse_unfinished(out: Path) -> None:
    """Raise RefinedFolderError where the last run did not finish: its tables may be of other images."""
    if (out / STATE / JOURNAL).exists():
        raise RefinedFolderError(f"the last radrefine clean of {out} did not finish; run the same command again")


class Bounds(NamedTuple):
    """Bytes of a file, and pixels of an image, above which it is refused."""

    max_bytes: int = DEFAULT_MAX_BYTES
    max_pixels: int = DEFAULT_MAX_PIXELS


def bounds_of(refined: Path) -> Bounds:
    """Return the bounds under which images came into a refined folder; where `run.json` does not tell, the usual."""
    try:
        known = json.loads((refined / "run.json").read_text())["configuration"]
        return Bounds(int(known["max_bytes"]), int(known["max_pixels"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Bounds()


@contextlib.contextmanager
def locked(out: Path, state: str = STATE, error: type[RadrefineError] = RefinedFolderError) -> Iterator[None]:
    """Hold a folder for one run.

    Args:
        out: The folder, such as a refined one.
        state: Folder in it that holds the lock; made where it is missing.
        error: What is raised where another run holds it.
    """
    path = out / state / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            if fault.errno in (errno.EWOULDBLOCK, errno.EACCES):
                told = f"another run is writing to {out}; wait until it ends, or name another folder"
                raise error(told) from None
            # File systems of clusters may know no locks.
            log.warning("%s cannot be locked (%s); see to it that no other run writes there", out, fault.strerror)
        yield


def sweep(out: Path) -> None:
    """Remove what a run left unfinished, and make the folder for temporary files anew."""
    for folder in (out, out / STATE):
        for leftover in folder.glob(".*.part*"):
            leftover.unlink(missing_ok=True)
    shutil.rmtree(temporary_folder(out), ignore_errors=True)
    Path(temporary_folder(out)).mkdir(parents=True, exist_ok=True)


def sweep_orphans(out: str, known: Callable[[Sequence[str]], Container[str]]) -> None:
    """Remove images and masks that a killed run wrote and no later run took over.

    Args:
        out: The refined folder.
        known: Tells which of some paths are images that belong to the result.
    """
    for folder in ("images", "masks"):
        root = f"{out}/{folder}"
        for place, _, names in os.walk(root):
            for start in range(0, len(names), _PORTION):
                paths = [f"{place}/{name}"[len(root) + 1 :] for name in names[start : start + _PORTION]]
                belonging = known(paths)
                for path in paths:
                    if path not in belonging:
                        remove(f"{root}/{path}")


def boot() -> str:
    """Name the present start of this machine; another name means that its memory was lost in between."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def flush(out: Path) -> None:
    """Bring what was written to the file system of `out` onto the disk, so that it outlasts a power loss."""
    handle = os.open(out, os.O_RDONLY)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if not hasattr(library, "syncfs") or library.syncfs(handle) != 0:
            os.sync()
    finally:
        os.close(handle)


def publish(out: str, path: str, data: bytes, *, original: str | None = None) -> None:
    """Write a file of the refined folder, whole or not at all.

    Args:
        out: The refined folder.
        path: Where inside it, such as `images/US/thyroid/1.png`.
        data: The contents.
        original: A file with the same contents, whose blocks are shared where the file system can do that.

    Raises:
        OSError: The disk is full, or the place cannot be written.
    """
    temporary = f"{temporary_folder(out)}/{_HOST}-{os.getpid()}-{threading.get_native_id()}"
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            if original is None or not _clone(original, handle, out):
                _write_all(handle, data)
        finally:
            os.close(handle)
        _move(temporary, f"{out}/{path}")
    except BaseException:
        remove(temporary)
        raise


def publish_link(out: str, path: str, original: str) -> None:
    """Make a hard link to `original` in the refined folder; an existing file is replaced.

    Raises:
        OSError: The two lie on different file systems, or the place cannot be written.
    """
    final = f"{out}/{path}"
    try:
        os.link(original, final)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(final), exist_ok=True)  # noqa: PTH103, PTH120 - a Path per image is slow
        os.link(original, final)
    except FileExistsError:
        temporary = f"{temporary_folder(out)}/{_HOST}-{os.getpid()}-{threading.get_native_id()}"
        os.link(original, temporary)
        _move(temporary, final)
        # Renaming one link onto another of the same file does nothing, and leaves both.
        remove(temporary)


def remove(path: str) -> None:
    """Remove a file where there is one."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
        os.unlink(path)  # noqa: PTH108 - a Path per image is slow


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _clone(original: str, handle: int, out: str) -> bool:
    if out in _NO_CLONES:
        return False
    source = os.open(original, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(handle, _FICLONE, source)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        _NO_CLONES.add(out)
        return False
    finally:
        os.close(source)
    return True


def _move(temporary: str, final: str) -> None:
    try:
        os.replace(temporary, final)  # noqa: PTH105 - a Path per image is slow
    except FileNotFoundError:
        os.makedirs(os.path.dirname(final), exist_ok=True)  # noqa: PTH103, PTH120
        os.replace(temporary, final)  # noqa: PTH105
