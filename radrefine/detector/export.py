"""Turn a trained network into the files that the package ships: ONNX weights, settings, card."""

import operator
from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np
import torch
from torch import fx, nn

from radrefine.artifacts.learned.network import BLOCK, fold_norms
from radrefine.detector import onnx_file
from radrefine.errors import RadrefineError

_TOLERANCE: Final = 1e-4


def to_onnx(network: nn.Module, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the network as an ONNX file, its batch normalisation folded into the convolutions.

    Args:
        network: Made of convolutions, batch normalisation, ReLU, upsampling and additions; with two outputs.
        metadata: Text that travels with the weights.

    Raises:
        ValueError: The network holds something else.
    """
    folded = fold_norms(network)
    traced = fx.symbolic_trace(folded)
    modules = dict(traced.named_modules())
    nodes: list[bytes] = []
    tensors: list[bytes] = []
    outputs: dict[fx.Node, str] = dict(zip(_results(traced), ("mark", "kind"), strict=True))
    names = {item: outputs.get(item, item.name) for item in traced.graph.nodes}
    for item in traced.graph.nodes:
        inputs = [names[given] for given in item.all_input_nodes]
        if item.op == "call_function" and item.target is operator.add:
            nodes.append(onnx_file.node("Add", inputs, names[item]))
        elif item.op == "call_module":
            nodes.append(_module_node(modules[str(item.target)], inputs, names[item], tensors))
        elif item.op not in ("placeholder", "output"):
            raise ValueError(f"cannot write {item.target} as ONNX; extend radrefine.detector.export")
    source = next(names[item] for item in traced.graph.nodes if item.op == "placeholder")
    ports = [onnx_file.port(name, ["n", f"{name}_channels", "h", "w"]) for name in outputs.values()]
    blocks = onnx_file.port(source, ["n", 3 * BLOCK**2, "h", "w"])
    return onnx_file.model(nodes, tensors, [blocks], ports, metadata or {})


def check_export(network: nn.Module, weights: bytes, size: tuple[int, int] = (96, 80)) -> float:
    """Return the largest difference between the logits of torch and of OpenCV on random blocks.

    Raises:
        RadrefineError: It exceeds 1e-4.
    """
    blocks = torch.rand(1, 3 * BLOCK**2, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network.eval()(blocks)
    net = cv2.dnn.readNetFromONNX(np.frombuffer(weights, np.uint8))
    net.setInput(blocks.numpy())
    got = net.forward(["mark", "kind"])
    worst = max(float(np.abs(one - two.numpy()).max()) for one, two in zip(got, expected, strict=True))
    if worst > _TOLERANCE:
        message = f"expected OpenCV to repeat torch's logits to {_TOLERANCE}, they differ by {worst:.2g}"
        raise RadrefineError(f"{message}; try another version of OpenCV")
    return worst


def _module_node(module: nn.Module, inputs: list[str], name: str, tensors: list[bytes]) -> bytes:
    if isinstance(module, nn.Conv2d):
        bias = torch.zeros(module.out_channels) if module.bias is None else module.bias
        for part, values in (("weight", module.weight), ("bias", bias)):
            tensors.append(onnx_file.tensor(f"{name}.{part}", values.detach().numpy()))
            inputs = [*inputs, f"{name}.{part}"]
        pads = [int(side) for side in module.padding] * 2
        attributes = {
            "kernel_shape": list(module.kernel_size),
            "strides": list(module.stride),
            "dilations": list(module.dilation),
            "pads": pads,
        }
        return onnx_file.node("Conv", inputs, name, attributes)
    if isinstance(module, nn.ReLU):
        return onnx_file.node("Relu", inputs, name)
    if isinstance(module, nn.Upsample):
        scale = float(module.scale_factor)  # type: ignore[arg-type]
        tensors.append(onnx_file.tensor(f"{name}.scales", np.array([1, 1, scale, scale], np.float32)))
        ways = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        return onnx_file.node("Resize", [*inputs, "", f"{name}.scales"], name, ways)
    raise ValueError(f"cannot write {type(module).__name__} as ONNX; extend radrefine.detector.export")


def _results(traced: fx.GraphModule) -> list[fx.Node]:
    (output,) = [item for item in traced.graph.nodes if item.op == "output"]
    return list(output.args[0])
