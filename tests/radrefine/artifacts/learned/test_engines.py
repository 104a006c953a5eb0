"""The network says the same by OpenCV and by torch, alone and together with other pictures."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from radrefine.artifacts.learned.detector import WEIGHTS, MarkDetector, find_learned, see_marks
from radrefine.artifacts.learned.engines import ENGINES, check_engine, open_network
from radrefine.artifacts.learned.network import MarkNetwork
from radrefine.detector.export import to_onnx
from radrefine.errors import MissingExtraError, RadrefineError, UsageError
from radrefine.records import Image


def _pictures() -> list[Image]:
    rng = np.random.default_rng(0)
    shapes = [(100, 90), (120, 200, 3), (100, 90), (600, 40), (120, 200, 3), (100, 90, 3)]
    return [rng.integers(0, 256, shape, np.uint8) for shape in shapes]


def test_engines_agree() -> None:
    blocks = np.random.default_rng(0).random((2, 12, 48, 40), np.float32)
    said = [open_network(WEIGHTS, engine).run(blocks) for engine in ENGINES]

    for one, other in zip(*said, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_blocks_of_a_grey_picture_stand_for_three_equal_colours(engine: str) -> None:
    grey = np.random.default_rng(0).random((1, 4, 48, 40), np.float32)
    network = open_network(WEIGHTS, engine)

    for one, other in zip(network.run(grey), network.run(np.tile(grey, (1, 3, 1, 1))), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_the_network_says_does_not_depend_on_what_it_sees_beside(engine: str) -> None:
    pictures = _pictures()
    together = see_marks(pictures, engine=engine)

    for picture, sight in zip(pictures, together, strict=True):
        (alone,) = see_marks([picture], engine=engine)
        np.testing.assert_allclose(sight.marks, alone.marks, atol=1e-5)
        np.testing.assert_allclose(sight.kinds, alone.kinds, atol=1e-5)
        assert find_learned(picture, sight=sight).findings == find_learned(picture, engine=engine).findings
    assert see_marks([], engine=engine) == []


def test_unknown_engines_and_missing_torch_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="unknown --engine 'tensorflow'; choose from opencv, torch"):
        check_engine("tensorflow")
    check_engine("opencv")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"radrefine\[train\]"):
        check_engine("torch")


def test_weights_of_another_network_run_by_opencv_alone(tmp_path: Path) -> None:
    weights = tmp_path / "mark_detector.onnx"
    weights.write_bytes(to_onnx(MarkNetwork((4, 8, 8, 8))))
    settings = json.loads(WEIGHTS.with_suffix(".json").read_text())
    weights.with_suffix(".json").write_text(json.dumps(settings))

    assert MarkDetector(weights).see([np.zeros((64, 64), np.uint8)])[0].marks.shape == (4, 40, 40)
    with pytest.raises(UsageError, match=r"another network.*--engine opencv"):
        MarkDetector(weights, "torch")


def test_a_network_that_fails_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    network = open_network(WEIGHTS, "torch")

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("no memory is left\nand a trace")

    monkeypatch.setattr(MarkNetwork, "forward", fail)
    with pytest.raises(RadrefineError, match=r"no memory is left; name fewer --jobs, or --engine opencv$"):
        network.run(np.zeros((1, 12, 16, 16), np.float32))
