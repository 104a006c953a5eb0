"""Batch norm over the batches of all processes, on the CPU as well."""

from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d, convert_sync_batchnorm
from torch import Tensor, nn


class _SumOverProcesses(torch.autograd.Function):
    """Sum a tensor over all processes; every process's gradient reaches every summand."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        total = values.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        torch.distributed.all_reduce(total)
        return total


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Normalise with the statistics of all processes' batches, which must be equally large.

    torch's own layer does this on GPUs only; this one lets two CPU processes compute what one would.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, ...) in training with the statistics over all processes, else with the running ones."""
        if not self.training:
            return super().forward(input)
        axes = [axis for axis in range(input.ndim) if axis != 1]
        values, world = input.float(), torch.distributed.get_world_size()
        shape = [1, -1] + [1] * (input.ndim - 2)
        mean = _SumOverProcesses.apply(values.mean(axes)) / world
        # In two passes: the mean square less the squared mean rounds to nothing, or below, where the spread is small.
        centred = values - mean.view(shape)
        variance = _SumOverProcesses.apply(centred.square().mean(axes)) / world
        self._remember(mean.detach(), variance.detach(), input.numel() // input.shape[1])
        scale = self.weight * torch.rsqrt(variance + self.eps)
        result = centred * scale.view(shape) + self.bias.view(shape)
        return result.to(input.dtype)

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        total = count * torch.distributed.get_world_size()
        self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr, arg-type]
        self.running_var.lerp_(variance * total / max(total - 1, 1), self.momentum)  # type: ignore[union-attr, arg-type]


class SyncBatchNormAct(SyncBatchNorm):
    """The same for timm's batch norm that holds the activation after it."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise as `SyncBatchNorm`, then drop and activate as the layer that this one stands for."""
        return self.act(self.drop(super().forward(input)))  # type: ignore[operator]


def synchronise_batch_norm(module: nn.Module, device: torch.device) -> None:
    """Make every batch norm layer inside a module, not the module itself, span all processes."""
    if device.type == "cuda":
        convert_sync_batchnorm(module)
        return
    for child in module.modules():
        # Changing the class keeps weights, buffers and names.
        if type(child) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            child.__class__ = SyncBatchNorm
        elif type(child) is BatchNormAct2d:
            child.__class__ = SyncBatchNormAct  # type: ignore[assignment]
