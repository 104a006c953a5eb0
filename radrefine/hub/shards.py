"""Images and masks as Parquet shards: planned from sizes alone, written one at a time, the same bytes every time."""

import hashlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from radrefine.errors import HubError, MissingExtraError, SplitError, UsageError
from radrefine.members import DEFAULT_MAX_BYTES
from radrefine.reading import leads_outside

DEFAULT_SHARD_SIZE = "500MB"
# A row group is held in memory while it is written, and is what a reader takes at once.
_ROW_GROUP_BYTES = 16 << 20
_ROW_GROUP_ROWS = 2_000
# Raise when the layout of the shards changes, so that shards of an older layout are not taken for the same.
_LAYOUT = 1
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}
# What Pillow, and with it `datasets`, reads.
_IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """A Parquet file to be.

    Attributes:
        path: Path in the repository.
        folder: Folder that the names are relative to.
        rows: Columns name, size (bytes), modified (ns), and for images label (class index) and perhaps group.
    """

    path: str
    folder: Path
    rows: pd.DataFrame

    @property
    def size(self) -> int:
        """Bytes of the images; the file is a little larger."""
        return int(self.rows["size"].sum())

    def key(self) -> str:
        """Return a hash that changes whenever the bytes of the shard could."""
        import datasets
        import pyarrow as pa

        start = f"{_LAYOUT} {pa.__version__} {datasets.__version__} {self.path} {self.folder} {list(self.rows)}\n"
        digest = hashlib.sha256(start.encode())
        for row in self.rows.itertuples(index=False):
            digest.update(("\0".join(map(str, row)) + "\n").encode())
        return digest.hexdigest()


def parse_size(text: str) -> int:
    """Return the bytes that a text such as "500MB", "1GiB" or "250000" means.

    Raises:
        UsageError: It is no size, or less than 1 kB.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    unit = _UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise UsageError(f"--max-shard-size must be a size such as 500MB or 1GB, got '{text}'")
    size = int(float(match[1]) * unit)
    if size < 1000:
        raise UsageError(f"--max-shard-size must be at least 1KB, got '{text}'")
    return size


def stat_files(folder: Path, names: Iterable[str]) -> pd.DataFrame:
    """Describe image files by name, size and time of change, without reading them.

    Raises:
        SplitError: A file is missing, or of a kind that readers of image data sets do not open.
    """
    listed = list(names)
    sizes, times = np.empty(len(listed), np.int64), np.empty(len(listed), np.int64)
    for n, name in enumerate(listed):
        if PurePosixPath(name).suffix.lower() not in _IMAGE_SUFFIXES:
            raise SplitError(
                f"{name} cannot be published: readers open PNG, JPEG, TIFF and BMP; convert it and split again"
            )
        try:
            stat = (folder / name).stat()
        except FileNotFoundError:
            raise SplitError(f"{name} is named but missing in {folder}; run radrefine split again") from None
        sizes[n], times[n] = stat.st_size, stat.st_mtime_ns
    return pd.DataFrame({"name": listed, "size": sizes, "modified": times})


def plan_shards(rows: pd.DataFrame, folder: Path, prefix: str, max_bytes: int) -> list[Shard]:
    """Cut `rows` in their order into shards of at most `max_bytes` of images each, `prefix`-00000-of-00012.parquet.

    An image larger than `max_bytes` gets a shard of its own.
    """
    starts = _cuts(rows["size"].tolist(), max_bytes)
    stops = [*starts[1:], len(rows)]
    return [
        Shard(f"{prefix}-{n:05d}-of-{len(starts):05d}.parquet", folder, rows.iloc[start:stop])
        for n, (start, stop) in enumerate(zip(starts, stops, strict=True))
    ]


def _cuts(sizes: Sequence[int], max_bytes: int, max_rows: int | None = None) -> list[int]:
    """Return where each part begins, so that no part of several items exceeds the limits; nothing is one empty part."""
    starts = [0]
    filled = 0
    for n, size in enumerate(sizes):
        if n > starts[-1] and (filled + size > max_bytes or n - starts[-1] == max_rows):
            starts.append(n)
            filled = 0
        filled += size
    return starts


def image_features(class_names: list[str], *, groups: bool) -> Any:
    """Return the columns of an image shard: image, label (class name), path, and group where there are groups."""
    datasets = require_datasets()
    columns = {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=class_names),
        "path": datasets.Value("string"),
    }
    if groups:
        columns["group"] = datasets.Value("int64")
    return datasets.Features(columns)


def mask_features() -> Any:
    """Return the columns of a mask shard: mask (255 = replaced pixel) and path of the image it belongs to."""
    datasets = require_datasets()
    return datasets.Features({"mask": datasets.Image(), "path": datasets.Value("string")})


def read_masks(file: Path, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield (path of the image, PNG file of its mask) of a mask shard that anybody may have written.

    Args:
        file: The shard.
        name: What to call it in messages.

    Raises:
        HubError: It is no mask shard, or holds something else than masks: other files than PNG, paths that lead out of
            a folder, or more bytes than a mask may have.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    remedy = "ask its owner to push the masks again"
    try:
        with pq.ParquetFile(file) as parquet:
            if not _is_of_masks(parquet.schema_arrow):
                raise HubError(f"{name} has not the columns mask (bytes, path) and path of a table of masks; {remedy}")
            # A small file may unpack to any size. Ours hold 16 MiB in a row group, or one mask.
            sizes = [parquet.metadata.row_group(n).total_byte_size for n in range(parquet.metadata.num_row_groups)]
            if max(sizes, default=0) > DEFAULT_MAX_BYTES:
                raise HubError(f"{name} unpacks to {max(sizes):,} bytes at once, too many for masks; {remedy}")
            # One row at a time: values that are stored once and named by many rows unpack to each of them.
            for batch in parquet.iter_batches(batch_size=1, columns=["mask.bytes", "path"]):
                [row] = batch.to_pylist()
                yield _checked_mask(row["path"], (row["mask"] or {}).get("bytes"), name, remedy)
    except (pa.ArrowException, OSError, ValueError) as error:
        told = " ".join(str(error).split())
        raise HubError(f"{name} cannot be read as a table of masks ({told}); {remedy}") from None


def _is_of_masks(schema: Any) -> bool:
    import pyarrow as pa

    types = {field.name: field.type for field in schema}
    mask, path = types.get("mask"), types.get("path")
    if len(types) != len(schema) or mask is None or path is None:
        return False
    if not pa.types.is_struct(mask) or mask.get_field_index("bytes") < 0:
        return False
    data = mask.field("bytes").type
    is_binary = pa.types.is_binary(data) or pa.types.is_large_binary(data)
    return is_binary and (pa.types.is_string(path) or pa.types.is_large_string(path))


def _checked_mask(path: str | None, data: bytes | None, name: str, remedy: str) -> tuple[str, bytes]:
    if path is None or leads_outside(path) or not path.lower().endswith(".png"):
        raise HubError(f"{name} names a mask {path!r}, which is no path of a PNG file inside the folder; {remedy}")
    if data is None or not data.startswith(_PNG) or len(data) > DEFAULT_MAX_BYTES:
        raise HubError(f"{name} holds no PNG file of at most {DEFAULT_MAX_BYTES:,} bytes for {path}; {remedy}")
    return path, data


def require_datasets() -> Any:
    """Import `datasets`.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("datasets", "hub") from None
    return datasets


def write_shard(shard: Shard, features: Any, out: Path, on_rows: Callable[[int], None] = lambda _: None) -> str:
    """Write `shard` to `out`, a row group at a time, and return the SHA-256 of the file.

    Args:
        shard: What to write.
        features: Columns as `datasets.Features`; the bytes of the files are stored as they are.
        out: The file to write.
        on_rows: Called with the number of rows added after each row group.

    Raises:
        HubError: An image changed or vanished since the shard was planned.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = features.arrow_schema
    picture = next(name for name in features if name in ("image", "mask"))
    starts = _cuts(shard.rows["size"].tolist(), _ROW_GROUP_BYTES, _ROW_GROUP_ROWS)
    with pq.ParquetWriter(out, schema, **_writer_options(schema, picture)) as writer:
        for start, stop in zip(starts, [*starts[1:], len(shard.rows)], strict=True):
            rows = shard.rows.iloc[start:stop]
            columns: dict[str, Any] = {
                name: rows[name].astype(object).where(rows[name].notna(), None).tolist()
                for name in features
                if name in rows
            }
            columns["path"] = rows["name"].tolist()
            columns[picture] = [
                {"bytes": _read(shard.folder / name, size), "path": PurePosixPath(name).name}
                for name, size in zip(rows["name"], rows["size"], strict=True)
            ]
            writer.write_table(pa.table({name: columns[name] for name in features}, schema=schema))
            pa.default_memory_pool().release_unused()
            on_rows(len(rows))
    return file_sha256(out)


def _writer_options(schema: Any, picture: str) -> dict[str, Any]:
    import pyarrow.parquet as pq

    texts = [name for name in schema.names if name != picture]
    options: dict[str, Any] = {
        # Images are compressed already; trying again costs time and gains nothing.
        "compression": {f"{picture}.bytes": "none", f"{picture}.path": "snappy", **dict.fromkeys(texts, "snappy")},
        "use_dictionary": [name for name in texts if name != "path"],
        "write_statistics": texts,
        "write_page_index": True,
    }
    # Pages cut by content let the Hub's storage recognise what a later version shares with this one.
    if "use_content_defined_chunking" in inspect.signature(pq.ParquetWriter.__init__).parameters:
        options["use_content_defined_chunking"] = True
    return options


def _read(file: Path, size: int) -> bytes:
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        data = None
    if data is None or len(data) != size:
        raise HubError(
            f"{file} changed while it was being published; run the same command again when nothing writes there"
        )
    return data


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
