"""Prove from the files as written that nothing is shared between the parts of a split."""

from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pandas as pd

from radrefine.audit.duplicates import Duplicates
from radrefine.schema import SPLITS

_MOST_NAMED = 20

_HASHES: Final = {"shared_file_hashes": "file_sha256", "shared_pixel_hashes": "pixel_sha256"}


@dataclass(frozen=True, slots=True)
class SplitProof:
    """What the parts of a split share; all 0 where nothing leaks.

    Attributes:
        shared_paths: Paths in more than one part.
        shared_groups: Groups in more than one part.
        shared_file_hashes: SHA-256 of source files in more than one part.
        shared_pixel_hashes: SHA-256 of decoded pixels in more than one part.
        shared_near_duplicates: Confirmed near-duplicate pairs across parts.
        offending: Up to 20 pairs of paths across parts, each with its kind.
        unverified: What could not be verified, in sentences.
    """

    shared_paths: int
    shared_groups: int
    shared_file_hashes: int
    shared_pixel_hashes: int
    shared_near_duplicates: int
    offending: list[dict[str, str]] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)

    @property
    def leaks(self) -> bool:
        """Whether anything is shared."""
        return any(value for name, value in asdict(self).items() if name.startswith("shared_"))

    def as_dict(self) -> dict[str, Any]:
        """Return the proof as it stands in `split.json`."""
        return asdict(self)


def prove_split(folder: Path, duplicates: Duplicates, unverified: list[str]) -> SplitProof:
    """Read the tables of a split folder back and count what their parts share.

    Args:
        folder: The split folder, with train.csv, val.csv and test.csv.
        duplicates: Fingerprints and near-duplicate pairs of the refined folder.
        unverified: Sentences on what could not be verified.
    """
    tables = {part: _read(folder / f"{part}.csv") for part in SPLITS}
    rows = pd.concat(tables, names=["part"]).reset_index(level="part")
    rows = rows.merge(duplicates.images[["path", "file_sha256", "pixel_sha256"]], how="left", on="path")
    offending: list[dict[str, str]] = []
    counts: dict[str, int] = {}
    for name, column in {"shared_paths": "path", "shared_groups": "group", **_HASHES}.items():
        counts[name] = _count_shared(rows, column, offending)
    counts["shared_near_duplicates"] = _count_pairs(rows, duplicates, offending)
    told = [*unverified, *_blind_spots(rows, duplicates)]
    return SplitProof(**counts, offending=offending[:_MOST_NAMED], unverified=told)


def _read(place: Path) -> pd.DataFrame:
    return pd.read_csv(place, dtype={"path": str, "label": str, "group": str}, keep_default_na=False)


def _count_shared(rows: pd.DataFrame, column: str, offending: list[dict[str, str]]) -> int:
    present = rows[rows[column].notna() & (rows[column] != "")]
    parts = present.groupby(column, sort=True)["part"].nunique()
    shared = parts.index[parts > 1]
    for value in shared[:_MOST_NAMED]:
        for a, b in combinations(present[present[column] == value].drop_duplicates("part").itertuples(), 2):
            offending.append(_name(column, a.path, a.part, b.path, b.part))
    return len(shared)


def _count_pairs(rows: pd.DataFrame, duplicates: Duplicates, offending: list[dict[str, str]]) -> int:
    part = rows.drop_duplicates("path").set_index("path")["part"]
    a, b = duplicates.pairs["path_a"], duplicates.pairs["path_b"]
    part_a, part_b = a.map(part), b.map(part)
    across = (part_a.notna() & part_b.notna() & (part_a != part_b)).to_numpy()
    named = across.nonzero()[0][:_MOST_NAMED]
    offending += [_name("near-duplicate", a[index], part_a[index], b[index], part_b[index]) for index in named]
    return int(across.sum())


def _name(kind: str, path_a: str, part_a: str, path_b: str, part_b: str) -> dict[str, str]:
    return {"kind": kind, "path_a": path_a, "part_a": part_a, "path_b": path_b, "part_b": part_b}


def _blind_spots(rows: pd.DataFrame, duplicates: Duplicates) -> list[str]:
    told = []
    for column in _HASHES.values():
        unknown = int(rows[column].isna().sum())
        if unknown:
            told.append(f"{unknown} images have no {column}")
    asked, searched, sure = duplicates.asked_distance, duplicates.max_distance, duplicates.sure_distance
    if searched < asked:
        told.append(
            "too many pairs are alike: near-duplicates whose perceptual hashes differ in "
            f"{searched + 1} to {asked} bits were left out"
        )
    if 0 <= sure < searched:
        told.append(
            f"in a collection of this size, near-duplicates whose perceptual hashes differ in {sure + 1} to {searched} "
            "bits may be overlooked"
        )
    if duplicates.cut:
        told.append(
            f"many perceptual hashes are alike: {duplicates.cut:,} comparisons beyond the nearest neighbours were not "
            "made, so near-duplicates may remain"
        )
    return told
