"""Processes, device and arithmetic of a run; torchrun starts the processes, Accelerate joins them."""

import atexit
import contextlib
import ctypes
import os
from dataclasses import dataclass
from typing import Final, TypeVar

import torch
from accelerate.state import PartialState
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pgnm.config import Recipe
from pgnm.engine.sync_norm import synchronise_batch_norm
from pgnm.errors import UsageError

_Module = TypeVar("_Module", bound=nn.Module)

# Below it strided convolutions of the last stages see a single pixel, and oneDNN (seen in torch 2.15) then returns
# weight gradients from memory that was never written.
_SMALLEST_BF16: Final = 32

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Devices:
    """Where and how this process computes.

    Attributes:
        device: Device of this process.
        precision: fp32, bf16 or fp16.
        rank: Number of this process.
        world: Number of processes.
    """

    device: torch.device
    precision: str
    rank: int = 0
    world: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which matrix products and convolutions run in the chosen precision."""
        return torch.autocast(
            self.device.type, _DTYPES[self.precision], enabled=self.precision != "fp32", cache_enabled=True
        )

    def place(self, module: _Module) -> _Module:
        """Move a module to the device, channels last; with several processes, batch norm then sees all of them."""
        if self.world > 1:
            synchronise_batch_norm(module, self.device)
        return module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def distribute(self, module: nn.Module, *, compiled: bool = False) -> nn.Module:
        """Wrap a placed module so that its gradients are averaged over all processes; compile it where asked."""
        if self.world > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            module = DistributedDataParallel(module, device_ids=ids, broadcast_buffers=False)
        return torch.compile(module) if compiled else module  # type: ignore[return-value]

    def hold_back(self, *modules: nn.Module | None) -> contextlib.AbstractContextManager[object]:
        """Return a context in which gradients are only summed here, for all but the last batch of an update."""
        stack = contextlib.ExitStack()
        for module in modules:
            if isinstance(module, DistributedDataParallel):
                stack.enter_context(module.no_sync())
        return stack

    def mean(self, value: Tensor) -> Tensor:
        """Average a tensor over all processes."""
        return self.sum(value) / self.world

    def sum(self, value: Tensor) -> Tensor:
        """Add a tensor up over all processes."""
        if self.world > 1:
            value = value.clone()
            torch.distributed.all_reduce(value)
        return value

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.world > 1:
            torch.distributed.barrier()


def open_devices(recipe: Recipe) -> Devices:
    """Join the processes that torchrun started, if any, and choose device and precision.

    Raises:
        UsageError: The device is not there, or does not compute in the precision.
    """
    device = _choose_device(recipe.device)
    if device.type == "cpu":
        _keep_freed_memory()
    side = recipe.policy_side
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Devices(device, choose_precision(recipe.precision, device, side))
    state = PartialState(cpu=device.type == "cpu")
    atexit.register(_leave)
    return Devices(
        state.device,
        choose_precision(recipe.precision, state.device, side),
        state.process_index,
        state.num_processes,
    )


def _keep_freed_memory() -> None:
    """Let glibc keep what is freed for the next step, in place of giving it back and faulting it in again.

    Activations are large and every step asks for the same ones: without this a good part of a step is spent in
    page faults. Other C libraries are left alone.
    """
    trim_threshold, mmap_max = -1, -4  # as in malloc.h
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def choose_precision(wanted: str, device: torch.device, side: int) -> str:
    """Return the precision to compute in; `auto` takes bf16 where the hardware gains by it.

    Of CPUs that is those with AMX, and AMD's with AVX-512 for bf16; Intel's AVX-512 multiplies bf16 no faster than
    float32. `tests/benchmarks/throughput.py --precision bf16` tells what a machine gains.

    Args:
        wanted: auto, fp32, bf16 or fp16.
        device: Where to compute.
        side: Of the smallest images that a network sees, px.

    Raises:
        UsageError: The device does not compute rightly in the precision that was asked for.
    """
    small = device.type == "cpu" and side < _SMALLEST_BF16
    if wanted == "auto":
        return "bf16" if _has_bf16(device) and not small else "fp32"
    if wanted == "fp16" and device.type != "cuda":
        raise UsageError(f"--precision fp16 needs a CUDA device, got {device}; take --precision auto")
    if wanted == "bf16" and small:
        needed = f"images of {_SMALLEST_BF16} px or more, got {side} px (--size or --policy-size)"
        raise UsageError(f"--precision bf16 on a CPU needs {needed}; take fp32")
    return wanted


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    told = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    amd = str(told.get("cpu_name", "")).startswith("AMD")
    return bool(told.get("amx_bf16") or (amd and told.get("avx512_bf16")))


def _choose_device(wanted: str) -> torch.device:
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        return torch.device("cpu")  # MPS has to be asked for: the project was never tried on it
    try:
        device = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if wanted == "cuda" else wanted)
    except RuntimeError:
        raise UsageError(f"--device must be auto, cpu, cuda, cuda:N or mps; got {wanted!r}") from None
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise UsageError(
            f"--device {wanted} is not there, {torch.cuda.device_count()} CUDA devices are; take auto or cpu"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps is not there; take auto or cpu")
    return device
