"""Read a split folder: which images train, which validate, which test, and under which class."""

import hashlib
import itertools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from pgnm.errors import LeakageError, SplitError

PARTS: Final = ("train", "val", "test")
_COLUMNS: Final = ("path", "label", "class_index", "group")
_SCHEMA: Final = 1
# Pairs that a refusal names; split.json lists more.
_MOST_NAMED: Final = 3


@dataclass(frozen=True)
class Split:
    """A split folder as read.

    Attributes:
        folder: The split folder.
        root: Folder to which the paths of the images are relative.
        class_names: Label of each class index.
        train: Images to train on: path, label, class_index (int64), group.
        val: Images to choose models on.
        test: Images to report on.
        hashes: SHA-256 of each file of the split folder that was read, by name.
    """

    folder: Path
    root: Path
    class_names: tuple[str, ...]
    train: pd.DataFrame
    val: pd.DataFrame
    test: pd.DataFrame
    hashes: Mapping[str, str]

    def part(self, name: str) -> pd.DataFrame:
        """Return the table of `train`, `val` or `test`."""
        if name not in PARTS:
            raise SplitError(f"a part must be one of {', '.join(PARTS)}; got {name!r}")
        return getattr(self, name)

    def class_counts(self, part: str = "train") -> np.ndarray:
        """Return the number of images of each class, (C,) int64."""
        return np.bincount(self.part(part)["class_index"], minlength=len(self.class_names))


def find_split(path: Path | None = None) -> Path:
    """Return the split folder: `path`, else `split` in the current folder, else the current folder itself.

    Raises:
        SplitError: None of them is a split folder.
    """
    places = [path] if path is not None else [Path("split"), Path()]
    for place in places:
        if (place / "train.csv").is_file():
            return place
    told = f"{path} is not" if path is not None else "neither ./split nor this folder is"
    raise SplitError(f"{told} a split folder, it has no train.csv; make one with: radrefine split --stratify")


def load_split(path: str | Path, *, allow_leakage: bool = False) -> Split:
    """Read the split folder `path` and check that no image is shared between its parts.

    Args:
        path: Folder with train.csv, val.csv, test.csv, classes.csv and split.json.
        allow_leakage: Accept shared groups, paths and hashes instead of refusing them.

    Raises:
        SplitError: The folder is missing, incomplete or contradicts itself.
        LeakageError: A group, a path or, by the proof in split.json, a file's content is in two parts.
    """
    folder = find_split(Path(path))
    about = _read_about(folder)
    class_names = _read_classes(folder)
    frames = {name: _read_part(folder, name, class_names) for name in PARTS}
    if frames["train"].empty:
        raise SplitError(
            f"{folder / 'train.csv'} holds no images; make the split anew with: radrefine split --stratify"
        )
    if not allow_leakage:
        _refuse_leakage(folder, frames, about)
    root = (folder / str(about.get("root", "."))).resolve()
    first = root / frames["train"]["path"].iloc[0]
    if not first.is_file():
        told = f"{first} is missing; split.json in {folder} names {root} as the folder of the images"
        raise SplitError(f"{told}; move it back, or run radrefine split again")
    names = [f"{name}.csv" for name in PARTS] + ["classes.csv", "split.json"]
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    return Split(folder, root, class_names, **frames, hashes=hashes)


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / "split.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SplitError(f"{folder} has no split.json; make the split anew with: radrefine split --stratify") from None
    except ValueError as error:
        raise SplitError(f"{folder / 'split.json'} is not valid JSON: {error}") from None
    if not isinstance(about, dict) or about.get("schema", _SCHEMA) != _SCHEMA:
        raise SplitError(f"{folder / 'split.json'} must have schema {_SCHEMA}; make the split with this version")
    return about


def _read_classes(folder: Path) -> tuple[str, ...]:
    frame = _read_csv(folder / "classes.csv", ("class_index", "label"))
    frame["class_index"] = _whole_numbers(folder / "classes.csv", frame["class_index"])
    frame = frame.sort_values("class_index")
    if frame["class_index"].tolist() != list(range(len(frame))) or frame.empty:
        raise SplitError(f"{folder / 'classes.csv'} must number the classes 0, 1, 2, ... without a gap")
    labels = tuple(frame["label"].astype(str))
    if len(set(labels)) < len(labels):
        raise SplitError(f"{folder / 'classes.csv'} names a class twice; make the split anew")
    return labels


def _read_part(folder: Path, name: str, class_names: tuple[str, ...]) -> pd.DataFrame:
    path = folder / f"{name}.csv"
    frame = _read_csv(path, _COLUMNS)
    frame["class_index"] = _whole_numbers(path, frame["class_index"])
    outside = frame[(frame["class_index"] < 0) | (frame["class_index"] >= len(class_names))]
    if not outside.empty:
        row = outside.iloc[0]
        raise SplitError(
            f"{path} gives {row['path']} the class {row['class_index']}, "
            f"but classes.csv knows 0 to {len(class_names) - 1}"
        )
    if (twice := frame["path"].duplicated()).any():
        raise SplitError(f"{path} names {frame['path'][twice].iloc[0]} twice; each image counts once")
    if (frame["path"] == "").any():
        raise SplitError(f"{path} has a row without a path; make the split anew")
    wrong = frame[frame["label"] != frame["class_index"].map(dict(enumerate(class_names)))]
    if not wrong.empty:
        row = wrong.iloc[0]
        raise SplitError(
            f"{path} gives {row['path']} the label {row['label']} and the class {row['class_index']}, "
            f"which is {class_names[row['class_index']]} in classes.csv; make the split anew"
        )
    return frame.reset_index(drop=True)


def _whole_numbers(path: Path, column: "pd.Series[Any]") -> "pd.Series[int]":
    try:
        if (pd.to_numeric(column) % 1 != 0).any():
            raise ValueError(f"not all of {column.name} are")
        return column.astype("int64")
    except (TypeError, ValueError, OverflowError) as error:
        raise SplitError(f"{path} must hold whole numbers in class_index: {error}; make the split anew") from None


def _read_csv(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, dtype={"path": str, "label": str, "group": str}, keep_default_na=False)
    except FileNotFoundError:
        raise SplitError(f"{path} is missing; make the split anew with: radrefine split --stratify") from None
    except ValueError as error:
        raise SplitError(f"{path} cannot be read as CSV: {error}") from None
    missing = [column for column in columns if column not in frame]
    if missing:
        raise SplitError(f"{path} must have the columns {', '.join(columns)}; {', '.join(missing)} missing")
    return frame


def _refuse_leakage(folder: Path, frames: Mapping[str, pd.DataFrame], about: Mapping[str, Any]) -> None:
    # im//0.png and im/./0.png are im/0.png.
    frames = {part: frame.assign(path=frame["path"].map(os.path.normpath)) for part, frame in frames.items()}
    for column in ("path", "group"):
        for one, other in itertools.combinations(PARTS, 2):
            shared = sorted((set(frames[one][column]) & set(frames[other][column])) - {""})
            if shared:
                in_one, in_other = (_paths_by(frames[part], column) for part in (one, other))
                pairs = [f"{in_one[key]} ({one}) and {in_other[key]} ({other})" for key in shared[:_MOST_NAMED]]
                raise LeakageError(
                    f"{folder}: {len(shared)} {column}(s) are in both {one} and {other}: "
                    f"{_listed(pairs, len(shared))}; make the split anew with: radrefine split --group-by duplicates, "
                    "or pass --allow-leakage"
                )
    proof = about.get("proof")
    proof = proof if isinstance(proof, dict) else {}
    shared_counts = {key: value for key, value in proof.items() if "shared" in key and isinstance(value, int) and value}
    if shared_counts:
        told = ", ".join(f"{key}: {value}" for key, value in shared_counts.items())
        raise LeakageError(
            f"{folder / 'split.json'} tells of leakage ({told}){_offending(proof)}; "
            "mend the split, or pass --allow-leakage"
        )


def _paths_by(frame: pd.DataFrame, column: str) -> dict[str, str]:
    return dict(zip(frame[column], frame["path"], strict=True))


def _offending(proof: Mapping[str, Any]) -> str:
    """Name the first pairs that the proof lists; the file comes from outside, so its shape is not trusted."""
    listed = proof.get("offending")
    pairs = [pair for pair in listed if isinstance(pair, dict)] if isinstance(listed, list) else []
    named = [
        f"{pair.get('path_a')} ({pair.get('part_a')}) and {pair.get('path_b')} ({pair.get('part_b')})"
        for pair in pairs[:_MOST_NAMED]
    ]
    return f": {_listed(named, len(pairs))}" if named else ""


def _listed(named: list[str], n_all: int) -> str:
    more = n_all - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
