"""Bring the masks, tables and splits of a published data set here, for `clean --masks` and `split --given`."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from radrefine.errors import HubError
from radrefine.files import atomic_path, write_bytes, write_json
from radrefine.hub.connection import Repository
from radrefine.progress import Progress, ProgressCallback, ignore_progress
from radrefine.reading import reading

_log = logging.getLogger(__name__)

# What is not the images: tables, and masks as our Parquet files or, in other people's data sets, loose or packed.
_WANTED = (
    "README.md",
    "*.csv",
    "splits/*",
    "manifest.parquet",
    "findings.parquet",
    "masks/*",
    "*mask*/*",
    "*mask*.npy",
    "*mask*.npz",
    "*mask*.zip",
    "*mask*.tar",
    "*mask*.tar.gz",
)
_PACKED = "masks/masks-*.parquet"
_UNPACKED = "masks"
_RAW = ".fetch"
_PLACED = "placed.json"
"""In `_RAW`: what was brought, by repository."""


@dataclass(frozen=True)
class FetchSummary:
    """What was brought.

    Attributes:
        out: The folder.
        files: Paths of the files in it, without the masks that came packed.
        n_masks: Masks unpacked into `masks/`.
        masks: Folder or files to give to `radrefine clean --masks`.
        splits: Tables to give to `radrefine split --given`.
    """

    out: Path
    files: list[str]
    n_masks: int
    masks: list[Path]
    splits: list[Path]


def fetch(
    repo_id: str,
    out: Path,
    *,
    revision: str | None = None,
    progress: ProgressCallback = ignore_progress,
    on_wait: Callable[[str], None] = _log.warning,
) -> FetchSummary:
    """Bring all but the images of a data set repository into `out`; running it again goes on where it stopped.

    Args:
        repo_id: USER/NAME of a data set that `push_split` published, or of another that holds masks or CSV files.
        out: Folder to fill: `masks/<path>`, `splits/*.csv`, `manifest.parquet`, `findings.parquet`.
        revision: Branch, tag or commit; None for the main branch.
        progress: Receives files and masks done.
        on_wait: Receives a sentence when the Hub asks to wait.

    Raises:
        HubError: The repository is not there or holds nothing of use, or the Hub could not be reached.
        MissingExtraError: The extra `hub` is not installed.
    """
    repository = Repository(repo_id, revision=revision, on_wait=on_wait)
    wanted = sorted(path for path in repository.files() if is_wanted(path))
    if not any(path != "README.md" for path in wanted):
        raise HubError(f"{repo_id} holds no masks, splits or tables; check the name, or load it with datasets")
    raw = out / _RAW
    packed, plain = [], []
    for done, path in enumerate(wanted):
        _check_inside(path, repo_id)
        file = repository.download(path, raw)
        if fnmatchcase(path, _PACKED):
            packed.append(file)
        else:
            _place(file, out / path)
            plain.append(path)
        progress(Progress("fetch", done + 1, len(wanted)))
    masks = [name for file in packed for name in _unpack(file, out / _UNPACKED, repo_id, progress)]
    _forget(out, repo_id, [*plain, *(f"{_UNPACKED}/{name}" for name in masks)])
    return FetchSummary(out, plain, len(masks), _masks(out, plain, len(masks)), _tables(out, plain))


def is_wanted(path: str) -> bool:
    """Tell whether `fetch` brings a file of a repository: everything but images and code."""
    return any(fnmatchcase(path.lower(), pattern) for pattern in (p.lower() for p in _WANTED))


def _check_inside(path: str, repo_id: str) -> None:
    """Refuse names that would lead out of the folder; the repository may be anybody's."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or ":" in path.split("/")[0] or not pure.parts:
        raise HubError(f"{repo_id} names a file '{path}' that would lie outside the folder; nothing more was written")


def _place(file: Path, target: Path) -> None:
    """Put a downloaded file where it belongs without a second copy where the file system allows it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.samefile(file):
        return
    with atomic_path(target) as temporary:
        temporary.unlink()
        try:
            os.link(file, temporary)
        except OSError:
            shutil.copyfile(file, temporary)


def _forget(out: Path, repo_id: str, placed: list[str]) -> None:
    """Remove what an earlier fetch of the repository put here and this revision of it no longer holds."""
    record = out / _RAW / _PLACED
    known: dict[str, list[str]] = {}
    if record.is_file():
        with reading(record, "remove that file; what earlier fetches brought then stays"):
            known = dict(json.loads(record.read_text(encoding="utf-8")))
    others = {name for repo, names in known.items() if repo != repo_id for name in names}
    for name in {*known.get(repo_id, ())} - {*placed} - others:
        (out / name).unlink(missing_ok=True)
    write_json(record, known | {repo_id: placed})


def _unpack(file: Path, folder: Path, repo_id: str, progress: ProgressCallback) -> list[str]:
    names = []
    for path, data in read_masks(file):
        _check_inside(path, repo_id)
        target = folder / path
        if not (target.is_file() and target.stat().st_size == len(data) and target.read_bytes() == data):
            write_bytes(target, data)
        names.append(path)
        if len(names) % 500 == 0:
            progress(Progress("unpack masks", len(names)))
    return names


def read_masks(file: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (path of the image, bytes of the mask's PNG) of a mask shard, a batch in memory at a time."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=500, columns=["mask", "path"]):
            for row in batch.to_pylist():
                yield row["path"], row["mask"]["bytes"]


def _masks(out: Path, plain: list[str], n_masks: int) -> list[Path]:
    if n_masks:
        return [out / _UNPACKED]
    tops = {path.split("/")[0] for path in plain if "mask" in path.split("/")[0].lower()}
    return [out / top for top in sorted(tops)]


def _tables(out: Path, plain: list[str]) -> list[Path]:
    names = ("train", "val", "test")
    return [out / path for path in plain if path.endswith(".csv") and any(n in path.rsplit("/")[-1] for n in names)]
