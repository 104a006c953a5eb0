"""Finetuning the heated classifier on plain images (method section 1.4); the policy is no longer needed."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pgnm import checkpoints, run_folder
from pgnm.config import Recipe
from pgnm.data import Split, load_split
from pgnm.engine import Devices, Summary, Updater, fit, open_devices, rate_factor
from pgnm.engine.optim import restore_scaler
from pgnm.engine.prepare import class_weights, open_job, seeded_start
from pgnm.errors import UsageError
from pgnm.models import check_takes, create_classifier
from pgnm.progress import ProgressCallback, ignore_progress

_log = logging.getLogger(__name__)


def finetune(
    split_folder: Path,
    heated: Path | None,
    out: Path,
    recipe: Recipe,
    *,
    resume: bool | None = None,
    allow_leakage: bool = False,
    progress: ProgressCallback = ignore_progress,
) -> Summary:
    """Train the heated classifier on plain images; write a run folder.

    Where the split has other classes than the heated model, its last layer is made anew and a warning is logged.

    Args:
        split_folder: What `radrefine split` wrote.
        heated: The run folder to start from; None starts the recipe's model from scratch.
        out: The run folder; one that holds a state is gone on with.
        recipe: A recipe of the stage `finetune`; with `heated` its model is that one's, and its size where 0.
        resume: None goes on where there is a state, True demands one, False starts anew.
        allow_leakage: Accept images shared between the parts of the split.
        progress: Hears of every step.

    Raises:
        PgnmError: A split, run folder, recipe, device or state that cannot be used, or a loss that is not finite.
    """
    if recipe.stage != "finetune":
        raise UsageError(f"--recipe must be for finetuning, got one for {recipe.stage}; try laptop_finetune")
    if heated is not None and out.resolve() == heated.resolve():
        raise UsageError(f"--out {out} is the model to start from, which would be lost; choose another folder")
    run_folder.refuse_foreign(out)
    split = load_split(split_folder, allow_leakage=allow_leakage)
    with seeded_start(recipe):
        classifier, recipe = _start_classifier(heated, recipe, split)
        devices = open_devices(recipe)
        stage = Finetuning(classifier, recipe, devices, class_weights(split, recipe))
    start = "" if heated is None else hashlib.sha256((heated / checkpoints.MODEL_FILE).read_bytes()).hexdigest()
    return fit(open_job(stage, recipe, split, out, devices, progress, start=start), resume=resume)


class Finetuning:
    """The classifier, and what a step on plain images does to it."""

    def __init__(self, classifier: nn.Module, recipe: Recipe, devices: Devices, weights: Tensor | None) -> None:
        self.recipe, self.devices = recipe, devices
        self.model = devices.place(classifier).train()
        self._classifier = devices.distribute(self.model, compiled=recipe.compile)
        self._weights = None if weights is None else weights.to(devices.device)
        self._updater = Updater(self.model, recipe, recipe.opt, recipe.lr)
        self._scaler = torch.amp.GradScaler(devices.device.type, enabled=devices.precision == "fp16")

    def update(
        self, images: Tensor, targets: Tensor, epochs_done: float, *, last: bool = True, share: float = 1.0
    ) -> dict[str, Tensor]:
        """Learn from one batch of plain images; arguments and result as in `pgnm.pretrain.Pretraining.update`."""
        rate = self._updater.set_rate(rate_factor(self.recipe, self.recipe.sched, epochs_done))
        with self.devices.autocast(), self.devices.hold_back(*([] if last else [self._classifier])):
            logits = self._classifier(images).float()
        loss = functional.cross_entropy(
            logits, targets, self._weights, reduction="none", label_smoothing=self.recipe.label_smoothing
        ).mean()
        self._scaler.scale(loss * share).backward()
        numbers = {"loss": loss, "lr": images.new_tensor(rate)}
        if last:
            numbers["grad_norm"] = self._updater.step(self._scaler)
            self._scaler.update()
        return numbers

    def close_epoch(self, epochs: int, *, best: bool) -> None:
        """Go on: every epoch is like the others."""

    def state_dict(self) -> dict[str, Any]:
        """Return weights and optimiser."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self._updater.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self._updater.load_state_dict(state["optimizer"])
        restore_scaler(self._scaler, state["scaler"])

    def save_extras(self, run: Path) -> None:
        """Write nothing; the classifier is all there is."""


def _start_classifier(heated: Path | None, recipe: Recipe, split: Split) -> tuple[nn.Module, Recipe]:
    """Return the classifier to finetune and the recipe with its model and size filled in."""
    if heated is None:
        if not recipe.size:
            raise UsageError("--size must be given where there is no heated model to take it from")
        classes = len(split.class_names)
        return (
            create_classifier(recipe.model, classes, size=recipe.size, pretrained=recipe.pretrained),
            recipe,
        )
    classifier, info = checkpoints.load_classifier(heated)
    if told := run_folder.tell_unfinished(heated):
        _log.warning(told)
    recipe = recipe.replace(model=info.model, size=recipe.size or info.size, mean=info.mean, std=info.std)
    check_takes(classifier, info.model, "the heated", size=recipe.size)
    if info.class_names != split.class_names:
        _log.warning(
            "%s knows %d classes, %s has %d others; the last layer starts anew",
            heated,
            len(info.class_names),
            split.folder,
            len(split.class_names),
        )
        classifier.reset_classifier(len(split.class_names))  # type: ignore[operator]
    return classifier, recipe
