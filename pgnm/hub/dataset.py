"""Train from a published data set, or from any folder that `datasets` reads, as from a split folder."""

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from pgnm.concepts import ConceptSet, load_concepts
from pgnm.data import find_split
from pgnm.errors import MissingExtraError, SplitError
from pgnm.files import atomic_path, write_bytes, write_json
from pgnm.hub.patience import patiently
from pgnm.progress import Progress, ProgressCallback, ignore_progress

_log = logging.getLogger(__name__)

_PARTS = {"train": ("train",), "val": ("validation", "val", "valid"), "test": ("test",)}
_COLUMNS = ["path", "label", "class_index", "group"]
_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_NOTICE_EVERY = 256
_MOST_TOLD = 100


def locate_split(
    source: Path | None,
    *,
    cache: Path | None = None,
    progress: ProgressCallback = ignore_progress,
    on_wait: Callable[[str], None] = _log.warning,
) -> Path:
    """Return a split folder for what a user names: a split folder, a data set on the Hub, or a `load_dataset` folder.

    A data set is unpacked once, image files with the bytes as published; later calls find it unpacked.

    Args:
        source: Split folder; `USER/NAME` or `USER/NAME@REVISION` on the Hub; folder that `datasets.load_dataset` or
            `load_from_disk` reads; None for the split folder at hand.
        cache: Where data sets are unpacked; beside the cache of `datasets` by default.
        progress: Hears of the images unpacked.
        on_wait: Receives a sentence when the Hub asks to wait.

    Raises:
        SplitError: It is none of these, or has no column of images or of class labels.
        HubError: The Hub refused, or could not be reached.
        MissingExtraError: A data set is named and the extra `hub` is not installed.
    """
    if source is None or (source / "train.csv").is_file():
        return find_split(source)
    if source.is_dir():
        if not _is_dataset_folder(source):
            return find_split(source)
    elif not _ID.fullmatch(source.as_posix()):
        return find_split(source)
    datasets = _require_datasets()
    loaded = _load(datasets, source, on_wait)
    parts = _choose_parts(source, loaded)
    image, label, names = _choose_columns(datasets, source, parts)
    # The fingerprints change whenever the data do.
    key = hashlib.sha256(" ".join(part._fingerprint for part in parts.values()).encode()).hexdigest()[:16]
    place = cache or Path(datasets.config.HF_DATASETS_CACHE) / "pgnm"
    folder = place / f"{re.sub(r'[^A-Za-z0-9]+', '-', source.name)}-{key}"
    # split.json comes last: a folder without it was left half unpacked.
    if not (folder / "split.json").is_file():
        total = sum(len(part) for part in parts.values())
        done, seen = 0, _Seen()
        for name in _PARTS:
            rows = parts.get(name, [])
            done = _unpack(datasets, folder, name, rows, (image, label, names), (done, total), seen, progress)
        classes = pd.DataFrame({"class_index": range(len(names)), "label": names})
        _write_csv(folder / "classes.csv", classes)
        write_json(folder / "split.json", {"schema": 1, "root": "images", "dataset": source.as_posix()} | seen.proof())
    return folder


def load_sets(
    places: Sequence[str],
    *,
    seed: int = 0,
    allow_leakage: bool = False,
    progress: ProgressCallback = ignore_progress,
) -> list[ConceptSet]:
    """Read sets of unseen concepts, those of the Hub and of `datasets` folders included.

    Args:
        places: What `pgnm.concepts.load_concepts` reads; `USER/NAME` or `USER/NAME@REVISION` on the Hub; folders that
            `datasets` reads.
        seed: Seed of the parts that have to be carved.
        allow_leakage: Accept sets whose parts share images.
        progress: Hears of the images unpacked.

    Raises:
        SplitError: There is nothing usable at a place.
        LeakageError: The parts of a set share images.
        HubError: The Hub refused, or could not be reached.
        MissingExtraError: A data set is named and the extra `hub` is not installed.
    """
    sets = []
    for place in places:
        path = Path(place)
        published = _ID.fullmatch(place) is not None and not path.exists()
        if published or (path.is_dir() and _is_saved(path)):
            folder = locate_split(path, progress=progress)
            sets.append(load_concepts(folder, name=path.name.partition("@")[0], seed=seed, allow_leakage=allow_leakage))
        else:
            sets.append(load_concepts(place, seed=seed, allow_leakage=allow_leakage))
    names = [one.name for one in sets]
    return [
        replace(one, name=place) if names.count(one.name) > 1 else one for one, place in zip(sets, places, strict=True)
    ]


def _is_saved(folder: Path) -> bool:
    """Tell whether `datasets` wrote a folder; split, refined and run folders and those of image files are no such."""
    ours = ("split.json",), ("manifest.parquet", "run.json", "images"), ("config.json", "metrics.csv")
    if any(all((folder / name).exists() for name in names) for names in ours):
        return False
    return (folder / "dataset_dict.json").is_file() or next(folder.rglob("*.parquet"), None) is not None


def _require_datasets() -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("datasets", "hub") from None
    return datasets


def _is_dataset_folder(folder: Path) -> bool:
    if _is_saved(folder):
        return True
    return any((folder / name).is_dir() for name in ("train", "data"))


def _load(datasets: Any, source: Path, on_wait: Callable[[str], None]) -> Any:
    name, _, revision = source.as_posix().partition("@")

    def call() -> Any:
        if (source / "dataset_dict.json").is_file():
            return datasets.load_from_disk(str(source))
        if source.is_dir():
            return datasets.load_dataset(str(source.resolve()))
        return datasets.load_dataset(name, revision=revision or None)

    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        return patiently(f"load {source}", call, repo=name, on_wait=on_wait)
    except (FileNotFoundError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise SplitError(
            f"{source} is neither a split folder nor a data set that can be read ({reason}); "
            "make a split folder with: radrefine split --stratify"
        ) from None
    finally:
        if not bars:
            datasets.enable_progress_bars()


def _choose_parts(source: Path, loaded: Any) -> dict[str, Any]:
    parts = {part: next((loaded[name] for name in names if name in loaded), None) for part, names in _PARTS.items()}
    if parts["train"] is None:
        raise SplitError(f"{source} has the splits {', '.join(map(str, loaded))}; one named train is needed")
    return {part: rows for part, rows in parts.items() if rows is not None}


def _choose_columns(datasets: Any, source: Path, parts: dict[str, Any]) -> tuple[str, str, list[str]]:
    """Find the column of images, that of class labels, and the names of the classes."""
    features = parts["train"].features
    image = next((name for name, kind in features.items() if isinstance(kind, datasets.Image)), None)
    label = next((name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)), None)
    if image is None or label is None:
        raise SplitError(
            f"{source} has the columns {', '.join(features)}; one of type Image and one of type ClassLabel are needed "
            "(a data set that was published without its images cannot be trained on)"
        )
    return image, label, list(features[label].names)


def _unpack(
    datasets: Any,
    folder: Path,
    part: str,
    rows: Any,
    columns: tuple[str, str, list[str]],
    counted: tuple[int, int],
    content: "_Seen",
    progress: ProgressCallback,
) -> int:
    """Write the images and the table of one part; return the number of images done so far."""
    image, label, names = columns
    done, total = counted
    table, seen = [], set()
    for index, row in enumerate(_rows(datasets, rows, image)):
        path = _safe_path(row.get("path")) or f"{part}/{index:07d}{_suffix(row[image])}"
        if path in seen or row[label] is None or row[label] < 0:
            raise SplitError(f"row {index} of {part} has no label, or its path '{path}' comes twice; mend the data set")
        seen.add(path)
        content.add(_write_image(folder / "images" / path, row[image]), path, part)
        group = row.get("group")
        table.append((path, names[row[label]], row[label], path if group is None or group == "" else str(group)))
        done += 1
        if done % _NOTICE_EVERY == 0 or done == total:
            progress(Progress("unpacking", done, total))
    _write_csv(folder / f"{part}.csv", pd.DataFrame(table, columns=_COLUMNS))
    return done


def _rows(datasets: Any, rows: Any, image: str) -> Iterator[dict[str, Any]]:
    """Yield rows with the image as stored, not decoded."""
    if len(rows):
        yield from rows.cast_column(image, datasets.Image(decode=False))


def _safe_path(path: Any) -> str | None:
    """Return `path` where it is a relative path that stays in its folder, else None."""
    if not isinstance(path, str) or not path or "\\" in path or ":" in path:
        return None
    pure = PurePosixPath(path)
    return None if pure.is_absolute() or ".." in pure.parts else pure.as_posix()


def _suffix(image: dict[str, Any]) -> str:
    return PurePosixPath(image.get("path") or "").suffix or ".png"


class _Seen:
    """Files by their content, to tell which are in two parts; whoever published them may not have looked."""

    def __init__(self) -> None:
        self._first: dict[bytes, tuple[str, str]] = {}
        self._shared = 0
        self._offending: list[dict[str, str]] = []

    def add(self, data: bytes, path: str, part: str) -> None:
        """Take in one file."""
        other, other_part = self._first.setdefault(hashlib.sha256(data).digest(), (path, part))
        if other_part == part:
            return
        self._shared += 1
        if len(self._offending) < _MOST_TOLD:
            pair = {"path_a": other, "part_a": other_part, "path_b": path, "part_b": part}
            self._offending.append({"kind": "file"} | pair)

    def proof(self) -> dict[str, Any]:
        """Return what `split.json` says of it."""
        return {"proof": {"shared_file_hashes": self._shared, "offending": self._offending}}


def _write_image(target: Path, image: dict[str, Any]) -> bytes:
    """Write one image file as published and return its bytes."""
    data = image.get("bytes")
    data = Path(image["path"]).read_bytes() if data is None else data
    if not (target.is_file() and target.stat().st_size == len(data)):
        write_bytes(target, data)
    return bytes(data)


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
