"""Find the correction of an image among as many as the collection has, without keeping them in memory."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from radrefine.corrections import Correction
from radrefine.errors import ImageError, SourceError
from radrefine.members import FileLocator, HeldBytes, Locator, Member, RangeLocator, ZipLocator
from radrefine.sources import open_members

SUFFIXES: Final = (".npy", ".png")
_LOCATORS: Final = {form.__name__: form for form in (FileLocator, RangeLocator, ZipLocator, HeldBytes)}


class Corrections:
    """The corrections of a collection, by the path of the image; they lie in a temporary file that SQLite removes.

    Attributes:
        count: How many there are.

    Args:
        found: Key (path without the ending of the correction) and correction of each.
        sources: Paths of the images that may be corrected; read only where corrections go by base name.
    """

    def __init__(self, found: Iterable[tuple[str, Correction]], sources: Iterable[str]) -> None:
        # Walked by joblib's threads, one at a time.
        self._db = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute(
            "CREATE TABLE corrections (key TEXT PRIMARY KEY, kind TEXT, stamp TEXT, form TEXT, place) WITHOUT ROWID"
        )
        self._db.execute("CREATE TABLE names (name TEXT PRIMARY KEY, images INTEGER) WITHOUT ROWID")
        self._db.execute("BEGIN")
        folders: set[str] = set()
        rows = (_row(key, correction, folders) for key, correction in found)
        self._db.executemany("INSERT OR REPLACE INTO corrections VALUES (?, ?, ?, ?, ?)", rows)
        (self.count,) = self._db.execute("SELECT COUNT(*) FROM corrections").fetchone()
        by_path = (len(folders) == 1 or "" in folders) and self._count_names(sources)
        if len(folders) == 1 and not by_path:
            # As those of the published converter do, they go by base name.
            self._db.create_function("base", 1, _base)
            columns = "base(key), kind, stamp, form, place"
            self._db.execute(f"INSERT OR REPLACE INTO corrections SELECT {columns} FROM corrections")
        self._db.execute("COMMIT")

    def _count_names(self, sources: Iterable[str]) -> bool:
        """Count the base names of the images, and tell whether a correction in a folder goes by an image's path."""
        by_path = False

        def names() -> Iterator[tuple[str]]:
            nonlocal by_path
            for source in sources:
                # A refined image that was no PNG has got `.png` appended to its name.
                keys = [source, f"{source}.png"] if "/" in source and not by_path else []
                by_path = by_path or self._first([*keys, *map(_without_ending, keys)]) is not None
                yield (_base(source),)

        self._db.executemany(
            "INSERT INTO names VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET images = images + 1", names()
        )
        return by_path

    def find(self, source: str, refined: str) -> Correction | None:
        """Return the correction of an image, None where there is none.

        Args:
            source: Path of the image in the source.
            refined: Its path in the refined folder.

        Raises:
            ImageError: A correction is keyed by a base name that several images bear.
        """
        correction = self._first([refined, _without_ending(refined), source, _without_ending(source)])
        base = _base(source)
        if correction is not None or "/" not in source:
            return correction
        correction = self._first([base, _without_ending(base)])
        if correction is not None:
            row = self._db.execute("SELECT images FROM names WHERE name = ?", (base,)).fetchone()
            if row is not None and row[0] > 1:
                raise ImageError(
                    f"several images are named {base}, and a correction goes by that name alone; "
                    "key corrections by the whole path"
                )
        return correction

    def _first(self, keys: Sequence[str]) -> Correction | None:
        marks = ", ".join("?" * len(keys))
        rows = self._db.execute(f"SELECT * FROM corrections WHERE key IN ({marks})", keys).fetchall()
        row = min(rows, key=lambda row: keys.index(row[0]), default=None)
        return None if row is None else Correction(_locator(row[3], row[4]), row[1], row[2])

    def close(self) -> None:
        """Remove the temporary file."""
        self._db.close()


def open_corrections(path: Path, sources: Iterable[str]) -> Corrections:
    """List the corrections in a folder or archive.

    Args:
        path: Folder, `.tar`, `.tar.gz` or `.zip` of `.npy` arrays or PNG masks.
        sources: Paths of the images that may be corrected; read only where corrections go by base name.

    Raises:
        SourceError: It does not exist, is damaged, or holds no correction.
    """
    corrections = Corrections(_listed(path), sources)
    if not corrections.count:
        raise SourceError(f"there is no correction in {path}; expected .npy arrays or PNG masks named for the images")
    return corrections


def _listed(path: Path) -> Iterable[tuple[str, Correction]]:
    for member in open_members(path, suffixes=SUFFIXES).members():
        if not isinstance(member, Member):
            raise SourceError(
                f"{path} holds {member.path}, which is refused: {member.reason}; mend the corrections first"
            )
        kind = member.path[-3:].lower()
        # A mask bears the name of its image; an array has an ending of its own behind it.
        yield member.path if kind == "png" else member.path[:-4], Correction(member.locator, kind, member.stamp)


def _row(key: str, correction: Correction, folders: set[str]) -> tuple[str, str, str, str, str | bytes]:
    if len(folders) < 2:
        folders.add(key.rpartition("/")[0])
    locator, kind, stamp = correction
    place = locator.data if isinstance(locator, HeldBytes) else json.dumps(locator)
    return key, kind, stamp, type(locator).__name__, place


def _locator(form: str, place: str | bytes) -> Locator:
    return HeldBytes(place) if isinstance(place, bytes) else _LOCATORS[form](*json.loads(place))


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _without_ending(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return f"{folder}{slash}{stem}" if dot and stem else path
