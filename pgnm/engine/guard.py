"""What ends a training before its time: numbers that are not finite, and a request to stop."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final

import pandas as pd
import torch
from torch import Tensor

from pgnm.engine.devices import Devices
from pgnm.engine.state import Position
from pgnm.errors import TrainingError

_FILES_TOLD: Final = 8

# Batches between two questions to the other processes; each takes a message between all of them.
_ASK_EVERY: Final = 16


class Guard:
    """Stops a run whose numbers are no longer finite.

    It looks one step late, so that the device need not be waited for, and always before a state is saved.

    Args:
        frame: Table of the training images, with their paths.
        state: Where this training saves its state; nothing of an earlier training is there.
        precision: fp32, bf16 or fp16.
    """

    def __init__(self, frame: pd.DataFrame, state: Path, precision: str) -> None:
        self._frame, self._state, self._precision = frame, state, precision
        self._pending: tuple[Tensor, dict[str, Tensor], int, int, Tensor] | None = None

    def watch(self, numbers: dict[str, Tensor], position: Position, rows: Tensor) -> None:
        """Check the step before, then remember this one."""
        self.check()
        # The fp16 loss scaler skips steps with infinite gradients; those are no fault.
        told = {key: value for key, value in numbers.items() if self._precision != "fp16" or "norm" not in key}
        finite = torch.isfinite(torch.stack([value.detach().float() for value in told.values()]))
        self._pending = (finite, told, position.epoch, position.step, rows)

    def check(self) -> None:
        """Raise where the remembered step was not finite.

        Raises:
            TrainingError: It names step, files and what to do.
        """
        if self._pending is None:
            return
        finite, numbers, epoch, step, rows = self._pending
        self._pending = None
        if bool(finite.all()):
            return
        wrong = [key for key, good in zip(numbers, finite.tolist(), strict=True) if not good]
        files = self._frame["path"].iloc[rows[:_FILES_TOLD].tolist()].tolist()
        more = f" and {len(rows) - _FILES_TOLD} more" if len(rows) > _FILES_TOLD else ""
        kept = f"the last good state is {self._state}" if self._state.is_file() else "no state was saved yet"
        raise TrainingError(
            f"{', '.join(wrong)} not finite at step {step} (epoch {epoch + 1}), in the batch of "
            f"{', '.join(files)}{more}; {kept}; lower --lr or --policy-lr, set --clip-grad 1, or use --precision fp32"
        )


class Stop:
    """A request to stop that one process heard and all must answer at the same step.

    Args:
        heard: Whether this process heard it, as `interruptible` tells.
        devices: The processes.
        step: Batches done when training begins.
    """

    def __init__(self, heard: threading.Event, devices: Devices, step: int) -> None:
        self._heard, self._devices, self._asked = heard, devices, step

    def due(self, step: int) -> bool:
        """Tell whether to stop after so many batches; with several processes, all of them must call this."""
        if self._devices.world == 1:
            return self._heard.is_set()
        # Counted, since only batches that close an update come here and may never be multiples of a number.
        if step - self._asked < _ASK_EVERY:
            return False
        self._asked = step
        return bool(self._devices.sum(torch.tensor(float(self._heard.is_set()), device=self._devices.device)) > 0)


@contextlib.contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C or SIGTERM sets, so that the step ends and is saved; a second ends at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(number: int, frame: FrameType | None) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
