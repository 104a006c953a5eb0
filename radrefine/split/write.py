"""Write a split folder, and say how well the ratios were met."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radrefine.audit.collection import IMAGES, MASKS
from radrefine.errors import UsageError
from radrefine.files import atomic_path, write_json
from radrefine.schema import SPLIT_COLUMNS, SPLITS
from radrefine.split.layout import refuse_files
from radrefine.split.options import SplitOptions
from radrefine.wording import counted

_FACTS = "split.json"
# Lies in a split folder while it is written, so that a split that was interrupted can be made again.
_BEGUN = ".split.part"
_NAMES = (*(f"{part}.csv" for part in SPLITS), "classes.csv", "left_out.csv", "classes.png", _FACTS)
# A class may miss a ratio by this much, or by half an image, without being named.
_TOLERANCE = 0.005


def refuse_out(refined: Path, out: Path, options: SplitOptions) -> None:
    """Raise UsageError where `out` lies among the images or in their source, or is what the split is made from."""
    for name in (IMAGES, MASKS):
        if out.resolve().is_relative_to((refined / name).resolve()):
            raise UsageError(f"--out {out} lies among the {name} of {refined}; choose a folder beside them")
    if options.extend is not None and options.extend.resolve() == out.resolve():
        raise UsageError(f"--out {out} is the split to extend, and one is made from the other; choose another folder")
    if any(given.resolve().parent == out.resolve() for given in options.given):
        raise UsageError(f"--out {out} holds the given files, which would be written over; choose another folder")

    source = _source_of(refined)
    if source is not None and out.resolve().is_relative_to(source):
        raise UsageError(f"--out {out} lies in the source {source}; choose a folder beside it")


def _source_of(refined: Path) -> Path | None:
    """Return the folder that a refined folder was made from, where it is known and there."""
    try:
        source = Path(json.loads((refined / "run.json").read_text())["source"]["path"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return source.resolve() if source.is_dir() else None


def refuse_more_folds(out: Path, folds: int) -> None:
    """Raise UsageError where a folder holds folds of an earlier call that this one would leave beside its own."""
    beyond = [place.name for place in out.glob("fold-*") if place.name[5:].isdecimal() and int(place.name[5:]) >= folds]
    if beyond:
        raise UsageError(
            f"--out {out} holds {', '.join(sorted(beyond))} of an earlier call; remove them or choose another folder"
        )


def refuse_foreign(folder: Path) -> None:
    """Raise UsageError where a split would write over files that are no earlier split's."""
    ours = (folder / _BEGUN).is_file() or "proof" in _read_facts(folder)
    there = [] if ours else [name for name in _NAMES if os.path.lexists(folder / name)]
    if there:
        raise UsageError(f"--out {folder} holds {', '.join(there)} that no split wrote; choose another folder")
    refuse_files(folder)


def begin_split(folder: Path) -> None:
    """Make the split folder, or mark an earlier one as unfinished: one that is half written is not taken for whole."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _BEGUN).touch()
    (folder / _FACTS).unlink(missing_ok=True)


def finish_split(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write split.json, with which the folder is a split."""
    write_json(folder / _FACTS, facts)
    (folder / _BEGUN).unlink()


def _read_facts(folder: Path) -> Mapping[str, Any]:
    try:
        facts = json.loads((folder / _FACTS).read_text())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def write_tables(folder: Path, images: pd.DataFrame, class_names: Sequence[str]) -> None:
    """Write train.csv, val.csv, test.csv and classes.csv, each at once or not at all.

    Args:
        folder: The split folder; what an earlier split left there is replaced.
        images: A row per image: path, label, class_index, group, part (an index into train, val, test).
        class_names: Label of each class index.
    """
    table = images.sort_values("path", kind="stable")
    for index, part in enumerate(SPLITS):
        _write_csv(folder / f"{part}.csv", table.loc[table["part"] == index, list(SPLIT_COLUMNS)])
    counts = count_classes(images, len(class_names))
    classes = pd.DataFrame({"class_index": range(len(class_names)), "label": list(class_names)})
    for index, part in enumerate(SPLITS):
        classes[f"n_{part}"] = counts[:, index]
    _write_csv(folder / "classes.csv", classes)


def write_left_out(folder: Path, left_out: pd.DataFrame) -> None:
    """Write left_out.csv (path, reason), or remove it where nothing was left out."""
    if left_out.empty:
        (folder / "left_out.csv").unlink(missing_ok=True)
    else:
        _write_csv(folder / "left_out.csv", left_out[["path", "reason"]].sort_values("path"))


def count_classes(images: pd.DataFrame, n_classes: int) -> NDArray[np.int64]:
    """Count the images of each class in each part, (C, 3) int64."""
    cells = images["class_index"].to_numpy() * len(SPLITS) + images["part"].to_numpy()
    return np.bincount(cells, minlength=n_classes * len(SPLITS)).reshape(n_classes, len(SPLITS)).astype(np.int64)


def relative_root(images: Path, folder: Path) -> str:
    """Return the folder of the images relative to the split folder, absolute on another drive."""
    try:
        return Path(os.path.relpath(images.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return images.resolve().as_posix()


def describe_ratios(images: pd.DataFrame, class_names: Sequence[str], shares: Sequence[float]) -> dict[str, Any]:
    """Compare the shares asked with those achieved, in all and class by class.

    Returns:
        ratios_asked and ratios_achieved by part; worst_deviation: the class and part that miss the asked share by
        most; deviations: the classes that miss it by more than half a percent and half an image, with what explains it.
    """
    counts = count_classes(images, len(class_names))
    sizes = counts.sum(axis=1)
    missed = np.abs(counts / np.maximum(sizes, 1)[:, None] - np.asarray(shares))
    missed[sizes == 0] = 0  # a class of the extended split of which nothing is left
    whole = counts.sum(axis=0) / max(1, counts.sum())
    worst = np.unravel_index(int(missed.argmax()), missed.shape) if missed.size else (0, 0)
    by_group = images.groupby(["class_index", "group"], sort=False).size()
    largest = by_group.groupby(level="class_index").max()
    number = by_group.groupby(level="class_index").size()
    allowed = np.maximum(_TOLERANCE, 0.5 / np.maximum(sizes, 1))
    named = np.flatnonzero(missed.max(axis=1) > allowed) if missed.size else np.empty(0, np.int64)
    order = named[np.argsort(-missed[named].max(axis=1), kind="stable")]
    return {
        "ratios_asked": _by_part(shares),
        "ratios_achieved": _by_part(whole),
        "worst_deviation": _describe_class(class_names, counts, missed, int(worst[0])) if missed.size else {},
        "deviations": [
            _describe_class(class_names, counts, missed, int(kind))
            | {"explanation": _explain(int(sizes[kind]), int(number[kind]), int(largest[kind]))}
            for kind in order
        ],
    }


def _describe_class(
    names: Sequence[str], counts: NDArray[np.int64], missed: NDArray[np.float64], kind: int
) -> dict[str, Any]:
    part = int(missed[kind].argmax())
    achieved = counts[kind, part] / max(1, int(counts[kind].sum()))
    return {
        "label": names[kind],
        "part": SPLITS[part],
        "achieved": round(float(achieved), 6),
        "deviation": round(float(missed[kind, part]), 6),
        "images": int(counts[kind].sum()),
    }


def _explain(images: int, groups: int, largest: int) -> str:
    return f"{counted(images, 'image')} in {counted(groups, 'group')}, the largest of {largest:,}; groups stay whole"


def _by_part(values: Sequence[float] | NDArray[np.float64]) -> Mapping[str, float]:
    return {part: round(float(value), 6) for part, value in zip(SPLITS, values, strict=True)}


def _write_csv(place: Path, table: pd.DataFrame) -> None:
    with atomic_path(place) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
