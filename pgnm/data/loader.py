"""Batches of tensors whose order and augmentation depend on seed, epoch and index only."""

import contextlib
import functools
import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import v2

from pgnm.config import Recipe
from pgnm.data.images import Image, ImageStore
from pgnm.data.memory import available_shared
from pgnm.data.split import Split
from pgnm.data.transforms import Transform, eval_transform, train_transform
from pgnm.errors import SplitError, UsageError
from pgnm.progress import Progress, ProgressCallback, ignore_progress

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""images (B, 3, H, W) float32 normalised; targets (B,) int64, or (B, C) float32 where a batch was mixed; rows (B,)."""

_Key = tuple[int, int, int]  # epoch, row, how often that row was drawn in the epoch before

# Streams of random numbers that must not run in step with each other.
_ORDER, _IMAGE, _MIX, _SUBSET = range(4)

# Batches that each loader process makes ahead, and what each takes of shared memory beside its pixels.
_PREFETCH = 4
_OVERHEAD = 2**14

_log = logging.getLogger(__name__)


def derive_seed(*parts: int) -> int:
    """Derive a 63-bit seed from integers, such as seed, epoch and row; unequal parts give unrelated seeds."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


class Loader:
    """Batches of one part of a split.

    Iterating gives one pass over the part in its plain order; `epoch` gives the shuffled passes of training.

    Attributes:
        n_classes: Number of classes of the split.
    """

    def __init__(
        self,
        dataset: "_Images",
        sampler: "_BatchSampler",
        recipe: Recipe,
        *,
        n_classes: int,
        device: torch.device,
        workers: int,
        mix: Any = None,
    ) -> None:
        self._dataset, self._sampler, self._mix = dataset, sampler, mix
        self.n_classes = n_classes
        self._recipe, self._device = recipe, device
        self._loader = DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=_collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            prefetch_factor=_PREFETCH if workers else None,
            pin_memory=device.type == "cuda",
            worker_init_fn=_start_worker if workers else None,
            multiprocessing_context=_worker_context() if workers else None,
            generator=torch.Generator(),  # its own, since each pass draws a number from it
        )

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self._sampler)

    @property
    def n_images(self) -> int:
        """Number of images of the part, after any limit."""
        return len(self._dataset)

    @property
    def frame(self) -> pd.DataFrame:
        """The table of the images; the third tensor of a batch indexes its rows."""
        return self._dataset.frame

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch from batch `start` on, on the loader's device, channels last."""
        self._sampler.epoch, self._sampler.start = epoch, start
        mean, std = 255 * self._recipe.mean, 255 * self._recipe.std
        for number, (pixels, targets, rows) in enumerate(self._batches(), start):
            pixels = pixels.to(self._device, non_blocking=True)
            targets = targets.to(self._device, non_blocking=True)
            # Permuted from (B, H, W, C), the tensor is channels-last without a copy.
            images = pixels.permute(0, 3, 1, 2).float().sub_(mean).div_(std)
            if images.shape[1] == 1:
                images = images.expand(-1, 3, -1, -1)
            images = images.contiguous(memory_format=torch.channels_last)
            if self._mix is not None:
                with seeded(derive_seed(self._recipe.seed, _MIX, epoch, number)):
                    images, targets = self._mix(images, targets)
            yield images, targets, rows

    def _batches(self) -> Iterator[Batch]:
        try:
            yield from self._loader
        except SplitError as error:
            # From another process it comes with that one's traceback, of which the last line is the message.
            raise SplitError(str(error).strip().splitlines()[-1].removeprefix("pgnm.errors.SplitError: ")) from None


def build_loader(
    split: Split,
    part: str,
    recipe: Recipe,
    *,
    train: bool = False,
    device: str | torch.device = "cpu",
    rank: int = 0,
    world: int = 1,
    progress: ProgressCallback = ignore_progress,
) -> Loader:
    """Build the loader of one part of a split.

    Args:
        split: The split folder as read.
        part: train, val or test.
        recipe: Size, batch size, augmentation, workers, cache, limits and seed.
        train: Shuffle, augment, mix, and drop the last incomplete batch; else every image once, in order, plain.
        device: Where the tensors go.
        rank: Number of this process; each takes its share of every batch.
        world: Number of processes.
        progress: Hears of the decoding where images are kept in memory.

    Raises:
        SplitError: The part holds no images, too few to train on, or one that cannot be decoded.
    """
    frame = split.part(part)
    if frame.empty:
        raise SplitError(
            f"{split.folder / part}.csv holds no images; give {part} a share with: radrefine split --ratios"
        )
    frame = limit_rows(frame, {"train": recipe.limit_train, "val": recipe.limit_val}.get(part, 0), recipe.seed)
    if train and len(frame) < 2 * world:
        needed = f"{2 * world} images, 2 for each process" if world > 1 else "2 images"
        raise SplitError(f"training needs at least {needed}, got {len(frame)}; raise --limit-train or add images")
    store = ImageStore([split.root / path for path in frame["path"]])
    choose_workers = functools.partial(_choose_workers, recipe.workers, len(store), torch.device(device), world)
    shared = choose_workers(kept=True) > 0
    if recipe.cache == "on" or (recipe.cache == "auto" and store.fits(shared=shared)):
        store.keep(lambda done: progress(Progress(f"reading {part}", done, len(store))), shared=shared)
    transform = train_transform(recipe) if train else eval_transform(recipe)
    dataset = _Images(store, frame, transform, recipe.seed if train else None)
    weights = _class_weights(split, frame) if train and recipe.class_balance == "sampler" else None
    sampler = _BatchSampler(len(frame), recipe.batch_size, recipe.seed, train, rank, world, weights)
    n_classes = len(split.class_names)
    mix = _build_mix(recipe, n_classes) if train else None
    images_at_once = min(recipe.batch_size, len(frame))
    workers = _bound_workers(choose_workers(kept=store.kept), recipe, images_at_once * 3 * recipe.size**2)
    return Loader(dataset, sampler, recipe, n_classes=n_classes, device=torch.device(device), workers=workers, mix=mix)


class _Images(Dataset):
    """Transformed images by (epoch, row, repeat), whole batches at a time."""

    def __init__(self, store: ImageStore, frame: pd.DataFrame, transform: Transform, seed: int | None) -> None:
        self._store, self.frame, self._transform, self._seed = store, frame, transform, seed
        self._targets = frame["class_index"].to_numpy(np.int64)

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, key: _Key) -> tuple[Image, int, int]:
        epoch, row, repeat = key
        if self._seed is not None:
            torch.default_generator.manual_seed(derive_seed(self._seed, _IMAGE, epoch, row, *([repeat] * bool(repeat))))
        return self._transform(self._store[row]), int(self._targets[row]), row

    def __getitems__(self, keys: list[_Key]) -> list[tuple[Image, int, int]]:
        with seeded(0):
            return [self[key] for key in keys]


class _BatchSampler(Sampler[list[_Key]]):
    """Keys of the batches of an epoch, this rank's share; every rank sees equally many batches."""

    def __init__(
        self, n: int, batch_size: int, seed: int, train: bool, rank: int, world: int, weights: torch.Tensor | None
    ) -> None:
        self._n, self._seed, self._train, self._rank, self._world = n, seed, train, rank, world
        self._weights = weights
        # With fewer images than a batch holds, all of them make one smaller batch.
        self._per_rank = min(batch_size, max(1, n // world)) if train else batch_size
        self.epoch = self.start = 0

    def __len__(self) -> int:
        whole = self._per_rank * self._world
        return self._n // whole if self._train else -(-self._n // whole)

    def __iter__(self) -> Iterator[list[_Key]]:
        order, whole = self._order(), self._per_rank * self._world
        # Counted over the whole epoch, so that neither the rank nor the batch to start from changes an image.
        repeats = pd.Series(order).groupby(order.numpy()).cumcount().to_numpy()
        for number in range(self.start, len(self)):
            first, end = number * whole, min((number + 1) * whole, self._n)
            share = -(-(end - first) // self._world)
            mine = slice(first + self._rank * share, min(first + (self._rank + 1) * share, end))
            keys = [
                (self.epoch, row, int(repeat)) for row, repeat in zip(order[mine].tolist(), repeats[mine], strict=True)
            ]
            if keys:  # the last validation batch may not reach every rank
                yield keys

    def _order(self) -> torch.Tensor:
        if not self._train:
            return torch.arange(self._n)
        generator = torch.Generator().manual_seed(derive_seed(self._seed, _ORDER, self.epoch))
        if self._weights is not None:
            return torch.multinomial(self._weights, self._n, replacement=True, generator=generator)
        return torch.randperm(self._n, generator=generator)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block with torch's default CPU generator seeded, and put it back as it was."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


def _collate(items: list[tuple[Image, int, int]]) -> Batch:
    images = [image for image, _, _ in items]
    if all(image.ndim == 2 for image in images):
        pixels = np.stack(images)[..., None]
    else:
        pixels = np.stack([image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2) for image in images])
    targets, rows = (torch.tensor([item[place] for item in items]) for place in (1, 2))
    return torch.from_numpy(pixels), targets, rows


def _start_worker(_: int) -> None:
    import cv2

    cv2.setNumThreads(1)
    # Ctrl-C reaches every process of the terminal; the main one saves and then ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def limit_rows(frame: pd.DataFrame, limit: int, seed: int) -> pd.DataFrame:
    """Return at most `limit` rows of a table, drawn from the seed, in their order; all of them where it is 0."""
    if not limit or limit >= len(frame):
        return frame
    rows = np.random.default_rng([seed, _SUBSET]).permutation(len(frame))[:limit]
    return frame.iloc[np.sort(rows)].reset_index(drop=True)


def _class_weights(split: Split, frame: pd.DataFrame) -> torch.Tensor:
    counts = np.bincount(frame["class_index"], minlength=len(split.class_names))
    return torch.from_numpy(1.0 / counts[frame["class_index"]])


def _build_mix(recipe: Recipe, n_classes: int) -> Any:
    kinds = {"cutmix": v2.CutMix, "mixup": v2.MixUp}
    if recipe.batch_augment is None:
        return None
    return kinds[recipe.batch_augment](alpha=recipe.mix_alpha, num_classes=n_classes)


def _choose_workers(wanted: int, images: int, device: torch.device, world: int, *, kept: bool) -> int:
    if wanted >= 0:
        return wanted
    # Augmenting a kept image takes a few per cent of a training step on a CPU; processes would only compete with it.
    if kept and (device.type == "cpu" or images < 512):
        return 0
    # Not every system tells which processors a process may use.
    affinity = getattr(os, "sched_getaffinity", None)
    processors = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return max(1, min(8, processors // world))


def _bound_workers(workers: int, recipe: Recipe, batch_bytes: int) -> int:
    """Return as many loader processes, `workers` at most, as shared memory has room for the batches of.

    Without that room they would wait for ever: the batches are lost on their way, and nobody is told.

    Raises:
        UsageError: The number of processes was asked for and is too large.
    """
    room = available_shared()
    if not workers or room is None:
        return workers
    # Training and validation have processes of their own, and so have other ranks of this machine.
    sharing = 2 * int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    most = room // (sharing * _PREFETCH * (batch_bytes + _OVERHEAD))
    if workers <= most:
        return workers
    told = f"{room / 2**20:,.0f} MB of shared memory hold the batches of {most} loader processes"
    if recipe.workers >= 0:
        raise UsageError(f"--workers {workers}: {told}; take fewer, or give the container more shared memory")
    _log.warning("%s, not %d; give the container more shared memory for speed", told, workers)
    return most


def _worker_context() -> Any:
    """Return how loader processes start: from a clean server, as forking a process whose threads compute may hang."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pgnm.data"])  # torch is imported once, not in each process
    return context
