"""Read files that an earlier command wrote and that may have been damaged, edited or cut short since."""

import contextlib
import csv
import re
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from radrefine.errors import RadrefineError, RefinedFolderError

# What parsers of JSON, CSV, Parquet and SQLite raise, and what comes of looking into a value of another shape.
_FAULTS = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, csv.Error, sqlite3.DatabaseError)

# Absolute, empty or climbing with `..`; a backslash or a control character stands in no path that radrefine writes.
_OUTSIDE = re.compile(r"^(?:/|$)|(?:^|/)\.\.(?:/|$)|[\x00-\x1f\x7f\\\ud800-\udfff]")


@contextlib.contextmanager
def reading(
    path: Path, remedy: str = "run radrefine clean again", error: type[RadrefineError] = RefinedFolderError
) -> Iterator[None]:
    """Turn whatever the reader of a damaged file stumbles over into one sentence that names it.

    Args:
        path: The file that is read within the context.
        remedy: What the user can do.
        error: What is raised.
    """
    try:
        yield
    except _FAULTS as fault:
        told = " ".join(str(fault).split()) or "it ends too early"
        raise error(f"{path} cannot be read ({type(fault).__name__}: {told}); {remedy}") from None


def leads_outside(path: str) -> bool:
    """Tell whether a path that a table or a stranger names would lead out of the folder that it is relative to."""
    return _OUTSIDE.search(path) is not None


def refuse_outside(
    paths: Iterable[object],
    place: Path,
    remedy: str = "run radrefine clean again",
    error: type[RadrefineError] = RefinedFolderError,
) -> None:
    """Raise `error` where one of the paths in a table leads out of the folder that they are relative to.

    Args:
        paths: Paths in POSIX form.
        place: The table.
        remedy: What the user can do.
        error: What is raised.
    """
    for path in paths:
        if not isinstance(path, str) or leads_outside(path):
            raise error(f"{place} names {path!r}, which is no path inside the folder of the images; {remedy}")


__all__ = ["leads_outside", "reading", "refuse_outside"]
