"""Train the mark detector: rounds of composites, hard clean pictures mined between them, exact resume."""

import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from radrefine.artifacts.learned.network import MarkNetwork, to_blocks, to_pixels
from radrefine.detector.backgrounds import Backgrounds, load_backgrounds
from radrefine.detector.dataset import Composites, Sample
from radrefine.detector.loss import mark_loss
from radrefine.detector.options import TrainOptions
from radrefine.detector.start import start_from
from radrefine.detector.state import TrainingState, log_round, restore_state, save_state
from radrefine.errors import UsageError
from radrefine.progress import Progress, ProgressCallback, ignore_progress

_WARM_UP: Final = 0.08
# A short memory: longer ones keep statistics of activations that the weights have left behind.
_EMA_DECAY: Final = 0.99
_GRADIENT_NORM: Final = 5.0
# So many pictures give finished weights the statistics of activations that a training needs.
_FIRST_PICTURES: Final = 64


@dataclass(slots=True)
class TrainedDetector:
    """A trained network and what it was trained on.

    Attributes:
        network: The averaged weights, on the CPU, in evaluation mode.
        training: Backgrounds it saw.
        validation: Backgrounds it did not see.
        steps: Batches it was trained on.
        minutes: How long that took.
        earlier_steps: Batches of the trainings whose weights it started from.
    """

    network: MarkNetwork
    training: Backgrounds
    validation: Backgrounds
    steps: int
    minutes: float
    earlier_steps: int = 0


def train_detector(
    out: Path, options: TrainOptions | None = None, progress: ProgressCallback = ignore_progress
) -> TrainedDetector:
    """Train a detector, or go on where an interrupted training of `out` stopped.

    With `steps`, the same seed gives the same weights on the same machine, interrupted or not.

    Args:
        out: Folder for the checkpoint and the metrics.
        options: What to train on and for how long.
        progress: Called after every batch.

    Returns:
        The trained network.

    Raises:
        UsageError: `out` holds a checkpoint of other options, what to start from is not there, or no device of that
            name is.
    """
    options = options or TrainOptions()
    device = _device(options.device)
    train, validation = load_backgrounds(
        options.backgrounds, leave_out=options.leave_out, phantoms=options.phantoms, seed=options.seed
    )
    torch.manual_seed(options.seed)
    network = MarkNetwork().to(device).to(memory_format=torch.channels_last)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(_EMA_DECAY), use_buffers=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.lr, weight_decay=1e-4)
    hardness = np.ones(len(train.pictures))
    state = TrainingState(network, average, optimizer, hardness)
    if not restore_state(out, state, options) and options.start is not None:
        start_from(options.start, state, _first_pictures(train, state, options).to(device))
    out.mkdir(parents=True, exist_ok=True)

    while not state.finished(options):
        started = time.monotonic()
        network.train()
        steps = options.round_steps if options.minutes else min(options.round_steps, options.steps - state.steps)
        losses = []
        for images, kinds, weights in _batches(train, state, options, steps):
            rate = options.lr * one_cycle(state.progress(options, time.monotonic() - started))
            for group in optimizer.param_groups:
                group["lr"] = rate
            marks, kind_logits = network(to_blocks(images.to(device)))
            loss = mark_loss(to_pixels(marks), kind_logits, kinds.to(device), weights.to(device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), _GRADIENT_NORM)
            optimizer.step()
            average.update_parameters(network)
            losses.append(float(loss.detach()))
            state.steps += 1
            total = None if options.minutes else options.steps
            progress(Progress("training", state.steps, total))
        # Clean pictures in which the network sees marks are shown more often in the next round.
        state.hardness[:] = mine_hardness(network, train.pictures, device)
        state.seconds += time.monotonic() - started
        state.rounds += 1
        save_state(out, state, options)
        log_round(out, state, float(np.mean(losses)))

    trained = MarkNetwork()
    trained.load_state_dict(average.module.cpu().state_dict())
    return TrainedDetector(trained.eval(), train, validation, state.steps, state.seconds / 60, state.earlier)


def one_cycle(share: float) -> float:
    """Return the learning rate, relative to its highest, after this share of the training: up, then a cosine down."""
    share = min(max(share, 0.0), 1.0)
    if share < _WARM_UP:
        return 0.1 + 0.9 * share / _WARM_UP
    return 0.004 + 0.996 * 0.5 * (1 + float(np.cos(np.pi * (share - _WARM_UP) / (1 - _WARM_UP))))


@torch.no_grad()
def mine_hardness(
    network: torch.nn.Module, pictures: tuple[NDArray[np.uint8], ...], device: torch.device
) -> NDArray[np.float64]:
    """Return how often each clean picture should be shown: 1, and more where the network sees marks in it."""
    network.eval()
    hardness = np.ones(len(pictures))
    for number, picture in enumerate(pictures):
        height, width = (side // 16 * 16 for side in picture.shape)
        image = torch.from_numpy(np.repeat(picture[None, None, :height, :width], 3, axis=1)).to(device)
        marks, _ = network(to_blocks(image.float() / 255))
        hardness[number] += min(5.0, 0.1 * float((marks > 0).sum()))
    return hardness


def _batches(
    train: Backgrounds, state: TrainingState, options: TrainOptions, steps: int
) -> Iterator[tuple[Tensor, ...]]:
    data = Composites(
        train, state.hardness.copy(), options.seed, state.rounds, steps * options.batch_size, options.size
    )
    loader: DataLoader[Sample] = DataLoader(
        data,
        options.batch_size,
        num_workers=options.workers,
        collate_fn=_collate,
        worker_init_fn=_quiet_worker,
        multiprocessing_context=_worker_context() if options.workers else None,
    )
    for images, kinds, weights in loader:
        scaled = images.permute(0, 3, 1, 2).float().div_(255).contiguous(memory_format=torch.channels_last)
        yield scaled, kinds, weights


def _first_pictures(train: Backgrounds, state: TrainingState, options: TrainOptions) -> Tensor:
    """Return some pictures such as the training will see."""
    alone = replace(options, batch_size=_FIRST_PICTURES, workers=0)
    return next(_batches(train, state, alone, 1))[0]


def _collate(samples: list[Sample]) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(np.stack(part)) for part in zip(*samples, strict=True))


def _worker_context() -> BaseContext:
    """Return a way to start workers that does not copy the threads' locks of OpenCV, on which a fork would hang."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([Composites.__module__])
    return context


def _quiet_worker(_: int) -> None:
    torch.set_num_threads(1)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda was asked for, but torch finds no GPU here; leave --device out")
    if name not in ("cpu", "cuda"):
        raise UsageError(f"--device must be auto, cpu or cuda, got {name!r}")
    return torch.device(name)
