"""Find the images of a refined folder that are the same, or nearly so, and the groups that they form."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from radrefine.audit.collection import IMAGES, has_marks
from radrefine.audit.confirm import MIN_CORRELATION, confirm_pairs
from radrefine.audit.hashing import fingerprint_images, load_thumbnails
from radrefine.audit.neighbours import (
    MAX_DISTANCE,
    MIN_THUMBNAIL,
    Candidates,
    correlate_pairs,
    find_candidates,
    keep_nearest,
    parse_hashes,
)
from radrefine.progress import ProgressCallback, ignore_progress

PAIR_COLUMNS: Final = ("path_a", "path_b", "label_a", "label_b", "kind", "distance", "correlation")


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What is the same in a collection.

    Attributes:
        images: A row per image in the order of the manifest: path, label, modality, file_sha256, pixel_sha256,
            phash, phash_refined, blank (bool), marks (bool), failure (None when readable).
        pairs: Confirmed near-duplicates among images of different pixels: `PAIR_COLUMNS`; kind is `near`, or `marks`
            where marks were found in one of the two only.
        components: (N,) int64; equal for images that are linked by bytes, pixels or near-duplicate pairs. Blank and
            unreadable images stand alone.
        max_distance: The distance of perceptual hashes that was searched.
        asked_distance: The distance that should have been; more where too many pairs qualified.
        sure_distance: The distance up to which no pair was overlooked; -1 where some of any distance may have been.
        cut: Comparisons left out because too many hashes were alike.
    """

    images: pd.DataFrame
    pairs: pd.DataFrame
    components: NDArray[np.int64]
    max_distance: int
    asked_distance: int
    sure_distance: int
    cut: int


def find_duplicates(
    refined: Path,
    manifest: pd.DataFrame,
    *,
    max_distance: int = MAX_DISTANCE,
    min_correlation: float = MIN_CORRELATION,
    jobs: int = -1,
    progress: ProgressCallback = ignore_progress,
) -> Duplicates:
    """Find exact and near-duplicates among the images of a refined folder.

    Args:
        refined: The refined folder.
        manifest: From `load_manifest`.
        max_distance: Bits in which two perceptual hashes may differ to be compared.
        min_correlation: Least likeness (see `radrefine.audit.confirm`) that confirms a pair, -1 to 1.
        jobs: Number of threads; 0 and -1 take one per core.
        progress: Told while images are decoded, hashes searched and pairs compared.
    """
    images = describe_images(refined, manifest, jobs=jobs, progress=progress)
    single = _first_of_each(images)
    candidates = _propose(images.loc[single], single, max_distance, progress)
    involved = np.unique(candidates.pairs)
    stored = fingerprint_images(refined, manifest.iloc[involved], jobs=jobs, stage="compare", progress=progress)
    damaged = stored["failure"].dropna()
    images.loc[damaged.index, "failure"] = damaged
    thumbnails = load_thumbnails(refined, images["path"].iloc[involved])
    similar = correlate_pairs(thumbnails, np.searchsorted(involved, candidates.pairs), progress)
    alike = np.flatnonzero(similar >= MIN_THUMBNAIL)
    alike = alike[keep_nearest(candidates.pairs[alike], similar[alike])]
    near, distances = candidates.pairs[alike], candidates.distances[alike]
    within = np.searchsorted(involved, near)
    correlations = confirm_pairs(refined, stored, within, enough=min_correlation, jobs=jobs, progress=progress)
    confirmed = correlations >= min_correlation
    near = near[confirmed]
    pairs = _describe_pairs(images, near, distances[confirmed], correlations[confirmed])
    components = _connect(images, near)
    searched = (candidates.max_distance, max_distance, candidates.sure_distance, candidates.cut)
    return Duplicates(images, pairs, components, *searched)


def describe_images(
    refined: Path, manifest: pd.DataFrame, *, jobs: int = -1, progress: ProgressCallback = ignore_progress
) -> pd.DataFrame:
    """Put together the fingerprints of every image, decoding those that the manifest knows by their bytes only.

    Of the others it is seen to that they are there.

    Returns:
        `Duplicates.images`.
    """
    images = manifest[["path", "label", "modality", "pixel_sha256", "phash", "phash_refined"]].copy()
    images["file_sha256"] = manifest["source_sha256"]
    images["blank"] = manifest["blank"].astype("boolean").fillna(False).astype(bool)
    images["marks"] = has_marks(manifest)
    images["failure"] = pd.Series(None, index=images.index, dtype=object)
    images.loc[manifest["status"] == "failed", "failure"] = "failed in radrefine clean; see failures.csv"
    unknown = (images["pixel_sha256"].isna() | images["phash"].isna()) & images["failure"].isna()
    decoded = fingerprint_images(refined, manifest[unknown], jobs=jobs, progress=progress)
    for name, stored in (("pixel_sha256", "stored_pixel_sha256"), ("phash", "stored_phash"), ("failure", "failure")):
        images[name] = images[name].astype(object)
        images.loc[unknown, name] = decoded[stored].astype(object)
    images.loc[unknown, "blank"] = decoded["stored_blank"].astype("boolean").fillna(False).astype(bool)
    images["file_sha256"] = images["file_sha256"].fillna(decoded["stored_sha256"])
    trusted = images["path"][~unknown & images["failure"].isna()]
    gone = trusted[~trusted.map(lambda path: os.path.exists(f"{refined}/{IMAGES}/{path}")).astype(bool)]  # noqa: PTH110
    images.loc[gone.index, "failure"] = f"missing in {IMAGES}/; run radrefine clean again"
    return images


def connect(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the connected components of `count` nodes under `pairs` (M, 2); (count,) int64."""
    links = coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(links, directed=False)[1].astype(np.int64)


def link_equal(values: pd.Series) -> NDArray[np.int64]:
    """Return pairs of positions that chain equal values, (M, 2) int64; missing values are equal to nothing."""
    known = np.flatnonzero(values.notna().to_numpy())
    codes = pd.factorize(values.iloc[known])[0]
    order = np.argsort(codes, kind="stable")
    same = codes[order[1:]] == codes[order[:-1]]
    return np.stack([known[order[:-1][same]], known[order[1:][same]]], axis=1).astype(np.int64)


def _usable(images: pd.DataFrame) -> pd.Series:
    return images["failure"].isna() & ~images["blank"]


def _first_of_each(images: pd.DataFrame) -> NDArray[np.int64]:
    """Return the position of the first image of each set of equal pixels; the others are linked to it anyway."""
    usable = _usable(images) & images["phash"].notna()
    return np.flatnonzero(usable & ~images["pixel_sha256"].where(usable).duplicated()).astype(np.int64)


def _propose(
    images: pd.DataFrame, positions: NDArray[np.int64], max_distance: int, progress: ProgressCallback
) -> Candidates:
    # The same frame with and without calipers differs raw and agrees cleaned: both hashes take part.
    cleaned = images["phash_refined"].notna() & (images["phash_refined"] != images["phash"])
    hashes = parse_hashes([*images["phash"], *images["phash_refined"][cleaned]])
    owners = np.concatenate([positions, positions[cleaned.to_numpy()]])
    return find_candidates(hashes, owners, max_distance=max_distance, progress=progress)


def _describe_pairs(
    images: pd.DataFrame,
    pairs: NDArray[np.int64],
    distances: NDArray[np.uint8],
    correlations: NDArray[np.float32],
) -> pd.DataFrame:
    first, second = (images.iloc[pairs[:, side]].reset_index(drop=True) for side in (0, 1))
    return pd.DataFrame(
        {
            "path_a": first["path"],
            "path_b": second["path"],
            "label_a": first["label"],
            "label_b": second["label"],
            "kind": np.where(first["marks"] != second["marks"], "marks", "near"),
            "distance": distances,
            "correlation": correlations,
        }
    ).sort_values(["path_a", "path_b"], ignore_index=True)


def _connect(images: pd.DataFrame, near: NDArray[np.int64]) -> NDArray[np.int64]:
    usable = _usable(images)
    links = [link_equal(images[name].where(usable)) for name in ("file_sha256", "pixel_sha256")]
    return connect(len(images), np.concatenate([*links, near]))
