"""Read files that an earlier command wrote and that may have been damaged, edited or cut short since."""

import contextlib
import csv
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from radrefine.errors import RadrefineError, RefinedFolderError

# What parsers of JSON, CSV, Parquet and SQLite raise, and what comes of looking into a value of another shape.
_FAULTS = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, csv.Error, sqlite3.DatabaseError)


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


__all__ = ["reading"]
