"""What a split folder holds and what of it may be published."""

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

import pandas as pd

from radrefine.errors import SplitError
from radrefine.reading import reading, refuse_outside
from radrefine.schema import SPLITS

HUB_NAMES = {"train": "train", "val": "validation", "test": "test"}
"""Names of the splits in `datasets`, whose own word for val is validation."""

_REMEDY: Final = "run radrefine split again"
# Keys of run.json and split.json that say something of the machine or its user rather than of the data.
_PRIVATE_KEYS = frozenset(
    {"host", "hostname", "user", "command", "argv", "cwd", "src", "source", "out", "root", "refined"}
)
_PRIVATE_KEYS |= {"scheduler", "jobs", "backend", "timings"}


@dataclass(frozen=True)
class SplitFolder:
    """A split folder as read.

    Attributes:
        folder: The split folder.
        root: Folder that the paths in the tables are relative to.
        refined: The refined folder, None where the images do not come from one.
        facts: `split.json`.
        class_names: Label names by class index.
        classes: `classes.csv`.
        frames: The tables of train, val and test, as far as they are there.
    """

    folder: Path
    root: Path
    refined: Path | None
    facts: dict[str, Any]
    class_names: list[str]
    classes: pd.DataFrame
    frames: dict[str, pd.DataFrame]

    @property
    def n_images(self) -> int:
        """Images in all splits."""
        return sum(len(frame) for frame in self.frames.values())

    @property
    def masks(self) -> Path | None:
        """Folder of the masks, None where there are none."""
        folder = self.refined / "masks" if self.refined else None
        return folder if folder is not None and folder.is_dir() else None

    def mask_names(self) -> list[str]:
        """List the masks by their path below the folder of masks, sorted."""
        folder = self.masks
        if folder is None:
            return []
        # A PNG keeps its name when it is refined, IM1.PNG too.
        found = (path for path in folder.rglob("*") if path.suffix.lower() == ".png")
        return sorted(path.relative_to(folder).as_posix() for path in found)

    def group_numbers(self) -> dict[str, list[int | None]]:
        """Number the groups in the order in which they appear over all splits; None for images without one.

        A group may be a patient's identifier; its number names nobody and shows as well what belongs together.
        """
        numbers: dict[str, int] = {}
        return {
            part: [numbers.setdefault(group, len(numbers)) if group else None for group in frame["group"]]
            for part, frame in self.frames.items()
            if "group" in frame
        }

    def shared(self) -> dict[str, int]:
        """Return what the proof in `split.json` counts as shared between splits, without the zeros."""
        proof = self.facts.get("proof")
        counts = proof.items() if isinstance(proof, dict) else ()
        return {name: n for name, n in counts if name.startswith("shared") and isinstance(n, int) and n}

    def run(self) -> dict[str, Any]:
        """Return `run.json` of the refined folder, empty where there is none."""
        return _read_json(self.refined / "run.json") if self.refined else {}


def read_split(folder: Path) -> SplitFolder:
    """Read a split folder.

    Raises:
        SplitError: It is not one, or its tables contradict each other.
    """
    facts = _read_json(folder / "split.json")
    if not facts:
        raise SplitError(
            f"{folder} is not a split folder: split.json is missing; run: radrefine split REFINED --out {folder}"
        )
    with reading(folder / "classes.csv", _REMEDY, SplitError):
        classes = pd.read_csv(_existing(folder / "classes.csv"), dtype={"label": str}, keep_default_na=False)
        classes = classes.sort_values("class_index", ignore_index=True)
    if classes["class_index"].tolist() != list(range(len(classes))):
        raise SplitError(
            f"{folder / 'classes.csv'} must number the classes 0 to {len(classes) - 1}; run radrefine split again"
        )
    names = classes["label"].tolist()
    frames = {part: _read_part(folder / f"{part}.csv", names) for part in SPLITS if (folder / f"{part}.csv").is_file()}
    if not frames:
        raise SplitError(f"{folder} holds no train.csv, val.csv or test.csv; run radrefine split again")
    root = (folder / str(facts.get("root", "."))).resolve()
    if not root.is_dir():
        told = f"{folder} names {root} as the folder of its images, which is not there"
        raise SplitError(f"{told}; move it back, or run radrefine split again")
    return SplitFolder(folder, root, _refined_folder(root), facts, names, classes, frames)


def _read_part(path: Path, names: list[str]) -> pd.DataFrame:
    with reading(path, _REMEDY, SplitError):
        frame = pd.read_csv(path, dtype={"path": str, "label": str, "group": str}, keep_default_na=False)
    missing = {"path", "label", "class_index"} - set(frame.columns)
    if missing:
        raise SplitError(f"{path} has no column {', '.join(sorted(missing))}; run radrefine split again")
    refuse_outside(frame["path"], path, _REMEDY, SplitError)
    wrong = frame.index[frame["class_index"].map(dict(enumerate(names))) != frame["label"]]
    if len(wrong):
        row = frame.loc[wrong[0]]
        raise SplitError(f"{path} calls {row['path']} '{row['label']}', class {row['class_index']}, unlike classes.csv")
    return frame


def _refined_folder(root: Path) -> Path | None:
    return next((folder for folder in (root, root.parent) if (folder / "manifest.parquet").is_file()), None)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise SplitError(f"{path} is missing; run radrefine split again")
    return path


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    with reading(path, f"run radrefine {'split' if path.name == 'split.json' else 'clean'} again"):
        value = json.loads(path.read_text("utf-8"))
    return value if isinstance(value, dict) else {}


def without_machine(value: Any) -> Any:
    """Remove from settings what is of the machine and not of the data: folders, host and user names."""
    if isinstance(value, dict):
        return {key: without_machine(item) for key, item in value.items() if not _is_private(key, item)}
    if isinstance(value, list):
        return [without_machine(item) for item in value]
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
        return re.split(r"[\\/]", value.rstrip("\\/"))[-1]
    return value


def _is_private(key: object, item: Any) -> bool:
    # A number is a count, such as that of refined images, and no name of a folder.
    is_count = isinstance(item, int | float) and key != "jobs"
    return str(key).lower() in _PRIVATE_KEYS and not is_count


def public_tables(split: SplitFolder) -> dict[str, bytes]:
    """Return the files of the split to publish by name, the groups as numbers and without folders of this machine."""
    tables = {}
    groups = split.group_numbers()
    for part, frame in split.frames.items():
        public = frame[[name for name in ("path", "label", "class_index") if name in frame.columns]].copy()
        if part in groups:
            public["group"] = pd.array(groups[part], dtype="Int64")
        tables[f"{part}.csv"] = public.to_csv(index=False, lineterminator="\n").encode()
    tables["classes.csv"] = split.classes.to_csv(index=False, lineterminator="\n").encode()
    facts = json.dumps(without_machine(split.facts), indent=2, ensure_ascii=False) + "\n"
    tables["split.json"] = facts.encode()
    return tables
