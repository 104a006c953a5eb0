"""Judge a trained classifier on a split, on plain or on noisy input (tables 1 and 2 of the paper)."""

import json
import logging
import math
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch

from pgnm.apga.agent import black_level, load_agent
from pgnm.apga.inference import AidedClassifier, choose_inference
from pgnm.calibration import TEMPERATURES, fit_temperature, scale_by_temperature
from pgnm.checkpoints import POLICY_FILE, PREDICTIONS_FILE, RunInfo, load_classifier
from pgnm.config import Recipe
from pgnm.data import Loader, Split, build_loader, load_split
from pgnm.errors import RunError, SplitError, UsageError
from pgnm.files import atomic_path, write_json
from pgnm.metrics import Floats, Judgement, judge
from pgnm.noisy_input import MaskSource, noise_source
from pgnm.progress import Progress, ProgressCallback, ignore_progress
from pgnm.run_folder import tell_unfinished
from pgnm.statistics import Intervals, bootstrap_intervals

_log = logging.getLogger(__name__)

SCHEMA: Final = 1
INPUTS: Final = ("normalized", "noisy", "aided")
PARTS: Final = ("test", "val", "train")


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """What to judge and how; the help of each option is in its field's metadata."""

    input: str = field(
        default="normalized",
        metadata={"help": "Plain images, under a drawn noise mask, or aided by the agent of APGA."},
    )
    part: str = field(default="test", metadata={"help": "Part of the split to judge on: test, val or train."})
    batch_size: int = field(default=64, metadata={"help": "Images per batch."})
    workers: int = field(default=-1, metadata={"help": "Processes that load images; -1: chosen by the machine."})
    device: str = field(default="auto", metadata={"help": "Where to compute: auto, cpu, cuda, cuda:1, mps."})
    seed: int = field(default=0, metadata={"help": "Seed of the noise masks and of the bootstrap."})
    resamples: int = field(default=1000, metadata={"help": "Bootstrap resamples for the intervals; 0 for none."})
    calibrate: bool = field(default=False, metadata={"help": "Scale by a temperature fitted on validation images."})

    def __post_init__(self) -> None:
        for name, known in (("input", INPUTS), ("part", PARTS)):
            if getattr(self, name) not in known:
                raise UsageError(f"--{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}")
        for name, least in (("batch_size", 1), ("workers", -1), ("seed", 0), ("resamples", 0)):
            if getattr(self, name) < least:
                flag = name.replace("_", "-")
                raise UsageError(f"--{flag} must be at least {least}, got {getattr(self, name)}")
        if self.calibrate and self.part == "val":
            raise UsageError("--calibrate fits on the validation images; judge another --part")

    @property
    def name(self) -> str:
        """Name of the evaluation's own folder, such as `classify-noisy`; what is not usual is added."""
        part = "" if self.part == "test" else f"-{self.part}"
        return f"classify-{self.input}{part}" + ("-calibrated" if self.calibrate else "")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation found and where it is written.

    Attributes:
        summary: The content of `eval.json`.
        predictions: path, target, prediction, p_0, p_1, ...
        judgement: Metrics, per-class scores, confusion and calibration.
        folder: The evaluation's own folder, which other inputs do not overwrite.
    """

    summary: dict[str, Any]
    predictions: pd.DataFrame
    judgement: Judgement
    folder: Path


def evaluate_run(
    run: str | Path,
    split: str | Path,
    options: EvalOptions | None = None,
    progress: ProgressCallback = ignore_progress,
    *,
    allow_leakage: bool = False,
) -> Evaluation:
    """Judge the classifier of a run folder on one part of a split and write predictions and metrics.

    With `calibrate` the logits are divided by the temperature that fits the validation images best, under masks where
    `input` is noisy; `eval.json` names it.

    `predictions.parquet` and `eval.json` of the latest evaluation lie in the run folder itself; each kind of
    evaluation also keeps its own pair under `eval/<protocol>-<input>/`, and `eval.json` lists the metrics of them all.

    Args:
        run: Folder of a pretrained or finetuned model.
        split: Split folder with the model's classes.
        options: What to judge and how.
        progress: Hears how many images are done.
        allow_leakage: Judge also where images are shared between the parts of the split; `eval.json` says so.

    Raises:
        LeakageError: Images are shared between the parts of the split.
        RunError: The run folder is unusable or keeps a damaged evaluation, or it has no learned noise while `input` is
            noisy, or no agent while it is aided.
        SplitError: The split is unusable, or its classes are not the model's.
    """
    options = options or EvalOptions()
    run = Path(run)
    model, info = load_classifier(run)
    list_evaluations(run, but=options.name)  # a damaged one is told now, not after the judging
    if told := tell_unfinished(run):
        _log.warning(told)
    images = load_split(split, allow_leakage=allow_leakage)
    check_classes(run, info, images)
    device = choose_device(options.device)
    loader = build_loader(images, options.part, loading_recipe(info, options), device=device, progress=progress)
    masks = noise_source(run, info, options.seed) if options.input == "noisy" else None
    chosen: dict[str, Any] = {}
    val = None
    if options.input == "aided" or options.calibrate:
        val = build_loader(images, "val", loading_recipe(info, options), device=device, progress=progress)
    if val is not None and options.input == "aided":
        model, chosen = choose_aided(run, model.to(device), info, val, progress)
    started = time.perf_counter()
    probability = predict(model.to(device), loader, masks, progress)
    seconds = time.perf_counter() - started
    if val is not None and options.calibrate:
        temperature = chosen["temperature"] = _find_temperature(val, predict(model, val, masks, progress))
        probability = scale_by_temperature(probability, temperature)

    predictions = prediction_table(loader.frame, probability)
    target = predictions["target"].to_numpy()
    judgement = judge(target, probability, info.class_names)
    intervals = None
    if options.resamples:
        groups = loader.frame["group"].tolist()
        intervals = bootstrap_intervals(target, probability, groups, resamples=options.resamples, seed=options.seed)
    summary = {
        "schema": SCHEMA,
        "protocol": "classify",
        "input": options.input,
        "part": options.part,
        "run": str(run),
        "model": info.model,
        "split": str(images.folder),
        "allow_leakage": allow_leakage,
        "seed": options.seed,
        **chosen,
        "n_images": len(target),
        "images_per_second": round(len(target) / seconds, 1),
        **describe_judgement(judgement, intervals),
    }
    folder = write_evaluation(run, options.name, summary, predictions)
    return Evaluation(summary, predictions, judgement, folder)


def _find_temperature(val: Loader, probability: Floats) -> float:
    """Return the temperature that fits the validation images best, and say where they hardly tell one."""
    temperature = fit_temperature(val.frame["class_index"].to_numpy(), probability)
    if not 1.1 * TEMPERATURES[0] < temperature < TEMPERATURES[1] / 1.1:
        told = f"the {len(val.frame)} validation images hardly tell a temperature ({temperature:.3g})"
        _log.warning("%s; calibrate on a split with more of them", told)
    return temperature


def choose_aided(
    run: Path, model: torch.nn.Module, info: RunInfo, val: Loader, progress: ProgressCallback = ignore_progress
) -> tuple[torch.nn.Module, dict[str, Any]]:
    """Choose between plain and aided prediction by accuracy on validation, for a run of the policy `apga`.

    Args:
        run: Run folder with the agent.
        model: Its classifier, on its device.
        info: What the run folder says of it.
        val: Validation images.
        progress: Hears how many images are done.

    Returns:
        The model to judge, and `inference` (plain or aided) with both validation accuracies for the summary.

    Raises:
        RunError: The run has no agent.
    """
    agent = load_agent(run / POLICY_FILE).to(next(model.parameters()).device)
    aided = AidedClassifier(model, agent, black_level(info.mean, info.std))
    target = torch.tensor(val.frame["class_index"].tolist())
    plain_p, aided_p = (torch.from_numpy(predict(candidate, val, None, progress)) for candidate in (model, aided))
    inference = choose_inference(target, plain_p, aided_p)
    accuracies = {
        f"val_accuracy_{name}": float((p.argmax(1) == target).double().mean())
        for name, p in (("plain", plain_p), ("aided", aided_p))
    }
    return aided if inference == "aided" else model, {"inference": inference, **accuracies}


def check_classes(run: Path, info: RunInfo, split: Split) -> None:
    """Refuse a split whose classes are not the model's.

    Raises:
        SplitError: The class names or their order differ.
    """
    if tuple(info.class_names) != tuple(split.class_names):
        raise SplitError(
            f"{run} knows {len(info.class_names)} classes ({_some(info.class_names)}), but {split.folder} has "
            f"{len(split.class_names)} ({_some(split.class_names)}); judge the model on the split it was trained on"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` takes a GPU where there is one.

    Raises:
        UsageError: The device does not exist here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {name} cannot be used here ({reason}); take --device cpu") from None
    return device


def loading_recipe(info: RunInfo, options: EvalOptions) -> Recipe:
    """Return the recipe that loads images as the model expects them: its size, mean and std."""
    return Recipe(
        stage="finetune",
        size=info.size,
        mean=info.mean,
        std=info.std,
        crop_min=info.crop_min,
        batch_size=max(2, options.batch_size),
        workers=options.workers,
        seed=options.seed,
    )


@torch.inference_mode()
def predict(
    model: torch.nn.Module,
    loader: Loader,
    masks: MaskSource | None = None,
    progress: ProgressCallback = ignore_progress,
) -> Floats:
    """Compute the class probabilities of every image of a loader, in the order of its frame.

    Args:
        model: Classifier that gives (B, C) logits; put into evaluation mode.
        loader: Batches of images, targets and rows.
        masks: Multiplies every normalised image by its mask (Eq 5); None leaves the images plain.
        progress: Hears how many images are done.

    Returns:
        (N, C) float64; the rows sum to 1.

    Raises:
        RunError: The model gives numbers that are not finite.
    """
    model.eval()
    paths = loader.frame["path"].to_numpy()
    parts, order, done = [], [], 0
    for images, _, rows in loader:
        if masks is not None:
            images = images * masks(paths[rows.numpy()]).to(images.device)
        # The softmax runs in float64, so that scores near 0 and 1 keep their order and the rows sum to 1.
        parts.append(torch.softmax(model(images).cpu().double(), dim=1).numpy())
        order.append(rows.numpy())
        done += len(rows)
        progress(Progress("judging", done, loader.n_images))
    probability = np.empty((done, parts[0].shape[1]))
    probability[np.concatenate(order)] = np.concatenate(parts)
    if not np.isfinite(probability).all():
        raise RunError("the model gives numbers that are not finite; its training has diverged, train it anew")
    return probability


def prediction_table(frame: pd.DataFrame, probability: Floats) -> pd.DataFrame:
    """Return path, target, prediction and one `p_<class_index>` per class."""
    columns = {
        "path": frame["path"].to_numpy(),
        "target": frame["class_index"].to_numpy(np.int64),
        "prediction": probability.argmax(axis=1).astype(np.int64),
    }
    columns |= {f"p_{index}": probability[:, index] for index in range(probability.shape[1])}
    return pd.DataFrame(columns)


def describe_judgement(judgement: Judgement, intervals: Intervals | None) -> dict[str, Any]:
    """Return the judgement as JSON has it; a number that is undefined becomes null."""
    described = {
        "metrics": judgement.metrics,
        "intervals": None if intervals is None else asdict(intervals),
        "per_class": judgement.per_class.to_dict("records"),
        "confusion": judgement.confusion.astype(int).tolist(),
        "reliability": judgement.reliability.to_dict("records"),
    }
    return _without_nan(described)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_evaluation(run: Path, name: str, summary: dict[str, Any], predictions: pd.DataFrame) -> Path:
    """Write an evaluation into its own folder and, as the latest, into the run folder; return its own folder.

    The summary in the run folder has one key more, `evaluations`: protocol, input, part and metrics of all of them.
    """
    folder = run / "eval" / name
    with atomic_path(folder / PREDICTIONS_FILE) as temporary:
        # Probabilities hardly repeat, so a dictionary of their values costs seconds and saves nothing.
        predictions.to_parquet(temporary, index=False, use_dictionary=["target", "prediction"])
    write_json(folder / "eval.json", summary)
    with atomic_path(run / PREDICTIONS_FILE) as temporary:
        _link_or_copy(folder / PREDICTIONS_FILE, temporary)
    write_json(run / "eval.json", {**summary, "evaluations": list_evaluations(run)})
    return folder


def _link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name where the file system can; predictions of a large set take 100 MB."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def list_evaluations(run: Path, *, but: str = "") -> dict[str, dict[str, Any]]:
    """Return protocol, input, part and metrics of every evaluation kept in a run folder, by its name.

    Args:
        run: The run folder.
        but: Name of one to leave out.

    Raises:
        RunError: One of them is damaged.
    """
    kept = {}
    for path in sorted((run / "eval").glob("*/eval.json")):
        if path.parent.name == but:
            continue
        try:
            summary = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise RunError(f"{path} cannot be read ({error}); remove it, or judge the model so again") from None
        kept[path.parent.name] = {key: summary.get(key) for key in ("protocol", "input", "part", "metrics")}
    return kept
