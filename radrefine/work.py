"""What a worker does with one image: refine it, or pass its bytes on; and say what became of it."""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import platform
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from radrefine import __version__
from radrefine.corrections import Correction, apply_correction
from radrefine.errors import ImageError
from radrefine.headers import Header, check_complete, check_size, read_header
from radrefine.images import DEFAULT_MAX_PIXELS
from radrefine.members import DEFAULT_MAX_BYTES, FileLocator, Locator, read_bytes
from radrefine.outputs import publish, publish_link, remove, temporary_folder
from radrefine.refine import RefineOptions
from radrefine.review import Decision

# What stops the whole run rather than one image: going on would only repeat it a million times.
_FATAL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE)


class Task(NamedTuple):
    """One image to be done.

    Attributes:
        position: Its place in the order of the source.
        source: Its path in the source.
        path: Its path in the refined folder, below `images/`.
        refine: Whether it is ultrasound; all else keeps its bytes.
        stamp: See `radrefine.sources.Member`.
        recipe: Stands for all options that shape its result.
        locator: How to read it.
        known_sha256: Hash that the file had when it was last done with the same recipe; None where it never was.
        correction: What to do to it, where corrections were given.
        decisions: Those of a person about its marks.
    """

    position: int
    source: str
    path: str
    refine: bool
    stamp: str
    recipe: str
    locator: Locator
    known_sha256: str | None = None
    correction: Correction | None = None
    decisions: tuple[Decision, ...] = ()


class Outcome(NamedTuple):
    """What became of one image; a row of the journal.

    `status` is one of `radrefine.schema.STATUSES`, or "unchanged" where only the stamp is new. `findings` is a JSON
    list of rows in the order of `radrefine.schema.FINDING_COLUMNS` without the path. `output_sha256` hashes the
    written image and mask; None where the source's bytes were passed on. The other fields are those of the manifest.
    """

    path: str
    source: str
    position: int
    stamp: str
    recipe: str
    status: str
    width: int | None = None
    height: int | None = None
    channels: int | None = None
    source_sha256: str | None = None
    pixel_sha256: str | None = None
    phash: str | None = None
    phash_refined: str | None = None
    blank: bool | None = None
    mask_fraction: float | None = None
    residual_score: float | None = None
    findings: str | None = None
    image_bytes: int | None = None
    mask_bytes: int | None = None
    output_sha256: str | None = None
    stage: str | None = None
    reason: str | None = None
    elapsed_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What every worker must know.

    Attributes:
        out: The refined folder.
        refine: How ultrasound is refined.
        link: Whether bytes that are passed on become hard links.
        corrected: Whether predefined corrections take the place of finding marks.
        max_bytes: Size of one file above which it is refused.
        max_pixels: Pixels of one image above which it is refused.
    """

    out: str
    refine: RefineOptions = field(default_factory=RefineOptions)
    link: bool = False
    corrected: bool = False
    max_bytes: int = DEFAULT_MAX_BYTES
    max_pixels: int = DEFAULT_MAX_PIXELS


def versions() -> dict[str, str]:
    """Return the versions of what shapes the pixels of a refined image."""
    import cv2
    import numpy as np

    return {
        "radrefine": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


def refine_recipe(options: RefineOptions) -> str:
    """Return a short name for what shapes every refined image: options, weights, templates, versions."""
    parts = {"options": dataclasses.asdict(options), **versions()}
    if options.detector != "classical":
        from radrefine.artifacts.learned import weights_hash

        parts["weights"] = weights_hash(options.weights)
    if options.templates:
        from radrefine.artifacts.bank import templates_hash

        parts["templates"] = templates_hash(Path(options.templates))
    del parts["python"]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=list).encode()).hexdigest()[:16]


def refined_name(path: str) -> str:
    """Return the name of a refined image: a PNG keeps its own, anything else gets `.png` appended."""
    return path if path.lower().endswith(".png") else f"{path}.png"


def clean_chunk(settings: Settings, tasks: list[Task]) -> list[Outcome]:
    """Do some images, one after the other, and write their files.

    Raises:
        OSError: The refined folder cannot be written, such as a full disk; whatever is wrong with an image is in its
            outcome instead.
    """
    import cv2

    cv2.setNumThreads(1)  # the workers are the parallelism; threads inside them only get in each other's way
    with _beacon(settings.out) as beacon:
        outcomes = []
        for task in tasks:
            os.pwrite(beacon, task.source.encode() + b"\n", 0)
            outcomes.append(clean_one(settings, task))
        os.pwrite(beacon, b"\n", 0)
    return outcomes


def clean_one(settings: Settings, task: Task) -> Outcome:
    """Do one image and write its files.

    Raises:
        OSError: The refined folder cannot be written.
    """
    started = time.perf_counter()
    stage = "read"
    try:
        data = read_bytes(task.locator, max_bytes=settings.max_bytes)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 == task.known_sha256:
            return _outcome(task, "unchanged", source_sha256=sha256)
        stage = "decode"
        header = read_header(data)
        check_size(header, settings.max_pixels)
        check_complete(data, header)
        if task.refine:
            outcome = _refine(settings, task, data, sha256, header)
        else:
            outcome = _pass_on(settings, task, data, sha256, header, "copied")
            remove(f"{settings.out}/masks/{task.path}")  # of a run that took it for ultrasound
    except (ImageError, MemoryError, RecursionError) as error:
        outcome = failed(settings, task, stage, str(error) or type(error).__name__)
    except OSError as error:
        if error.errno in _FATAL and stage != "read":
            raise
        outcome = failed(settings, task, stage if stage == "read" else "write", error.strerror or str(error))
    return outcome._replace(elapsed_ms=round(1000 * (time.perf_counter() - started), 3))


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


def _outcome(task: Task, status: str, **fields: object) -> Outcome:
    return Outcome(task.path, task.source, task.position, task.stamp, task.recipe, status, **fields)  # type: ignore[arg-type]


def failed(settings: Settings, task: Task, stage: str, reason: str) -> Outcome:
    """Return the outcome of an image that did not make it.

    Args:
        settings: Names the refined folder, from which an earlier result of the image is removed.
        task: The image.
        stage: Where it failed: read, decode, write or worker.
        reason: One sentence for the failures table.
    """
    # An earlier version of the file may have been done; its result must not stay.
    remove(f"{settings.out}/images/{task.path}")
    remove(f"{settings.out}/masks/{task.path}")
    return _outcome(task, "failed", stage=stage, reason=reason)


def _pass_on(settings: Settings, task: Task, data: bytes, sha256: str, header: Header, status: str) -> Outcome:
    """Write the source's own bytes."""
    original = task.locator.path if isinstance(task.locator, FileLocator) else None
    path = f"images/{task.path}"
    if settings.link and original is not None:
        publish_link(settings.out, path, original)
    else:
        publish(settings.out, path, data, original=original)
    return _outcome(
        task,
        status,
        width=header.width,
        height=header.height,
        channels=header.channels,
        source_sha256=sha256,
        image_bytes=len(data),
    )


def _refine(settings: Settings, task: Task, data: bytes, sha256: str, header: Header) -> Outcome:
    import numpy as np

    from radrefine.fingerprints import is_blank, perceptual_hash, pixel_sha256
    from radrefine.images import decode_image, encode_png
    from radrefine.refine import refine_image

    image = decode_image(data, max_pixels=settings.max_pixels)
    if settings.corrected:
        result = apply_correction(image, task.correction, settings.refine)
    else:
        result = refine_image(image, settings.refine, task.decisions)
    masked = int(np.count_nonzero(result.mask))
    same_size = result.image.shape == image.shape
    if masked == 0 and same_size and header.format == "PNG" and task.path == task.source:
        # Nothing was replaced: the bytes themselves are the most faithful copy.
        outcome = _pass_on(settings, task, data, sha256, header, "clean")
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
        outcome = _outcome(
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
        source_sha256=sha256,
        pixel_sha256=pixel_sha256(image),
        phash=perceptual_hash(image),
        phash_refined=perceptual_hash(result.image),
        blank=is_blank(image),
        mask_fraction=masked / result.mask.size,
        residual_score=float(result.residual_score),
        findings=json.dumps(rows) if rows else None,
    )
