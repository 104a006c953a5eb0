import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pgnm.errors import UsageError
from pgnm.noise import (
    LOG_SHAPE_BOUND,
    MARGIN,
    FixedNoise,
    beta_entropy,
    beta_log_prob,
    bound_log_shapes,
    expand_mask,
    sample_beta,
    sample_fixed,
)

EXTREMES = [-math.inf, -1e30, -4.0, 0.0, 4.0, 1e30, math.inf]


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _naive_expand(grid_mask: np.ndarray, height: int, width: int, kernel: int, sigma: float) -> np.ndarray:
    grid = grid_mask.shape[-1]
    large = np.array([[grid_mask[y * grid // height, x * grid // width] for x in range(width)] for y in range(height)])
    if kernel <= 1:
        return large
    half = kernel // 2
    weights = [math.exp(-((i / sigma) ** 2) / 2) for i in range(-half, half + 1)]
    padded = np.pad(large, half, mode="reflect")
    result = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            for i, row_weight in enumerate(weights):
                for j, column_weight in enumerate(weights):
                    result[y, x] += row_weight * column_weight * padded[y + i, x + j]
    return result / sum(weights) ** 2


@given(
    st.floats(-LOG_SHAPE_BOUND, LOG_SHAPE_BOUND),
    st.floats(-LOG_SHAPE_BOUND, LOG_SHAPE_BOUND),
    st.floats(1e-4, 1 - 1e-4),
)
@settings(max_examples=60, deadline=None)
def test_log_density_and_entropy_equal_scipy(log_alpha: float, log_beta: float, value: float) -> None:
    value = float(np.float32(value))
    law = scipy.stats.beta(math.exp(log_alpha), math.exp(log_beta))
    a, b = torch.tensor([log_alpha]), torch.tensor([log_beta])
    ours = beta_log_prob(torch.tensor([value]), a, b).item()
    # float32 keeps 7 digits of sums whose terms reach several hundred.
    assert ours == pytest.approx(law.logpdf(value), rel=1e-4, abs=3e-4)
    assert beta_entropy(a, b).item() == pytest.approx(float(law.entropy()), rel=1e-4, abs=3e-4)


def test_log_density_and_its_gradient_equal_torch_distributions() -> None:
    a = torch.randn(500, generator=_generator()).clamp(-3, 3).requires_grad_()
    b = torch.randn(500, generator=_generator(1)).clamp(-3, 3).requires_grad_()
    sample = torch.rand(500, generator=_generator(2)).clamp(1e-3, 1 - 1e-3)
    ours = beta_log_prob(sample, a, b)
    theirs = torch.distributions.Beta(a.exp(), b.exp()).log_prob(sample)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    for mine, other in zip(
        torch.autograd.grad(ours.sum(), (a, b)), torch.autograd.grad(theirs.sum(), (a, b)), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_samples_densities_and_gradients_are_finite_at_extreme_shapes(dtype: torch.dtype) -> None:
    pairs = torch.cartesian_prod(torch.tensor(EXTREMES), torch.tensor(EXTREMES)).to(dtype)
    a = pairs[:, :1].repeat(1, 200).requires_grad_()
    b = pairs[:, 1:].repeat(1, 200).requires_grad_()
    sample = sample_beta(a, b, _generator())
    assert sample.dtype == torch.float32
    assert sample.min() >= MARGIN and sample.max() <= 1 - MARGIN
    for value in (sample, torch.zeros_like(sample), torch.ones_like(sample)):
        for censored in (False, True):
            log_prob = beta_log_prob(value, a, b, censored=censored)
            gradients = torch.autograd.grad(log_prob.sum(), (a, b))
            assert all(x.isfinite().all() for x in (log_prob, beta_entropy(a, b), *gradients))
    drawn = sample_beta(a, b, _generator(), pathwise=True)
    assert all(x.isfinite().all() for x in torch.autograd.grad(drawn.sum(), (a, b)))


@pytest.mark.parametrize(("log_alpha", "log_beta"), [(-4.0, -4.0), (-2.0, 1.0), (0.0, 0.0), (1.0, -1.0), (4.0, 4.0)])
def test_samples_follow_the_beta_distribution(log_alpha: float, log_beta: float) -> None:
    a, b = torch.full((40_000,), log_alpha), torch.full((40_000,), log_beta)
    sample = sample_beta(a, b, _generator()).double().numpy()
    # At inner points of the distribution; what lies beyond the margins is clamped.
    points = np.array([2 * MARGIN, 0.01, 0.3, 0.5, 0.7, 0.99])
    expected = scipy.stats.beta(math.exp(log_alpha), math.exp(log_beta)).cdf(points)
    np.testing.assert_allclose((sample[:, None] <= points).mean(0), expected, atol=0.012)


def test_the_censored_score_has_mean_zero_where_the_plain_one_has_not() -> None:
    a = torch.full((200_000,), -4.0, requires_grad=True)
    b = torch.full((200_000,), -4.0)
    sample = sample_beta(a, b, _generator())
    plain, censored = (
        torch.autograd.grad(beta_log_prob(sample, a, b, censored=c).sum(), a)[0].mean().item() for c in (False, True)
    )
    assert plain > 0.3
    assert abs(censored) < 0.01


def test_the_pathwise_gradient_is_that_of_the_mean() -> None:
    a = torch.full((200_000,), 0.5, requires_grad=True)
    b = torch.full((200_000,), -0.5, requires_grad=True)
    sample_beta(a, b, _generator(), pathwise=True).mean().backward()
    alpha, beta = math.exp(0.5), math.exp(-0.5)
    # d/da of alpha / (alpha + beta) with alpha = exp(a).
    expected = alpha * beta / (alpha + beta) ** 2
    assert a.grad is not None and b.grad is not None
    assert a.grad.sum().item() == pytest.approx(expected, rel=0.01)
    assert b.grad.sum().item() == pytest.approx(-expected, rel=0.01)


def test_samples_repeat_from_the_generator_and_carry_no_gradient_by_default() -> None:
    a = torch.zeros(8, 16, requires_grad=True)
    first, second = (sample_beta(a, a, _generator(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert not torch.equal(first, sample_beta(a, a, _generator(6)))


def test_bounds_are_the_identity_inside_and_let_entries_come_back() -> None:
    value = torch.tensor([-9.0, -9.0, 1.5, 9.0, 9.0], requires_grad=True)
    bounded = bound_log_shapes(value)
    assert bounded.tolist() == [-4.0, -4.0, 1.5, 4.0, 4.0]
    (gradient,) = torch.autograd.grad(bounded, value, torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0]))
    # Descent moves against the gradient: only steps that lead back inside pass.
    assert gradient.tolist() == [0.0, -1.0, 1.0, 1.0, 0.0]


def test_a_nan_shape_stays_visible() -> None:
    assert bound_log_shapes(torch.tensor([math.nan])).isnan().all()


@pytest.mark.parametrize(
    ("grid", "height", "width", "kernel", "sigma"),
    [
        (4, 8, 8, 0, 1.0),
        (3, 8, 10, 0, 1.0),
        (5, 12, 7, 1, 1.0),
        (4, 16, 16, 5, 2.0),
        (6, 6, 6, 3, 0.7),
        (3, 7, 9, 13, 6.0),
    ],
)
def test_upsampling_and_blur_equal_a_naive_loop(grid: int, height: int, width: int, kernel: int, sigma: float) -> None:
    mask = torch.rand(2, grid, grid, generator=_generator())
    result = expand_mask(mask, (height, width), kernel, sigma)
    assert result.shape == (2, 1, height, width)
    expected = np.stack([_naive_expand(m, height, width, kernel, sigma) for m in mask.numpy()])
    np.testing.assert_allclose(result[:, 0].numpy(), expected, atol=2e-6)


def test_upsampling_and_blur_equal_torch_and_torchvision() -> None:
    from torchvision.transforms.v2.functional import gaussian_blur

    mask = torch.rand(3, 16, 16, generator=_generator())
    large = torch.nn.functional.interpolate(mask[:, None], size=(50, 50), mode="nearest")
    assert torch.equal(expand_mask(mask, 50), large)
    blurred = gaussian_blur(large, [13, 13], [6.0, 6.0])
    torch.testing.assert_close(expand_mask(mask, 50, 13, 6.0), blurred, rtol=0, atol=1e-6)


def test_pure_noise_with_blur_is_finite() -> None:
    a = torch.randn(2, 224 * 224, generator=_generator()) * 3
    mask = sample_beta(a, -a, _generator()).view(2, 224, 224)
    assert torch.equal(expand_mask(mask, 224), mask[:, None])
    blurred = expand_mask(mask, 224, 13, 6.0)
    assert blurred.isfinite().all()
    assert blurred.min() >= 0 and blurred.max() <= 1
    assert beta_log_prob(mask.flatten(1), a, -a).isfinite().all()


def test_expansion_keeps_float32_under_autocast_and_can_train_after_inference() -> None:
    mask = torch.rand(1, 4, 4, generator=_generator())
    with torch.inference_mode():
        plain = expand_mask(mask, 31, 3, 1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = expand_mask(mask, 31, 3, 1.0)
    assert torch.equal(plain, mixed)
    leaf = mask.clone().requires_grad_()
    expand_mask(leaf, 31, 3, 1.0).sum().backward()
    assert leaf.grad is not None and leaf.grad.sum().item() == pytest.approx(31 * 31, rel=1e-5)


@pytest.mark.parametrize(
    ("grid", "size", "kernel", "sigma", "option"),
    [(4, 8, 4, 1.0, "--kernel"), (9, 8, 0, 1.0, "--grid"), (4, 8, 3, 0.0, "--sigma"), (4, 4, 9, 1.0, "--kernel")],
)
def test_impossible_masks_are_refused_with_the_option_named(
    grid: int, size: int, kernel: int, sigma: float, option: str
) -> None:
    with pytest.raises(UsageError, match=option):
        expand_mask(torch.ones(1, grid, grid), size, kernel, sigma)


def test_a_mask_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(UsageError, match=r"\(B, G, G\)"):
        expand_mask(torch.ones(1, 4, 5), 8)


def test_fixed_noise_has_the_stated_moments_and_range() -> None:
    uniform = sample_fixed(FixedNoise("uniform"), (40, 32, 32), _generator())
    gaussian = sample_fixed(FixedNoise("gaussian"), (40, 32, 32), _generator())
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)
    assert uniform.std().item() == pytest.approx(12**-0.5, abs=0.01)
    assert gaussian.mean().item() == pytest.approx(0.5, abs=0.01)
    assert gaussian.min() >= 0 and gaussian.max() <= 1
    assert torch.equal(sample_fixed(FixedNoise("none"), (1, 2, 2)), torch.ones(1, 2, 2))
    assert torch.equal(uniform, sample_fixed(FixedNoise("uniform"), (40, 32, 32), _generator()))


@pytest.mark.parametrize("arguments", [{"kind": "beta"}, {"std": -1.0}, {"low": 0.7, "high": 0.2}])
def test_impossible_fixed_noise_is_refused(arguments: dict) -> None:
    with pytest.raises(UsageError):
        FixedNoise(**arguments)
