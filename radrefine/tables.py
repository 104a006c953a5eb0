"""Write the tables of a refined folder from its journal, a few thousand rows at a time."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from radrefine.catalog import Place
from radrefine.files import atomic_path
from radrefine.journal import Journal, table_writer
from radrefine.schema import FAILURE_COLUMNS, FINDING_COLUMNS, KINDS, MANIFEST_COLUMNS

_TYPES: Final = {
    **dict.fromkeys(("width", "height", "channels", *(f"n_{kind}" for kind in KINDS)), pa.int32()),
    **dict.fromkeys(("mask_fraction", "residual_score", "elapsed_ms"), pa.float64()),
    "blank": pa.bool_(),
}
_MANIFEST: Final = pa.schema([(name, _TYPES.get(name, pa.string())) for name in MANIFEST_COLUMNS])
_FINDINGS: Final = pa.schema(
    [
        *((name, pa.string()) for name in ("path", "kind")),
        *((name, pa.int32()) for name in ("x", "y", "width", "height")),
        ("score", pa.float64()),
        ("detector", pa.string()),
        ("removed", pa.bool_()),
    ]
)


def write_tables(journal: Journal, out: Path, place_of: Callable[[str], Place], *, timings: bool = False) -> None:
    """Write `manifest.parquet`, `findings.parquet`, `failures.csv` and the final form of the journal.

    Args:
        journal: What became of every image.
        out: The refined folder.
        place_of: Gives label, modality, anatomy and pathology of a path in the source.
        timings: Whether `elapsed_ms` is filled in; the manifest then differs from run to run.
    """
    with (
        journal.final_form() as write_journal,
        table_writer(out / "manifest.parquet", _MANIFEST) as write_manifest,
        table_writer(out / "findings.parquet", _FINDINGS) as write_findings,
    ):
        for columns in journal.columns():
            write_journal(columns)
            findings = [None if text is None else json.loads(text) for text in columns["findings"]]
            more = _derived(columns, findings, place_of)
            if not timings:
                more["elapsed_ms"] = [None] * len(findings)
            write_manifest({**columns, **more})
            rows = [(path, *row) for path, found in zip(columns["path"], findings, strict=True) for row in found or ()]
            if rows:
                write_findings(dict(zip(FINDING_COLUMNS, zip(*rows, strict=True), strict=True)))
    with atomic_path(out / "failures.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FAILURE_COLUMNS)
        writer.writerows(journal.failures())


def are_whole(out: Path) -> bool:
    """Tell whether the tables of a refined folder are there and, as far as a glance tells, undamaged."""
    try:
        for name in ("manifest.parquet", "findings.parquet"):
            pq.read_schema(out / name)  # the last bytes of the file
        with (out / "failures.csv").open(newline="", encoding="utf-8") as file:
            columns = next(csv.reader(file), None)
        return columns == list(FAILURE_COLUMNS) and "configuration" in json.loads((out / "run.json").read_text())
    except (OSError, ValueError, TypeError):
        return False


def _derived(
    columns: Mapping[str, Sequence[Any]], findings: Sequence[list[Any] | None], place_of: Callable[[str], Place]
) -> dict[str, Sequence[Any]]:
    """Return the columns of the manifest that follow from the paths and the findings."""
    places = [place_of(source) for source in columns["source"]]
    derived: dict[str, Sequence[Any]] = dict(zip(Place._fields, zip(*places, strict=True), strict=True))
    derived["blank"] = [None if value is None else bool(value) for value in columns["blank"]]
    # No count where the image was never looked at.
    counted = [
        None if phash is None else Counter(row[0] for row in found or ())
        for found, phash in zip(findings, columns["phash"], strict=True)
    ]
    for kind in KINDS:
        derived[f"n_{kind}"] = [None if counts is None else counts[kind] for counts in counted]
    return derived
