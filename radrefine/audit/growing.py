"""A table that grows in parts, so that what an interrupted run has computed is there for the next one."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from radrefine.files import atomic_path
from radrefine.reading import reading

_ROWS_PER_BATCH = 4096
_REMEDY = "remove it and run the same command again, which does anew what it told of"


class GrowingTable:
    """A Parquet file and a hidden folder beside it, `.<its stem>`, that holds the parts not yet merged into it.

    Args:
        place: The Parquet file; it need not exist.
        schema: Its columns.
    """

    def __init__(self, place: Path, schema: pa.Schema) -> None:
        """See the class."""
        self.place = place
        self.schema = schema
        self._parts = place.parent / f".{place.stem}"

    def add(self, rows: pa.Table) -> None:
        """Write rows as a new part; the file itself stays as it is until `merge`."""
        self._parts.mkdir(exist_ok=True)
        # Named by process and count: an interrupted run's parts stay beside those of the next one.
        name = f"{len(list(self._parts.iterdir())):06d}-{os.getpid()}.parquet"
        with atomic_path(self._parts / name) as temporary:
            pq.write_table(rows.cast(self.schema), temporary, compression="zstd")

    @property
    def has_parts(self) -> bool:
        """Whether there is something to merge."""
        return self._parts.is_dir()

    def merge(self) -> None:
        """Append the parts to the file, a batch at a time, and remove them."""
        parts = sorted(self._parts.glob("[0-9]*.parquet")) if self._parts.is_dir() else []
        if not parts:
            return
        known = [self.place] if self.place.exists() else []
        with atomic_path(self.place) as temporary, pq.ParquetWriter(temporary, self.schema, compression="zstd") as out:
            for source in known + parts:
                for batch in _batches(source):
                    out.write_batch(batch)
        shutil.rmtree(self._parts)

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the merged rows, some thousand at a time; none where nothing has been merged yet."""
        if self.place.exists():
            yield from _batches(self.place, columns)

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """Read the merged rows; an empty table where nothing has been merged yet."""
        if not self.place.exists():
            empty = self.schema.empty_table()
            return empty if columns is None else empty.select(columns)
        with reading(self.place, _REMEDY):
            return pq.read_table(self.place, columns=columns)


def _batches(source: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    with reading(source, _REMEDY):
        yield from pq.ParquetFile(source).iter_batches(_ROWS_PER_BATCH, columns=columns)
