"""Choose the images of the gallery, worst first."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from radrefine.schema import KINDS

# The worst images tell what goes wrong, those of each kind what a rare kind looks like, and the rest what is usual.
_SHARE_WORST: Final = 0.5
_SHARE_KINDS: Final = 0.25


@dataclass(slots=True)
class GalleryItem:
    """One image of the gallery; the pictures are paths relative to the page, empty where there is none."""

    path: str
    label: str
    status: str
    width: int
    height: int
    residual: float | None
    mask_fraction: float
    findings: list[dict[str, Any]] = field(default_factory=list)
    before: str = ""
    mask: str = ""
    after: str = ""

    def as_data(self) -> dict[str, Any]:
        """Return the item as the page's script reads it."""
        return {name: getattr(self, name) for name in self.__slots__}


def choose_items(manifest: pd.DataFrame, findings: pd.DataFrame, *, sample: int, seed: int) -> list[GalleryItem]:
    """Choose the images to show.

    Half are the worst of all: highest `residual_score` first, then the largest replaced share. A quarter are the worst
    of each kind of mark in turn, and the rest is drawn at random from the other images that were looked at.

    Args:
        manifest: The table `manifest.parquet`.
        findings: The table `findings.parquet`.
        sample: How many to choose; 0 for all that were looked at.
        seed: Seed of the random part.

    Returns:
        Items without pictures, worst first.
    """
    looked_at = manifest[manifest["status"].isin(["refined", "clean"])]
    order = looked_at.sort_values(
        ["residual_score", "mask_fraction", "path"], ascending=[False, False, True], na_position="last"
    ).reset_index(drop=True)
    if 0 < sample < len(order):
        order = order.iloc[_sampled(order["path"], findings, sample, seed)]
    by_path: dict[str, list[dict[str, Any]]] = {str(path): [] for path in order["path"]}
    columns = ["path", "kind", "x", "y", "width", "height", "score", "removed"]
    for row in findings.loc[findings["path"].isin(list(by_path)), columns].to_dict("records"):
        by_path[str(row.pop("path"))].append(_plain(row))
    return [
        GalleryItem(
            path=str(row["path"]),
            label=str(row["label"]),
            status=str(row["status"]),
            width=int(row["width"]),
            height=int(row["height"]),
            residual=None if pd.isna(row["residual_score"]) else _rounded(row["residual_score"]),
            mask_fraction=_rounded(row["mask_fraction"], 6),
            findings=by_path[str(row["path"])],
        )
        for row in order.to_dict("records")
    ]


def _sampled(paths: "pd.Series[Any]", findings: pd.DataFrame, sample: int, seed: int) -> list[int]:
    """Return the places in the order of badness of the images to show, sorted."""
    chosen = set(range(round(sample * _SHARE_WORST)))
    place = pd.Series(paths.index, index=paths)
    with_marks = findings[["path", "kind"]].drop_duplicates()
    with_marks = with_marks.assign(place=with_marks["path"].map(place)).dropna().sort_values("place")
    share = round(sample * _SHARE_KINDS) // len(KINDS)
    for _, places in with_marks[~with_marks["place"].isin(chosen)].groupby("kind")["place"]:
        chosen |= set(places.astype(int).head(share))
    rest = np.setdiff1d(np.arange(len(paths)), sorted(chosen))
    drawn = np.random.default_rng(seed).choice(rest, sample - len(chosen), replace=False)
    return sorted({*chosen, *drawn.tolist()})


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "kind": str(row["kind"]),
        "x": int(row["x"]),
        "y": int(row["y"]),
        "width": int(row["width"]),
        "height": int(row["height"]),
        "score": _rounded(row["score"]),
        "removed": bool(row["removed"]),
    }


def _rounded(value: Any, digits: int = 4) -> float:
    return 0.0 if pd.isna(value) else round(float(value), digits)
