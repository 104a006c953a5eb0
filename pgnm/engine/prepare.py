"""What every stage does before its first step: class weights, seeds, loaders, files that describe the run."""

import contextlib
import logging
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import torch

from pgnm import checkpoints
from pgnm.config import Recipe
from pgnm.data import Split, build_loader
from pgnm.data.loader import derive_seed, limit_rows
from pgnm.engine.devices import Devices
from pgnm.engine.fit import Job, Stage
from pgnm.progress import ProgressCallback

_log = logging.getLogger(__name__)

_START_STREAM: Final = 101
_PACKAGES: Final = ("radrefine", "torch", "torchvision", "timm", "accelerate", "numpy", "pillow", "opencv-python")


@contextlib.contextmanager
def seeded_start(recipe: Recipe) -> Iterator[None]:
    """Run a block that makes networks, with random numbers that depend on the recipe's seed only."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(recipe.seed, _START_STREAM))
        yield


def class_weights(split: Split, recipe: Recipe) -> torch.Tensor | None:
    """Return a weight per class, (C,) float32, so that each class counts alike; None unless the recipe asks for it.

    Weights are n / (C * n_c), so that their mean over the training images, after any limit, is 1; a class without
    images gets 0.
    """
    if recipe.class_balance != "loss":
        return None
    frame = limit_rows(split.train, recipe.limit_train, recipe.seed)
    counts = torch.bincount(torch.tensor(frame["class_index"].tolist()), minlength=len(split.class_names)).double()
    weights = counts.sum() / ((counts > 0).sum() * counts.clamp_min(1))
    return torch.where(counts > 0, weights, 0).float()


def open_job(
    stage: Stage,
    recipe: Recipe,
    split: Split,
    run: Path,
    devices: Devices,
    progress: ProgressCallback,
    *,
    start: str = "",
) -> Job:
    """Build the loaders and return what `fit` works on; `start` names the weights that the classifier starts from."""
    if recipe.warmup_epochs >= recipe.epochs and devices.is_main:
        _log.warning(
            "--warmup-epochs %d is not below --epochs %d, so that the learning rate never reaches --lr; "
            "lower the first or raise the second",
            recipe.warmup_epochs,
            recipe.epochs,
        )
    share = {"device": devices.device, "rank": devices.rank, "world": devices.world, "progress": progress}
    train = build_loader(split, "train", recipe, train=True, **share)  # type: ignore[arg-type]
    val = build_loader(split, "val", recipe, **share)  # type: ignore[arg-type]
    resolved = {
        "versions": _versions(),
        "device": str(devices.device),
        "precision": devices.precision,
        "processes": devices.world,
        "split": str(split.folder),
        "sha256": dict(split.hashes),
        "start": start,
    }
    info = checkpoints.RunInfo.from_recipe(recipe, split.class_names)
    return Job(stage, recipe, split, run, devices, train, val, info, resolved, progress)


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
