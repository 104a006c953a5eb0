"""What a worker does with images: refine them, or pass their bytes on; and say what became of them."""

import contextlib
import errno
import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from radrefine.corrections import apply_correction
from radrefine.errors import ImageError
from radrefine.headers import Header, check_complete, check_size, read_header
from radrefine.members import FileLocator, read_bytes
from radrefine.outputs import publish, publish_link, remove, temporary_folder
from radrefine.records import Image
from radrefine.work import Outcome, Settings, Task, failed, outcome_of

if TYPE_CHECKING:
    from radrefine.artifacts.learned.detector import Sight

# What stops the whole run rather than one image: going on would only repeat it a million times.
_FATAL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE)

# What is wrong with one image, or with writing it, and does not stop the run of itself.
_HARMLESS: Final = (ImageError, MemoryError, RecursionError, OSError)

# Pixels from which no further image is opened before those at hand were seen together.
_TOGETHER_PIXELS: Final = 4 * 2**20


def clean_chunk(settings: Settings, tasks: list[Task]) -> list[Outcome]:
    """Do some images and write their files.

    Raises:
        OSError: The refined folder cannot be written, such as a full disk; whatever is wrong with an image is in its
            outcome instead.
    """
    from radrefine.threads import one_thread

    with one_thread(), _beacon(settings.out) as beacon:
        outcomes = []
        portion: list[_Opened] = []
        for task in tasks:
            os.pwrite(beacon, task.source.encode() + b"\n", 0)
            opened = _open(settings, task)
            if isinstance(opened, Outcome):
                outcomes.append(opened)
                continue
            portion.append(opened)
            if not settings.sees_together or sum(one.pixels for one in portion) >= _TOGETHER_PIXELS:
                outcomes += _finish_all(settings, portion, beacon)
                portion = []
        outcomes += _finish_all(settings, portion, beacon)
        os.pwrite(beacon, b"\n", 0)
    return outcomes


class _Opened(NamedTuple):
    """An image that was read, and decoded where it is to be refined.

    Attributes:
        task: What is to be done.
        data: The whole file.
        sha256: Of the file.
        header: What the file says of itself.
        image: Its pixels; None where its bytes are passed on.
        seconds: Time that this took.
    """

    task: Task
    data: bytes
    sha256: str
    header: Header
    image: Image | None
    seconds: float

    @property
    def pixels(self) -> int:
        """Pixels that are held in memory."""
        return 0 if self.image is None else self.header.width * self.header.height


def _open(settings: Settings, task: Task) -> _Opened | Outcome:
    """Read an image, and decode it where it is to be refined; an outcome where that is the end of it."""
    started = time.perf_counter()
    stage = "read"
    try:
        data = read_bytes(task.locator, max_bytes=settings.max_bytes)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 == task.known_sha256:
            return outcome_of(task, "unchanged", source_sha256=sha256)
        stage = "decode"
        header = read_header(data)
        check_size(header, settings.max_pixels)
        check_complete(data, header)
        image = None
        if task.refine:
            from radrefine.images import decode_image

            image = decode_image(data, max_pixels=settings.max_pixels)
    except _HARMLESS as error:
        return _failure(settings, task, stage, error)._replace(elapsed_ms=_milliseconds(time.perf_counter() - started))
    return _Opened(task, data, sha256, header, image, time.perf_counter() - started)


def _finish_all(settings: Settings, portion: list[_Opened], beacon: int) -> Iterator[Outcome]:
    """Refine images, or pass their bytes on, and write their files; the network sees them together where that pays."""
    started = time.perf_counter()
    sights: dict[str, Sight] = {}
    if settings.sees_together:
        from radrefine.artifacts.learned.detector import see_marks
        from radrefine.refine import shows_something

        shown = {one.task.path: one.image for one in portion if one.image is not None and shows_something(one.image)}
        seen = see_marks(list(shown.values()), settings.refine.weights, settings.refine.engine)
        sights = dict(zip(shown, seen, strict=True))
    share = (time.perf_counter() - started) / max(1, len(sights))
    for one in portion:
        started = time.perf_counter()
        os.pwrite(beacon, one.task.source.encode() + b"\n", 0)
        try:
            outcome = _finish(settings, one, sights.get(one.task.path))
        except _HARMLESS as error:
            outcome = _failure(settings, one.task, "decode", error)
        before = one.seconds + (share if one.task.path in sights else 0)
        yield outcome._replace(elapsed_ms=_milliseconds(before + time.perf_counter() - started))


def _finish(settings: Settings, opened: _Opened, sight: "Sight | None") -> Outcome:
    if opened.image is not None:
        return _refine(settings, opened, opened.image, sight)
    remove(f"{settings.out}/masks/{opened.task.path}")  # of a run that took it for ultrasound
    return _pass_on(settings, opened, "copied")


def _failure(settings: Settings, task: Task, stage: str, error: Exception) -> Outcome:
    """Return the outcome of an image that an error stopped; an error that would stop all others too is raised."""
    if not isinstance(error, OSError):
        return failed(settings, task, stage, str(error) or type(error).__name__)
    if error.errno in _FATAL and stage != "read":
        raise error
    return failed(settings, task, stage if stage == "read" else "write", error.strerror or str(error))


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 3)


def _pass_on(settings: Settings, opened: _Opened, status: str) -> Outcome:
    """Write the source's own bytes."""
    task, data, header = opened.task, opened.data, opened.header
    original = task.locator.path if isinstance(task.locator, FileLocator) else None
    path = f"images/{task.path}"
    if settings.link and original is not None:
        publish_link(settings.out, path, original)
    else:
        publish(settings.out, path, data, original=original)
    return outcome_of(
        task,
        status,
        width=header.width,
        height=header.height,
        channels=header.channels,
        source_sha256=opened.sha256,
        image_bytes=len(data),
    )


def _refine(settings: Settings, opened: _Opened, image: Image, sight: "Sight | None") -> Outcome:
    import numpy as np

    from radrefine.fingerprints import is_blank, perceptual_hash, pixel_sha256
    from radrefine.images import encode_png
    from radrefine.refine import refine_image

    task = opened.task
    if settings.corrected:
        result = apply_correction(image, task.correction, settings.refine)
    else:
        result = refine_image(image, settings.refine, task.decisions, sight)
    masked = int(np.count_nonzero(result.mask))
    same_size = result.image.shape == image.shape
    if masked == 0 and same_size and opened.header.format == "PNG" and task.path == task.source:
        # Nothing was replaced: the bytes themselves are the most faithful copy.
        outcome = _pass_on(settings, opened, "clean")
        remove(f"{settings.out}/masks/{task.path}")
    else:
        written = encode_png(result.image)
        mask = encode_png(result.mask.astype(np.uint8) * 255) if masked else b""
        # The mask goes first: an image without its mask would look untouched.
        if mask:
            publish(settings.out, f"masks/{task.path}", mask)
        else:
            remove(f"{settings.out}/masks/{task.path}")
        publish(settings.out, f"images/{task.path}", written)
        outcome = outcome_of(
            task,
            "refined" if masked else "clean",
            image_bytes=len(written),
            mask_bytes=len(mask) if masked else None,
            output_sha256=hashlib.sha256(written + mask).hexdigest(),
        )
    rows = [
        [found.kind, found.x, found.y, found.width, found.height, found.score, found.detector, found.removed]
        for found in result.findings
    ]
    return outcome._replace(
        width=result.image.shape[1],
        height=result.image.shape[0],
        channels=1 if image.ndim == 2 else image.shape[2],
        source_sha256=opened.sha256,
        pixel_sha256=pixel_sha256(image),
        phash=perceptual_hash(image),
        phash_refined=perceptual_hash(result.image),
        blank=is_blank(image),
        mask_fraction=masked / result.mask.size,
        # Corrections are applied without looking for marks.
        residual_score=None if settings.corrected else float(result.residual_score),
        findings=json.dumps(rows) if rows else None,
    )


def suspects(out: str) -> list[str]:
    """Name the images that workers were on when they ended, by their paths in the source."""
    found = []
    folder = temporary_folder(out)
    for name in sorted(os.listdir(folder)):  # noqa: PTH208 - a plain listing
        if name.startswith("at-"):
            with open(f"{folder}/{name}", "rb") as file:  # noqa: PTH123
                path = file.readline().rstrip(b"\n").decode(errors="replace")
            remove(f"{folder}/{name}")
            if path:
                found.append(path)
    return found


@contextlib.contextmanager
def _beacon(out: str) -> Iterator[int]:
    """Yield a handle on the file in which this worker names the image that it is on."""
    name = f"{temporary_folder(out)}/at-{socket.gethostname()}-{os.getpid()}-{threading.get_native_id()}"
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        yield handle
    finally:
        os.close(handle)
