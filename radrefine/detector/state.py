"""The state of a training of the mark detector: saved whole after each round, so that it goes on exactly."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.swa_utils import AveragedModel

from radrefine.artifacts.learned.network import MarkNetwork
from radrefine.detector.options import TrainOptions
from radrefine.errors import UsageError
from radrefine.files import atomic_path

STATE_FILE: Final = "state.pt"
METRICS_FILE: Final = "metrics.csv"
DETECTOR_FILES: Final = ("mark_detector.onnx", "mark_detector.json", "card.md", "backgrounds.csv")
"""What a finished training writes: weights, settings, card, and the names of the backgrounds."""

_KEYS: Final = ("options", "network", "average", "optimizer", "hardness", "steps", "rounds", "seconds", "earlier")


@dataclass(slots=True)
class TrainingState:
    """All that a training is made of.

    Attributes:
        network: The weights that are trained.
        average: Their moving average, which becomes the detector.
        optimizer: Of the network.
        hardness: How often each clean picture is shown, relative to the others.
        steps: Batches done.
        rounds: Rounds done.
        seconds: Time taken.
        earlier: Batches of the trainings whose weights this one started from.
    """

    network: MarkNetwork
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    hardness: NDArray[np.float64]
    steps: int = 0
    rounds: int = 0
    seconds: float = 0.0
    earlier: int = 0

    def progress(self, options: TrainOptions, seconds: float = 0.0) -> float:
        """Return the share that is done, `seconds` after the last round."""
        if options.minutes:
            return (self.seconds + seconds) / (60 * options.minutes)
        return self.steps / options.steps

    def finished(self, options: TrainOptions) -> bool:
        """Tell whether nothing is left to do."""
        return self.progress(options) >= 1


def save_state(out: Path, state: TrainingState, options: TrainOptions) -> None:
    """Write the checkpoint of a training to the folder `out`, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(
        {
            "options": options.identity(),
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


def restore_state(out: Path, state: TrainingState, options: TrainOptions) -> bool:
    """Fill `state` from the checkpoint in `out`, and return whether there is one.

    Raises:
        UsageError: The checkpoint is of other options or another network, or damaged; or there is none, and `out` holds
            files that a training would write over.
    """
    path = out / STATE_FILE
    if not path.is_file():
        for name in (METRICS_FILE, *DETECTOR_FILES):
            if (out / name).exists():
                raise UsageError(f"{out / name} is of no training that could go on; choose another --out")
        return False
    saved = read_checkpoint(path)
    if saved["options"] != options.identity():
        raise UsageError(f"{out} holds a training with other options; choose another --out or remove {path}")
    try:
        state.network.load_state_dict(saved["network"])
        state.average.load_state_dict(saved["average"])
        state.optimizer.load_state_dict(saved["optimizer"])
    except (RuntimeError, ValueError):
        raise UsageError(f"{out} holds a training of another network; choose another --out or remove {path}") from None
    state.hardness[:] = saved["hardness"].numpy()
    state.steps, state.rounds, state.seconds = saved["steps"], saved["rounds"], saved["seconds"]
    state.earlier = saved["earlier"]
    return True


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote.

    Raises:
        UsageError: It is damaged.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        return {key: saved[key] for key in _KEYS}
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"{path} cannot be read ({told}); remove it, or choose another folder") from None


def log_round(out: Path, state: TrainingState, loss: float) -> None:
    """Append a round, with its mean loss, to the metrics in `out`."""
    path = out / METRICS_FILE
    fresh = not path.is_file()
    with path.open("a", newline="") as stream:
        writer = csv.writer(stream)
        if fresh:
            writer.writerow(["round", "steps", "loss", "hard_pictures", "minutes"])
        hard = int((state.hardness > 1).sum())
        writer.writerow([state.rounds, state.steps, f"{loss:.5f}", hard, f"{state.seconds / 60:.2f}"])
