"""Publish a split folder as a data set repository: few large files, resumable, private unless told otherwise."""

import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from radrefine.errors import HubError
from radrefine.files import atomic_path
from radrefine.hub.card import CardFacts, make_card
from radrefine.hub.connection import RemoteFile, Repository, check_repo_id, git_blob_oid
from radrefine.hub.content import HUB_NAMES, SplitFolder, public_tables, read_split
from radrefine.hub.journal import Journal
from radrefine.hub.options import PushOptions, PushSummary
from radrefine.hub.pictures import draw_counts, draw_samples
from radrefine.hub.shards import (
    Shard,
    file_sha256,
    image_features,
    mask_features,
    parse_size,
    plan_shards,
    require_datasets,
    stat_files,
    write_shard,
)
from radrefine.outputs import locked, refuse_unfinished
from radrefine.progress import Progress, ProgressCallback, ignore_progress

_log = logging.getLogger(__name__)

# Folder in the split folder for the shard that is being pushed, the journal and the lock.
_WORK = ".push"
# Shards per commit: the Hub allows 128 commits an hour, and what is committed is safe.
_SHARDS_PER_COMMIT = 8
_BYTES_PER_COMMIT = 4 << 30


@dataclass(frozen=True)
class _Plan:
    shards: list[tuple[Shard, Any]]
    tables: dict[str, Path]
    texts: dict[str, bytes]

    def sizes(self) -> list[tuple[str, int]]:
        sizes = [(shard.path, shard.size) for shard, _ in self.shards]
        sizes += [(path, file.stat().st_size) for path, file in self.tables.items()]
        return sizes + [(path, len(data)) for path, data in self.texts.items()]

    def n_commits(self) -> int:
        large = [size for path, size in self.sizes() if path not in self.texts]
        return len(list(_grouped(large))) + 1


def push_split(
    split_folder: Path,
    options: PushOptions,
    *,
    dry_run: bool = False,
    progress: ProgressCallback = ignore_progress,
    on_wait: Callable[[str], None] = _log.warning,
) -> PushSummary:
    """Publish a split folder on the Hub; running it again goes on where it stopped.

    Masks and images go as Parquet files that are the same bytes every time, so that a file which is on the Hub already,
    by its hash, is never uploaded again. One shard at a time lies on the disk, in `.push` of the split folder.

    Args:
        split_folder: What `radrefine split` wrote.
        options: How to publish it.
        dry_run: Only say what would be done; needs no token and no network.
        progress: Receives images and masks done.
        on_wait: Receives a sentence when the Hub asks to wait.

    Returns:
        What was published.

    Raises:
        SplitError: The split folder or its images are incomplete.
        HubError: The Hub refused, or could not be reached; or another push of the split is running.
        MissingExtraError: The extra `hub` is not installed.
    """
    check_repo_id(options.repo_id)
    require_datasets()
    split = read_split(split_folder)
    plan = _make_plan(split, options)
    repository = Repository(options.repo_id, revision=options.revision, on_wait=on_wait)
    if dry_run:
        return PushSummary(repository.url, plan.sizes(), plan.n_commits(), shared=split.shared())
    # Two pushes at a time would remove each other's shards.
    with locked(split_folder, _WORK, HubError):
        repository.check_token()
        repository.create(public=options.public)
        summary = _Push(repository, plan, split_folder / _WORK, progress).run()
    return replace(summary, shared=split.shared())


def _make_plan(split: SplitFolder, options: PushOptions) -> _Plan:
    max_bytes = parse_size(options.max_shard_size)
    shards: list[tuple[Shard, Any]] = []
    if options.with_images:
        shards += _image_shards(split, max_bytes)
    masks = split.mask_names()
    if split.masks and masks:
        rows = stat_files(split.masks, masks)
        shards += [(shard, mask_features()) for shard in plan_shards(rows, split.masks, "masks/masks", max_bytes)]
    tables = {}
    if split.refined:
        refuse_unfinished(split.refined)
    for name in ("manifest.parquet", "findings.parquet"):
        if split.refined and (split.refined / name).is_file():
            tables[name] = split.refined / name
    texts = {f"splits/{name}": data for name, data in public_tables(split).items()}
    pictures = [("counts.png", "Images per class and split", draw_counts(split))]
    if options.with_images and masks:
        pictures.append(("samples.png", "Refined images; replaced pixels outlined", draw_samples(split)))
    facts = CardFacts(
        repo_id=options.repo_id,
        license=options.license,
        with_images=options.with_images,
        n_masks=len(masks),
        manifest="manifest.parquet" in tables,
        findings="findings.parquet" in tables,
        pictures=tuple((path, caption) for path, caption, _ in pictures),
    )
    texts |= {path: data for path, _, data in pictures}
    texts["README.md"] = make_card(split, facts).encode()
    return _Plan(shards, tables, texts)


def _image_shards(split: SplitFolder, max_bytes: int) -> list[tuple[Shard, Any]]:
    groups = split.group_numbers()
    features = image_features(split.class_names, groups=bool(groups))
    shards: list[tuple[Shard, Any]] = []
    for part, frame in split.frames.items():
        rows = stat_files(split.root, frame["path"])
        rows["label"] = frame["class_index"].to_numpy()
        if groups:
            rows["group"] = pd.array(groups.get(part, [None] * len(rows)), dtype="Int64")
        shards += [(s, features) for s in plan_shards(rows, split.root, f"data/{HUB_NAMES[part]}", max_bytes)]
    return shards


def _grouped(sizes: list[int]) -> Iterator[int]:
    """Yield how many files go into each commit."""
    count = filled = 0
    for size in sizes:
        count, filled = count + 1, filled + size
        if count == _SHARDS_PER_COMMIT or filled >= _BYTES_PER_COMMIT:
            yield count
            count = filled = 0
    if count:
        yield count


class _Push:
    """One run: large files first, each only where it is not there yet, then tables and card."""

    def __init__(self, repository: Repository, plan: _Plan, work: Path, progress: ProgressCallback) -> None:
        self._repository, self._plan, self._work, self._progress = repository, plan, work, progress
        self._journal = Journal(work / "shards.json")
        self._remote: dict[str, RemoteFile] = {}
        self._waiting: list[Any] = []
        self._waiting_bytes = 0
        self._commits = 0
        self._uploaded: list[str] = []
        self._present: list[str] = []
        self._done, self._total = 0, sum(len(shard.rows) for shard, _ in plan.shards)

    def run(self) -> PushSummary:
        self._remote = self._repository.files()
        for shard, features in self._plan.shards:
            self._push_shard(shard, features)
        for path, file in self._plan.tables.items():
            self._push_file(path, file, file_sha256(file))
        self._finish()
        planned = {path for path, _ in self._plan.sizes()}
        left = [p for p in self._remote if p.startswith("data/") and p not in planned and p not in self._stale()]
        return PushSummary(
            self._repository.url, self._plan.sizes(), self._commits, self._uploaded, self._present, sorted(left)
        )

    def _push_shard(self, shard: Shard, features: Any) -> None:
        key = shard.key()
        known = self._journal.get(key)
        if known and self._is_there(shard.path, known):
            self._present.append(shard.path)
            self._tell(len(shard.rows))
            return
        file = self._work / f"{key[:16]}.parquet"
        if not (known and file.is_file()):
            with atomic_path(file) as temporary:
                known = write_shard(shard, features, temporary)
            self._journal.put(key, known)
        self._push_file(shard.path, file, known)
        file.unlink()
        self._tell(len(shard.rows))

    def _push_file(self, path: str, file: Path, sha256: str) -> None:
        if self._is_there(path, sha256):
            self._present.append(path)
            return
        self._waiting.append(self._repository.upload(path, file, sha256))
        self._waiting_bytes += file.stat().st_size
        self._uploaded.append(path)
        if len(self._waiting) >= _SHARDS_PER_COMMIT or self._waiting_bytes >= _BYTES_PER_COMMIT:
            self._commit(f"Add {len(self._waiting)} files")

    def _finish(self) -> None:
        """Commit the rest, the tables and the card at once, and delete shards that this push replaces."""
        texts = {path: data for path, data in self._plan.texts.items() if not self._has_text(path, data)}
        self._waiting += [self._repository.addition(path, data) for path, data in texts.items()]
        self._waiting += [self._repository.deletion(path) for path in self._stale()]
        if self._waiting:
            self._commit("Add tables and card")

    def _has_text(self, path: str, data: bytes) -> bool:
        remote = self._remote.get(path)
        if remote is None:
            return False
        if remote.sha256 is not None:
            return remote.sha256 == hashlib.sha256(data).hexdigest()
        return remote.git_oid == git_blob_oid(data)

    def _stale(self) -> list[str]:
        """Shards of an earlier push, cut differently, of parts that this push holds."""
        paths = {shard.path for shard, _ in self._plan.shards}
        prefixes = {path.rsplit("-", 3)[0] + "-" for path in paths}
        return sorted(p for p in self._remote if p.endswith(".parquet") and p not in paths and _prefix(p) in prefixes)

    def _commit(self, message: str) -> None:
        self._repository.commit(self._waiting, message)
        self._commits += 1
        self._waiting, self._waiting_bytes = [], 0

    def _is_there(self, path: str, sha256: str) -> bool:
        remote = self._remote.get(path)
        return remote is not None and remote.sha256 == sha256

    def _tell(self, n: int) -> None:
        self._done += n
        counts = {"files uploaded": len(self._uploaded), "already there": len(self._present)}
        self._progress(Progress("push", self._done, self._total, counts))


def _prefix(path: str) -> str | None:
    parts = path.rsplit("-", 3)
    return parts[0] + "-" if len(parts) == 4 and parts[2] == "of" else None
