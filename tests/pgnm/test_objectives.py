import math

import pytest
import torch
from torch import Tensor

from pgnm.errors import UsageError
from pgnm.noise import beta_log_prob, expand_mask, sample_beta
from pgnm.objectives import (
    RunningBaseline,
    batch_leave_one_out,
    leave_one_out,
    paper_loss,
    paper_text_loss,
    pathwise_mask,
    reinforce_loss,
)
from pgnm.policy import NoisePolicy


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_paper_loss_equals_a_hand_computation() -> None:
    log_prob = torch.tensor([[0.0, 0.0], [math.log(2.0), math.log(6.0)]], requires_grad=True)
    cross_entropy = torch.tensor(0.5, requires_grad=True)
    loss = paper_loss(log_prob, cross_entropy)
    # image 1: log(1 + 1); image 2: log(2 + 6); mean (log 2 + log 8) / 2 = 2 log 2; times 0.5
    assert loss.item() == pytest.approx(math.log(2))
    loss.backward()
    assert cross_entropy.grad is not None and log_prob.grad is not None
    assert cross_entropy.grad.item() == pytest.approx(2 * math.log(2))
    # 0.5 * (1 / 2 images) * softmax
    torch.testing.assert_close(log_prob.grad, torch.tensor([[0.125, 0.125], [0.0625, 0.1875]]))


def test_paper_loss_scales_the_classifier_by_log_k_at_a_uniform_mask() -> None:
    cross_entropy = torch.tensor(1.0, requires_grad=True)
    paper_loss(torch.zeros(3, 64 * 64), cross_entropy).backward()
    assert cross_entropy.grad is not None
    assert cross_entropy.grad.item() == pytest.approx(8.3178, abs=1e-3)


def test_paper_loss_raises_the_renyi_entropy_whatever_the_reward() -> None:
    # For Beta(a, a) the integral of p^2 is B(2a - 1, 2a - 1) / B(a, a)^2.
    entries = 400_000
    log_shape = torch.tensor(math.log(2.0), requires_grad=True)
    sample = sample_beta(log_shape.detach().expand(entries), log_shape.detach().expand(entries), _generator())
    log_prob = beta_log_prob(sample, log_shape, log_shape)[None]
    (ours,) = torch.autograd.grad(paper_loss(log_prob, torch.tensor(1.0)), log_shape)

    def log_beta(a: Tensor) -> Tensor:
        return 2 * torch.lgamma(a) - torch.lgamma(2 * a)

    alpha = log_shape.exp()
    (expected,) = torch.autograd.grad(0.5 * (log_beta(2 * alpha - 1) - 2 * log_beta(alpha)), log_shape)
    assert expected > 0.05
    assert ours.item() == pytest.approx(expected.item(), rel=0.03)


def test_paper_text_loss_equals_a_hand_computation() -> None:
    log_prob = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), math.log(6.0)]])
    assert paper_text_loss(log_prob, torch.tensor(2.0)).item() == pytest.approx(7.0)
    # image means 2 and 5, paired with their own losses: (2 * 1 + 5 * 3) / 2
    assert paper_text_loss(log_prob, torch.tensor([1.0, 3.0])).item() == pytest.approx(8.5)


def test_reinforce_equals_a_hand_computation() -> None:
    log_prob = torch.tensor([[0.1, 0.3], [-0.2, 0.4]], requires_grad=True)
    cost = torch.tensor([1.0, 3.0], requires_grad=True)
    classifier, policy, diagnostics = reinforce_loss(log_prob, cost, 1.5, reduction="sum", normalize=False)
    # advantages -0.5 and 1.5; joint log-probabilities 0.4 and 0.2
    assert policy.item() == pytest.approx((-0.5 * 0.4 + 1.5 * 0.2) / 2)
    assert classifier.item() == 2.0
    assert diagnostics["advantage"].item() == 0.5
    assert diagnostics["advantage_rms"].item() == pytest.approx(math.sqrt(1.25))
    (policy + classifier).backward()
    assert cost.grad is not None and log_prob.grad is not None
    assert cost.grad.tolist() == [0.5, 0.5]
    torch.testing.assert_close(log_prob.grad, torch.tensor([[-0.25, -0.25], [0.75, 0.75]]))


def test_directions_oppose_each_other_and_constants_divide() -> None:
    log_prob, cost = torch.randn(6, 16, generator=_generator()), torch.rand(6, generator=_generator(1))
    together = reinforce_loss(log_prob, cost, 0.5, reduction="sum")[1]
    against = reinforce_loss(log_prob, cost, 0.5, reduction="sum", direction="oppose")[1]
    assert against.item() == pytest.approx(-together.item())
    for reduction, divisor in (("sqrt", 4), ("mean", 16)):
        assert reinforce_loss(log_prob, cost, 0.5, reduction=reduction)[1].item() == pytest.approx(
            together.item() / divisor, abs=1e-6
        )


def test_normalised_advantages_do_not_depend_on_the_scale_of_the_loss() -> None:
    log_prob, cost = torch.randn(6, 16, generator=_generator()), torch.rand(6, generator=_generator(1))
    once, hundredfold = (reinforce_loss(log_prob, cost * scale, cost.mean() * scale)[1] for scale in (1, 100))
    assert once.item() == pytest.approx(hundredfold.item(), rel=1e-4)
    assert reinforce_loss(log_prob, torch.ones(6), 1.0)[1].item() == 0


@pytest.mark.parametrize("baseline", ["none", "running", "leave_one_out", "batch"])
def test_the_score_function_gradient_is_unbiased(baseline: str) -> None:
    # cost = difficulty_i + 2 m_1 + m_1 m_2, whose mean under independent Betas is known in closed form.
    a = torch.tensor([0.5, -0.3], requires_grad=True)
    b = torch.tensor([0.0, 0.8], requires_grad=True)
    means = a.exp() / (a.exp() + b.exp())
    expected = torch.autograd.grad(2 * means[0] + means[0] * means[1], (a, b))
    masks, images = 4, 50_000
    a_all, b_all = a.expand(masks, images, 2), b.expand(masks, images, 2)
    sample = sample_beta(a_all, b_all, _generator())
    difficulty = torch.randn(images, generator=_generator(1))
    cost = difficulty + 2 * sample[..., 0] + sample[..., 0] * sample[..., 1]
    running = RunningBaseline()
    running.update(torch.tensor(1.3))
    compare = {
        "none": torch.tensor(0.0),
        "running": running(cost),
        "leave_one_out": leave_one_out(cost),
        "batch": batch_leave_one_out(cost),
    }[baseline]
    log_prob = beta_log_prob(sample, a_all, b_all, censored=True)
    _, policy, _ = reinforce_loss(log_prob, cost, compare, reduction="sum", normalize=False)
    for ours, truth in zip(torch.autograd.grad(policy, (a, b)), expected, strict=True):
        torch.testing.assert_close(ours, truth, rtol=0, atol=0.02)


def test_leave_one_out_has_less_variance_than_a_running_mean_where_images_differ() -> None:
    a = torch.zeros(2, 4000, 4, requires_grad=True)
    sample = sample_beta(a, a, _generator())
    cost = torch.randn(4000, generator=_generator(1)) * 3 + sample[..., 0]
    log_prob = beta_log_prob(sample, a, torch.zeros(()))
    variances = []
    for baseline in (cost.mean(), leave_one_out(cost)):
        _, policy, _ = reinforce_loss(log_prob, cost, baseline, reduction="sum", normalize=False)
        (gradient,) = torch.autograd.grad(policy, a, retain_graph=True)
        # The step is the mean over images, so the spread between images is what counts.
        variances.append(gradient.sum(0).var(dim=0).mean().item())
    assert variances[1] < variances[0] / 5


def test_leave_one_out_is_the_mean_of_the_other_masks() -> None:
    cost = torch.tensor([[1.0, 10.0], [2.0, 20.0], [6.0, 60.0]])
    assert leave_one_out(cost).tolist() == [[4.0, 40.0], [3.5, 35.0], [1.5, 15.0]]
    assert batch_leave_one_out(torch.tensor([1.0, 2.0, 6.0])).tolist() == [4.0, 3.5, 1.5]
    with pytest.raises(UsageError, match="2 masks"):
        leave_one_out(cost[:1])


def test_the_running_baseline_starts_at_the_batch_and_then_decays() -> None:
    baseline = RunningBaseline(decay=0.75)
    assert baseline(torch.tensor([1.0, 3.0])).tolist() == [3.0, 1.0]
    baseline.update(torch.tensor([1.0, 3.0]))
    assert baseline(torch.tensor([9.0, 9.0])).tolist() == [2.0, 2.0]
    baseline.update(torch.tensor([6.0]))
    assert baseline.value.item() == 3.0
    again = RunningBaseline(decay=0.75)
    again.load_state_dict(baseline.state_dict())
    assert again(torch.zeros(2)).tolist() == [3.0, 3.0]


def test_the_pathwise_mask_keeps_values_and_turns_the_gradient() -> None:
    mask = torch.rand(3, 4, requires_grad=True)
    for direction, factor in (("cooperate", 0.5), ("oppose", -0.5)):
        ready = pathwise_mask(mask, direction, 0.5)
        assert torch.equal(ready, mask)
        (gradient,) = torch.autograd.grad(ready.sum(), mask)
        assert torch.equal(gradient, torch.full_like(mask, factor))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"direction": "help"}, "direction"), ({"reduction": "median"}, "reduction")],
)
def test_unknown_choices_are_refused(arguments: dict, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        reinforce_loss(torch.zeros(2, 3), torch.zeros(2), **arguments)


def test_a_reduced_cross_entropy_is_refused() -> None:
    with pytest.raises(UsageError, match="unreduced"):
        reinforce_loss(torch.zeros(2, 3), torch.tensor(1.0))


@pytest.mark.parametrize("method", ["score", "pathwise"])
def test_the_policy_learns_to_dim_the_region_that_misleads(method: str) -> None:
    # The left half shows the class, the right half shows the other class, and the classifier believes both.
    torch.manual_seed(0)
    generator = _generator()
    policy = NoisePolicy(2, generator=generator).train()
    policy.a0.zero_()
    policy.b0.zero_()
    optimiser = torch.optim.Adam(policy.parameters(), lr=3e-3)
    baseline = RunningBaseline()
    for _ in range(30):
        sign = torch.randint(0, 2, (32,), generator=generator) * 2.0 - 1
        left, right = torch.ones(16, 16), torch.ones(16, 16)
        left[:, 8:], right[:, :8] = 0, 0
        images = (sign[:, None, None] * (2 * left - 2 * right)).unsqueeze(1).expand(-1, 3, -1, -1)
        output = policy(images)
        sample = sample_beta(output.log_alpha, output.log_beta, generator, pathwise=method == "pathwise")
        seen = images * expand_mask(pathwise_mask(sample).view(-1, 2, 2), 16)
        cost = torch.nn.functional.softplus(-sign * seen.mean(dim=(1, 2, 3)) * 4)
        log_prob = beta_log_prob(sample, output.log_alpha, output.log_beta, censored=True)
        loss = cost.mean() if method == "pathwise" else reinforce_loss(log_prob, cost, baseline(cost))[1]
        baseline.update(cost)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        policy.update_dataset_shapes(output)
    means = output.log_alpha.exp() / (output.log_alpha.exp() + output.log_beta.exp())
    left_mean, right_mean = means.detach().mean(0).view(2, 2).mean(0).tolist()
    assert right_mean < left_mean - 0.1
