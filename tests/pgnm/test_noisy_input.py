import pytest
import torch
from safetensors.torch import save_file

from pgnm.checkpoints import RunInfo
from pgnm.errors import RunError
from pgnm.noisy_input import PathNoise, noise_source

CLASSES = ("a", "b", "c")
INFO = RunInfo("resnet10t", CLASSES, 32, 0.3162, 0.3213, stage="pretrain", policy="beta", grid=4, kernel=3, sigma=1.0)


def test_masks_come_from_the_dataset_level_shapes(tmp_path):
    # Shapes of 50 and 1/50 let nearly everything, or nearly nothing, through.
    a0 = torch.tensor([[4.0] * 8 + [-4.0] * 8])
    save_file({"a0": a0, "b0": -a0}, tmp_path / "policy.safetensors")
    masks = noise_source(tmp_path, INFO, seed=0)(["a", "b", "a"])
    assert masks.shape == (3, 1, 32, 32)
    assert masks[:, :, :14].mean() > 0.98
    assert masks[:, :, 18:].mean() < 0.02
    assert torch.equal(masks[0], masks[2])
    assert not torch.equal(masks[0], masks[1])


def test_fixed_noise_needs_no_policy_file(tmp_path):
    info = RunInfo("resnet10t", CLASSES, 32, 0.3, 0.3, policy="uniform", grid=32)
    source = noise_source(tmp_path, info, seed=0)
    assert isinstance(source, PathNoise)
    assert source(["a"]).mean() == pytest.approx(0.5, abs=0.05)


def test_noisy_input_without_a_policy_says_what_to_do(tmp_path):
    with pytest.raises(RunError, match=r"policy\.safetensors is missing.*--input normalized"):
        noise_source(tmp_path, INFO, seed=0)
