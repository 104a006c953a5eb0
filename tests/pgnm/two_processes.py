"""Pretrain in the processes that torchrun started; run by test_distributed.

Masks are the means of their distributions, so that one process and two see the same ones.
"""

import contextlib
import sys
from pathlib import Path
from unittest import mock

import torch

from pgnm.config import Recipe
from pgnm.pretrain import pretrain
from pgnm.progress import Progress
from pgnm.recipe_files import load_recipe


def mean_of_beta(log_alpha: torch.Tensor, log_beta: torch.Tensor, **_: object) -> torch.Tensor:
    """Stand in for the sample: the mean alpha / (alpha + beta), without gradient."""
    return torch.sigmoid(log_alpha - log_beta).detach()


def train(split: Path, out: Path, recipe: Recipe, stop_after: int = 0) -> None:
    """Pretrain with masks that hold no randomness; with `stop_after`, fail after so many batches."""
    seen = 0

    def notice(progress: Progress) -> None:
        nonlocal seen
        seen += progress.stage.startswith("epoch")
        if stop_after and seen > stop_after:
            raise InterruptedError

    with mock.patch("pgnm.pretrain.sample_beta", mean_of_beta):
        pretrain(split, out, recipe, progress=notice)


if __name__ == "__main__":
    split, folder = (Path(word) for word in sys.argv[1:])
    for name in ("paper", "reinforce", "activated"):
        train(split, folder / f"{name}_two", load_recipe(folder / f"{name}.yaml", environ={}))
    with contextlib.suppress(InterruptedError):
        train(split, folder / "half", load_recipe(folder / "paper.yaml", environ={}), stop_after=4)
