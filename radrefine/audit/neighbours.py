"""Propose near-duplicates: pairs of close perceptual hashes, whose thumbnails are alike as well.

Sixty-four bits are cut into eight bands; images whose hashes agree in any two bands (28 tables) are compared. Hashes
that differ in up to six bits agree in two bands for certain; those that differ in ten still do more often than not.
Collections of up to 10,000 hashes are small enough to compare every pair instead.
Work and memory are bounded however the hashes cluster: within a bucket, hashes are sorted and compared with their
next neighbours only, and where too many pairs qualify the distance is lowered; all of this is told in the result.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from radrefine.fingerprints import HASH_BITS, fine_structure
from radrefine.progress import Progress, ProgressCallback, ignore_progress

MAX_DISTANCE: Final = 10
MIN_THUMBNAIL: Final = 0.7
"""Correlation of two thumbnails below which a pair is not looked at any closer."""

MOST_PARTNERS: Final = 5
"""Partners of an image that are looked at closer, the most alike first."""

_BANDS = 8
_TABLES = tuple(combinations(range(_BANDS), 2))
# So many flipped bits leave two of the bands untouched, wherever they are.
_SURE_DISTANCE = _BANDS - 2

# Comparisons in all, which sets how many neighbours a hash is compared with: about 50 for a million images.
_COMPARISONS = 2_000_000_000
_FEWEST_NEIGHBOURS = 16
_MOST_PAIRS = 10_000_000
_FEW_HASHES = 10_000
_ROWS_PER_BLOCK = 256
_PAIRS_PER_CHUNK = 16_384


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs of images whose perceptual hashes are close.

    Attributes:
        pairs: (M, 2) int64, positions of images, the lower one first; sorted, without repeats.
        distances: (M,) uint8, bits that differ.
        max_distance: The distance that was searched; lower than asked where too many pairs qualified.
        sure_distance: The distance up to which every pair was found; -1 where some of any distance may be missing.
        cut: Comparisons left out because a bucket was too full, those of two hashes in several tables counted in each.
    """

    pairs: NDArray[np.int64]
    distances: NDArray[np.uint8]
    max_distance: int
    sure_distance: int
    cut: int


def find_candidates(
    hashes: NDArray[np.uint64],
    owners: NDArray[np.int64],
    *,
    max_distance: int = MAX_DISTANCE,
    most_pairs: int = _MOST_PAIRS,
    comparisons: int = _COMPARISONS,
    few: int = _FEW_HASHES,
    progress: ProgressCallback = ignore_progress,
) -> Candidates:
    """Find pairs of images with perceptual hashes at most `max_distance` bits apart.

    Args:
        hashes: (N,) uint64; an image may own several, such as one before and one after cleaning.
        owners: (N,) int64, the position of the image that each hash belongs to.
        max_distance: Bits that may differ, 0 to 64.
        most_pairs: Bound on the pairs returned.
        comparisons: Bound on the comparisons made, apart from 16 per hash and table.
        few: Number of hashes up to which every pair is compared.
        progress: Told after every table.

    Returns:
        The pairs; pairs of an image with itself are left out.
    """
    images = int(owners.max()) + 1 if len(owners) else 1
    if len(hashes) <= few:
        key, distance, max_distance = _search_all(hashes, owners, max_distance, most_pairs, images)
        return Candidates(np.stack(np.divmod(key, images), axis=1), distance, max_distance, max_distance, 0)
    bands = _spread_bits(hashes)
    window = max(_FEWEST_NEIGHBOURS, comparisons // max(1, len(hashes) * len(_TABLES)))
    found: dict[str, NDArray] = {"key": np.empty(0, np.int64), "distance": np.empty(0, np.uint8)}
    cut = 0
    for number, table in enumerate(_TABLES, 1):
        key, distance, left = _search_table(bands, owners, table, max_distance, window, images)
        cut += left
        key, distance, max_distance = _merge(
            np.concatenate([found["key"], key]),
            np.concatenate([found["distance"], distance]),
            max_distance,
            most_pairs,
        )
        found = {"key": key, "distance": distance}
        progress(Progress("search", number, len(_TABLES)))
    pairs = np.stack(np.divmod(found["key"], images), axis=1)
    return Candidates(pairs, found["distance"], max_distance, -1 if cut else min(max_distance, _SURE_DISTANCE), cut)


def correlate_pairs(
    thumbnails: NDArray[np.uint8], pairs: NDArray[np.int64], progress: ProgressCallback = ignore_progress
) -> NDArray[np.float32]:
    """Correlate the fine structure of the thumbnails of each pair.

    Args:
        thumbnails: (N, 32, 32) uint8.
        pairs: (M, 2) positions into `thumbnails`.
        progress: Told after every chunk of pairs.

    Returns:
        (M,) float32, -1 to 1.
    """
    result = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _PAIRS_PER_CHUNK):
        chunk = pairs[start : start + _PAIRS_PER_CHUNK]
        images, position = np.unique(chunk, return_inverse=True)
        rows = fine_structure(thumbnails[images])
        first, second = position.reshape(-1, 2).T
        result[start : start + len(chunk)] = np.einsum("ij,ij->i", rows[first], rows[second])
        progress(Progress("likeness", start + len(chunk), len(pairs)))
    return result


def keep_nearest(
    pairs: NDArray[np.int64], correlations: NDArray[np.float32], most: int = MOST_PARTNERS
) -> NDArray[np.bool_]:
    """Choose the pairs that are worth a closer look: those among the `most` most alike of either image.

    Look-alike anatomy gives an image hundreds of partners; if one of them is the same frame, it is among the nearest.

    Args:
        pairs: (M, 2) positions of images.
        correlations: (M,) of their thumbnails.
        most: Partners to keep per image.

    Returns:
        (M,) True for the pairs to keep; at most `most` times the number of images.
    """
    images = pairs.ravel()
    order = np.lexsort((-np.repeat(correlations, 2), images))
    _, first = np.unique(images[order], return_index=True)
    counts = np.diff(np.append(first, len(images)))
    rank = np.empty(len(images), np.int64)
    rank[order] = np.arange(len(images)) - np.repeat(first, counts)
    return np.asarray((rank.reshape(-1, 2) < most).any(axis=1))


def parse_hashes(values: list[str]) -> NDArray[np.uint64]:
    """Turn perceptual hashes of 16 hexadecimal digits into (N,) uint64."""
    return np.frombuffer(bytes.fromhex("".join(values)), ">u8").astype(np.uint64)


def _merge(
    keys: NDArray[np.int64], distances: NDArray[np.uint8], max_distance: int, most: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8], int]:
    """Sort keys, keep the least distance of each, and lower the greatest distance until at most `most` are left."""
    order = np.lexsort((distances, keys))
    keys, first = np.unique(keys[order], return_index=True)
    distances = distances[order][first]
    while len(keys) > most and max_distance > 0:
        max_distance -= 1
        near = distances <= max_distance
        keys, distances = keys[near], distances[near]
    return keys, distances, max_distance


def _search_all(
    hashes: NDArray[np.uint64], owners: NDArray[np.int64], max_distance: int, most: int, images: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8], int]:
    """Compare every pair of hashes, a block of rows at a time."""
    keys, distances = np.empty(0, np.int64), np.empty(0, np.uint8)
    for start in range(0, len(hashes), _ROWS_PER_BLOCK):
        block = slice(start, start + _ROWS_PER_BLOCK)
        distance = np.bitwise_count(hashes[block, None] ^ hashes[None, start:])
        row, column = np.nonzero(distance <= max_distance)
        a, b = owners[start + row], owners[start + column]
        later = (column > row) & (a != b)
        key = (np.minimum(a, b) * images + np.maximum(a, b))[later]
        keys = np.concatenate([keys, key])
        distances = np.concatenate([distances, distance[row, column][later]])
        if len(keys) > most:
            keys, distances, max_distance = _merge(keys, distances, max_distance, most)
    return _merge(keys, distances, max_distance, most)


def _spread_bits(hashes: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Deal the bits of each hash to eight bands, so that each band gets its share of the low frequencies; (N, 8)."""
    bits = np.unpackbits(hashes.astype(">u8").view(np.uint8).reshape(-1, _BANDS), axis=1)
    dealt = bits.reshape(-1, HASH_BITS // _BANDS, _BANDS).transpose(0, 2, 1)
    return np.packbits(np.ascontiguousarray(dealt).reshape(-1, HASH_BITS), axis=1)


def _search_table(
    bands: NDArray[np.uint8],
    owners: NDArray[np.int64],
    table: tuple[int, int],
    max_distance: int,
    window: int,
    images: int,
) -> tuple[NDArray[np.int64], NDArray[np.uint8], int]:
    """Compare hashes that agree in two bands with their next neighbours; return keys of pairs, distances, cut."""
    layout = [*table, *(band for band in range(_BANDS) if band not in table)]
    values = np.ascontiguousarray(bands[:, layout]).view(">u8").ravel().astype(np.uint64)
    order = np.argsort(values)
    values, holders = values[order], owners[order]
    buckets = (values >> np.uint64(48)).astype(np.uint16)
    keys, distances = [np.empty(0, np.int64)], [np.empty(0, np.uint8)]
    here = np.arange(len(values) - 1)
    for step in range(1, window + 1):
        here = here[here + step < len(values)]
        here = here[buckets[here] == buckets[here + step]]
        if not len(here):
            break
        distance = np.bitwise_count(values[here] ^ values[here + step])
        near = distance <= max_distance
        a, b = holders[here[near]], holders[here[near] + step]
        other = a != b
        keys.append((np.minimum(a, b) * images + np.maximum(a, b))[other])
        distances.append(distance[near][other])
    beyond = np.maximum(np.bincount(buckets) - window, 0)
    return np.concatenate(keys), np.concatenate(distances), int((beyond * np.maximum(beyond - 1, 0) // 2).sum())
