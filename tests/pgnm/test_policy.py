from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pgnm.errors import UsageError
from pgnm.noise import LOG_SHAPE_BOUND
from pgnm.policy import NoisePolicy, PolicyOutput, describe_policy


@pytest.fixture(scope="module")
def policy() -> NoisePolicy:
    torch.manual_seed(0)
    return NoisePolicy(4)


def _images(batch: int = 4) -> torch.Tensor:
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def _output(value: float, entries: int = 4) -> PolicyOutput:
    shapes, mean = torch.zeros(2, entries), torch.full((1, entries), value)
    return PolicyOutput(shapes, shapes, mean, -mean)


def test_output_is_the_weighted_mean_of_dataset_shapes_and_heads(policy: NoisePolicy) -> None:
    policy.eval()
    output = policy(_images())
    head = policy.head_alpha(policy.features(_images()))
    torch.testing.assert_close(output.log_alpha, 0.9 * policy.a0 + 0.1 * head)
    torch.testing.assert_close(output.head_alpha, head.mean(0, keepdim=True))
    assert output.log_beta.shape == (4, 16)
    assert not output.head_beta.requires_grad


def test_each_head_is_evaluated_once_per_step(policy: NoisePolicy) -> None:
    policy.train()
    norms = [m for m in policy.modules() if isinstance(m, nn.BatchNorm1d)]
    before = [int(m.num_batches_tracked) for m in norms]
    policy(_images())
    assert [int(m.num_batches_tracked) for m in norms] == [n + 1 for n in before]
    assert len(norms) == 4


def test_dataset_shapes_over_three_steps_equal_a_hand_computation() -> None:
    policy = NoisePolicy(2, mu=0.9)
    policy.a0.fill_(1.0)
    policy.b0.fill_(0.0)
    for value in (2.0, -1.0, 0.5):
        policy.update_dataset_shapes(_output(value))
    # 1 -> 0.9 + 0.2 = 1.1 -> 0.99 - 0.1 = 0.89 -> 0.801 + 0.05 = 0.851
    torch.testing.assert_close(policy.a0, torch.full((1, 4), 0.851))
    # 0 -> -0.2 -> -0.18 + 0.1 = -0.08 -> -0.072 - 0.05 = -0.122
    torch.testing.assert_close(policy.b0, torch.full((1, 4), -0.122))


def test_the_first_step_uses_the_shapes_before_their_update(policy: NoisePolicy) -> None:
    policy.eval()
    start = policy.a0.clone()
    output = policy(_images())
    expected = 0.9 * start + 0.1 * policy.head_alpha(policy.features(_images()))
    policy.update_dataset_shapes(output)
    torch.testing.assert_close(output.log_alpha, expected)
    assert not torch.equal(policy.a0, start)
    policy.a0.copy_(start)


def test_shapes_stay_bounded_when_the_heads_run_away() -> None:
    policy = NoisePolicy(2)
    for _ in range(50):
        policy.update_dataset_shapes(_output(1e6))
    assert policy.a0.max() == LOG_SHAPE_BOUND
    assert policy.b0.min() == -LOG_SHAPE_BOUND
    with torch.no_grad():
        policy.head_alpha[-1].bias.fill_(1e6)
    output = policy(_images())
    assert output.log_alpha.max() == LOG_SHAPE_BOUND
    assert describe_policy(output)["share_at_bound"] >= 0.5


def test_initial_shapes_are_normal_or_uniform_and_repeat_from_the_generator() -> None:
    normal, again, uniform = (
        NoisePolicy(16, initial_shapes=kind, generator=torch.Generator().manual_seed(1))
        for kind in ("normal", "normal", "uniform")
    )
    assert torch.equal(normal.a0, again.a0) and not torch.equal(normal.a0, normal.b0)
    assert normal.a0.std().item() == pytest.approx(1, abs=0.15)
    assert uniform.a0.min() >= 0 and uniform.a0.max() <= 1
    assert uniform.a0.mean().item() == pytest.approx(0.5, abs=0.1)


def test_a_policy_survives_safetensors(policy: NoisePolicy, tmp_path: Path) -> None:
    save_file(policy.state_dict(), tmp_path / "policy.safetensors")
    again = NoisePolicy(**policy.settings())
    again.load_state_dict(load_file(tmp_path / "policy.safetensors"))
    policy.eval()
    again.eval()
    assert torch.equal(policy(_images()).log_alpha, again(_images()).log_alpha)


def test_shapes_are_float32_under_autocast(policy: NoisePolicy) -> None:
    policy.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = policy(_images())
    assert output.log_alpha.dtype == output.head_alpha.dtype == torch.float32


def test_another_backbone_brings_its_own_feature_width() -> None:
    policy = NoisePolicy(2, "mobilenetv3_small_050").eval()
    assert policy(_images(1)).log_alpha.shape == (1, 4)


def test_description_names_quantiles_and_entropy(policy: NoisePolicy) -> None:
    zeros = torch.zeros(3, 16)
    columns = describe_policy(PolicyOutput(zeros, zeros, zeros[:1], zeros[:1]))
    assert columns["alpha_p05"] == columns["beta_p95"] == 1
    assert columns["policy_entropy"].abs() < 1e-6
    assert columns["share_at_bound"] == 0


@pytest.mark.parametrize("arguments", [{"grid": 0}, {"grid": 2, "lam": 1.5}, {"grid": 2, "initial_shapes": "ones"}])
def test_impossible_options_are_refused(arguments: dict) -> None:
    with pytest.raises(UsageError):
        NoisePolicy(**arguments)


def test_a_single_image_in_training_is_refused(policy: NoisePolicy) -> None:
    policy.train()
    with pytest.raises(UsageError, match="--batch-size"):
        policy(_images(1))
