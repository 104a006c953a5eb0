"""Write the tables of a refined folder from its journal, a few thousand rows at a time."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from radrefine.catalog import Place
from radrefine.files import atomic_path
from radrefine.journal import Journal
from radrefine.schema import FAILURE_COLUMNS, FINDING_COLUMNS, KINDS, MANIFEST_COLUMNS

TABLES: Final = ("manifest.parquet", "findings.parquet", "failures.csv", "run.json")
"""What a finished refined folder holds beside images and masks."""

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
# Columns that the manifest takes from the journal as they are; the others follow from the path and the findings.
_STORED: Final = tuple(
    name
    for name in MANIFEST_COLUMNS
    if name not in ("label", "modality", "anatomy", "pathology") and not name.startswith("n_")
)


def write_tables(journal: Journal, out: Path, place_of: Callable[[str], Place], *, timings: bool = False) -> None:
    """Write `manifest.parquet`, `findings.parquet` and `failures.csv`.

    Args:
        journal: What became of every image.
        out: The refined folder.
        place_of: Gives label, modality, anatomy and pathology of a path in the source.
        timings: Whether `elapsed_ms` is filled in; the manifest then differs from run to run.
    """
    _write_manifest(journal, out / "manifest.parquet", place_of, timings)
    _write_findings(journal, out / "findings.parquet")
    with atomic_path(out / "failures.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FAILURE_COLUMNS)
        writer.writerows(journal.failures())


def _write_manifest(journal: Journal, final: Path, place_of: Callable[[str], Place], timings: bool) -> None:
    with atomic_path(final) as path, pq.ParquetWriter(path, _MANIFEST, compression="zstd") as writer:
        for batch in journal.rows((*_STORED, "source", "findings")):
            columns: dict[str, Any] = dict(zip((*_STORED, "source", "findings"), zip(*batch, strict=True), strict=True))
            places = [place_of(source) for source in columns["source"]]
            columns |= dict(zip(Place._fields, zip(*places, strict=True), strict=True))
            columns |= _counts(columns["findings"], columns["phash"])
            columns["blank"] = [None if value is None else bool(value) for value in columns["blank"]]
            if not timings:
                columns["elapsed_ms"] = [None] * len(batch)
            arrays = [pa.array(columns[field.name], field.type) for field in _MANIFEST]
            writer.write_batch(pa.record_batch(arrays, schema=_MANIFEST))


def _counts(findings: tuple[str | None, ...], decoded: tuple[str | None, ...]) -> dict[str, list[int | None]]:
    """Count the marks of each kind per image; null where the image was never looked at."""
    zero = dict.fromkeys(KINDS, 0)
    empty: dict[str, int | None] = dict.fromkeys(KINDS, None)
    rows: list[dict[str, Any]] = []
    for text, phash in zip(findings, decoded, strict=True):
        if text is not None:
            rows.append({**zero, **Counter(row[0] for row in json.loads(text))})
        else:
            rows.append(empty if phash is None else zero)
    return {f"n_{kind}": [row[kind] for row in rows] for kind in KINDS}


def _write_findings(journal: Journal, final: Path) -> None:
    with atomic_path(final) as path, pq.ParquetWriter(path, _FINDINGS, compression="zstd") as writer:
        for rows in _finding_rows(journal):
            columns = zip(*rows, strict=True)
            arrays = [pa.array(values, field.type) for values, field in zip(columns, _FINDINGS, strict=True)]
            writer.write_batch(pa.record_batch(arrays, names=list(FINDING_COLUMNS)))


def _finding_rows(journal: Journal) -> Iterator[list[tuple[Any, ...]]]:
    for batch in journal.rows(("path", "findings"), where="findings IS NOT NULL"):
        yield [(path, *row) for path, text in batch for row in json.loads(text)]
