"""Remember what became of every image, so that a run can stop anywhere and go on later.

While a run lasts, the journal is an SQLite file: whatever it holds survives a killed process. When the run is done it
becomes a Parquet file in the order of the source, the same bytes however often the run was interrupted.
"""

import contextlib
import errno
import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from radrefine.errors import RefinedFolderError
from radrefine.files import atomic_path
from radrefine.outputs import JOURNAL
from radrefine.work import Outcome

COLUMNS: Final = Outcome._fields
_TYPES: Final = {
    int: ("INTEGER", pa.int64()),
    float: ("REAL", pa.float64()),
    str: ("TEXT", pa.string()),
    bool: ("INTEGER", pa.int64()),
}
# Wall-clock times differ between runs and stay out of the finished journal.
_FINISHED_COLUMNS: Final = tuple(name for name in COLUMNS if name != "elapsed_ms")
_BATCH: Final = 8192


def _type_of(column: str) -> type:
    annotation = Outcome.__annotations__[column]
    return next(kind for kind in _TYPES if annotation in (kind, kind | None))


TableWriter = Callable[[Mapping[str, Sequence[Any]]], None]
"""Adds rows to a table, given column by column; columns that the table does not have are passed over."""


@contextlib.contextmanager
def table_writer(final: Path, schema: pa.Schema) -> Iterator[TableWriter]:
    """Yield a function that adds rows to a Parquet file, which stands under its name when the block ends."""
    with atomic_path(final) as path, pq.ParquetWriter(path, schema, compression="zstd") as writer:

        def write(columns: Mapping[str, Sequence[Any]]) -> None:
            arrays = [pa.array(columns[field.name], field.type) for field in schema]
            writer.write_batch(pa.record_batch(arrays, schema=schema))

        yield write


class Known(NamedTuple):
    """What the journal knows of an image that was done before."""

    source: str
    stamp: str
    recipe: str
    status: str
    source_sha256: str | None
    output_sha256: str | None
    image_bytes: int | None
    mask_bytes: int | None
    position: int
    seen: int


class Journal:
    """The journal of one refined folder; may be used by several threads.

    Args:
        folder: Where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL
        self._finished = folder / "journal.parquet"
        self._lock = threading.RLock()
        self._closed = False
        self.resumed = self._path.exists()
        """Whether an earlier run into this folder was interrupted."""
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with self._held():
                self._open()
        except RefinedFolderError:
            self._db.close()
            if not self.resumed:  # what was begun just now tells of nothing
                for name in folder.glob(f"{self._path.name}*"):
                    name.unlink()
            raise

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Let one thread in, and turn SQLite's own words for a full disk into those of the system."""
        with self._lock:
            try:
                yield
            except sqlite3.OperationalError as error:
                if "full" in str(error) or "disk I/O" in str(error):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path)) from None
                raise
            except (sqlite3.DatabaseError, pa.ArrowInvalid) as error:
                damaged = self._path if isinstance(error, sqlite3.Error) else self._finished
                raise RefinedFolderError(
                    f"{damaged} is damaged ({error}); remove it and run the same command again, "
                    "which does anew what it told of"
                ) from None

    def _open(self) -> None:
        self._db = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        # One process holds the folder; this mode needs no shared memory and so works on network file systems too.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("BEGIN")
        columns = ", ".join(f"{name} {_TYPES[_type_of(name)][0]}" for name in COLUMNS)
        self._db.execute(f"CREATE TABLE IF NOT EXISTS images ({columns}, seen INTEGER, PRIMARY KEY (path))")
        self._db.execute("CREATE TABLE IF NOT EXISTS failures (position INTEGER, path TEXT, stage TEXT, reason TEXT)")
        self._db.execute("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT)")
        if not self.resumed and self._finished.exists():
            self._import()
        self._db.execute("UPDATE images SET seen = 0")
        self._db.execute("DELETE FROM failures")
        self._commit()

    def _import(self) -> None:
        file = pq.ParquetFile(self._finished)
        for key, value in (file.schema_arrow.metadata or {}).items():
            if key.startswith(b"radrefine."):
                self.remember(key.decode().removeprefix("radrefine."), value.decode())
        marks = ", ".join("?" for _ in _FINISHED_COLUMNS)
        statement = f"INSERT INTO images ({', '.join(_FINISHED_COLUMNS)}) VALUES ({marks})"
        for batch in file.iter_batches(_BATCH, columns=list(_FINISHED_COLUMNS)):
            self._db.executemany(statement, zip(*batch.to_pydict().values(), strict=True))

    def remember(self, key: str, value: str) -> None:
        """Keep a value about the whole run."""
        with self._held():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def recall(self, key: str) -> str | None:
        """Return a value about the whole run, None where there is none."""
        with self._held():
            row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def find(self, paths: Sequence[str]) -> dict[str, Known]:
        """Return what is known of the images at `paths` in the refined folder; those never seen are left out."""
        marks = ", ".join("?" * len(paths))
        with self._held():
            rows = self._db.execute(
                f"SELECT path, {', '.join(Known._fields)} FROM images WHERE path IN ({marks})", paths
            ).fetchall()
        return {row[0]: Known(*row[1:]) for row in rows}

    def keep(self, images: Iterable[tuple[int, str, str]]) -> None:
        """Note that images are as they were: position, stamp and path in the refined folder of each."""
        with self._held():
            self._db.executemany("UPDATE images SET seen = 1, position = ?, stamp = ? WHERE path = ?", images)

    def store(self, outcomes: Iterable[Outcome]) -> None:
        """Note what became of images."""
        marks = ", ".join("?" for _ in COLUMNS)
        with self._held():
            self._db.executemany(f"INSERT OR REPLACE INTO images VALUES ({marks}, 1)", outcomes)

    def refuse(self, position: int, path: str, stage: str, reason: str) -> None:
        """Note a file that is not taken as an image."""
        with self._held():
            self._db.execute("INSERT INTO failures VALUES (?, ?, ?, ?)", (position, path, stage, reason))

    def forget_refusals(self) -> None:
        """Forget the files that were not taken as images; a walk over the source finds them again."""
        with self._held():
            self._db.execute("DELETE FROM failures")

    def commit(self) -> None:
        """Make all notes outlast this process."""
        with self._held():
            self._commit()

    def _commit(self) -> None:
        if self._db.in_transaction:
            self._db.execute("COMMIT")
        self._db.execute("BEGIN")

    def count_unseen(self) -> int:
        """Count the images of earlier runs that the walk over the source has not met, as far as it has come."""
        with self._held():
            (number,) = self._db.execute("SELECT COUNT(*) FROM images WHERE seen = 0").fetchone()
        return int(number)

    def drop_unseen(self) -> Iterator[str]:
        """Forget the images that the source no longer holds, and yield their paths in the refined folder."""
        with self._held():
            gone = [path for (path,) in self._db.execute("SELECT path FROM images WHERE seen = 0")]
            self._db.execute("DELETE FROM images WHERE seen = 0")
        yield from gone

    def columns(self) -> Iterator[dict[str, Sequence[Any]]]:
        """Yield the images in the order of the source, column by column, some thousand rows at a time."""
        with self._held():
            self._db.execute("CREATE INDEX IF NOT EXISTS by_position ON images (position)")
            cursor = self._db.execute(f"SELECT {', '.join(COLUMNS)} FROM images ORDER BY position, path")
            while rows := cursor.fetchmany(_BATCH):
                yield dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))

    def failures(self) -> list[tuple[str, str, str]]:
        """Return (path, stage, reason) of every file that did not make it, in the order of the source."""
        with self._held():
            return self._db.execute(
                "SELECT path, stage, reason FROM (SELECT position, path, stage, reason FROM failures UNION ALL "
                "SELECT position, source, stage, reason FROM images WHERE status = 'failed') ORDER BY position, path"
            ).fetchall()

    def counts(self) -> dict[str, int]:
        """Count the images by status."""
        with self._held():
            return dict(self._db.execute("SELECT status, COUNT(*) FROM images GROUP BY status ORDER BY status"))

    def elapsed(self) -> dict[str, tuple[int, float]]:
        """Return per status the number of images timed and their mean time, ms."""
        with self._held():
            rows = self._db.execute(
                "SELECT status, COUNT(elapsed_ms), AVG(elapsed_ms) FROM images WHERE elapsed_ms IS NOT NULL GROUP BY 1"
            )
            return {status: (count, mean) for status, count, mean in rows}

    @contextlib.contextmanager
    def final_form(self) -> Iterator[TableWriter]:
        """Yield a function that adds images to the Parquet file that the journal becomes when it is finished."""
        with self._held():
            rows = self._db.execute("SELECT key, value FROM meta WHERE key != 'boot' ORDER BY key")
            meta = {f"radrefine.{key}": value for key, value in rows}
        fields = [(name, _TYPES[_type_of(name)][1]) for name in _FINISHED_COLUMNS]
        with table_writer(self._finished, pa.schema(fields, metadata=meta)) as write:
            yield write

    def finish(self) -> None:
        """Close the journal and remove its working form; the final form, written before, stays."""
        self.close()
        self._path.unlink()

    def abandon(self) -> None:
        """Close the journal of a run that was refused before it did anything, and leave none where there was none."""
        self.close()
        if not self.resumed:
            self._path.unlink()

    def close(self) -> None:
        """Make all notes outlast this process, and let go of the file; closing twice is harmless."""
        with self._held():
            if self._closed:
                return
            self._closed = True
            try:
                if self._db.in_transaction:  # a full disk ends a transaction
                    self._db.execute("COMMIT")
            finally:
                self._db.close()


def is_written(out: str, path: str, known: Known, *, contents: bool = False) -> bool:
    """Tell whether the files that the journal promises are there.

    Args:
        out: The refined folder.
        path: The image in it.
        known: What the journal knows.
        contents: Whether to read and hash them; their sizes alone are looked at otherwise.
    """
    digest = hashlib.sha256()
    for folder, size in (("images", known.image_bytes), ("masks", known.mask_bytes)):
        if size is None:
            continue
        name = f"{out}/{folder}/{path}"
        try:
            if os.stat(name).st_size != size:  # noqa: PTH116 - a Path for each of a million files is slow
                return False
            if contents:
                digest.update(Path(name).read_bytes())
        except OSError:
            return False
    return not contents or digest.hexdigest() == (known.output_sha256 or known.source_sha256)
