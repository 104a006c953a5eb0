"""Noisy input for evaluation: masks drawn from what a pretrained run has learned, the same for the same image."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from pgnm.checkpoints import POLICY_FILE, RunInfo
from pgnm.errors import RunError
from pgnm.noise import FixedNoise, expand_mask, sample_beta, sample_fixed

MaskSource = Callable[[Sequence[str]], torch.Tensor]
"""Takes the paths of a batch and gives its masks, (B, 1, H, W) float32 in [0, 1]."""


def noise_source(run: Path, info: RunInfo, seed: int) -> MaskSource:
    """Return the masks of a pretrained run: from its dataset-level shapes, or from its fixed distribution.

    Raises:
        RunError: The run was trained without noise masks.
    """
    if info.policy in ("gaussian", "uniform") and info.grid:
        fixed = FixedNoise(info.policy)  # type: ignore[arg-type]
        return PathNoise(lambda generator: sample_fixed(fixed, (info.grid**2,), generator), info, seed)
    if info.policy != "beta" or not info.grid:
        raise RunError(f"{run} was trained without noise masks, so there are none to draw; use --input normalized")
    log_alpha, log_beta = read_dataset_shapes(run)
    return PathNoise(lambda generator: sample_beta(log_alpha, log_beta, generator), info, seed)


def read_dataset_shapes(run: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the dataset-level log-shapes a0 and b0 of a pretrained run (Eq 10-11), (grid * grid,) float32 each.

    Raises:
        RunError: The run has no learned noise, or its file is damaged.
    """
    path = run / POLICY_FILE
    try:
        with safe_open(path, framework="pt") as tensors:
            return tensors.get_tensor("a0").float().flatten(), tensors.get_tensor("b0").float().flatten()
    except FileNotFoundError:
        raise RunError(
            f"{path} is missing, so there are no shapes to draw noise from; give the folder that `pgnm pretrain` wrote "
            "with a noise policy, or use --input normalized"
        ) from None
    except SafetensorError as error:
        raise RunError(f"{path} cannot be read ({error}); pretrain the model again") from None


class PathNoise:
    """Draw a mask for each image from one distribution, with one stream of random numbers per image path.

    An image gets the same mask whatever the batch size, the order or the number of workers.

    Args:
        draw: Draws the (grid * grid,) entries of one mask from a generator.
        info: Grid, blur and image size of the masks.
        seed: Seed of all masks.
    """

    def __init__(self, draw: Callable[[torch.Generator], torch.Tensor], info: RunInfo, seed: int) -> None:
        self._draw, self._info, self._seed = draw, info, seed

    def __call__(self, paths: Sequence[str]) -> torch.Tensor:
        """Return the masks of the images at `paths`, (B, 1, size, size) float32 in [0, 1]."""
        info = self._info
        grids = torch.stack([self._draw(self._generator(path)) for path in paths])
        return expand_mask(grids.view(-1, info.grid, info.grid), info.size, info.kernel, info.sigma)

    def _generator(self, path: str) -> torch.Generator:
        digest = hashlib.sha256(f"{self._seed}:{path}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
