"""Fingerprint the stored images of a refined folder: in parallel, once each, and on from where it stopped."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from radrefine.audit.collection import IMAGES
from radrefine.audit.growing import GrowingTable
from radrefine.errors import ImageError
from radrefine.fingerprints import (
    THUMBNAIL_SIZE,
    file_sha256,
    is_blank,
    perceptual_hash,
    pixel_sha256,
    thumbnail,
)
from radrefine.images import decode_image
from radrefine.outputs import bounds_of, locked
from radrefine.progress import Progress, ProgressCallback, ignore_progress
from radrefine.threads import in_threads

FINGERPRINTS: Final = "fingerprints.parquet"

_CHUNK = 64
_ROWS_PER_PART = 4096

_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("version", pa.string()),
        ("stored_sha256", pa.string()),
        ("stored_pixel_sha256", pa.string()),
        ("stored_phash", pa.string()),
        ("stored_blank", pa.bool_()),
        ("thumbnail", pa.binary(THUMBNAIL_SIZE * THUMBNAIL_SIZE)),
        ("failure", pa.string()),
    ]
)

Row = dict[str, object]

Work = tuple[str, str, Path, int]
"""Path in the manifest, version, place on disk, pixels that it may have."""


def fingerprint_images(
    refined: Path,
    rows: pd.DataFrame,
    *,
    jobs: int = -1,
    stage: str = "fingerprint",
    progress: ProgressCallback = ignore_progress,
) -> pd.DataFrame:
    """Fingerprint the stored images of some rows of the manifest and keep the result in `fingerprints.parquet`.

    What an earlier call has fingerprinted is read back; an interrupted call goes on where it stopped. An image that
    cannot be decoded is a row with its `failure`.

    Args:
        refined: The refined folder.
        rows: Rows of `load_manifest`.
        jobs: Number of threads; 0 and -1 take one per core.
        stage: Name of this work in `progress`.
        progress: Told after every chunk of images.

    Returns:
        A row per row of `rows`, in their order and with their index: path, version, stored_sha256 (of the file),
        stored_pixel_sha256, stored_phash, stored_blank and failure; `load_thumbnails` loads the rest.

    Raises:
        RefinedFolderError: Another run is writing to the folder, or what an earlier one wrote there is damaged.
    """
    wanted = pd.Series(_versions(refined, rows).to_numpy(), index=rows["path"].to_numpy())
    table = _table(refined)
    if table.has_parts or _missing(table, wanted):
        # Two runs at a time would merge and remove each other's parts.
        with locked(refined):
            table.merge()
            most = bounds_of(refined).max_pixels
            work = [(path, wanted[path], refined / IMAGES / path, most) for path in _missing(table, wanted)]
            _fingerprint_all(table, work, jobs, stage, progress)
            table.merge()
    return _read_wanted(table, wanted).reindex(rows["path"]).reset_index().set_index(rows.index)


def load_thumbnails(refined: Path, paths: pd.Series) -> NDArray[np.uint8]:
    """Load the thumbnails of fingerprinted images.

    Args:
        refined: The refined folder.
        paths: Their paths in the manifest; others are not held in memory.

    Returns:
        (N, 32, 32) uint8 grey, stored images shrunk; zeros where an image could not be decoded.
    """
    result = np.zeros((len(paths), THUMBNAIL_SIZE, THUMBNAIL_SIZE), np.uint8)
    wanted = pd.Index(paths)  # hashed once, not for each batch
    for batch in _table(refined).batches(["path", "thumbnail"]):
        rows = batch.to_pandas().dropna()
        position = wanted.get_indexer(rows["path"])
        there = position >= 0
        if there.any():
            data = np.frombuffer(b"".join(rows["thumbnail"][there]), np.uint8)
            result[position[there]] = data.reshape(-1, THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    return result


def _table(refined: Path) -> GrowingTable:
    return GrowingTable(refined / FINGERPRINTS, _SCHEMA)


def _versions(refined: Path, rows: pd.DataFrame) -> pd.Series:
    """Name what an image is made from and the state of its file, so that no fingerprint of another one is trusted."""
    perceptual = rows["phash_refined"].fillna("").astype(str)
    fraction = rows["mask_fraction"].astype(float).map("{:.6g}".format).astype(str) if "mask_fraction" in rows else ""
    files = rows["path"].map(lambda path: _state(refined / IMAGES / path)).astype(str)
    return rows["source_sha256"].fillna("").astype(str).str[:16] + ":" + perceptual + ":" + fraction + ":" + files


def _state(file: Path) -> str:
    """Return size and time of change of a file, empty where it cannot be looked at."""
    try:
        told = file.stat()
    except OSError:
        return ""
    return f"{told.st_size}:{told.st_mtime_ns}"


def _missing(table: GrowingTable, wanted: pd.Series) -> list[str]:
    known = table.read(["path", "version", "stored_sha256"]).to_pandas()
    # A file that could not be read at all (no permission, a dropped mount) is tried again.
    known = known[known["stored_sha256"].notna()]
    versions = known.drop_duplicates("path", keep="last").set_index("path")["version"].reindex(wanted.index)
    return list(wanted.index[(versions != wanted).to_numpy()])


def _read_wanted(table: GrowingTable, wanted: pd.Series) -> pd.DataFrame:
    rows = table.read([name for name in _SCHEMA.names if name != "thumbnail"]).to_pandas()
    return rows[rows["path"].isin(wanted.index)].drop_duplicates("path", keep="last").set_index("path")


def _fingerprint_all(table: GrowingTable, work: list[Work], jobs: int, stage: str, progress: ProgressCallback) -> None:
    done = failed = 0
    rows: list[Row] = []
    for chunk in in_threads(_fingerprint_chunk, _chunks(work), jobs):
        rows += chunk
        done += len(chunk)
        failed += sum(row["failure"] is not None for row in chunk)
        progress(Progress(stage, done, len(work), {"failed": failed} if failed else {}))
        if len(rows) >= _ROWS_PER_PART:
            table.add(pa.Table.from_pylist(rows, schema=_SCHEMA))
            rows = []
    if rows:
        table.add(pa.Table.from_pylist(rows, schema=_SCHEMA))


def _chunks(work: list[Work]) -> Iterator[list[Work]]:
    items = iter(work)
    while chunk := list(islice(items, _CHUNK)):
        yield chunk


def _fingerprint_chunk(work: list[Work]) -> list[Row]:
    return [_fingerprint(*item) for item in work]


def _fingerprint(path: str, version: str, place: Path, max_pixels: int) -> Row:
    row: Row = dict.fromkeys(_SCHEMA.names)
    row |= {"path": path, "version": version}
    try:
        data = place.read_bytes()
        row["stored_sha256"] = file_sha256(data)
        image = decode_image(data, max_pixels=max_pixels)
    except OSError as error:
        return row | {"failure": error.strerror or str(error)}
    except ImageError as error:
        return row | {"failure": str(error)}
    return row | {
        "stored_pixel_sha256": pixel_sha256(image),
        "stored_phash": perceptual_hash(image),
        "stored_blank": is_blank(image),
        "thumbnail": thumbnail(image).tobytes(),
    }
