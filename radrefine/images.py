"""Decode and encode images: bounded, strict, colours kept."""

import contextlib
import io
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from radrefine.errors import ImageError, SourceError
from radrefine.headers import PNG_SIGNATURE, SUFFIXES, Header, check_complete, check_size, quiet_pillow, read_header
from radrefine.records import Image

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

DEFAULT_MAX_PIXELS: Final = 64 * 2**20
"""Pixels above which a header is not believed: 8,192 x 8,192, more than any clinical image has."""


def image_size(data: bytes) -> tuple[int, int, int]:
    """Read (width, height, channels) of an encoded image from its header alone.

    Args:
        data: The whole file: PNG, JPEG, TIFF or BMP.

    Raises:
        ImageError: The bytes are no such image.
    """
    header = read_header(data)
    return header.width, header.height, header.channels


def decode_image(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Image:
    """Decode a PNG, JPEG, TIFF or BMP file.

    The size in the header is checked before memory is taken for the pixels. A rotation that EXIF asks for is not
    applied: the pixels come as they are stored. That of a TIFF's own tag is, as Pillow applies it.

    Args:
        data: The whole file.
        max_pixels: Width times height above which the image is refused.

    Returns:
        (H, W) for grey images, (H, W, 3) RGB for all others, uint8 0-255. A palette is resolved; an alpha channel
        is dropped where it is opaque.

    Raises:
        ImageError: The file is damaged, cut short, too large, or its pixels do not fit uint8 without loss.
    """
    header = read_header(data)
    check_size(header, max_pixels)
    if header.bits != 8:
        raise ImageError(f"{header.bits} bits per channel; expected 8, so convert it with a window of your choice")
    check_complete(data, header)
    if header.format == "PNG":
        _check_png_sums(data)
    return _decode(data, header)


def read_image(path: Path) -> Image:
    """Decode one image file, see `decode_image`; the message of an error names the file."""
    try:
        return decode_image(path.read_bytes())
    except (ImageError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ImageError(f"{path} cannot be read: {reason}") from None


def list_images(folder: Path) -> list[Path]:
    """Return the image files in `folder` and below, hidden ones aside; raise SourceError where there are none."""
    files = sorted(path for path in folder.rglob("[!.]*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise SourceError(f"expected images in {folder}, found none; check the path")
    return files


def encode_png(image: Image) -> bytes:
    """Encode an image as PNG, lossless, with OpenCV's own settings, which are its fastest.

    Args:
        image: (H, W) or (H, W, 3) RGB, uint8.

    Raises:
        ValueError: The array is not an image of that form.
    """
    import cv2

    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"expected (H, W) or (H, W, 3) uint8, got {image.shape} {image.dtype}")
    done, data = cv2.imencode(".png", image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise ValueError(f"OpenCV could not encode an image of shape {image.shape}")
    return data.tobytes()


def _check_png_sums(data: bytes) -> None:
    """Compare the checksum of every chunk: decoders pass over most damage inside the pixels."""
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(memoryview(data)[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise ImageError(f"the checksum of a PNG chunk at byte {position:,} is wrong; get a sound copy of the file")
        if data[position + 4 : position + 8] == b"IEND":
            return
        position = end + 4
    raise ImageError(f"the PNG file ends too early, after {len(data):,} bytes; get a whole copy of it")


def _decode(data: bytes, header: Header) -> Image:
    from PIL import Image as Pillow

    # Pillow remarks on odd tags, which occur in TIFF, and on large images; others need no lock and run side by side.
    large = header.width * header.height > DEFAULT_MAX_PIXELS
    quiet = quiet_pillow() if large or header.format == "TIFF" else contextlib.nullcontext()
    try:
        with quiet, Pillow.open(io.BytesIO(data), formats=(header.format,)) as picture:
            if getattr(picture, "n_frames", 1) > 1:
                raise ImageError(f"the file holds {getattr(picture, 'n_frames', 1)} pictures; expected one")
            if picture.size != (header.width, header.height):
                raise ImageError(f"the header says {header.width} x {header.height} px, its pixels {picture.size}")
            return _as_uint8(picture)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow lets many kinds of error out of damaged pixels
        raise ImageError(f"the pixels cannot be decoded: {error}") from None


def _as_uint8(picture: "Picture") -> Image:
    mode = picture.mode
    if mode == "P":
        mode = "RGBA" if "transparency" in picture.info else "RGB"
        picture = picture.convert(mode)
    if mode in ("LA", "RGBA"):
        low, _ = picture.getchannel("A").getextrema()
        if low != 255:
            raise ImageError("part of the image is transparent; expected opaque pixels, so flatten it first")
        picture = picture.convert("L" if mode == "LA" else "RGB")
    elif mode == "1":
        picture = picture.convert("L")
    elif mode in ("CMYK", "YCbCr"):
        picture = picture.convert("RGB")
    elif mode not in ("L", "RGB"):
        raise ImageError(f"pixels of mode {mode}; expected 8-bit grey or colour")
    return np.array(picture)
