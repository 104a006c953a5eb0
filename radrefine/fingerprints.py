"""Fingerprints of files and images: what tells that two of them are the same, or nearly so.

Four strengths, from strict to lenient: `file_sha256` (same bytes), `pixel_sha256` (same pixels, whatever the
encoding), `perceptual_hash` (same picture after resizing, another encoding or another brightness) and the
`correlation` of two `thumbnail`s in their fine structure, which confirms what the perceptual hash proposes.
"""

import hashlib
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.records import Image

HASH_BITS: Final = 64
THUMBNAIL_SIZE: Final = 32

# A blank frame may hold compression noise and a stray pixel or two, not more.
_BLANK_LEVELS = 8
_BLANK_SHARE = 0.001

# Below this norm (grey levels over 1024 pixels) a thumbnail holds rounding only.
_NO_STRUCTURE = 1e-2


def file_sha256(data: bytes) -> str:
    """Hash the bytes of a file.

    Returns:
        SHA-256 as 64 hexadecimal digits.
    """
    return hashlib.sha256(data).hexdigest()


def pixel_sha256(image: Image) -> str:
    """Hash the pixels of an image together with its shape and dtype.

    Args:
        image: (H, W) or (H, W, 3) uint8; any memory layout.

    Returns:
        SHA-256 as 64 hexadecimal digits; equal for equal images however they were encoded.
    """
    digest = hashlib.sha256(f"{image.shape}{image.dtype.str}".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def perceptual_hash(image: Image) -> str:
    """Hash what an image looks like: 64 bits of its lowest spatial frequencies.

    The image is made grey and shrunk to 32 x 32; bit i tells whether the i-th coefficient of its discrete cosine
    transform, in zig-zag order without the mean, lies above the median of the 64. Resizing, another encoding and
    another brightness change few bits; `hash_distance` counts them.

    Args:
        image: (H, W) or (H, W, 3) RGB uint8 0-255.

    Returns:
        16 hexadecimal digits, the lowest frequency first. Blank images hash to noise: see `is_blank`.
    """
    coefficients = cv2.dct(_shrink(image).astype(np.float32)).ravel()[_ZIGZAG]
    median = np.sort(coefficients)[HASH_BITS // 2 - 1 : HASH_BITS // 2 + 1].mean()
    return np.packbits(coefficients > median).tobytes().hex()


def hash_distance(first: str, second: str) -> int:
    """Count the bits, 0 to 64, in which two perceptual hashes differ."""
    return (int(first, 16) ^ int(second, 16)).bit_count()


def thumbnail(image: Image) -> Image:
    """Shrink an image to a grey thumbnail, (32, 32) uint8, by averaging areas; the aspect is not kept."""
    return _shrink(image)


def fine_structure(thumbnails: Image) -> NDArray[np.float32]:
    """Extract what sets look-alike anatomy apart: thumbnails minus their blur (sigma 3), as vectors of length 1.

    Args:
        thumbnails: (N, 32, 32) uint8 from `thumbnail`.

    Returns:
        (N, 1024) float32; the dot product of two rows is their correlation, -1 to 1. Rows of thumbnails without
        structure are 0.
    """
    values = thumbnails.astype(np.float32)
    values -= _BLUR @ values @ _BLUR.T
    rows = values.reshape(len(values), -1)
    rows -= rows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(norms > _NO_STRUCTURE, rows / np.maximum(norms, _NO_STRUCTURE), 0).astype(np.float32)


def correlation(first: Image, second: Image) -> float:
    """Correlate the fine structure of two thumbnails, (32, 32) uint8 each; -1 to 1, 0 where one has none."""
    a, b = fine_structure(np.stack([first, second]))
    return float(a @ b)


def is_blank(image: Image) -> bool:
    """Tell whether an image shows nothing: at most 0.1 % of its pixels lie over 8 grey levels from its median.

    Args:
        image: (H, W) or (H, W, 3) RGB uint8 0-255.
    """
    counts = cv2.calcHist([_grey(image)], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    median = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    near = counts[max(0, median - _BLANK_LEVELS) : median + _BLANK_LEVELS + 1].sum()
    return bool(counts.sum() - near <= _BLANK_SHARE * counts.sum())


def _grey(image: Image) -> Image:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False) if image.ndim == 3 else image


def _shrink(image: Image) -> Image:
    size = (THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    # Shrink first: the grey of an average is the average of the greys, and there are fewer pixels to convert.
    return _grey(cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False))


def _zigzag(size: int, count: int) -> NDArray[np.intp]:
    """Return the flat positions of the `count` lowest frequencies of a (size, size) transform, without the mean."""
    order = sorted(((row, column) for row in range(size) for column in range(size)), key=_by_frequency)
    return np.array([row * size + column for row, column in order[1 : count + 1]], dtype=np.intp)


def _by_frequency(position: tuple[int, int]) -> tuple[int, int]:
    return sum(position), position[0]


def _blur_matrix(size: int, sigma: float) -> NDArray[np.float32]:
    """Return the (size, size) matrix that blurs a column of pixels by a Gaussian, mirrored at the ends."""
    # A single column of the kernel: the identity is blurred along its rows only.
    return cv2.GaussianBlur(np.eye(size, dtype=np.float32), (1, 0), sigmaX=1e-3, sigmaY=sigma).astype(np.float32)


_BLUR = _blur_matrix(THUMBNAIL_SIZE, 3.0)
_ZIGZAG = _zigzag(THUMBNAIL_SIZE, HASH_BITS)
