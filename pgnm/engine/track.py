"""Curves for TensorBoard and Weights & Biases, where asked for."""

import contextlib
import functools
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pgnm.errors import MissingExtraError, TrainingError

_WANDB_ID: Final = "wandb/id.txt"

Track = Callable[[Mapping[str, Any]], None]


@contextlib.contextmanager
def open_tracker(kind: str, job: Any, *, resumed: bool = False) -> Iterator[Track]:
    """Yield a function that logs one row of metrics.csv: to TensorBoard, to Weights & Biases, or nowhere.

    Args:
        kind: "tensorboard", "wandb" or "none".
        job: Of whose main process the rows are.
        resumed: The training goes on where it was interrupted, and so do its curves.

    Raises:
        MissingExtraError: The package is not installed.
        TrainingError: Weights & Biases refuses, say because nobody is logged in.
    """
    if kind == "none" or not job.devices.is_main:
        yield lambda row: None
    elif kind == "tensorboard":
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingExtraError("tensorboard", "tracking") from None
        with SummaryWriter(str(job.run / "tensorboard")) as writer:
            yield functools.partial(_write_scalars, writer)
    else:
        with _weights_and_biases(job, resumed=resumed) as logged:
            yield lambda row: logged.log(dict(row), step=row["epoch"])


def _weights_and_biases(job: Any, *, resumed: bool) -> Any:
    try:
        import wandb
    except ImportError:
        raise MissingExtraError("wandb", "tracking") from None
    try:
        return wandb.init(
            project="pgnm",
            id=_run_id(job.run, resumed=resumed),
            resume="allow",
            name=job.run.name,
            dir=str(job.run),
            config=job.recipe.to_dict(),
            # Neither what is printed nor any code leaves the machine.
            settings=wandb.Settings(console="off", save_code=False, disable_git=True),
        )
    except wandb.errors.Error as error:
        reason = str(error).strip().rstrip(".")
        raise TrainingError(
            f"Weights & Biases cannot be used: {reason}; set WANDB_MODE=offline to log to the run's folder alone"
        ) from None


def _run_id(run: Path, *, resumed: bool) -> str:
    """Return the name by which Weights & Biases knows this training."""
    path = run / _WANDB_ID
    if not (resumed and path.is_file()):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(secrets.token_hex(8))
    return path.read_text()


def _write_scalars(writer: Any, row: Mapping[str, Any]) -> None:
    for key, value in row.items():
        writer.add_scalar(key, value, row["epoch"])
