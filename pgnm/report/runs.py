"""Read run folders for the report: configuration, curves and evaluations."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import pandas as pd
import yaml

from pgnm.checkpoints import METRICS_FILE, PREDICTIONS_FILE, RECIPE_FILE, RunInfo, read_info
from pgnm.data import Split, load_split
from pgnm.errors import PgnmError, RunError

_T = TypeVar("_T")
_PLAIN: Final = "classify-normalized"
_NEEDED: Final = ("input", "part", "n_images", "metrics", "per_class", "confusion", "reliability")


@dataclass(frozen=True, slots=True)
class RunView:
    """What a run folder holds.

    Attributes:
        name: Short name, different from those of the other runs of the page.
        folder: The run folder.
        info: What it says of its classifier.
        recipe: The resolved recipe; empty where there is none.
        epochs: Rows of metrics.csv.
        evaluations: `eval.json` of each classification by its name, such as `classify-noisy`.
        judged_on: What tells whether two evaluations are of the same images with the same labels, by the same names.
        probes: Scores of frozen features by protocol, `unseen` or `fewshot`: a row per set and backbone.
    """

    name: str
    folder: Path
    info: RunInfo
    recipe: dict[str, Any]
    epochs: int
    evaluations: dict[str, dict[str, Any]]
    judged_on: dict[str, str]
    probes: dict[str, pd.DataFrame]

    @property
    def main(self) -> str | None:
        """Name of the evaluation to look at closely: on plain test images, else the first; None without any."""
        return _PLAIN if _PLAIN in self.evaluations else next(iter(self.evaluations), None)

    def per_class(self, evaluation: str) -> pd.DataFrame:
        """Return label, n, precision, recall, f1 and auroc of each class, in the order of the classes."""
        return pd.DataFrame(self.evaluations[evaluation]["per_class"])

    def confusion(self, evaluation: str) -> np.ndarray:
        """Return the images by target (row) and prediction (column), (C, C)."""
        return np.asarray(self.evaluations[evaluation]["confusion"])


def read_runs(folders: Sequence[Path]) -> list[RunView]:
    """Read run folders.

    Raises:
        RunError: One of them is no run folder, or its files are damaged.
    """
    return [_read_run(folder, name) for folder, name in zip(folders, name_runs(folders), strict=True)]


def name_runs(folders: Sequence[Path]) -> list[str]:
    """Name each folder by as many of its last parts as tell it from the others, such as `seed0/finetuned`."""
    parts = [folder.resolve().parts for folder in folders]
    lengths = dict.fromkeys(parts, 1)
    while True:
        names = {part: "/".join(part[-length:]) for part, length in lengths.items()}
        shared = Counter(names.values())
        alike = [part for part, length in lengths.items() if shared[names[part]] > 1 and length < len(part)]
        if not alike:
            return [names[part] for part in parts]
        for part in alike:
            lengths[part] += 1


def _read_run(folder: Path, name: str) -> RunView:
    info = read_info(folder)
    metrics, recipe = folder / METRICS_FILE, folder / RECIPE_FILE
    judged = sorted((folder / "eval").glob("classify-*/eval.json"))
    return RunView(
        name,
        folder,
        info,
        _read(recipe, _recipe) if recipe.is_file() else {},
        len(_read(metrics, pd.read_csv)) if metrics.is_file() else 0,
        {path.parent.name: _read(path, _evaluation) for path in judged},
        {path.parent.name: _read(path.parent / PREDICTIONS_FILE, _images) for path in judged},
        dict(filter(None, (_read(path, _probe) for path in sorted((folder / "eval").glob("*/probe.json"))))),
    )


def _read(path: Path, reader: Callable[[Path], _T]) -> _T:
    # Whatever a damaged or edited file makes a reader stumble over, it is the file that the user has to look at.
    try:
        return reader(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        told = f"{type(error).__name__}: {reason}"
        raise RunError(f"{path} cannot be used ({told}); restore it, or train or judge the model again") from None


def _recipe(path: Path) -> dict[str, Any]:
    recipe = dict(yaml.safe_load(path.read_text(encoding="utf-8")))
    dict(recipe.get("resolved", {}))  # what the split is found by
    return recipe


def _evaluation(path: Path) -> dict[str, Any]:
    summary = dict(json.loads(path.read_text(encoding="utf-8")))
    for key in _NEEDED:
        if key not in summary:
            raise ValueError(f"no {key}")
    return summary


def _images(path: Path) -> str:
    table = pd.read_parquet(path, columns=["path", "target"])
    return hashlib.sha256(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()).hexdigest()


def _probe(path: Path) -> tuple[str, pd.DataFrame] | None:
    found = json.loads(path.read_text(encoding="utf-8"))
    return (str(found["protocol"]), pd.DataFrame(found["scores"])) if found["scores"] else None


def show_evaluation(name: str) -> str:
    """Return the name of an evaluation as people read it: `normalized (val)` for `classify-normalized-val`."""
    given, *rest = name.removeprefix("classify-").split("-")
    return f"{given} ({', '.join(rest)})" if rest else given


def read_predictions(run: RunView, evaluation: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the predictions of an evaluation, and its (N, C) float64 probabilities.

    Raises:
        RunError: The file is missing or does not fit the classes.
    """
    path = run.folder / "eval" / evaluation / PREDICTIONS_FILE
    try:
        table = pd.read_parquet(path)
        probability = table[[f"p_{index}" for index in range(len(run.info.class_names))]].to_numpy(np.float64)
    except (OSError, KeyError, ValueError) as error:
        raise RunError(f"{path} cannot be used ({error}); judge the model again with: pgnm eval") from None
    return table, probability


def shared_evaluations(run: RunView, baseline: RunView) -> list[str]:
    """Return the names of the evaluations of the same input, images and classes, the main one of `run` first."""
    if run.info.class_names != baseline.info.class_names:
        return []
    shared = [name for name, images in run.judged_on.items() if baseline.judged_on.get(name) == images]
    return sorted(shared, key=lambda name: name != run.main)


def find_images(run: RunView, split: Path | None) -> Split | None:
    """Return the split on which a run was judged or trained; None where it cannot be found or read any more.

    Args:
        run: Its files name the split, often relative to the folder in which the command was run.
        split: A folder that the user named, which must be one.

    Raises:
        SplitError: `split` is no split folder.
    """
    # Whether leakage was accepted is settled; here images are only looked at.
    if split is not None:
        return load_split(split, allow_leakage=True)
    named = [str(summary["split"]) for summary in run.evaluations.values() if summary.get("split")]
    named += [str(name) for name in [run.recipe.get("resolved", {}).get("split")] if name]
    for name in dict.fromkeys(named):
        for place in (Path(name), run.folder.parent / name):
            try:
                found = load_split(place, allow_leakage=True)
            except (PgnmError, OSError):
                continue
            if found.class_names == run.info.class_names:
                return found
    return None
