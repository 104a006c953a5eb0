"""What a training of the mark detector starts from: the checkpoint of an earlier one, or finished weights."""

import json
from pathlib import Path
from typing import Final

import cv2
import torch
from torch import Tensor, nn

from radrefine.artifacts.learned.detector import WEIGHTS
from radrefine.artifacts.learned.engines import read_convolutions
from radrefine.artifacts.learned.network import MarkNetwork, to_blocks
from radrefine.detector.state import STATE_FILE, TrainingState, read_checkpoint
from radrefine.errors import UsageError

SHIPPED: Final = "shipped"
"""Names the weights that come with the package."""

_LEAST_SPREAD: Final = 1e-6


def start_from(start: str, state: TrainingState, images: Tensor) -> None:
    """Fill the weights of a new training; its learning rate begins a cycle of its own.

    Args:
        start: Folder of an earlier training, an ONNX file that one wrote, or "shipped".
        state: Its network, average and count of earlier batches are filled.
        images: (B, 3, H, W) float, 0 to 1, such as the training will see; finished weights hold no statistics of
            activations, which are taken from these.

    Raises:
        UsageError: There are no such weights, or they are of another network.
    """
    if start == SHIPPED or start.endswith(".onnx"):
        path = WEIGHTS if start == SHIPPED else Path(start)
        take_weights(state.network, path, images)
        state.average.module.load_state_dict(state.network.state_dict())
        state.earlier = _known_steps(path)
        return
    path = Path(start) / STATE_FILE
    if not path.is_file():
        raise UsageError(f"expected the checkpoint of an earlier training in {path}, which does not exist")
    saved = read_checkpoint(path)
    try:
        state.average.load_state_dict(saved["average"])
    except RuntimeError:
        raise _other_network(path) from None
    state.network.load_state_dict(state.average.module.state_dict())
    state.earlier = saved["steps"] + saved["earlier"]


@torch.no_grad()
def take_weights(network: MarkNetwork, path: Path, images: Tensor) -> None:
    """Make a network compute what an ONNX file does, its batch normalisation at the statistics of `images`.

    Args:
        network: Left in evaluation mode.
        path: Weights whose batch normalisation was folded into the convolutions.
        images: (B, 3, H, W) float, 0 to 1.

    Raises:
        UsageError: No such file, or weights of another network.
    """
    biases: dict[nn.Module, tuple[nn.BatchNorm2d, Tensor]] = {}
    try:
        blobs = read_convolutions(path)
    except cv2.error:
        raise UsageError(f"expected the weights of a mark detector in {path}, which cannot be read") from None
    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)]
    modules = dict(network.named_modules())
    if sorted(blobs) != sorted(name.replace(".", "_") for name, _ in layers):
        raise _other_network(path)
    for name, layer in layers:
        weight, bias = blobs[name.replace(".", "_")]
        if weight.shape != layer.weight.shape:
            raise _other_network(path)
        layer.weight.copy_(torch.from_numpy(weight))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(bias))
            continue
        parent, _, place = name.rpartition(".")
        norm = modules[f"{parent}.{int(place) + 1}"]
        assert isinstance(norm, nn.BatchNorm2d)
        biases[layer] = norm, torch.from_numpy(bias)

    def settle(layer: nn.Module, _: object, given: Tensor) -> None:
        norm, bias = biases[layer]
        mean, spread = given.mean((0, 2, 3)), given.var((0, 2, 3)).clamp_min(_LEAST_SPREAD)
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(spread)  # type: ignore[union-attr]
        norm.weight.copy_((spread + norm.eps).sqrt())
        norm.bias.copy_(mean + bias.to(mean.device))

    network.eval()
    hooks = [layer.register_forward_hook(settle) for layer in biases]
    network(to_blocks(images))
    for hook in hooks:
        hook.remove()


def _known_steps(path: Path) -> int:
    try:
        return int(json.loads(path.with_suffix(".json").read_text())["steps"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _other_network(path: Path) -> UsageError:
    return UsageError(f"{path} holds the weights of another network; start from weights that this version trained")
