"""Predefined corrections: what was removed from each image, kept apart from the images.

Two forms are read. A `.npy` array is added to the pixels, which is how the published converter refines RadImageNet; a
mask as in `masks/` of a refined folder names the pixels to fill. Both are keyed by the path of the image; a key
without folders counts for the one image of that base name. Own removals are written as arrays too: added to the same
pixels they give the same refined image, bit for bit.
"""

import io
import zipfile
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radrefine.errors import ImageError
from radrefine.images import decode_image
from radrefine.inpaint import inpaint
from radrefine.members import Locator, read_bytes
from radrefine.records import Image, Mask, RefineResult
from radrefine.refine import RefineOptions

_PUBLISHED_SIZE: Final = (224, 224)
_LARGEST: Final = 255
# Of every file in our archives: the earliest that a ZIP file can name.
_DATE: Final = (1980, 1, 1, 0, 0, 0)


class Correction(NamedTuple):
    """Where the correction of one image lies.

    Attributes:
        locator: How to read it.
        kind: "npy" or "png".
        stamp: Changes when it does.
    """

    locator: Locator
    kind: str
    stamp: str


def apply_correction(image: Image, correction: Correction | None, options: RefineOptions) -> RefineResult:
    """Correct an image; without a correction it stays as it is.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        correction: What to do.
        options: How the pixels under a mask are filled; an array needs none of it.

    Raises:
        ImageError: The correction cannot be read, is damaged or does not fit the image.
    """
    if correction is None:
        return RefineResult(image, np.zeros(image.shape[:2], bool))
    try:
        data = read_bytes(correction.locator)
    except OSError as error:
        raise ImageError(f"its correction cannot be read: {error.strerror or error}") from None
    if correction.kind == "png":
        return _fill(image, data, options)
    return _add(image, data)


def _fill(image: Image, data: bytes, options: RefineOptions) -> RefineResult:
    mask = decode_image(data)
    if mask.shape != image.shape[:2] or not np.isin(mask, (0, 255)).all():
        raise ImageError(
            f"its mask is of shape {mask.shape} with values up to {mask.max()}; expected {image.shape[:2]} of 0 and 255"
        )
    hole: Mask = mask == 255
    return RefineResult(inpaint(image, hole, method=options.method, radius=options.radius), hole)


def _add(image: Image, data: bytes) -> RefineResult:
    """Add an array to the pixels, rounded and clipped to 0-255.

    An array of 224 x 224 goes with an image of any size, which is first resized as the published converter does.
    """
    shape = _checked_shape(data)
    if shape[:2] != image.shape[:2]:
        if shape[:2] != _PUBLISHED_SIZE:
            raise ImageError(
                f"its correction is of shape {shape}; expected {image.shape[:2]} as the image, or 224 x 224"
            )
        import cv2

        image = np.asarray(cv2.resize(image, _PUBLISHED_SIZE, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    change = _checked_array(data, image)
    corrected: Image = np.clip(np.rint(image + change), 0, 255).astype(np.uint8)
    changed = corrected != image
    return RefineResult(corrected, changed if changed.ndim == 2 else changed.any(axis=2))


def _checked_shape(data: bytes) -> tuple[int, ...]:
    """Read the shape of an array before memory is taken for it."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    except (ValueError, EOFError, KeyError, SyntaxError, TypeError, RecursionError) as error:
        raise ImageError(f"its correction is no .npy array: {error}") from None
    if dtype.kind not in "iuf" or dtype.hasobject:
        raise ImageError(f"its correction is of type {dtype}; expected whole or floating-point numbers")
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3)):
        raise ImageError(f"its correction is of shape {shape}; expected (H, W), (H, W, 1) or (H, W, 3)")
    if int(np.prod(shape, dtype=object)) * dtype.itemsize != len(data) - file.tell():
        raise ImageError(f"its correction of shape {shape} holds {len(data):,} bytes; it is damaged")
    return shape


def _checked_array(data: bytes, image: Image) -> NDArray[np.float64]:
    """Return the array in the shape of `image`, or in one that adds to it."""
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ImageError(f"its correction cannot be read: {error}") from None
    change: NDArray[np.float64] = array.astype(np.float64)
    if not np.isfinite(change).all() or np.abs(change).max(initial=0) > _LARGEST:
        raise ImageError(
            f"its correction reaches beyond -{_LARGEST} to {_LARGEST}; expected differences of 8-bit pixels"
        )
    if image.ndim == 2 and change.ndim == 3:
        if not (change == change[:, :, :1]).all():
            raise ImageError("its correction is coloured and the image is grey; expected equal channels")
        return change[:, :, 0]
    return change[:, :, None] if image.ndim == 3 and change.ndim == 2 else change


def holds_corrections(archive: Path) -> bool:
    """Tell whether a file is an archive that `write_correction` alone wrote into."""
    try:
        with zipfile.ZipFile(archive) as packed:
            items = packed.infolist()
    except (OSError, zipfile.BadZipFile):
        return False
    return all(item.filename.endswith(".npy") and item.date_time == _DATE for item in items)


def write_correction(archive: zipfile.ZipFile, refined_path: str, raw: Image, refined: Image) -> int:
    """Write the difference of an image and its refined form into an archive.

    Args:
        archive: Open for writing.
        refined_path: Path of the image in the refined folder.
        raw: (H, W) or (H, W, 3) uint8.
        refined: The same shape.

    Returns:
        Bytes that it takes there.

    Raises:
        ImageError: The shapes differ.
    """
    if raw.shape != refined.shape:
        raise ImageError(f"the refined image is of shape {refined.shape}, its source of {raw.shape}; clean it again")
    buffer = io.BytesIO()
    np.save(buffer, refined.astype(np.int16) - raw, allow_pickle=False)
    # A fixed date: the same removals make the same archive.
    item = zipfile.ZipInfo(f"{refined_path}.npy", date_time=_DATE)
    item.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(item, buffer.getvalue(), compresslevel=9)
    return item.compress_size
