"""Batch norm over two processes, here two threads, against torch's own over the whole batch."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from pgnm.engine.sync_norm import synchronise_batch_norm


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadPoolExecutor]:
    """Two threads between which torch.distributed sums as it does between two processes."""
    barrier, given = threading.Barrier(2, timeout=60), {}

    def all_reduce(value: Tensor) -> None:
        given[threading.get_ident()] = value.clone()
        barrier.wait()
        total = sum(given.values())
        barrier.wait()
        value.copy_(total)

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.mark.parametrize(("level", "spread"), [(0.0, 1.0), (30.0, 0.01), (300.0, 0.0)])
def test_batch_norm_over_processes_is_torchs_over_the_whole_batch(
    two_threads: ThreadPoolExecutor, level: float, spread: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    images = level + spread * torch.randn(8, 3, 6, 6, generator=generator)
    wanted_gradient = torch.randn(8, 3, 6, 6, generator=generator)

    def learn(norm: nn.Module, start: int, end: int) -> tuple[Tensor, Tensor, nn.Module]:
        part = images[start:end].clone().requires_grad_()
        result = norm(part)
        result.backward(wanted_gradient[start:end])
        assert part.grad is not None
        return result.detach(), part.grad, norm

    layers = [nn.BatchNorm2d(3), nn.BatchNorm2d(3)]
    synchronise_batch_norm(nn.Sequential(*layers), torch.device("cpu"))
    halves = list(two_threads.map(learn, layers, (0, 4), (4, 8)))
    # In float64, as torch's own rounds in float32, too.
    images, wanted_gradient = images.double(), wanted_gradient.double()
    result, gradient, norm = learn(nn.BatchNorm2d(3).double(), 0, 8)

    torch.testing.assert_close(torch.cat([half[0] for half in halves]).double(), result, rtol=1e-3, atol=2e-3)
    scale = float(gradient.abs().max())
    torch.testing.assert_close(torch.cat([half[1] for half in halves]).double(), gradient, rtol=1e-3, atol=2e-3 * scale)
    for half in halves:
        torch.testing.assert_close(half[2].running_var.double(), norm.running_var, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(half[2].running_mean.double(), norm.running_mean, rtol=1e-5, atol=1e-7)
