"""Write ONNX files: the few messages of the format that a convolutional network needs, in protobuf's wire form.

torch's own exporter asks for two more packages; this needs none. Field numbers: github.com/onnx/onnx, `onnx.proto`.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from numpy.typing import NDArray

_IR_VERSION: Final = 8
_OPSET: Final = 13
_FLOAT, _INT64 = 1, 7
_ATTRIBUTE_TYPES: Final = {float: 1, int: 2, str: 3, list: 7}

Attribute = int | float | str | list[int]
"""A value that a node carries besides its inputs."""


def node(kind: str, inputs: Sequence[str], output: str, attributes: Mapping[str, Attribute] | None = None) -> bytes:
    """Return one operation of the graph.

    Args:
        kind: Operator, such as "Conv".
        inputs: Names of what it reads; an empty name leaves an optional input out.
        output: Name of what it makes, and of the node.
        attributes: Its attributes by name.
    """
    parts = [_text(1, name) for name in inputs] + [_text(2, output), _text(3, output), _text(4, kind)]
    parts += [_field(5, _attribute(name, value)) for name, value in (attributes or {}).items()]
    return b"".join(parts)


def tensor(name: str, values: NDArray) -> bytes:
    """Return an array as a constant of the graph; float arrays are stored as float32, others as int64."""
    kind, dtype = (_FLOAT, "<f4") if values.dtype.kind == "f" else (_INT64, "<i8")
    dims = b"".join(_integer(1, side) for side in values.shape)
    return dims + _integer(2, kind) + _text(8, name) + _field(9, values.astype(dtype).tobytes())


def port(name: str, shape: Sequence[int | str]) -> bytes:
    """Return a float input or output of the graph; sides that vary are named by text."""
    dims = b"".join(_field(1, _text(2, side) if isinstance(side, str) else _integer(1, side)) for side in shape)
    return _text(1, name) + _field(2, _field(1, _integer(1, _FLOAT) + _field(2, dims)))


def model(
    nodes: Sequence[bytes],
    tensors: Sequence[bytes],
    inputs: Sequence[bytes],
    outputs: Sequence[bytes],
    metadata: Mapping[str, str],
) -> bytes:
    """Return a whole ONNX file.

    Args:
        nodes: Made by `node`, in the order of computation.
        tensors: Made by `tensor`.
        inputs: Made by `port`.
        outputs: Made by `port`.
        metadata: Text that travels with the model.
    """
    graph = b"".join(_field(1, item) for item in nodes) + _text(2, "mark_detector")
    for number, items in ((5, tensors), (11, inputs), (12, outputs)):
        graph += b"".join(_field(number, item) for item in items)
    properties = b"".join(_field(14, _text(1, key) + _text(2, value)) for key, value in metadata.items())
    return (
        _integer(1, _IR_VERSION)
        + _text(2, "radrefine")
        + _field(7, graph)
        + _field(8, _integer(2, _OPSET))
        + properties
    )


def _attribute(name: str, value: Attribute) -> bytes:
    head = _text(1, name) + _integer(20, _ATTRIBUTE_TYPES[type(value)])
    if isinstance(value, int):
        return head + _integer(3, value)
    if isinstance(value, float):
        return head + _varint(2 << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, str):
        return head + _text(4, value)
    return head + b"".join(_integer(8, item) for item in value)


def _text(number: int, value: str) -> bytes:
    return _field(number, value.encode())


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _integer(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
