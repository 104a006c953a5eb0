"""Write what was removed from a collection as one compact archive, without its images."""

import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from radrefine.catalog import Entry, open_source
from radrefine.corrections import holds_corrections, write_correction
from radrefine.errors import ImageError, RefinedFolderError, SourceError, UsageError
from radrefine.files import atomic_path
from radrefine.fingerprints import file_sha256
from radrefine.images import decode_image
from radrefine.outputs import bounds_of, refuse_unfinished
from radrefine.progress import Progress, ProgressCallback, ignore_progress
from radrefine.reading import reading
from radrefine.sources import read_bytes
from radrefine.work import refined_name


@dataclass(frozen=True, slots=True)
class RemovalsSummary:
    """What was written.

    Attributes:
        out: The archive.
        images: Images whose removals it holds.
        n_bytes: Its size.
        failures: (path, reason) of the images that it should hold and does not.
    """

    out: Path
    images: int
    n_bytes: int
    failures: list[tuple[str, str]] = field(default_factory=list)


def write_removals(
    refined: str | Path, source: str | Path, out: str | Path, *, progress: ProgressCallback = ignore_progress
) -> RemovalsSummary:
    """Write the removals of a refined folder; `radrefine clean --masks ARCHIVE` makes the same images from them.

    Args:
        refined: The refined folder.
        source: The collection it was made from.
        out: The archive, a `.zip`.
        progress: Receives images done.

    Raises:
        RefinedFolderError: `refined` is no refined folder, or nothing was removed in it.
        UsageError: `out` is a folder, or a file that holds something else.
        SourceError: The source is missing.
    """
    folder, archive = Path(refined), Path(out)
    _refuse_foreign(archive)
    wanted = _refined_images(folder)
    failures: list[tuple[str, str]] = []
    images = 0
    most_bytes, most_pixels = bounds = bounds_of(folder)
    with atomic_path(archive) as path, zipfile.ZipFile(path, "w") as packed:
        # Only what was refined is read, so that links lead nowhere new.
        for entry in open_source(source, layout="imagefolder", follow_links=True, **bounds._asdict()).entries():
            name = refined_name(entry.path)
            if not isinstance(entry, Entry) or name not in wanted:
                continue
            try:
                data = read_bytes(entry.locator, max_bytes=most_bytes)
                if file_sha256(data) != wanted.pop(name):
                    raise ImageError("the file changed since it was refined; run radrefine clean again")
                refined_bytes = (folder / "images" / name).read_bytes()
                before, after = (decode_image(one, max_pixels=most_pixels) for one in (data, refined_bytes))
                write_correction(packed, name, before, after)
                images += 1
            except (ImageError, OSError) as error:
                failures.append((entry.path, str(error)))
            progress(Progress("packing", images, images + len(wanted)))
        if not images:  # raised in here, it leaves an earlier archive whole
            raise SourceError(
                f"none of the refined images of {folder} was made from {source}; name their source with --src"
            )
    failures += [(path, f"not in {source}") for path in sorted(wanted)]
    return RemovalsSummary(archive, images, archive.stat().st_size, failures)


def _refuse_foreign(archive: Path) -> None:
    if archive.is_dir() or archive.suffix.lower() != ".zip":
        raise UsageError(f"--out must name a file that ends in .zip, got {archive}")
    if archive.exists() and not holds_corrections(archive):
        raise UsageError(f"--out {archive} was not written by radrefine masks; choose another name")


def _refined_images(folder: Path) -> dict[str, str]:
    """Return path and hash of the source of every image in which something was replaced."""
    manifest = folder / "manifest.parquet"
    refuse_unfinished(folder)
    if not manifest.is_file():
        raise RefinedFolderError(f"{folder} is no refined folder; make one with: radrefine clean --src IMAGES")
    with reading(manifest):
        table = pq.read_table(manifest, columns=["path", "source_sha256"], filters=[("status", "=", "refined")])
    if not table.num_rows:
        raise RefinedFolderError(f"nothing was removed in {folder}, so there is nothing to write")
    return dict(zip(*table.to_pydict().values(), strict=True))
