"""Clean a whole collection: in parallel, in bounded memory, and so that it can stop anywhere and go on.

The way of one image: the catalog lists it, the journal says whether it is done already, a worker reads, refines and
writes it, the journal notes the outcome. The tables are written from the journal at the end, in the order of the
source, so that neither the number of workers nor an interruption leaves a trace in them.
"""

import contextlib
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from radrefine.artifacts.classical.bank import load_templates
from radrefine.artifacts.learned.detector import MarkDetector
from radrefine.catalog import Catalog, Entry, open_source
from radrefine.clean_options import CleanOptions, CleanSummary
from radrefine.cleaning import CleanRun
from radrefine.errors import RefinedFolderError, SourceError, UsageError
from radrefine.outputs import STATE, locked, sweep
from radrefine.progress import ProgressCallback, ignore_progress
from radrefine.review import read_review
from radrefine.sources import Refusal
from radrefine.workers import check_backend

__all__ = ["CleanOptions", "CleanPlan", "CleanSummary", "clean_collection", "plan_collection"]


# Ultrasound grows when a lossy file becomes a PNG, and a little when it is packed fast rather than small.
_GROWTH: Final = {".jpg": 8.0, ".jpeg": 8.0, ".png": 1.3}


@dataclass(frozen=True, slots=True)
class CleanPlan:
    """What a run would do.

    Attributes:
        out: The refined folder.
        refine: Ultrasound images to look at.
        copy: Other images, whose bytes are passed on.
        link: Whether they become hard links.
        modalities: Images of each modality.
        refused: Files that would not be taken, with the reason; the first hundred.
        n_refused: All of them.
        bytes_read: Size of all images.
        bytes_written: Disk needed, a generous guess.
        bytes_free: Disk free where `out` would be.
    """

    out: Path
    refine: int
    copy: int
    link: bool
    modalities: dict[str, int]
    refused: list[tuple[str, str]]
    n_refused: int
    bytes_read: int
    bytes_written: int
    bytes_free: int


def plan_collection(src: str | Path, out: str | Path, options: CleanOptions | None = None) -> CleanPlan:
    """Say what `clean_collection` would do from the start, without reading an image or writing anything.

    Raises:
        SourceError: See `clean_collection`, as for the other errors.
    """
    options = options or CleanOptions()
    source, target = Path(src).expanduser(), Path(out).expanduser()
    catalog = _prepared(source, target, options)
    modalities: Counter[str] = Counter()
    refused: list[tuple[str, str]] = []
    read = n_refused = 0
    written = 0.0
    for found in catalog.entries():
        if isinstance(found, Refusal):
            n_refused += 1
            refused += [(found.path, found.reason)] if n_refused <= 100 else []
            continue
        if options.limit is not None and modalities.total() >= options.limit:
            break
        modalities[found.modality] += 1
        read += found.size
        if found.modality == "US":
            written += found.size * _GROWTH.get(PurePosixPath(found.path).suffix.lower(), 1.0)
        elif not options.link:
            written += found.size
    ultrasound = modalities["US"]
    return CleanPlan(
        out=target,
        refine=ultrasound,
        copy=modalities.total() - ultrasound,
        link=options.link,
        modalities=dict(sorted(modalities.items())),
        refused=refused,
        n_refused=n_refused,
        bytes_read=read,
        bytes_written=round(written),
        bytes_free=shutil.disk_usage(_nearest(target)).free,
    )


def clean_collection(
    src: str | Path, out: str | Path, options: CleanOptions | None = None, progress: ProgressCallback = ignore_progress
) -> CleanSummary:
    """Write the refined folder of a collection, or go on with one that an earlier run began.

    Args:
        src: A folder, `.tar`, `.tar.gz` or `.zip`.
        out: The refined folder.
        options: How.
        progress: Told several times a second where the work stands.

    Raises:
        SourceError: The source is missing, holds no image, or is not what its name says.
        RefinedFolderError: `out` belongs to something else, or another run is writing to it.
        UsageError: An option cannot be used.
        WorkerError: Worker processes keep being ended from outside.
        OSError: The disk is full, or a place cannot be written.
    """
    options = options or CleanOptions()
    source, target = Path(src).expanduser(), Path(out).expanduser()
    catalog = _prepared(source, target, options)
    with locked(target):
        sweep(target)
        try:
            with contextlib.closing(CleanRun(catalog, target, options, progress)) as run:
                return run.run()
        finally:
            sweep(target)


def _prepared(source: Path, target: Path, options: CleanOptions) -> Catalog:
    """Check all that can be checked before the first image, and open the source."""
    check_backend(options.backend, options.scheduler)
    for place in (source, target):
        str(place.resolve()).encode()  # a name that is not UTF-8 could not be written into the tables
    catalog = open_source(
        source,
        layout=options.layout,
        modality=options.modality,
        max_bytes=options.max_bytes,
        max_pixels=options.max_pixels,
        follow_links=options.follow_links,
    )
    _check_places(source, target, options)
    _check_files(options)
    _check_not_empty(catalog)
    return catalog


def _check_places(source: Path, target: Path, options: CleanOptions) -> None:
    inside, outer = target.resolve(), source.resolve()
    if inside == outer or (source.is_dir() and outer in inside.parents):
        raise UsageError(f"--out {target} lies inside the source {source}; choose a folder beside it")
    if inside in outer.parents and (target / STATE).is_dir():
        raise UsageError(f"the source {source} lies in the refined folder {target}; choose another --out")
    if (source / STATE).is_dir() and (source / "images").is_dir():
        raise UsageError(f"{source} is a refined folder itself; clean what it was made from, or {source}/images")
    if target.exists() and not target.is_dir():
        raise RefinedFolderError(f"{target} is a file; expected a folder for the refined images")
    if target.is_dir() and not (target / STATE).is_dir() and any(target.iterdir()):
        raise RefinedFolderError(f"{target} is not empty and was not made by radrefine clean; choose another --out")
    if options.link:
        _check_link(source, target)
    if options.review is not None and options.masks is not None:
        raise UsageError("--review decides on marks that are found, and with --masks none are; leave one of them out")
    if options.jobs < 0:
        raise UsageError(f"--jobs {options.jobs} is less than none; expected 0 for all processors, or a number")
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit {options.limit} leaves nothing to do; expected at least 1")


def _check_files(options: CleanOptions) -> None:
    """Read the files that options name, which workers will read again."""
    if options.review is not None:
        read_review(options.review.expanduser())
    if options.masks is not None:
        return
    refine = options.refine
    if refine.templates:
        load_templates(Path(refine.templates))
    if refine.weights and refine.detector != "classical":
        MarkDetector(Path(refine.weights), refine.engine)


def _check_link(source: Path, target: Path) -> None:
    if not source.is_dir():
        raise UsageError(f"--link needs files to link to, and {source} is an archive; leave --link out")
    if _nearest(target).stat().st_dev != source.stat().st_dev:
        raise UsageError(f"--link needs {source} and {target} on one file system; leave --link out to copy")


def _nearest(target: Path) -> Path:
    return next(folder for folder in (target, *target.resolve().parents) if folder.exists())


def _check_not_empty(catalog: Catalog) -> None:
    first: Refusal | None = None
    for found in catalog.entries():
        if isinstance(found, Entry):
            return
        first = first or found
    reason = f"; {first.path} was refused: {first.reason}" if first is not None else ""
    expected = "expected PNG, JPEG, TIFF, BMP or DICOM files"
    raise SourceError(f"there is no image in {catalog.source.path}: {expected}{reason}")
