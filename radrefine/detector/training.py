"""Train the mark detector: rounds of composites, hard clean pictures mined between them, exact resume."""

import csv
import io
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from radrefine.detector.backgrounds import Backgrounds, load_backgrounds
from radrefine.detector.dataset import Composites, Sample
from radrefine.detector.loss import mark_loss
from radrefine.detector.network import MarkNetwork, to_blocks, to_pixels
from radrefine.errors import UsageError
from radrefine.files import atomic_path
from radrefine.progress import Progress, ProgressCallback, ignore_progress

STATE_FILE: Final = "state.pt"
METRICS_FILE: Final = "metrics.csv"

_WARM_UP: Final = 0.08
# A short memory: longer ones keep statistics of activations that the weights have left behind.
_EMA_DECAY: Final = 0.99
_GRADIENT_NORM: Final = 5.0


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How the detector is trained; the help of each option stands in the metadata of its field."""

    backgrounds: tuple[Path, ...] = field(
        default=(), metadata={"help": "Folders of clean images to draw marks on, besides phantoms."}
    )
    leave_out: tuple[str, ...] = field(
        default=(), metadata={"help": "Leave out backgrounds whose folder or phantom is named like this."}
    )
    start: Path | None = field(
        default=None, metadata={"help": "Folder of an earlier training whose weights to start from."}
    )
    steps: int = field(default=6000, metadata={"help": "Batches to train on."})
    minutes: float | None = field(
        default=None, metadata={"help": "Train for this long instead of --steps; how far that gets varies by machine."}
    )
    batch_size: int = field(default=16, metadata={"help": "Pictures in a batch."})
    size: int = field(default=192, metadata={"help": "Side of the training pictures in px, a multiple of 16."})
    lr: float = field(default=4e-3, metadata={"help": "Highest learning rate of the one cycle."})
    round_steps: int = field(default=400, metadata={"help": "Batches between two checkpoints."})
    phantoms: int = field(default=96, metadata={"help": "Phantoms among the backgrounds."})
    workers: int = field(default=1, metadata={"help": "Processes that draw composites; 0 draws them in this one."})
    credit: tuple[str, ...] = field(default=(), metadata={"help": "Source and terms of the backgrounds, for the card."})
    seed: int = field(default=0, metadata={"help": "Seed of weights and pictures."})
    device: str = field(default="auto", metadata={"help": "auto, cpu or cuda."})

    def __post_init__(self) -> None:
        if self.size % 16 or self.size < 48:
            raise UsageError(f"--size must be a multiple of 16 of 48 or more, got {self.size}")
        for flag in ("steps", "batch_size", "round_steps"):
            if getattr(self, flag) < 1:
                raise UsageError(f"--{flag.replace('_', '-')} must be 1 or more, got {getattr(self, flag)}")
        if self.minutes is not None and self.minutes <= 0:
            raise UsageError(f"--minutes must be above 0, got {self.minutes}")


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
        UsageError: `out` holds a checkpoint of other options, or no device of that name is there.
    """
    options = options or TrainOptions()
    out.mkdir(parents=True, exist_ok=True)
    device = _device(options.device)
    train, validation = load_backgrounds(
        options.backgrounds, leave_out=options.leave_out, phantoms=options.phantoms, seed=options.seed
    )
    torch.manual_seed(options.seed)
    network = MarkNetwork().to(device).to(memory_format=torch.channels_last)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(_EMA_DECAY), use_buffers=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.lr, weight_decay=1e-4)
    hardness = np.ones(len(train.pictures))
    state = _State(network, average, optimizer, hardness)
    _restore(out, state, options)

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
        _save(out, state, options)
        _log(out, state, float(np.mean(losses)))

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


@dataclass(slots=True)
class _State:
    """All that a training is made of."""

    network: MarkNetwork
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    hardness: NDArray[np.float64]
    steps: int = 0
    rounds: int = 0
    seconds: float = 0.0
    earlier: int = 0

    def progress(self, options: TrainOptions, seconds: float = 0.0) -> float:
        if options.minutes:
            return (self.seconds + seconds) / (60 * options.minutes)
        return self.steps / options.steps

    def finished(self, options: TrainOptions) -> bool:
        return self.progress(options) >= 1


def _batches(train: Backgrounds, state: _State, options: TrainOptions, steps: int) -> Iterator[tuple[Tensor, ...]]:
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


def _identity(options: TrainOptions) -> dict[str, Any]:
    """Return the options that decide what comes out, in plain values."""
    known = asdict(options)
    for name in ("device", "workers", "credit"):
        known.pop(name)
    known["start"] = None if options.start is None else str(options.start)
    return {**known, "backgrounds": [str(path) for path in options.backgrounds], "leave_out": list(options.leave_out)}


def _save(out: Path, state: _State, options: TrainOptions) -> None:
    buffer = io.BytesIO()
    torch.save(
        {
            "options": _identity(options),
            "network": state.network.state_dict(),
            "average": state.average.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "hardness": torch.from_numpy(state.hardness),
            "steps": state.steps,
            "rounds": state.rounds,
            "seconds": state.seconds,
            "earlier": state.earlier,
        },
        buffer,
    )
    with atomic_path(out / STATE_FILE) as path:
        path.write_bytes(buffer.getvalue())


def _restore(out: Path, state: _State, options: TrainOptions) -> None:
    path = out / STATE_FILE
    if not path.is_file():
        if options.start is not None:
            _start_from(options.start / STATE_FILE, state)
        return
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if saved["options"] != _identity(options):
        raise UsageError(f"{out} holds a training with other options; choose another --out or remove {path}")
    state.network.load_state_dict(saved["network"])
    state.average.load_state_dict(saved["average"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.hardness[:] = saved["hardness"].numpy()
    state.steps, state.rounds, state.seconds = saved["steps"], saved["rounds"], saved["seconds"]
    state.earlier = saved["earlier"]


def _start_from(path: Path, state: _State) -> None:
    """Take the averaged weights of another training; the learning rate begins its cycle anew."""
    if not path.is_file():
        raise UsageError(f"expected the checkpoint of an earlier training in {path}, which does not exist")
    saved = torch.load(path, map_location="cpu", weights_only=True)
    state.average.load_state_dict(saved["average"])
    state.network.load_state_dict(state.average.module.state_dict())
    state.earlier = saved["steps"] + saved["earlier"]


def _log(out: Path, state: _State, loss: float) -> None:
    path = out / METRICS_FILE
    fresh = not path.is_file()
    with path.open("a", newline="") as stream:
        writer = csv.writer(stream)
        if fresh:
            writer.writerow(["round", "steps", "loss", "hard_pictures", "minutes"])
        hard = int((state.hardness > 1).sum())
        writer.writerow([state.rounds, state.steps, f"{loss:.5f}", hard, f"{state.seconds / 60:.2f}"])
