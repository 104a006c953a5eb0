"""Measure the gradient estimators and the mask work; run `python tests/benchmarks/objectives.py`.

Prints, for the gradient of each estimator on a toy whose true gradient is known: its bias, its variance, and the
variance relative to the running mean; then the cost of enlarging a mask, beside a convolution at image size.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from pgnm.noise import beta_log_prob, expand_mask, sample_beta
from pgnm.objectives import RunningBaseline, batch_leave_one_out, leave_one_out, reinforce_loss

ENTRIES, IMAGES, MASKS, REPEATS = 16, 32, 4, 600


def _cost(sample: Tensor, difficulty: Tensor) -> Tensor:
    """Give one cost per image: its difficulty, which no mask can change, and two entries that matter."""
    return difficulty + sample[..., 0] - 0.5 * sample[..., 1]


def _gradients(estimator: str) -> Tensor:
    """Draw REPEATS estimates of the gradient with respect to the log-shapes, (REPEATS, 2 * ENTRIES)."""
    generator = torch.Generator().manual_seed(0)
    a = torch.linspace(-1, 1, ENTRIES).requires_grad_()
    b = torch.zeros(ENTRIES, requires_grad=True)
    running = RunningBaseline()
    rows = []
    for _ in range(REPEATS):
        difficulty = torch.randn(IMAGES, generator=generator).exp()
        shape = (MASKS, IMAGES, ENTRIES)
        sample = sample_beta(a.expand(shape), b.expand(shape), generator, pathwise=estimator == "pathwise")
        cost = _cost(sample, difficulty)
        if estimator == "pathwise":
            loss = cost.mean()
        else:
            flat = cost.flatten()
            baseline = {
                "none": lambda: torch.zeros(()),
                "running mean": lambda flat=flat: running(flat).expand(flat.shape).view(MASKS, IMAGES),
                "other images of the batch": lambda flat=flat: batch_leave_one_out(flat).view(MASKS, IMAGES),
                "other masks of the image": lambda cost=cost: leave_one_out(cost),
            }[estimator]()
            log_prob = beta_log_prob(sample, a, b, censored=True)
            _, loss, _ = reinforce_loss(log_prob, cost, baseline, reduction="sum", normalize=False)
            running.update(flat)
        rows.append(torch.cat(torch.autograd.grad(loss, (a, b), allow_unused=True)))
    return torch.stack(rows)


def _truth() -> Tensor:
    a = torch.linspace(-1, 1, ENTRIES).requires_grad_()
    b = torch.zeros(ENTRIES, requires_grad=True)
    mean = a.exp() / (a.exp() + b.exp())
    return torch.cat(torch.autograd.grad(mean[0] - 0.5 * mean[1], (a, b)))


def _seconds(work: Callable[[], object], repeats: int = 5) -> float:
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def compare_estimators() -> None:
    """Print bias and variance of every gradient estimator."""
    truth = _truth()
    names = ("none", "running mean", "other images of the batch", "other masks of the image", "pathwise")
    found = {name: _gradients(name) for name in names}
    reference = found["running mean"].var(0).sum()
    print(f"{MASKS} masks of {IMAGES} images, {ENTRIES} entries; true gradient squared {truth.norm() ** 2:.4f}")
    print(f"{'baseline':28} {'squared bias':>13} {'(its noise)':>12} {'variance':>10} {'relative':>9}")
    for name, gradients in found.items():
        variance = gradients.var(0).sum()
        bias = (gradients.mean(0) - truth).square().sum()
        print(f"{name:28} {bias:13.6f} {variance / REPEATS:12.6f} {variance:10.4f} {variance / reference:9.3f}")


def compare_mask_work() -> None:
    """Print what sampling and enlarging a batch of masks costs on this device."""
    from torchvision.transforms.v2.functional import gaussian_blur

    for size, grid in ((64, 16), (224, 64), (224, 224)):
        shapes = torch.zeros(32, grid * grid)
        mask = torch.rand(32, grid, grid)
        sampling = _seconds(lambda shapes=shapes: sample_beta(shapes, shapes))
        ours = _seconds(lambda mask=mask, size=size: expand_mask(mask, size, 13, 6.0))

        def convolve(mask: Tensor = mask, size: int = size) -> Tensor:
            large = torch.nn.functional.interpolate(mask[:, None], size=(size, size), mode="nearest")
            return gaussian_blur(large, [13, 13], [6.0, 6.0])

        plain = _seconds(convolve)
        print(
            f"{size} px, grid {grid}, 32 masks: sampling {sampling * 1e3:.1f} ms, enlarging {ours * 1e3:.1f} ms, "
            f"{plain / ours:.1f} times as fast as interpolation and convolution"
        )


if __name__ == "__main__":
    compare_estimators()
    compare_mask_work()
