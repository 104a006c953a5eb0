"""Noise masks: Beta and fixed distributions on a grid, and the way from the grid to the image.

Section numbers are those of the PGNM paper's method (Yavuz & Yang, ICPR 2024, arXiv 2406.14568). All randomness comes
from the generator that is passed in, so a run repeats from its seed and resumes from its saved generator state.
"""

import functools
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor

from pgnm.errors import UsageError

LOG_SHAPE_BOUND: Final = 4.0
"""Log-shapes are kept in [-4, 4], so alpha and beta in [0.018, 54.6].

Wide enough for the paper: standard normal initial values (Eq 10-11) stay inside but for 6 in 100,000, and the narrowest
symmetric mask has a standard deviation of 0.05. Narrow enough for float32: gamma variates, digamma and the log-density
are all finite. Beyond it a mask entry is in practice already a constant or a coin flip.
"""

MARGIN: Final = torch.finfo(torch.float32).eps
"""Samples stay in [MARGIN, 1 - MARGIN]: the smallest step below 1 that float32 keeps, used at both ends alike."""

NoiseKind = Literal["gaussian", "uniform", "none"]
NOISE_KINDS: Final = ("gaussian", "uniform", "none")


class _Bound(torch.autograd.Function):
    """Clamp whose gradient, at a bound, still passes when descent leads back inside (a projected gradient)."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(value)
        ctx.bound = bound
        return value.clamp(-bound, bound)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (value,), gradient = ctx.saved_tensors, gradients[0]
        outward = ((value > ctx.bound) & (gradient < 0)) | ((value < -ctx.bound) & (gradient > 0))
        return gradient.masked_fill(outward, 0), None


def bound_log_shapes(log_shapes: Tensor, bound: float = LOG_SHAPE_BOUND) -> Tensor:
    """Keep log-shapes in [-bound, bound] as float32, so that every later number is finite.

    Inside the bound it is the identity, so Eq 2-3 hold to the letter there. A plain clamp would trap an entry outside,
    its gradient being zero; here the gradient passes when a descent step leads back inside.

    Args:
        log_shapes: Any shape, any floating dtype; infinities are clamped, NaN stays NaN so that faults are seen.
        bound: Largest absolute value.

    Returns:
        Same shape, float32.
    """
    return _Bound.apply(log_shapes.float(), bound)


def sample_beta(
    log_alpha: Tensor, log_beta: Tensor, generator: torch.Generator | None = None, *, pathwise: bool = False
) -> Tensor:
    """Draw one Beta(exp(log_alpha), exp(log_beta)) variate per entry (Eq 3-4).

    The ratio of two gamma variates is formed in logarithms, with Gamma(a) = Gamma(a + 1) * U^(1/a): below a shape of
    about 0.1 the variates themselves underflow and their ratio would be 0/0.

    Args:
        log_alpha: Log-shapes of any shape and floating dtype; bounded by `bound_log_shapes`.
        log_beta: The same shape as `log_alpha`.
        generator: Source of the randomness. The draws are made on its device, so a CPU generator gives the same masks
            whatever device the shapes live on; None uses the default generator of the shapes' device.
        pathwise: Whether gradients flow from the sample to the log-shapes (implicit reparameterisation of the gamma).

    Returns:
        Float32, the broadcast shape, every entry in [MARGIN, 1 - MARGIN].
    """
    device = log_alpha.device
    source = device if generator is None else generator.device
    with torch.set_grad_enabled(pathwise and torch.is_grad_enabled()):
        log_shapes = torch.stack(torch.broadcast_tensors(log_alpha.float(), log_beta.float())).to(source)
        shapes = bound_log_shapes(log_shapes).exp()
        # torch's sampler carries the gradient, but a CPU draws one variate after the other, and MPS has none.
        own = not pathwise and source.type != "cuda"
        gamma = _gamma(shapes + 1, generator) if own else torch._standard_gamma(shapes + 1, generator=generator)
        uniform = torch.rand(shapes.shape, generator=generator, device=source)
        # rand lies in [0, 1), so log1p(-rand) is finite.
        log_gamma = gamma.clamp_min(torch.finfo(torch.float32).tiny).log() + torch.log1p(-uniform) / shapes
        sample = torch.sigmoid(log_gamma[0] - log_gamma[1])
        return sample.clamp(MARGIN, 1 - MARGIN).to(device)


def _gamma(shapes: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw gamma variates for shapes of at least 1, all at once (Marsaglia & Tsang 2000).

    More than 95 in 100 proposals are accepted; only the others are drawn again.
    """
    d = shapes.flatten() - 1 / 3
    c = (9 * d).rsqrt()
    result = torch.empty_like(d)
    pending = torch.arange(d.numel(), device=d.device)
    while pending.numel():
        whole = pending.numel() == d.numel()
        d_here, c_here = (d, c) if whole else (d[pending], c[pending])
        normal = torch.randn(pending.numel(), generator=generator, device=d.device)
        uniform = torch.rand(pending.numel(), generator=generator, device=d.device)
        cube = (1 + c_here * normal).clamp_min(0) ** 3
        bound = 0.5 * normal.square() + d_here * (1 - cube + cube.log())  # -inf where the cube is 0: refused
        # Shapes that are not numbers are passed on: refused again and again, they would never end.
        accepted = (uniform.log() < bound) | d_here.isnan()
        chosen = pending[accepted]
        result[chosen] = (d_here * cube)[accepted]
        pending = pending[~accepted]
    return result.view(shapes.shape)


def beta_log_prob(sample: Tensor, log_alpha: Tensor, log_beta: Tensor, *, censored: bool = False) -> Tensor:
    """Compute the log-density of Beta(exp(log_alpha), exp(log_beta)) at `sample` (Eq 7).

    Args:
        sample: Values in [0, 1]; clamped into [MARGIN, 1 - MARGIN].
        log_alpha: Log-shapes, broadcastable to `sample`; bounded by `bound_log_shapes`.
        log_beta: As `log_alpha`.
        censored: Give a sample that was clamped at a margin the log-probability of the whole tail behind it, in place
            of the density at the margin. At small shapes much of the mass lies there (38 % at each end at the lower
            bound), and only so has the score a mean of zero, as the policy gradient needs. Tails to leading order:
            P(X <= e) = e^a / (a B(a, b)).

    Returns:
        Float32, nats, the broadcast shape; finite for every finite input.
    """
    alpha = bound_log_shapes(log_alpha).exp()
    beta = bound_log_shapes(log_beta).exp()
    sample = sample.float().clamp(MARGIN, 1 - MARGIN)
    log_sample, log_rest = sample.log(), torch.log1p(-sample)
    density = (alpha - 1) * log_sample + (beta - 1) * log_rest - _log_beta_function(alpha, beta)
    if not censored:
        return density
    # At an end, log tail - log density = log e - log a: the width of the tail over the exponent of the power law.
    low = torch.where(sample <= MARGIN, log_sample - alpha.log(), 0)
    high = torch.where(sample >= 1 - MARGIN, log_rest - beta.log(), 0)
    return density + low + high


def beta_entropy(log_alpha: Tensor, log_beta: Tensor) -> Tensor:
    """Compute the differential entropy of each Beta, in nats: 0 for the uniform, negative for everything else.

    Args:
        log_alpha: Log-shapes; bounded by `bound_log_shapes`.
        log_beta: As `log_alpha`.

    Returns:
        Float32, the broadcast shape.
    """
    alpha = bound_log_shapes(log_alpha).exp()
    beta = bound_log_shapes(log_beta).exp()
    return (
        _log_beta_function(alpha, beta)
        - (alpha - 1) * torch.digamma(alpha)
        - (beta - 1) * torch.digamma(beta)
        + (alpha + beta - 2) * torch.digamma(alpha + beta)
    )


def _log_beta_function(alpha: Tensor, beta: Tensor) -> Tensor:
    return torch.lgamma(alpha) + torch.lgamma(beta) - torch.lgamma(alpha + beta)


@dataclass(frozen=True, slots=True)
class FixedNoise:
    """A mask distribution that is not learned (the paper's Table 4).

    The paper names "Gaussian" and "uniform" and gives no parameters. Ours: uniform on the whole range of a mask, and a
    Gaussian around the same mean, its spread close to the uniform's (0.289) with 5 % of the draws beyond the range.

    Attributes:
        kind: `gaussian`, `uniform` or `none`; `none` gives ones.
        mean: Mean of the Gaussian before clipping.
        std: Standard deviation of the Gaussian before clipping.
        low: Lower end of the uniform.
        high: Upper end of the uniform.
    """

    kind: NoiseKind = "uniform"
    mean: float = 0.5
    std: float = 0.25
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in NOISE_KINDS:
            raise UsageError(f"noise must be one of {', '.join(NOISE_KINDS)}, got {self.kind!r}; choose one of them")
        if self.std < 0 or not 0 <= self.low <= self.high <= 1:
            raise UsageError(
                f"noise needs std >= 0 and 0 <= low <= high <= 1, got std {self.std}, low {self.low}, "
                f"high {self.high}; correct them"
            )


def sample_fixed(
    noise: FixedNoise,
    shape: tuple[int, ...],
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw a mask from a fixed distribution, clipped to [0, 1].

    Args:
        noise: The distribution.
        shape: Shape of the result, such as (B, G, G).
        generator: Source of the randomness; the draws are made on its device.
        device: Where the result lives.

    Returns:
        Float32 in [0, 1].
    """
    source = torch.device(device) if generator is None else generator.device
    if noise.kind == "none":
        return torch.ones(shape, device=device)
    if noise.kind == "uniform":
        sample = torch.rand(shape, generator=generator, device=source) * (noise.high - noise.low) + noise.low
    else:
        sample = torch.randn(shape, generator=generator, device=source) * noise.std + noise.mean
    return sample.clamp_(0, 1).to(device)


def check_mask_options(grid: int, size: int | tuple[int, int], kernel: int, sigma: float) -> None:
    """Refuse a grid, image size, kernel or sigma that cannot be used together.

    Args:
        grid: Entries along each side of the grid.
        size: Height and width of the image in px, or one number for both.
        kernel: Width of the Gaussian blur in px; 0 or 1 for none.
        sigma: Standard deviation of the blur in px.

    Raises:
        UsageError: With the option and the value at fault.
    """
    smallest = min(_pair(size))
    if not 1 <= grid <= smallest:
        raise UsageError(f"--grid must lie between 1 and the image size {smallest}, got {grid}; choose a smaller grid")
    if kernel < 0 or (kernel > 1 and kernel % 2 == 0):
        raise UsageError(f"--kernel must be odd, or 0 for no blur, got {kernel}; try {max(kernel, 0) + 1}")
    if kernel // 2 >= smallest:
        raise UsageError(
            f"--kernel must be below twice the image size {smallest}, got {kernel}; choose a smaller kernel"
        )
    if kernel > 1 and not sigma > 0:
        raise UsageError(f"--sigma must be above 0 when --kernel is {kernel}, got {sigma}; use --kernel 0 for no blur")


def expand_mask(grid_mask: Tensor, size: int | tuple[int, int], kernel: int = 0, sigma: float = 1.0) -> Tensor:
    """Enlarge grid masks to image size by nearest neighbour, then blur them (section 1.2, step 5).

    Row y shows grid row floor(y * G / H), as in `torch.nn.functional.interpolate(mode="nearest")`; the blur is a
    separable Gaussian with reflect padding. Both are linear and act on rows and columns apart, so the whole way is
    `rows @ grid_mask @ columns.T` with two small matrices that are kept: cheaper than a convolution at image size, and
    differentiable.

    Args:
        grid_mask: (B, G, G), any floating dtype.
        size: Height and width of the image in px, or one number for both; each at least G.
        kernel: Width of the blur in px, odd; 0 or 1 for none.
        sigma: Standard deviation of the blur in px.

    Returns:
        (B, 1, H, W) float32, in the range of `grid_mask` up to rounding.

    Raises:
        UsageError: For an even kernel, a grid that exceeds the image, or a sigma that is not positive.
    """
    if grid_mask.ndim != 3 or grid_mask.shape[1] != grid_mask.shape[2]:
        raise UsageError(f"a grid mask must have shape (B, G, G), got {tuple(grid_mask.shape)}; reshape it")
    grid = grid_mask.shape[-1]
    check_mask_options(grid, size, kernel, sigma)
    height, width = _pair(size)
    mask = grid_mask.float()
    if kernel > 1 or (height, width) != (grid, grid):
        # Autocast would round the mask to 8 bits of precision.
        with torch.autocast(mask.device.type, enabled=False):
            rows = _expansion(grid, height, kernel, sigma, mask.device)
            columns = _expansion(grid, width, kernel, sigma, mask.device)
            mask = rows @ mask @ columns.T
    return mask.unsqueeze(1)


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


@functools.lru_cache(maxsize=64)
def _expansion(grid: int, length: int, kernel: int, sigma: float, device: torch.device) -> Tensor:
    """Build the (length, grid) matrix that repeats by nearest neighbour and then blurs; its rows sum to 1."""
    # Inference tensors must not be kept for later training steps.
    with torch.inference_mode(False), torch.no_grad():
        source = torch.arange(length) * grid // length
        nearest = torch.zeros(length, grid, dtype=torch.float64)
        nearest[torch.arange(length), source] = 1
        matrix = _blur_matrix(length, kernel, sigma) @ nearest if kernel > 1 else nearest
        return matrix.float().to(device)


def _blur_matrix(length: int, kernel: int, sigma: float) -> Tensor:
    radius = kernel // 2
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets.double() / sigma) ** 2)
    weights /= weights.sum()
    # Reflect without repeating the border: -1 -> 1 and length -> length - 2.
    taps = (torch.arange(length)[:, None] + offsets).abs()
    taps = torch.where(taps >= length, 2 * (length - 1) - taps, taps)
    matrix = torch.zeros(length, length, dtype=torch.float64)
    return matrix.scatter_add_(1, taps, weights.expand(length, -1))
