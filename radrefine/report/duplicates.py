"""Gather what the audit found to be the same, for the pages that show it side by side."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd

from radrefine.fingerprints import file_sha256
from radrefine.outputs import bounds_of
from radrefine.reading import reading, refuse_outside
from radrefine.report.pictures import copy_picture

_REMEDY: Final = "run radrefine audit again"
_TOLD: Final = ("exact_duplicates", "near_duplicate_pairs", "label_conflicts")
MOST: Final = 200
"""Sets or pairs of each sort that the pages show; the tables of the audit hold them all."""
_MOST_OF_A_SET: Final = 6


@dataclass(slots=True)
class Likeness:
    """Images that are the same or nearly so.

    Attributes:
        sort: bytes, pixels, near or marks (the same frame with and without marks), as the audit names them.
        conflict: Whether their labels differ.
        note: What there is to say about them.
        images: Path, label and picture (relative to the page, empty where it is missing) of each.
    """

    sort: str
    conflict: bool
    note: str
    images: list[dict[str, str]] = field(default_factory=list)

    def as_data(self) -> dict[str, Any]:
        """Return the set as the page's script reads it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class AuditPages:
    """What the pages show of an audit.

    Attributes:
        facts: Its counts, `audit.json`.
        sets: Like images, conflicts first.
        is_old: Whether the folder was cleaned anew since.
    """

    facts: dict[str, Any]
    sets: list[Likeness]
    is_old: bool


def gather_audit(refined: Path, out: Path) -> AuditPages | None:
    """Read the tables of an audit and put the pictures of what is shown beside the page.

    Args:
        refined: The refined folder.
        out: Folder of the page.

    Returns:
        What to show; None where no audit has run.
    """
    folder = refined / "audit"
    if not (folder / "audit.json").is_file():
        return None
    with reading(folder / "audit.json", _REMEDY):
        facts = dict(json.loads((folder / "audit.json").read_text(encoding="utf-8")))
        facts |= {name: int(facts[name]) for name in _TOLD}
    with reading(folder, _REMEDY):
        near = _table(folder / "near_duplicates.csv")
        sets = [*_conflicts(folder, near), *_exact(folder), *_near(near)]
    refuse_outside((image["path"] for alike in sets for image in alike.images), folder, _REMEDY)
    pictures: dict[str, str] = {}
    most = bounds_of(refined).max_pixels
    for alike in sets:
        for image in alike.images:
            path = image["path"]
            if path not in pictures:
                stem = out / "alike" / f"{len(pictures):06d}"
                pictures[path] = copy_picture(refined / "images" / path, stem, out, most)
            image["picture"] = pictures[path]
    now = file_sha256((refined / "manifest.parquet").read_bytes())
    return AuditPages(facts, sets, facts.get("manifest_sha256") != now)


def _table(path: Path) -> pd.DataFrame:
    # The audit leaves a table out where it would be empty.
    if not path.is_file():
        return pd.DataFrame()
    # A class may be called 01 or NA.
    words = dict.fromkeys(("path", "label", "path_a", "path_b", "label_a", "label_b"), str)
    return pd.read_csv(path, dtype=words, keep_default_na=False, na_values={"correlation": [""]})


def _conflicts(folder: Path, near: pd.DataFrame) -> Iterator[Likeness]:
    likeness = (
        {}
        if near.empty
        else dict(zip(zip(near["path_a"], near["path_b"], strict=True), near["correlation"], strict=True))
    )
    for row in _table(folder / "label_conflicts.csv").head(MOST).to_dict("records"):
        correlation = likeness.get((row["path_a"], row["path_b"]))
        yield Likeness(str(row["kind"]), True, _likeness_note(correlation), _pair(row))


def _exact(folder: Path) -> Iterator[Likeness]:
    table = _table(folder / "exact_duplicates.csv")
    if table.empty:
        return
    for _, rows in table[table["set"].isin(table["set"].unique()[:MOST])].groupby("set", sort=True):
        images = [_image(row["path"], row["label"]) for row in rows.head(_MOST_OF_A_SET).to_dict("records")]
        hidden = len(rows) - len(images)
        note = f"{len(rows)} times the same picture" + (f", {hidden} of them not shown" if hidden else "")
        yield Likeness(str(rows["kind"].iloc[0]), len(set(rows["label"])) > 1, note, images)


def _near(near: pd.DataFrame) -> Iterator[Likeness]:
    if near.empty:
        return
    # Pairs with other labels are shown among the conflicts; the same frame with and without marks tells the most.
    shown = near[near["label_a"] == near["label_b"]]
    shown = pd.concat([shown[shown["kind"] == "marks"].head(MOST // 2), shown[shown["kind"] != "marks"]]).head(MOST)
    for row in shown.to_dict("records"):
        yield Likeness(str(row["kind"]), False, _likeness_note(row["correlation"]), _pair(row))


def _likeness_note(correlation: float | None) -> str:
    return "" if correlation is None or pd.isna(correlation) else f"likeness {correlation:.3f}"


def _pair(row: dict[Any, Any]) -> list[dict[str, str]]:
    return [_image(row[f"path_{side}"], row[f"label_{side}"]) for side in "ab"]


def _image(path: object, label: object) -> dict[str, str]:
    return {"path": str(path), "label": str(label), "picture": ""}
