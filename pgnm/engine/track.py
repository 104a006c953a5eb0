"""Curves for TensorBoard and Weights & Biases, where asked for."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pgnm.errors import MissingExtraError

Track = Callable[[Mapping[str, Any]], None]


@contextlib.contextmanager
def open_tracker(kind: str, job: Any) -> Iterator[Track]:
    """Yield a function that logs one row of metrics.csv: to TensorBoard, to Weights & Biases, or nowhere.

    Raises:
        MissingExtraError: The package is not installed.
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
        try:
            import wandb
        except ImportError:
            raise MissingExtraError("wandb", "tracking") from None
        with wandb.init(project="pgnm", name=job.run.name, dir=str(job.run), config=job.recipe.to_dict()) as logged:
            yield lambda row: logged.log(dict(row), step=row["epoch"])


def _write_scalars(writer: Any, row: Mapping[str, Any]) -> None:
    for key, value in row.items():
        writer.add_scalar(key, value, row["epoch"])
