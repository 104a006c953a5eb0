"""Judging on validation images while training, where processes have unequal shares of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from pgnm.config import Recipe
from pgnm.data import build_loader, load_split
from pgnm.engine import Devices
from pgnm.engine.validate import validate
from pgnm.errors import TrainingError

RECIPE = Recipe(size=16, batch_size=8, grid=4, workers=0, limit_val=1)


class Beside(Devices):
    """The process that finds nothing, beside one whose only image, of class 0, was called class 1 at a loss of 2."""

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        if value.ndim == 0:
            return value + 2.0
        other = torch.zeros_like(value)
        other[1] = 1
        return value + other


def second_of_two(make_split: Callable[..., Path]) -> tuple[nn.Module, object]:
    return nn.Flatten(), build_loader(load_split(make_split()), "val", RECIPE, rank=1, world=2)


def test_a_process_without_validation_images_judges_by_those_of_the_others(make_split: Callable[..., Path]) -> None:
    model, loader = second_of_two(make_split)
    found = validate(model, loader, Beside(torch.device("cpu"), "fp32", 1, 2))  # type: ignore[arg-type]
    assert (found["val_loss"], found["val_accuracy"]) == (2.0, 0.0)


def test_validation_without_one_image_is_told(make_split: Callable[..., Path]) -> None:
    model, loader = second_of_two(make_split)
    with pytest.raises(TrainingError, match="not one batch of validation images"):
        validate(model, loader, Devices(torch.device("cpu"), "fp32"))  # type: ignore[arg-type]
