"""Read what an image is from its first bytes, before any memory is taken for its pixels.

The sizes of PNG and JPEG are parsed here, because a million images pass through this module only to be copied;
TIFF and BMP are left to Pillow, which reads their headers lazily.
"""

import contextlib
import io
import struct
import threading
import warnings
from collections.abc import Iterator
from typing import Final, NamedTuple

from radrefine.errors import ImageError

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""Endings of the names that are taken for images, in lower case."""

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS: Final = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_PNG_END: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_PILLOW_CHANNELS: Final = {"1": 1, "L": 1, "P": 3, "RGB": 3, "RGBA": 4, "LA": 2, "CMYK": 4, "YCbCr": 3}
_PILLOW_BITS: Final = {"I": 32, "F": 32}

# Frame headers of JPEG carry the size; the other codes of this range are tables, not frames.
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

# `warnings.catch_warnings` changes the whole process, so only one thread may be inside it.
_PILLOW_LOCK: Final = threading.Lock()


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's remarks on odd tags out of the log while one file is read, one thread at a time.

    Its own limit of pixels is lifted meanwhile: `check_size` holds images to that of `--max-pixels`.
    """
    from PIL import Image

    with _PILLOW_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


class Header(NamedTuple):
    """What the header of an image file says.

    Attributes:
        format: PNG, JPEG, TIFF or BMP.
        width: Width, px.
        height: Height, px.
        channels: Channels in the file; a palette counts as 3.
        bits: Bits per channel, 8 where the format leaves no choice.
    """

    format: str
    width: int
    height: int
    channels: int
    bits: int = 8


def read_header(data: bytes) -> Header:
    """Read format, size and channels of an encoded image without decoding it.

    Args:
        data: The whole file; the format is told by its first bytes, not by its name.

    Returns:
        The header, with width and height of at least 1 px.

    Raises:
        ImageError: The bytes are none of PNG, JPEG, TIFF, BMP, or their header is damaged.
    """
    if not data:
        raise ImageError("the file is empty; expected a PNG, JPEG, TIFF or BMP image")
    try:
        if data.startswith(PNG_SIGNATURE):
            header = _png_header(data)
        elif data.startswith(b"\xff\xd8"):
            header = _jpeg_header(data)
        elif data.startswith((b"II*\x00", b"MM\x00*", b"BM")):
            header = _pillow_header(data)
        else:
            raise ImageError(f"not an image: expected PNG, JPEG, TIFF or BMP, got bytes that begin {data[:8]!r}")
    except (struct.error, IndexError):
        raise ImageError("the file ends inside its header; get a whole copy of it") from None
    if header.width < 1 or header.height < 1:
        raise ImageError(f"the header says {header.width} x {header.height} px; expected at least 1 x 1")
    return header


def check_size(header: Header, max_pixels: int) -> None:
    """Refuse an image whose header asks for more than `max_pixels` pixels.

    Raises:
        ImageError: It does.
    """
    if header.width * header.height > max_pixels:
        raise ImageError(
            f"the header says {header.width} x {header.height} px, more than the {max_pixels:,} pixels allowed; "
            "raise --max-pixels if that size is real"
        )


def check_complete(data: bytes, header: Header) -> None:
    """Notice a file that was cut short, from its end alone.

    Raises:
        ImageError: The end that the format prescribes is missing.
    """
    if header.format == "PNG":
        complete = data.endswith(_PNG_END) or data.find(_PNG_END) >= 0
    elif header.format == "JPEG":
        complete = data.rfind(b"\xff\xd9") > 0
    elif header.format == "BMP":
        (declared,) = struct.unpack_from("<I", data, 2)
        # Some writers leave the field zero; then there is nothing to compare with.
        complete = len(data) >= declared
    else:
        complete = True  # TIFF has no end mark: its parts lie anywhere
    if not complete:
        raise ImageError(f"the {header.format} file ends too early, after {len(data):,} bytes; get a whole copy of it")


def _png_header(data: bytes) -> Header:
    if data[12:16] != b"IHDR":
        raise ImageError("the PNG file does not begin with its header chunk; it is damaged")
    width, height, bits, kind = struct.unpack_from(">IIBB", data, 16)
    channels = _PNG_CHANNELS.get(kind)
    if channels is None or bits not in (1, 2, 4, 8, 16):
        raise ImageError(f"the PNG header is damaged: colour type {kind} with {bits} bits")
    return Header("PNG", width, height, channels, max(8, bits))


def _jpeg_header(data: bytes) -> Header:
    position = 2
    while True:
        if data[position] != 0xFF:
            raise ImageError("the JPEG file has no frame header; it is damaged")
        code = data[position + 1]
        if code == 0xFF:  # padding
            position += 1
            continue
        if code == 0x01 or 0xD0 <= code <= 0xD8:  # markers without a body
            position += 2
            continue
        if code in (0xD9, 0xDA):
            raise ImageError("the JPEG file has no frame header; it is damaged")
        (length,) = struct.unpack_from(">H", data, position + 2)
        if code in _JPEG_FRAMES:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, position + 4)
            return Header("JPEG", width, height, channels, bits)
        if length < 2:
            raise ImageError("the JPEG file has a segment of impossible length; it is damaged")
        position += 2 + length


def _pillow_header(data: bytes) -> Header:
    from PIL import Image

    try:
        with quiet_pillow(), Image.open(io.BytesIO(data), formats=("TIFF", "BMP")) as picture:
            width, height = picture.size
            mode, name = picture.mode, picture.format or ""
    except Exception as error:  # Pillow lets many kinds of error out of a damaged header
        raise ImageError(f"the header is damaged: {error}") from None
    channels = _PILLOW_CHANNELS.get(mode, 1)
    bits = 8 if mode in _PILLOW_CHANNELS else _PILLOW_BITS.get(mode, 16)
    return Header(name, width, height, channels, bits)
