"""What a run remembers between steps, and whether it may go on where it stopped."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from pgnm.config import Recipe
from pgnm.data import Split
from pgnm.engine.devices import Devices
from pgnm.errors import RunError

_FORMAT: Final = 1

# Keys that change how a run computes, how long or what it shows, but not what a step does.
_FREE: Final = frozenset(
    {
        "epochs",
        "batch_size",
        "accumulate",
        "workers",
        "cache",
        "device",
        "precision",
        "compile",
        "save_every",
        "early_stop",
        "track",
    }
)


class Meter:
    """Running means of the numbers that steps report; stays on the device until read."""

    def __init__(self) -> None:
        # Steps that close an update report more names than the others; each set of names is summed as one tensor.
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._steps: dict[tuple[str, ...], int] = {}

    def add(self, numbers: Mapping[str, Tensor]) -> None:
        """Take in the scalars of one step."""
        names = tuple(numbers)
        values = torch.stack([value.detach().float() for value in numbers.values()])
        values = values.to(_widest(values.device))
        self._sums[names] = self._sums[names] + values if names in self._sums else values
        self._steps[names] = self._steps.get(names, 0) + 1

    def means(self, devices: Devices) -> dict[str, float]:
        """Return the mean of each number over the steps that reported it, and over processes."""
        total: dict[str, float] = {}
        count: dict[str, int] = {}
        for names, sums in self._sums.items():
            for name, value in zip(names, devices.mean(sums).tolist(), strict=True):
                total[name] = total.get(name, 0.0) + value
                count[name] = count.get(name, 0) + self._steps[names]
        return {name: value / count[name] for name, value in total.items()}

    def state(self, devices: Devices) -> list[dict[str, Any]]:
        """Return sums, averaged over processes, and counts."""
        return [
            {"names": list(names), "sums": devices.mean(sums).cpu(), "steps": self._steps[names]}
            for names, sums in self._sums.items()
        ]

    @classmethod
    def from_state(cls, state: list[dict[str, Any]], devices: Devices) -> "Meter":
        """Go on from what `state` returned."""
        meter = cls()
        for group in state:
            names = tuple(group["names"])
            meter._sums[names] = group["sums"].to(_widest(devices.device)).to(devices.device)
            meter._steps[names] = group["steps"]
        return meter


def _widest(device: torch.device) -> torch.dtype:
    """Return float64 where the device knows it; MPS does not."""
    return torch.float32 if device.type == "mps" else torch.float64


@dataclass
class Position:
    """Where a run stands.

    Attributes:
        epoch: Epochs finished.
        batch: Batches of the running epoch that are done.
        step: Batches done since the start.
        best: Best validation macro F1 so far.
        best_epoch: Epoch that reached it.
        rows: Rows of metrics.csv.
        meter: Sums of the running epoch, as `Meter.state` gives them.
        finished: Whether the run reached its end.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best: float = -1.0
    best_epoch: int = -1
    rows: list[dict[str, Any]] = field(default_factory=list)
    meter: list[dict[str, Any]] = field(default_factory=list)
    finished: bool = False

    @property
    def is_fresh(self) -> bool:
        """Whether nothing was done yet, neither now nor in a run that is gone on with."""
        return self.step == 0

    @property
    def waited(self) -> int:
        """Epochs since the best one."""
        return self.epoch - 1 - self.best_epoch


def pack_state(
    recipe: Recipe, split: Split, devices: Devices, position: Position, stage: dict[str, Any], *, start: str
) -> dict[str, Any]:
    """Put all that resuming needs into tensors and plain values; `start` names the weights that the run began with."""
    return {
        "format": _FORMAT,
        "recipe": recipe.to_dict(),
        "split": dict(split.hashes),
        "start": start,
        "images_per_update": _images_per_update(recipe, devices),
        "position": asdict(position),
        "stage": stage,
    }


def unpack_state(
    state: Mapping[str, Any], recipe: Recipe, split: Split, devices: Devices, *, start: str
) -> tuple[Position, dict[str, Any]]:
    """Return position and stage of a saved state.

    Raises:
        RunError: The state is of another version, recipe or split; the message names what differs.
    """
    if state.get("format") != _FORMAT:
        raise RunError(
            f"the saved state has format {state.get('format')}, expected {_FORMAT}; start anew with --no-resume"
        )
    here = recipe.to_dict()
    differing = [
        f"{key} is {here[key]!r}, was {was!r}"
        for key, was in state["recipe"].items()
        if key in here and key not in _FREE and here[key] != was
    ]
    if _images_per_update(recipe, devices) != state["images_per_update"]:
        differing.append(f"{_images_per_update(recipe, devices)} images per update, were {state['images_per_update']}")
    if dict(split.hashes) != state["split"]:
        differing.append("the split folder has changed")
    if state.get("start", start) != start:
        differing.append("it started from other weights")
    if differing:
        raise RunError(
            f"the run in this folder cannot go on: {'; '.join(differing)}; choose another --out, "
            "or start anew with --no-resume"
        )
    position = Position(**state["position"])
    # States are saved between updates; a running epoch holds as many updates, which may now be of other batches.
    position.batch = -(-position.batch // state["recipe"]["accumulate"]) * recipe.accumulate
    return position, state["stage"]


def _images_per_update(recipe: Recipe, devices: Devices) -> int:
    return recipe.batch_size * recipe.accumulate * devices.world
