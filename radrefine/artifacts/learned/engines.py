"""What runs the network: OpenCV, which is always there, or torch, for several pictures at once and on a GPU."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, Protocol, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.errors import MissingExtraError, RadrefineError, UsageError

Engine = Literal["opencv", "torch"]
"""OpenCV, one picture after the other; or torch (extra `train`), in batches, on a GPU where it finds one."""

ENGINES: Final[tuple[str, ...]] = get_args(Engine)

Floats = NDArray[np.float32]

# Channels of the blocks of a grey picture, 2 x 2 pixels, and of one in three colours.
_GREY: Final = 4
_COLOUR: Final = 3 * _GREY


class Network(Protocol):
    """A network ready to run. One instance serves one thread."""

    def run(self, blocks: Floats) -> tuple[Floats, Floats]:
        """Return the logits of marks and of kinds.

        Args:
            blocks: (B, 12, H / 2, W / 2), 0 to 1; see `to_blocks` of `radrefine.artifacts.learned.network`. Or the
                first four channels of grey pictures, whose colours are equal: the same is said sooner.

        Returns:
            (B, 4, H / 2, W / 2) and (B, 9, H / 4, W / 4); see `MarkNetwork.forward`.
        """
        ...


def check_engine(name: str) -> None:
    """Raise UsageError where no engine is called `name`, MissingExtraError where it is not installed."""
    if name not in ENGINES:
        raise UsageError(f"unknown --engine {name!r}; choose from {', '.join(ENGINES)}")
    if name == "torch":
        _import_torch()


def open_network(weights: Path, engine: str = "opencv") -> Network:
    """Return the network of an ONNX file.

    Args:
        weights: The file.
        engine: One of `ENGINES`.

    Raises:
        cv2.error: No such file, or no network.
        UsageError: The engine is torch, and the network is of another shape than this version trains.
        MissingExtraError: The engine is torch, which is not installed.
    """
    return _OnTorch(weights) if engine == "torch" else _OnOpenCV(weights)


def read_network(weights: Path) -> Any:
    """Return the network of an ONNX file, as OpenCV runs it.

    Raises:
        cv2.error: No such file, or no network.
    """
    # OpenCV 5 has a second engine, which is slower for a network this small; the classic one can only
    # be had for a file, not for a buffer.
    engine = getattr(cv2.dnn, "ENGINE_CLASSIC", None)
    path = str(weights)
    return cv2.dnn.readNetFromONNX(path) if engine is None else cv2.dnn.readNetFromONNX(path, engine)


def read_convolutions(weights: Path) -> dict[str, Sequence[Floats]]:
    """Return weight and bias of every convolution of an ONNX file, by the name of its layer with `_` for `.`.

    Raises:
        cv2.error: No such file, or no network.
    """
    net = read_network(weights)
    layers = {name: net.getLayer(name) for name in net.getLayerNames()}
    return {name.partition("!")[2]: layer.blobs for name, layer in layers.items() if layer.type == "Convolution"}


class _OnOpenCV:
    def __init__(self, weights: Path) -> None:
        self._weights = weights
        self._nets: dict[int, Any] = {}
        self._net(_GREY)  # what cannot be read is told now; most pictures are grey

    def _net(self, channels: int) -> Any:
        """Return the network for blocks of so many channels, read once."""
        if channels not in self._nets:
            net = self._nets[channels] = read_network(self._weights)
            if channels == _GREY:
                first = next(layer for layer in map(net.getLayer, net.getLayerNames()) if layer.type == "Convolution")
                # OpenCV gives the parameters of a layer by its name alone.
                number = net.getLayerId(first.name)
                net.setParam(number, 0, _without_colour(net.getParam(number, 0)))
        return self._nets[channels]

    def run(self, blocks: Floats) -> tuple[Floats, Floats]:
        net = self._net(blocks.shape[1])
        net.setInput(blocks)
        marks, kinds = net.forward(["mark", "kind"])
        return marks, kinds


def _without_colour(weight: Floats) -> Floats:
    """Return the weight of the first convolution for pictures whose three colours are equal."""
    outputs, _, *kernel = weight.shape
    return np.ascontiguousarray(weight.reshape(outputs, 3, -1, *kernel).sum(axis=1))


class _OnTorch:
    def __init__(self, weights: Path) -> None:
        torch = _import_torch()

        from radrefine.artifacts.learned.network import MarkNetwork, fold_norms

        network = fold_norms(MarkNetwork())
        own = {name.replace(".", "_"): value for name, value in network.named_parameters()}
        given: dict[str, Floats] = {}
        for name, (weight, bias) in read_convolutions(weights).items():
            given |= {f"{name}_weight": weight, f"{name}_bias": bias}
        if {name: value.shape for name, value in given.items()} != {
            name: tuple(one.shape) for name, one in own.items()
        }:
            raise UsageError(f"{weights} holds another network than this version trains; run it with --engine opencv")
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(torch.from_numpy(given[name]))
        self._torch = torch
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # A GPU would round the products to ten bits by default, and other pixels would be masks then.
        torch.backends.cudnn.allow_tf32 = False
        self._network = network.to(self._device).to(memory_format=torch.channels_last)

    def run(self, blocks: Floats) -> tuple[Floats, Floats]:
        torch = self._torch
        try:
            with torch.inference_mode():
                given = torch.from_numpy(blocks).to(self._device, memory_format=torch.channels_last)
                given = given.repeat(1, _COLOUR // given.shape[1], 1, 1)
                marks, kinds = self._network(given)
                return marks.contiguous().cpu().numpy(), kinds.contiguous().cpu().numpy()
        except RuntimeError as error:  # a GPU without memory left, say
            reason = str(error).partition("\n")[0]
            message = f"the network could not be run by torch on {self._device}: {reason}"
            raise RadrefineError(f"{message}; name fewer --jobs, or --engine opencv") from None


def _import_torch() -> Any:
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", "train") from None
    return torch
