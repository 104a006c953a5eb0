"""Bring the masks, tables and splits of a published data set here, for `clean --masks` and `split --given`."""

import errno
import filecmp
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from radrefine.errors import HubError, UsageError
from radrefine.files import atomic_path, write_bytes, write_json
from radrefine.hub.connection import Repository
from radrefine.hub.shards import read_masks
from radrefine.outputs import STATE, locked
from radrefine.progress import Progress, ProgressCallback, ignore_progress
from radrefine.reading import leads_outside, reading

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
# What only a refined folder holds.
_OF_REFINED = (STATE, "run.json")
# What a file system says of names that it cannot hold, or not beside the others.
_UNFIT = frozenset({errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL})


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

    All of it is of the commit that the revision names at the start. A file in `out` that no fetch put there is never
    written over; one that a fetch put there is mended where it was changed.

    Args:
        repo_id: USER/NAME of a data set that `push_split` published, or of another that holds masks or CSV files.
        out: Folder to fill: `masks/<path>`, `splits/*.csv`, `manifest.parquet`, `findings.parquet`.
        revision: Branch, tag or commit; None for the main branch.
        progress: Receives files and masks done.
        on_wait: Receives a sentence when the Hub asks to wait.

    Raises:
        UsageError: `out` is a refined folder, or holds a file of its own under the name of one to bring.
        HubError: The repository is not there or holds nothing of use, or what holds its masks is nothing of the kind,
            or another fetch is writing to `out`, or the Hub could not be reached.
        MissingExtraError: The extra `hub` is not installed.
    """
    for name in _OF_REFINED:
        if os.path.lexists(out / name):
            raise UsageError(f"--out {out} is a refined folder, it holds {name}; choose another folder")
    repository = Repository(repo_id, revision=revision, on_wait=on_wait)
    repository.pin()
    wanted = sorted(path for path in repository.files() if is_wanted(path))
    if not any(path != "README.md" for path in wanted):
        raise HubError(f"{repo_id} holds no masks, splits or tables; check the name, or load it with datasets")
    for path in wanted:
        if leads_outside(path):
            raise HubError(f"{repo_id} names a file {path!r} that would lie outside the folder; do not use it")
    with locked(out, _RAW, HubError):
        return _bring(repository, wanted, out, progress)


def _bring(repository: Repository, wanted: list[str], out: Path, progress: ProgressCallback) -> FetchSummary:
    packed: dict[str, Path] = {}
    plain: dict[str, Path] = {}
    for done, path in enumerate(wanted):
        file = repository.download(path, out / _RAW)
        (packed if fnmatchcase(path, _PACKED) else plain)[path] = file
        progress(Progress("fetch", done + 1, len(wanted)))
    placed = _Placed(out, repository.repo_id)
    for path, file in plain.items():
        placed.refuse_foreign(path, file)
    n_masks = 0
    try:
        for path, file in plain.items():
            _place(file, out / path)
            placed.now.append(path)
        for path, file in packed.items():
            for name in _unpack(file, f"{repository.repo_id}: {path}", placed):
                placed.now.append(name)
                n_masks += 1
                if n_masks % 500 == 0:
                    progress(Progress("unpack masks", n_masks))
    except BaseException:
        placed.record()
        raise
    placed.remove_withdrawn()
    placed.record()
    return FetchSummary(out, [*plain], n_masks, _masks(out, [*plain], n_masks), _tables(out, [*plain]))


def is_wanted(path: str) -> bool:
    """Tell whether `fetch` brings a file of a repository: everything but images, code and what is hidden."""
    if any(part.startswith(".") and part != ".." for part in path.split("/")):
        return False
    return any(fnmatchcase(path.lower(), pattern) for pattern in (p.lower() for p in _WANTED))


@dataclass
class _Placed:
    """What fetches put into a folder, by repository.

    Attributes:
        out: The folder.
        repo_id: The repository that is fetched now.
        now: What this fetch has put there.
        earlier: What earlier ones did.
    """

    out: Path
    repo_id: str
    now: list[str] = field(default_factory=list)
    earlier: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        record = self.out / _RAW / _PLACED
        self.earlier = {}
        if record.is_file():
            with reading(record, "remove that file; what earlier fetches brought then stays"):
                self.earlier = {repo: list(names) for repo, names in json.loads(record.read_text("utf-8")).items()}
        self._known = {name for names in self.earlier.values() for name in names}

    def refuse_foreign(self, name: str, file: Path | None = None) -> None:
        """Raise UsageError where something lies under a name that no fetch put there, unless it equals `file`."""
        target = self.out / name
        if name in self._known or not os.path.lexists(target):
            return
        if file is not None and target.is_file() and filecmp.cmp(file, target, shallow=False):
            return
        raise UsageError(f"{target} is there and no fetch put it there; move it away, or choose another --out")

    def remove_withdrawn(self) -> None:
        """Remove what an earlier fetch of the repository put here and this revision of it no longer holds."""
        others = {name for repo, names in self.earlier.items() if repo != self.repo_id for name in names}
        for name in {*self.earlier.pop(self.repo_id, ())} - {*self.now} - others:
            if not leads_outside(name):
                (self.out / name).unlink(missing_ok=True)

    def record(self) -> None:
        """Write down what was put here, also by a fetch that did not get to its end."""
        mine = dict.fromkeys([*self.earlier.get(self.repo_id, ()), *self.now])
        write_json(self.out / _RAW / _PLACED, self.earlier | {self.repo_id: [*mine]})


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


def _unpack(file: Path, source: str, placed: _Placed) -> Iterator[str]:
    """Write the masks of a shard and yield the name of each."""
    for path, data in read_masks(file, source):
        name = f"{_UNPACKED}/{path}"
        target = placed.out / name
        try:
            if not (target.is_file() and target.stat().st_size == len(data) and target.read_bytes() == data):
                placed.refuse_foreign(name)
                write_bytes(target, data)
        except OSError as error:
            if error.errno not in _UNFIT:
                raise
            told = f"{source} names a mask {path} that cannot lie in {placed.out} ({error.strerror})"
            raise HubError(f"{told}; try an empty folder, or ask its owner to name the masks otherwise") from None
        yield name


def _masks(out: Path, plain: list[str], n_masks: int) -> list[Path]:
    if n_masks:
        return [out / _UNPACKED]
    tops = {path.split("/")[0] for path in plain if "mask" in path.split("/")[0].lower()}
    return [out / top for top in sorted(tops)]


def _tables(out: Path, plain: list[str]) -> list[Path]:
    names = ("train", "val", "test")
    return [out / path for path in plain if path.endswith(".csv") and any(n in path.rsplit("/")[-1] for n in names)]
