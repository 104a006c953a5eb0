"""Decode images, and keep them decoded in memory where they fit."""

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage

from pgnm.data.memory import available_memory, available_shared
from pgnm.errors import SplitError, UsageError

Image = NDArray[np.uint8]
"""An image, (H, W) or (H, W, 3) in RGB order, uint8 0-255."""

UNREADABLE = (OSError, ValueError, SyntaxError, cv2.error, PillowImage.DecompressionBombError)
"""What the decoders raise for damaged or absurd files."""

# Share of the memory at hand that decoded images may take with `cache: auto`.
_CACHE_SHARE = 0.4
# And of the shared memory, which the batches of loader processes pass through as well.
_SHARED_SHARE = 0.8
_SAMPLED = 128
# As radrefine and Pillow read them, pixels come as they are stored, whatever rotation EXIF asks for.
_AS_STORED = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
_TOO_DEEP = "more than 8 bits per channel; convert it with a window of your choice"


def decode_image(path: Path) -> Image:
    """Read the image file `path`; grey images keep one channel, any other gets three.

    Returns:
        (H, W) or (H, W, 3) RGB uint8.

    Raises:
        SplitError: The file is missing, no image, or has more than 8 bits per channel, which only its owner can tell
            how to bring to 8: of 16 bits often 12 are used.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        image = cv2.imdecode(data, _AS_STORED) if data.size else None
        if image is None:  # a format that OpenCV does not read
            with PillowImage.open(BytesIO(data.tobytes())) as opened:
                if opened.mode.startswith(("I", "F")):
                    raise ValueError(_TOO_DEEP)
                return np.asarray(opened.convert("L" if opened.mode in ("1", "L") else "RGB"), np.uint8)
        if image.dtype != np.uint8:
            raise ValueError(_TOO_DEEP)
    except UNREADABLE as error:
        told = " ".join(str(error).split())
        raise SplitError(f"{path} cannot be used as an image ({told}); mend or remove it and split again") from None
    return np.asarray(image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


class ImageStore:
    """The images of one part of a split, by row: from memory where kept, else from disk.

    Kept images may lie in one shared tensor, so that loader processes see them without a copy.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(paths)
        self._images: list[Image] = []
        self._pixels: torch.Tensor | None = None
        self._starts = np.zeros(1, np.int64)
        self._shapes: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def kept(self) -> bool:
        """Whether the images are kept in memory."""
        return bool(self._images) or self._pixels is not None

    def __getitem__(self, row: int) -> Image:
        if self._images:
            return self._images[row]
        if self._pixels is None:
            return decode_image(self._paths[row])
        return self._pixels.numpy()[self._starts[row] : self._starts[row + 1]].reshape(self._shapes[row])

    def keep(self, notice: Callable[[int], None] = lambda done: None, *, shared: bool = False) -> None:
        """Decode every image into memory, `shared` with loader processes; `notice` hears how many are done.

        Raises:
            UsageError: There is too little shared memory.
        """
        images: list[Image] = []
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for image in pool.map(decode_image, self._paths):
                images.append(image)
                if len(images) % 256 == 0:
                    notice(len(images))
        if not shared:
            self._images = images
            return
        self._shapes = [image.shape for image in images]
        self._starts = np.concatenate([[0], np.cumsum([image.size for image in images], dtype=np.int64)])
        size = int(self._starts[-1])
        try:
            pixels = torch.empty(size, dtype=torch.uint8).share_memory_()
        except RuntimeError:
            raise UsageError(
                f"--cache on with loader processes needs {size:,} bytes of shared memory, which are not there; "
                "take --workers 0 or --cache off, or give the container more (--shm-size)"
            ) from None
        flat = pixels.numpy()
        images.reverse()
        for start, end in itertools.pairwise(self._starts):
            flat[start:end] = images.pop().ravel()  # each is let go at once, so that they never lie here twice
        self._pixels = pixels

    def estimate_bytes(self) -> int:
        """Return the memory that all images would take, from the headers of some of them."""
        rows = np.linspace(0, len(self) - 1, min(_SAMPLED, len(self))).astype(int)
        sizes = []
        for row in rows:
            try:
                with PillowImage.open(self._paths[row]) as opened:
                    sizes.append(opened.width * opened.height * (1 if opened.mode in ("1", "L", "I;16") else 3))
            except UNREADABLE:
                sizes.append(decode_image(self._paths[row]).size)
        return int(np.mean(sizes) * len(self))

    def fits(self, *, shared: bool = False) -> bool:
        """Tell whether all images take a moderate share of the memory at hand, `shared` with loader processes."""
        room = available_memory() * _CACHE_SHARE
        common = available_shared() if shared else None
        if common is not None:
            room = min(room, common * _SHARED_SHARE)
        ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        return self.estimate_bytes() < room / ranks
