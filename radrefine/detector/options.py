"""How the mark detector is trained."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from radrefine.errors import UsageError


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How the detector is trained; the help of each option stands in the metadata of its field."""

    backgrounds: tuple[Path, ...] = field(
        default=(), metadata={"help": "Folders of clean images to draw marks on, besides phantoms."}
    )
    leave_out: tuple[str, ...] = field(
        default=(), metadata={"help": "Leave out backgrounds whose folder or phantom is named like this."}
    )
    start: str | None = field(
        default=None,
        metadata={"help": "Weights to start from: folder of an earlier training, ONNX file, or shipped."},
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
