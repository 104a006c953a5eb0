"""How the mark detector is trained."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from radrefine.errors import UsageError


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How the detector is trained.

    Attributes:
        backgrounds: Folders of clean images to draw marks on, besides phantoms.
        leave_out: Leave out backgrounds whose folder or phantom is named like this.
        start: Weights to start from: folder of an earlier training, ONNX file, or shipped.
        steps: Batches to train on.
        minutes: Train for this long instead of --steps; how far that gets varies by machine.
        batch_size: Pictures in a batch.
        size: Side of the training pictures in px, a multiple of 16.
        lr: Highest learning rate of the one cycle.
        round_steps: Batches between two checkpoints.
        phantoms: Phantoms among the backgrounds.
        workers: Processes that draw composites; 0 draws them in this one.
        credit: Source and terms of the backgrounds, for the card.
        seed: Seed of weights and pictures.
        device: auto, cpu or cuda.
    """

    backgrounds: tuple[Path, ...] = ()
    leave_out: tuple[str, ...] = ()
    start: str | None = None
    steps: int = 6000
    minutes: float | None = None
    batch_size: int = 16
    size: int = 192
    lr: float = 0.004
    round_steps: int = 400
    phantoms: int = 96
    workers: int = 1
    credit: tuple[str, ...] = ()
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.size % 16 or self.size < 48:
            raise UsageError(f"--size must be a multiple of 16 of 48 or more, got {self.size}")
        for flag in ("steps", "batch_size", "round_steps"):
            if getattr(self, flag) < 1:
                raise UsageError(f"--{flag.replace('_', '-')} must be 1 or more, got {getattr(self, flag)}")
        if not 0 <= self.lr <= 1:
            raise UsageError(f"--lr must be 0 to 1, got {self.lr}")
        if self.seed < 0:
            raise UsageError(f"--seed must be 0 or more, got {self.seed}")
        if self.minutes is not None and self.minutes <= 0:
            raise UsageError(f"--minutes must be above 0, got {self.minutes}")

    def identity(self) -> dict[str, Any]:
        """Return the options that decide what comes out, in plain values."""
        known = asdict(self)
        for name in ("device", "workers", "credit"):
            known.pop(name)
        return {**known, "backgrounds": [str(path) for path in self.backgrounds], "leave_out": list(self.leave_out)}
