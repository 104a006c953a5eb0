"""Confirm near-duplicates: lay one image on the other and compare their texture, window by window.

Look-alike anatomy agrees in its outlines; only the same frame agrees in its texture, and only once the small shifts
and zooms between two captures are undone. Pixels that cleaning replaced in either are left out, and the median over
windows is not moved by the few marks that were missed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from radrefine.audit.collection import IMAGES, MASKS
from radrefine.audit.growing import GrowingTable
from radrefine.errors import ImageError
from radrefine.images import decode_image
from radrefine.outputs import bounds_of, locked
from radrefine.progress import Progress, ProgressCallback, ignore_progress
from radrefine.records import Image
from radrefine.threads import in_threads

MIN_CORRELATION: Final = 0.97
SIZE: Final = 96

CONFIRMATIONS: Final = "confirmations.parquet"

_WINDOW = 17
_FAINT = 0.1  # windows with less texture than this share of the mean say nothing
_SEEN = 0.25  # nor do windows of which less than this share is left
_RIM = 5  # px across: replaced pixels shine into the texture beside them
_PAIRS_PER_CHUNK = 128
_PAIRS_PER_PART = 4096
_ROUNDS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 1e-3)

# Images are named by the first 64 bits of the SHA-256 of their pixels.
_SCHEMA = pa.schema([("a", pa.uint64()), ("b", pa.uint64()), ("enough", pa.float32()), ("likeness", pa.float32())])

_EVERYWHERE = np.full((SIZE, SIZE), 255, np.uint8)

Plane = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class View:
    """What is compared of an image.

    Attributes:
        grey: (96, 96) float32 grey levels.
        known: (96, 96) float32, 0 where cleaning replaced pixels, else 1.
    """

    grey: Plane
    known: Plane


def likeness(first: View, second: View, *, enough: float = MIN_CORRELATION) -> float:
    """Tell how alike two pictures are once the second is laid on the first.

    Args:
        first: From `shrink`.
        second: The same.
        enough: Likeness as it is that makes aligning them needless.

    Returns:
        Median correlation of texture over windows of 17 px, -1 to 1; 0 where a picture has no texture.
    """
    plain = _compare(first, second)
    if plain >= enough:
        return plain
    still = np.eye(2, 3, dtype=np.float32)
    try:
        _, move = cv2.findTransformECC(first.grey, second.grey, still, cv2.MOTION_AFFINE, _ROUNDS, _EVERYWHERE, 5)
    except cv2.error:  # the two have too little in common to be aligned
        return plain
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    grey, known = (
        cv2.warpAffine(plane, move, (SIZE, SIZE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        for plane in (second.grey, second.known)
    )
    return max(plain, _compare(first, View(np.asarray(grey, np.float32), np.asarray(known, np.float32))))


def confirm_pairs(
    refined: Path,
    images: pd.DataFrame,
    pairs: NDArray[np.int64],
    *,
    enough: float = MIN_CORRELATION,
    jobs: int = -1,
    progress: ProgressCallback = ignore_progress,
) -> NDArray[np.float32]:
    """Compute the likeness of the stored images of each pair, and keep it in `confirmations.parquet`.

    Pairs of the same pixels that were compared before are read back; an interrupted call goes on where it stopped.

    Args:
        refined: The refined folder.
        images: A row per image with path and stored_pixel_sha256, as `fingerprint_images` returns them.
        pairs: (M, 2) positions into `images`.
        enough: See `likeness`.
        jobs: Number of threads; 0 and -1 take one per core.
        progress: Told after every chunk of pairs.

    Returns:
        (M,) float32, -1 to 1; 0 for images that cannot be read.
    """
    table = GrowingTable(refined / CONFIRMATIONS, _SCHEMA)
    if table.has_parts:
        with locked(refined):
            table.merge()
    keys = _keys(images, pairs, enough)
    result, known = _look_up(table, keys)
    todo = np.flatnonzero(~known)
    if not len(todo):
        return result
    paths, most = images["path"].tolist(), bounds_of(refined).max_pixels
    unsaved = done = 0

    def compare(chunk: NDArray[np.int64]) -> list[float]:
        return _confirm(refined, paths, chunk, enough, most)

    with locked(refined):  # two runs at a time would merge and remove each other's parts
        for values in in_threads(compare, _chunks(pairs[todo]), jobs):
            result[todo[done : done + len(values)]] = values
            done += len(values)
            if done - unsaved >= _PAIRS_PER_PART or done == len(todo):
                rows = todo[unsaved:done]
                _keep(table, keys.iloc[rows].assign(likeness=result[rows]))
                unsaved = done
            progress(Progress("confirm", done, len(todo)))
        table.merge()
    return result


def _keys(images: pd.DataFrame, pairs: NDArray[np.int64], enough: float) -> pd.DataFrame:
    """Name each pair by the pixels of its images; 0 stands for an image that could not be read."""
    digests = np.array([int(value[:16], 16) if value else 0 for value in images["stored_pixel_sha256"].fillna("")])
    digests = digests.astype(np.uint64)
    return pd.DataFrame({"a": digests[pairs[:, 0]], "b": digests[pairs[:, 1]], "enough": np.float32(enough)})


def _look_up(table: GrowingTable, keys: pd.DataFrame) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    kept = table.read().to_pandas().drop_duplicates(["a", "b", "enough"])
    found = keys.merge(kept, how="left", on=["a", "b", "enough"])["likeness"].to_numpy(np.float32)
    known = ~np.isnan(found)
    return np.where(known, found, 0).astype(np.float32), known


def _keep(table: GrowingTable, rows: pd.DataFrame) -> None:
    readable = rows[(rows["a"] != 0) & (rows["b"] != 0)]  # the others may be there the next time
    table.add(pa.Table.from_pandas(readable, schema=_SCHEMA, preserve_index=False))


def _chunks(pairs: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(pairs), _PAIRS_PER_CHUNK):
        yield pairs[start : start + _PAIRS_PER_CHUNK]


def _confirm(refined: Path, paths: list[str], pairs: NDArray[np.int64], enough: float, max_pixels: int) -> list[float]:
    pictures = {index: _load(refined, paths[index], max_pixels) for index in np.unique(pairs).tolist()}
    values = []
    for a, b in pairs.tolist():
        first, second = pictures[a], pictures[b]
        values.append(0.0 if first is None or second is None else likeness(first, second, enough=enough))
    return values


def _load(refined: Path, path: str, max_pixels: int) -> View | None:
    try:
        image = decode_image((refined / IMAGES / path).read_bytes(), max_pixels=max_pixels)
        mask = refined / MASKS / path
        replaced = decode_image(mask.read_bytes(), max_pixels=max_pixels) if mask.is_file() else None
    except (OSError, ImageError):
        return None
    return shrink(image, replaced)


def shrink(image: Image, replaced: Image | None = None) -> View:
    """Make an image grey and 96 x 96 px.

    Args:
        image: (H, W) or (H, W, 3) RGB, uint8.
        replaced: (H, W) uint8, above 0 where cleaning replaced pixels; None where it replaced none.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    known = np.ones((SIZE, SIZE), np.float32)
    if replaced is not None:
        holes = np.asarray(_resized((replaced > 0).astype(np.float32)) > 0, np.uint8)
        known -= cv2.dilate(holes, np.ones((_RIM, _RIM), np.uint8))
    return View(np.asarray(_resized(grey), np.float32), known)


def _resized(plane: NDArray) -> NDArray:
    smaller = min(plane.shape) > SIZE
    return np.asarray(cv2.resize(plane, (SIZE, SIZE), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR))


def _compare(first: View, second: View) -> float:
    a, b, known = _texture(first.grey), _texture(second.grey), first.known * second.known
    together, of_a, of_b, seen = (_mean(product * known) for product in (a * b, a * a, b * b, np.ones_like(known)))
    # Sliding sums round below zero where there is nothing.
    energy = np.sqrt(np.maximum(of_a, 0) * np.maximum(of_b, 0))
    telling = (energy > max(_FAINT * float(energy.mean()), 1e-3)) & (seen >= _SEEN)
    return float(np.clip(np.median(together[telling] / energy[telling]), -1, 1)) if telling.any() else 0.0


def _texture(image: Plane) -> Plane:
    return cv2.GaussianBlur(image, (0, 0), 0.7) - cv2.GaussianBlur(image, (0, 0), 2.0)


def _mean(values: Plane) -> Plane:
    step = _WINDOW // 2
    return np.asarray(cv2.boxFilter(values, -1, (_WINDOW, _WINDOW))[step::step, step::step], np.float32)
