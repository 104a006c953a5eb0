"""The figures of an evaluation, a run and a split: gathers what `plots` draws and writes the pictures."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pgnm.checkpoints import METRICS_FILE, RunInfo, load_classifier
from pgnm.config import Recipe
from pgnm.data import Split, build_loader
from pgnm.errors import RunError
from pgnm.evaluate import Evaluation
from pgnm.figure_style import save_figure
from pgnm.noisy_input import noise_source
from pgnm.plots import (
    plot_confusion,
    plot_mask_sheet,
    plot_masking,
    plot_policy,
    plot_reliability,
    plot_split,
    plot_training,
)

_MODALITIES = ("CT", "MR", "US", "XR")


def draw_evaluation(evaluation: Evaluation) -> list[Path]:
    """Write confusion matrix and reliability curve into the folder of an evaluation; return their paths."""
    judgement, folder = evaluation.judgement, evaluation.folder
    names = judgement.per_class["label"].tolist()
    return [
        save_figure(plot_confusion(judgement.confusion, names), folder / "confusion.png"),
        save_figure(plot_reliability({evaluation.summary["input"]: judgement.reliability}), folder / "reliability.png"),
    ]


def draw_training(runs: Mapping[str, Path], out: Path) -> list[tuple[str, Path]]:
    """Write the training curves of runs by name, and the shapes of the policy where a run has learned one.

    Args:
        runs: Run folders by the name to show.
        out: Folder of the pictures.

    Returns:
        What each picture shows, and its path.
    """
    tables = {name: pd.read_csv(run / METRICS_FILE) for name, run in runs.items() if (run / METRICS_FILE).is_file()}
    for table in tables.values():
        table["epoch"] += 1  # counted from 0 in the file, from 1 for people
    written = []
    if tables:
        told = "Training curves of " + ", ".join(tables)
        written.append((told, save_figure(plot_training(tables), out / "training.png")))
    taken: set[str] = set()
    for name, table in tables.items():
        if "alpha_p50" in table:
            file = _file_name(name, taken)
            told = f"How the policy of {name} moved over the epochs"
            written.append((told, save_figure(plot_policy(table), out / f"policy_{file}.png")))
    return written


def _file_name(name: str, taken: set[str]) -> str:
    """Return what a file may be called after a name, and add it to those that are taken."""
    plain = "".join(letter if letter.isalnum() else "_" for letter in name)
    numbered = (plain if number == 1 else f"{plain}_{number}" for number in itertools.count(1))
    file = next(one for one in numbered if one not in taken)
    taken.add(file)
    return file


def draw_split(split: Split, out: Path) -> Path:
    """Write the images per class in train, val and test (figure 8)."""
    counts = {f"n_{part}": split.class_counts(part) for part in ("train", "val", "test")}
    table = pd.DataFrame({"label": split.class_names, **counts})
    return save_figure(plot_split(table), out / "split.png")


def draw_masks(run: Path, split: Split, out: Path, *, seed: int = 0, columns: int = 6) -> list[Path]:
    """Write the histograms before and after masking (figure 6) and a sheet of sampled masks per modality.

    Args:
        run: A run that was pretrained with noise masks.
        split: The split whose test images are shown.
        out: Folder of the pictures.
        seed: Seed of the masks and of the choice of images.
        columns: Images per modality on the sheet.

    Raises:
        RunError: The run has no noise to draw from.
    """
    _, info = load_classifier(run)
    source = noise_source(run, info, seed)
    rows = []
    if split.test.empty:
        raise RunError(f"{split.folder} has no test images to draw masks over; make a split with some")
    for modality, paths in _sample_by_modality(split, columns, seed).items():
        images = _read(split, paths, info)
        masks = source(paths)[:, 0].numpy()
        # The mask multiplies the normalised image (Eq 5), so it pulls intensities toward the mean, not toward black.
        masked = info.mean + (images - info.mean) * masks
        rows.append((modality, images, masks, masked))
    examples = [(name, images[0], masks[0], masked[0]) for name, images, masks, masked in rows]
    return [
        save_figure(plot_masking(examples), out / "histograms.png"),
        save_figure(
            plot_mask_sheet([(name, list(masks), list(masked)) for name, _, masks, masked in rows]), out / "masks.png"
        ),
    ]


def _sample_by_modality(split: Split, n: int, seed: int) -> dict[str, list[str]]:
    """Choose up to n test images of each modality, which is the first part of a label; else n of all images."""
    modality = split.test["label"].str.split("__").str[0]
    if not modality.isin(_MODALITIES).all():
        modality = pd.Series("all", index=split.test.index)
    rng = np.random.default_rng(seed)
    return {
        str(name): sorted(rng.choice(rows["path"].to_numpy(), min(n, len(rows)), replace=False).tolist())
        for name, rows in split.test.groupby(modality)
    }


def _read(split: Split, paths: Sequence[str], info: RunInfo) -> NDArray:
    """Return the images at `paths` as the model sees them, grey, (N, H, W) floats in [0, 1]."""
    rows = split.test.set_index("path").loc[list(paths)].reset_index()
    few = Split(split.folder, split.root, split.class_names, rows, rows, rows, split.hashes)
    recipe = Recipe(stage="finetune", size=info.size, mean=0.0, std=1.0, crop_min=info.crop_min, workers=0)
    images = torch.cat([images for images, _, _ in build_loader(few, "test", recipe)])
    return images.mean(dim=1).numpy()
