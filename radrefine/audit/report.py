"""Audit a refined folder and write what was found."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pandas as pd

from radrefine.audit.collection import MANIFEST, load_manifest
from radrefine.audit.confirm import MIN_CORRELATION
from radrefine.audit.duplicates import Duplicates, find_duplicates
from radrefine.audit.figures import draw_classes
from radrefine.audit.neighbours import MAX_DISTANCE
from radrefine.audit.tables import count_labels, find_conflicts, find_exact, flag_images
from radrefine.audit.taxonomy import compare_taxonomy
from radrefine.files import atomic_path, write_json
from radrefine.fingerprints import file_sha256
from radrefine.progress import ProgressCallback, ignore_progress
from radrefine.schema import SCHEMA

FOLDER: Final = "audit"
FEWEST_IMAGES: Final = 27
"""Images that a class needs for one of each in 24:1:2."""

_PROBLEMS: Final = (
    "unreadable",
    "blank",
    "exact_duplicates",
    "near_duplicate_pairs",
    "with_and_without_marks",
    "label_conflicts",
    "classes_too_small",
)


@dataclass(frozen=True, slots=True)
class AuditSummary:
    """What an audit found.

    Attributes:
        out: The folder of tables, `audit` in the refined folder.
        facts: `audit.json` as written.
    """

    out: Path
    facts: dict[str, Any]

    @property
    def problems(self) -> dict[str, int]:
        """Counts of what was found, those above 0."""
        return {name: self.facts[name] for name in _PROBLEMS if self.facts[name]}


def audit_collection(
    refined: Path,
    *,
    max_distance: int = MAX_DISTANCE,
    min_correlation: float = MIN_CORRELATION,
    fewest: int = FEWEST_IMAGES,
    jobs: int = -1,
    progress: ProgressCallback = ignore_progress,
) -> AuditSummary:
    """Find duplicates, blanks, conflicting labels, unreadable files and small classes, and write them as tables.

    Written to `audit/` in the refined folder: images.parquet (every image and its flags), exact_duplicates.csv,
    near_duplicates.csv, label_conflicts.csv, unusable.csv, classes.csv, taxonomy.csv (against what is known of
    RadImageNet, where the labels are like its own), classes.png and audit.json.

    Args:
        refined: A folder that `radrefine clean` wrote.
        max_distance: Bits in which perceptual hashes of near-duplicates may differ.
        min_correlation: Least likeness (see `radrefine.audit.confirm`) that confirms a near-duplicate.
        fewest: Images below which a class is named as small; one of fewer than three groups always is.
        jobs: Number of threads; 0 and -1 take one per core.
        progress: Told while images are decoded and compared.

    Raises:
        RefinedFolderError: `refined` is not a refined folder.
    """
    manifest = load_manifest(refined)
    found = find_duplicates(
        refined, manifest, max_distance=max_distance, min_correlation=min_correlation, jobs=jobs, progress=progress
    )
    exact = find_exact(found.images)
    conflicts = find_conflicts(exact, found.pairs)
    classes = count_labels(found, fewest)
    taxonomy = compare_taxonomy(found.images["label"])
    flags = flag_images(found, exact, conflicts)
    tables = {
        "images.parquet": flags,
        "exact_duplicates.csv": exact,
        "near_duplicates.csv": found.pairs.sort_values("correlation", ascending=False, kind="stable"),
        "label_conflicts.csv": conflicts,
        "unusable.csv": _unusable(flags),
        "classes.csv": classes,
        "taxonomy.csv": taxonomy,
    }
    facts = _facts(found, exact, conflicts, classes, min_correlation)
    facts |= {"taxonomy": _summarise(taxonomy), "manifest_sha256": file_sha256((refined / MANIFEST).read_bytes())}
    out = refined / FOLDER
    _write(out, tables)
    draw_classes(out / "classes.png", classes)
    write_json(out / "audit.json", facts)
    return AuditSummary(out, facts)


def _facts(
    found: Duplicates, exact: pd.DataFrame, conflicts: pd.DataFrame, classes: pd.DataFrame, min_correlation: float
) -> dict[str, Any]:
    images, sets = found.images, exact.drop_duplicates("set")
    sizes = pd.Series(found.components).value_counts()
    return {
        "schema": SCHEMA,
        "radrefine": version("radrefine"),
        "images": len(images),
        "classes": int((classes["images"] > 0).sum()),
        "unreadable": int(images["failure"].notna().sum()),
        "blank": int(images["blank"].sum()),
        "exact_duplicates": int(sets["images"].sum() - len(sets)),
        "exact_duplicate_sets": len(sets),
        "near_duplicate_pairs": len(found.pairs),
        "with_and_without_marks": int((found.pairs["kind"] == "marks").sum()),
        "label_conflicts": len(conflicts),
        "classes_too_small": int(classes["too_small"].sum()),
        "groups": len(sizes),
        "largest_group": int(sizes.iloc[0]) if len(sizes) else 0,
        "max_distance": found.max_distance,
        "sure_distance": found.sure_distance,
        "min_correlation": min_correlation,
        "comparisons_left_out": found.cut,
    }


def _unusable(flags: pd.DataFrame) -> pd.DataFrame:
    rows = flags[flags["is_unreadable"] | flags["is_blank"]]
    return rows[["path", "label"]].assign(reason=rows["failure"].where(rows["failure"].notna(), "blank"))


def _summarise(taxonomy: pd.DataFrame) -> dict[str, int]:
    return {str(verdict): int(count) for verdict, count in taxonomy["verdict"].value_counts().items()}


def _write(out: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    # Without audit.json an audit is not whole.
    (out / "audit.json").unlink(missing_ok=True)
    for name, table in tables.items():
        if table.empty and name != "images.parquet":
            (out / name).unlink(missing_ok=True)
            continue
        with atomic_path(out / name) as temporary:
            if name.endswith(".parquet"):
                table.to_parquet(temporary, index=False)
            else:
                table.to_csv(temporary, index=False, lineterminator="\n", float_format="%.4f")
