"""Decisions of a person about single marks: read from the table that the report exports, obeyed by `clean`.

A decision names a mark by image, kind and box. `leave` leaves the mark in place, so that its pixels stay those of the
source; `remove` removes it, whatever the score.
"""

import contextlib
import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd

from radrefine.errors import UsageError
from radrefine.files import write_text
from radrefine.reading import reading
from radrefine.records import Finding
from radrefine.schema import KINDS

REVIEW_FILE: Final = "review.csv"
"""Where a refined folder keeps the decisions that it was made with."""
EARLIER_FILE: Final = "review.earlier.csv"
"""Where it keeps those of the run before, once it was made without any."""
COLUMNS: Final = ("path", "kind", "x", "y", "width", "height", "decision")
DECISIONS: Final = ("remove", "leave")

# Another version of a detector may draw a box a pixel larger; less overlap than this is another mark.
_LEAST_OVERLAP: Final = 0.5
_MOST_DIGITS: Final = 9
_LONGEST_TOLD: Final = 40


class Decision(NamedTuple):
    """One decision: the mark by its kind and bounding box in px, and `remove` or `leave`."""

    kind: str
    x: int
    y: int
    width: int
    height: int
    decision: str


@dataclass(frozen=True, slots=True)
class Review:
    """The decisions about a collection, by the path of the image in the refined folder."""

    by_path: dict[str, tuple[Decision, ...]]

    def stamp(self, path: str) -> str:
        """Return a short name of the decisions about an image, which changes when they do; empty without any."""
        decisions = self.by_path.get(path)
        return hashlib.sha256(repr(sorted(decisions)).encode()).hexdigest()[:12] if decisions else ""

    def notes(self, out: Path) -> list[str]:
        """Say which decisions found nothing to decide on in the tables of the refined folder `out`."""
        if not self.by_path:
            return []
        with reading(out / "manifest.parquet"):
            known = set(pd.read_parquet(out / "manifest.parquet", columns=["path"])["path"])
        unknown = [path for path in self.by_path if path not in known]
        here = [path for path in self.by_path if path in known]
        with reading(out / "findings.parquet"):
            table = pd.read_parquet(out / "findings.parquet", filters=[("path", "in", list(self.by_path))])
        found: dict[str, list[Finding]] = {}
        for row in table.itertuples(index=False):
            found.setdefault(str(row.path), []).append(Finding(*row[1:]))
        lost = [
            f"{decision.kind} at {decision.x}, {decision.y} in {path}"
            for path in here
            for decision in self.by_path[path]
            if _match(found.get(path, []), decision) is None
        ]
        return [
            f"review: {what}: {len(names):,}, the first being {names[0]}"
            for names, what in (
                (unknown, "paths that the refined folder does not hold"),
                (lost, "decisions that meet no mark"),
            )
            if names
        ]

    def write(self, out: Path) -> None:
        """Keep the decisions in the refined folder `out`; earlier ones are put aside where there are none."""
        file = out / REVIEW_FILE
        if not self.by_path:
            with contextlib.suppress(FileNotFoundError):
                file.replace(out / EARLIER_FILE)
            return
        rows = [(path, *decision) for path in sorted(self.by_path) for decision in sorted(self.by_path[path])]
        write_text(file, "".join(f"{','.join(map(_quoted, row))}\n" for row in (COLUMNS, *rows)))


def read_review(path: Path) -> Review:
    """Read the table that the report exports.

    Args:
        path: CSV with the columns `COLUMNS`, in any order, and perhaps others.

    Raises:
        UsageError: It is missing or malformed; the message names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read(path, csv.DictReader(file, strict=True))
    except OSError as error:
        raise UsageError(f"--review {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(
            f"--review {path} is not a text file in UTF-8; expected the table that the report exports"
        ) from None


def _read(path: Path, rows: "csv.DictReader[str]") -> Review:
    found: dict[str, dict[Decision, str]] = {}
    try:
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise UsageError(
                f"--review {path}, line 1: the column {missing[0]} is missing; expected {','.join(COLUMNS)}"
            )
        for row in rows:
            image, decision = _parse(path, rows.line_num, row)
            mark = decision._replace(decision="")
            earlier = found.setdefault(image, {}).setdefault(mark, decision.decision)
            if earlier != decision.decision:
                raise UsageError(
                    f"--review {path}, line {rows.line_num}: the same mark is to be removed and to be left; "
                    "delete one of the rows"
                )
    except csv.Error as error:
        raise UsageError(f"--review {path}, line {rows.line_num}: not a CSV table: {error}") from None
    return Review(
        {
            image: tuple(mark._replace(decision=decision) for mark, decision in marks.items())
            for image, marks in found.items()
        }
    )


def _parse(path: Path, line: int, row: dict[str, str]) -> tuple[str, Decision]:
    def refuse(name: str, expected: str) -> UsageError:
        told = repr(row[name][:_LONGEST_TOLD] if row[name] else row[name])
        return UsageError(f"--review {path}, line {line}: {name} is {told}; expected {expected}")

    for name, known in (("kind", KINDS), ("decision", DECISIONS)):
        if row[name] not in known:
            raise refuse(name, f"one of {', '.join(known)}")
    if not row["path"]:
        raise refuse("path", "the path of an image in the refined folder")
    box: dict[str, int] = {}
    for name, least in (("x", 0), ("y", 0), ("width", 1), ("height", 1)):
        text = row[name] or ""
        if not text.strip().isdecimal() or len(text) > _MOST_DIGITS or int(text) < least:
            raise refuse(name, f"a whole number of pixels, at least {least}")
        box[name] = int(text)
    return row["path"], Decision(kind=row["kind"], **box, decision=row["decision"])


def decide(findings: Sequence[Finding], decisions: Sequence[Decision]) -> tuple[list[Finding], list[Finding]]:
    """Apply decisions to the marks found in an image.

    Args:
        findings: What was found.
        decisions: Those about this image.

    Returns:
        The findings with `removed` as decided, in the same order, and those to be left in place.
    """
    decided, left = list(findings), []
    for decision in decisions:
        index = _match(decided, decision)
        if index is None:
            continue
        decided[index] = replace(decided[index], removed=decision.decision == "remove")
        if decision.decision == "leave":
            left.append(decided[index])
    return decided, left


def _match(findings: Sequence[Finding], decision: Decision) -> int | None:
    """Return the place of the finding that a decision means, None where there is none any more."""
    overlaps = [_overlap(found, decision) if found.kind == decision.kind else 0.0 for found in findings]
    best = max(range(len(overlaps)), key=overlaps.__getitem__, default=None)
    return best if best is not None and overlaps[best] >= _LEAST_OVERLAP else None


def _overlap(a: Finding, b: Decision) -> float:
    """Return the intersection of two boxes over their union, 0 to 1."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    common = max(0, width) * max(0, height)
    return common / (a.width * a.height + b.width * b.height - common)


def _quoted(value: object) -> str:
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if any(letter in text for letter in ',"\n\r') else text
