"""The files of a trained detector: OpenCV repeats torch's numbers, the card says what it is."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from cli.radrefine import app
from radrefine.artifacts.learned.detector import MarkDetector, look_scale
from radrefine.artifacts.learned.network import MarkNetwork
from radrefine.detector.export import check_export, to_onnx


def _used_network() -> MarkNetwork:
    """A network whose batch normalisation is not the identity."""
    torch.manual_seed(0)
    network = MarkNetwork()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    return network.eval()


@pytest.mark.parametrize("size", [(8, 8), (96, 80), (40, 128)])
def test_opencv_repeats_torch(size: tuple[int, int]) -> None:
    network = _used_network()
    weights = to_onnx(network)

    assert len(weights) < 1_000_000
    assert check_export(network, weights, size) < 1e-4


def test_an_unknown_layer_is_named() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.odd = nn.Softsign()

        def forward(self, blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.odd(blocks), self.odd(blocks)

    with pytest.raises(ValueError, match="Softsign"):
        to_onnx(Odd())


def test_the_command_trains_and_writes_weights_settings_and_card(tmp_path: Path) -> None:
    out = tmp_path / "detector"
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((64, 64), 60 + number, np.uint8))
    arguments = ["train-detector", "--out", str(out), "--steps", "2", "--batch-size", "2", "--size", "48"]
    arguments += ["--backgrounds", str(tmp_path)]
    arguments += ["--phantoms", "6", "--workers", "0", "--device", "cpu", "--pictures", "6"]
    arguments += ["--threshold", "0.4"]
    done = CliRunner().invoke(app, [*arguments, "--quiet", "--json"])

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["steps"] == 2
    assert json.loads((out / "mark_detector.json").read_text())["threshold"] == 0.4
    assert "phantoms: 6 pictures" in (out / "card.md").read_text()
    names = (out / "backgrounds.csv").read_text().splitlines()
    assert names == ["picture,used_for", f"{tmp_path.name}/0.png,validation", f"{tmp_path.name}/1.png,training"]
    verdict = MarkDetector(out / "mark_detector.onnx").look(np.zeros((50, 70), np.uint8))
    assert verdict.logits.shape == (50, 70) and verdict.step == 4 / look_scale(70)
