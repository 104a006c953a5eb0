"""The loop that every training stage shares: epochs, validation, saving, resuming, stopping."""

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

from pgnm import checkpoints, run_folder
from pgnm.config import Recipe
from pgnm.data import Loader, Split
from pgnm.data.loader import derive_seed
from pgnm.engine.devices import Devices
from pgnm.engine.guard import Guard, Stop, interruptible
from pgnm.engine.optim import Ema
from pgnm.engine.state import Meter, Position, pack_state, unpack_state
from pgnm.engine.track import open_tracker
from pgnm.engine.validate import validate
from pgnm.errors import RunError
from pgnm.files import write_text
from pgnm.model_card import model_card
from pgnm.progress import Progress, ProgressCallback, ignore_progress

_log = logging.getLogger(__name__)

_STEP_STREAM: Final = 100
_SANITY_BATCHES: Final = 2


class Stage(Protocol):
    """One kind of training: what a step does, and what it remembers."""

    model: nn.Module
    """The classifier, on its device, neither compiled nor wrapped."""

    def update(
        self, images: Tensor, targets: Tensor, epochs_done: float, *, last: bool = True, share: float = 1.0
    ) -> dict[str, Tensor]:
        """Learn from one batch, `share` of an update; return scalars to log. Weights move where `last` closes it."""

    def close_epoch(self, epochs: int, *, best: bool) -> Mapping[str, Tensor] | None:
        """Hear that so many epochs are done and validated, and whether the last was the best so far.

        The model holds the weights that were judged, which are the average where the recipe keeps one.

        Returns:
            Weights of the model to go on from, None for those that it trained.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return weights and optimisers."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up weights and optimisers."""

    def save_extras(self, run: Path) -> None:
        """Write what belongs beside the classifier, such as the policy."""


@dataclass(frozen=True)
class Summary:
    """What a training run came to.

    Attributes:
        run: The run folder.
        epochs: Epochs done in all.
        best_epoch: Epoch with the best validation macro F1, from 0.
        best_f1: That macro F1.
        metrics: The last row of metrics.csv.
        resumed_at: Step at which this call went on; 0 for a fresh run.
    """

    run: Path
    epochs: int
    best_epoch: int
    best_f1: float
    metrics: dict[str, Any]
    resumed_at: int


@dataclass
class Job:
    """All that the loop works on."""

    stage: Stage
    recipe: Recipe
    split: Split
    run: Path
    devices: Devices
    train: Loader
    val: Loader
    info: checkpoints.RunInfo
    resolved: dict[str, Any]
    progress: ProgressCallback = ignore_progress


def fit(job: Job, *, resume: bool | None = None) -> Summary:
    """Train until the recipe's epochs are done, going on from the run folder's state where there is one.

    Every random number of a step is drawn from the seed, the step and the process, so a run that was killed and
    resumed takes the very steps that it would have taken.

    Args:
        job: Stage, data, devices and run folder.
        resume: None goes on where a state is; True demands one; False starts anew.

    Raises:
        TrainingError: A loss or gradient is not finite; the last good state stays.
        RunError: The state in the run folder belongs to another recipe or split, or another training writes there.
        KeyboardInterrupt: After the state was saved.
    """
    with run_folder.held(job.run) if job.devices.is_main else contextlib.nullcontext():
        return _fit(job, resume)


def _fit(job: Job, resume: bool | None) -> Summary:
    recipe, stage, devices = job.recipe, job.stage, job.devices
    ema = Ema(stage.model, recipe.ema) if recipe.ema else None
    position = _resume(job, ema, resume)
    resumed_at = saved_at = position.step
    if position.finished and position.epoch >= recipe.epochs:
        run_folder.refuse_incomplete(job.run)
        return _summary(job, position, resumed_at)
    position.finished = False  # more epochs than were asked for before
    validate(stage.model, job.val, devices, batches=_SANITY_BATCHES)  # a fault here should not wait an epoch
    if devices.is_main:
        if position.is_fresh:
            run_folder.clear_earlier(job.run)
        run_folder.write_recipe(job.run, recipe, job.resolved)
    guard = Guard(job.train.frame, job.run / checkpoints.STATE_FILE, devices.precision)
    tracker = open_tracker(recipe.track, job, resumed=resumed_at > 0)
    with interruptible() as interrupted, _forked_random(devices), tracker as track:
        stopping = Stop(interrupted, devices, position.step)
        while position.epoch < recipe.epochs and not _waited_enough(recipe, position):
            meter = Meter.from_state(position.meter, devices)
            started, seen = time.monotonic(), 0
            for number, (images, targets, rows) in enumerate(
                job.train.epoch(position.epoch, position.batch), position.batch
            ):
                torch.manual_seed(derive_seed(recipe.seed, _STEP_STREAM, position.step, devices.rank))
                # The last update of an epoch may be left with fewer batches; they count as much as those of any other.
                first = number - number % recipe.accumulate
                together = min(recipe.accumulate, len(job.train) - first)
                last = number + 1 == first + together
                numbers = stage.update(
                    images, targets, position.epoch + number / len(job.train), last=last, share=1 / together
                )
                guard.watch(numbers, position, rows)
                meter.add(numbers)
                position.batch, position.step = number + 1, position.step + 1
                seen += len(images) * devices.world
                job.progress(Progress(f"epoch {position.epoch + 1} of {recipe.epochs}", number + 1, len(job.train)))
                if not last:
                    continue
                if ema is not None:
                    ema.update(stage.model)
                stop = stopping.due(position.step)
                # Counted, since a batch that closes an update may never be a multiple of save_every.
                if stop or (recipe.save_every and position.step - saved_at >= recipe.save_every):
                    guard.check()
                    _save_state(job, position, meter, ema)
                    saved_at = position.step
                    if stop:
                        raise KeyboardInterrupt
            guard.check()
            row = {"epoch": position.epoch, "step": position.step, **meter.means(devices)}
            seconds = time.monotonic() - started
            row |= {"images_per_second": seen / seconds, "seconds": seconds}
            with ema.swapped(stage.model) if ema is not None else contextlib.nullcontext():
                row |= validate(stage.model, job.val, devices, progress=job.progress)
                _close_epoch(job, position, row)
                go_on_from = stage.close_epoch(position.epoch, best=position.waited == 0)
            if go_on_from is not None:
                stage.model.load_state_dict(go_on_from)
                if ema is not None:
                    ema.restart(stage.model)
            _save_state(job, position, Meter(), ema)
            saved_at = position.step
            track(position.rows[-1])
            _log.info("epoch %d: %s", position.epoch, position.rows[-1])
    position.finished = True
    _save_state(job, position, Meter(), ema)
    if interrupted.is_set():  # while the last epoch was judged: the run is whole, what would follow it is not wanted
        raise KeyboardInterrupt
    return _summary(job, position, resumed_at)


def _close_epoch(job: Job, position: Position, row: dict[str, Any]) -> None:
    """Count the epoch, keep the weights where they are wanted, write the row."""
    if position.epoch == _alone_epochs(job.recipe):
        position.best = -1.0  # weights that never met the agent are no result of apga
    is_best = row["val_f1"] > position.best
    if is_best:
        position.best, position.best_epoch = row["val_f1"], position.epoch
    position.rows = [*position.rows, row]
    position.epoch, position.batch = position.epoch + 1, 0
    if not job.devices.is_main:
        return
    if is_best or job.recipe.keep == "last":
        run_folder.clear_judgements(job.run)  # of the weights before, where a finished run is given more epochs
        checkpoints.save_classifier(job.run, job.stage.model, job.info)
        job.stage.save_extras(job.run)
        write_text(job.run / "README.md", model_card(job.recipe, job.info, job.split, row))
    run_folder.write_metrics(job.run, position.rows)


def _resume(job: Job, ema: Ema | None, resume: bool | None) -> Position:
    state = checkpoints.load_state(job.run) if resume is not False else None
    if state is None:
        if resume:
            raise RunError(f"{job.run} holds no state to go on from; run without --resume to start")
        return Position()
    position, stage = unpack_state(state, job.recipe, job.split, job.devices, start=job.resolved["start"])
    position.batch = min(position.batch, len(job.train))  # what no batch took is dropped, however they are cut
    job.stage.load_state_dict(stage)
    if ema is not None:
        ema.load_state_dict(stage["ema"])
    return position


def _save_state(job: Job, position: Position, meter: Meter, ema: Ema | None) -> None:
    position.meter = meter.state(job.devices)
    if job.devices.is_main:
        stage = job.stage.state_dict()
        if ema is not None:
            stage["ema"] = ema.state_dict()
        state = pack_state(job.recipe, job.split, job.devices, position, stage, start=job.resolved["start"])
        checkpoints.save_state(job.run, state)


def _waited_enough(recipe: Recipe, position: Position) -> bool:
    # The epochs in which apga's classifier learns alone are no waiting: its agent has not begun.
    waited = min(position.waited, position.epoch - _alone_epochs(recipe))
    return bool(recipe.early_stop) and position.epoch > 0 and waited >= recipe.early_stop


def _alone_epochs(recipe: Recipe) -> int:
    return recipe.alone_epochs if recipe.policy == "apga" else 0


def _summary(job: Job, position: Position, resumed_at: int) -> Summary:
    last = position.rows[-1] if position.rows else {}
    return Summary(job.run, position.epoch, position.best_epoch, position.best, last, resumed_at)


@contextlib.contextmanager
def _forked_random(devices: Devices) -> Iterator[None]:
    on_gpu = [devices.device] if devices.device.type == "cuda" else []
    with torch.random.fork_rng(devices=on_gpu):
        yield
