"""Images are decoded strictly, within bounds, and come back from PNG as they were."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from radrefine import images
from radrefine.errors import ImageError
from radrefine.images import decode_image, encode_png, image_size

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 9), np.uint8)
COLOUR = RNG.integers(0, 256, (7, 11, 3), np.uint8)


def encoded(image: np.ndarray, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("image", [GREY, COLOUR])
@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP"])
def test_lossless_formats_are_decoded_exactly(image: np.ndarray, form: str) -> None:
    assert np.array_equal(decode_image(encoded(image, form)), image)


@pytest.mark.parametrize("image", [GREY, COLOUR])
def test_png_round_trip_keeps_pixels_channels_and_colour_order(image: np.ndarray) -> None:
    data = encode_png(image)

    assert np.array_equal(decode_image(data), image)
    assert np.array_equal(np.array(Pillow.open(io.BytesIO(data))), image)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "BMP"])
@pytest.mark.parametrize("image", [GREY, COLOUR])
def test_size_is_read_from_the_header(image: np.ndarray, form: str) -> None:
    assert image_size(encoded(image, form)) == (image.shape[1], image.shape[0], 1 if image.ndim == 2 else 3)


def test_opaque_alpha_is_dropped_and_transparency_refused() -> None:
    alpha = np.full((7, 11, 1), 255, np.uint8)
    assert np.array_equal(decode_image(encoded(np.dstack([COLOUR, alpha]), "PNG")), COLOUR)

    alpha[0, 0] = 0
    with pytest.raises(ImageError, match="transparent"):
        decode_image(encoded(np.dstack([COLOUR, alpha]), "PNG"))


def test_palette_is_resolved() -> None:
    picture = Pillow.fromarray(COLOUR).quantize(16)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")

    assert np.array_equal(decode_image(buffer.getvalue()), np.array(picture.convert("RGB")))


def test_floats_are_refused() -> None:
    file = io.BytesIO()
    Pillow.fromarray(np.zeros((4, 4), np.float32)).save(file, "TIFF")
    with pytest.raises(ImageError, match="32 bits per channel"):
        decode_image(file.getvalue())


def test_sixteen_bits_are_refused() -> None:
    with pytest.raises(ImageError, match="16 bits"):
        decode_image(encoded(GREY.astype(np.uint16) * 257, "PNG"))


def test_several_pages_are_refused() -> None:
    data = encoded(GREY, "TIFF", save_all=True, append_images=[Pillow.fromarray(GREY)])

    with pytest.raises(ImageError, match="2 pictures"):
        decode_image(data)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "JPEG"])
def test_pillows_own_limit_does_not_stand_below_ours(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    file = io.BytesIO()
    Pillow.new("L", (30, 20), 128).save(file, form)
    monkeypatch.setattr(images, "DEFAULT_MAX_PIXELS", 100)
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 100)
    assert decode_image(file.getvalue(), max_pixels=600).shape == (20, 30)
    assert Pillow.MAX_IMAGE_PIXELS == 100
    with pytest.raises(ImageError, match="raise --max-pixels"):
        decode_image(file.getvalue(), max_pixels=599)


def test_absurd_header_is_refused_before_memory_is_taken() -> None:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")

    with pytest.raises(ImageError, match="100000 x 100000"):
        decode_image(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"just some text", "not an image"),
        (encoded(GREY, "PNG")[:20], "ends inside its header"),
        (encoded(GREY, "PNG")[:-20], "ends too early"),
        (encoded(GREY, "JPEG")[:-20], "ends too early"),
        (encoded(GREY, "BMP")[:-20], "ends too early"),
        (encoded(GREY, "TIFF")[:60], "decoded|damaged"),
    ],
)
def test_damaged_file_has_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        decode_image(data)


def test_changed_png_byte_is_noticed() -> None:
    data = bytearray(encoded(GREY, "PNG"))
    data[60] ^= 1

    with pytest.raises(ImageError, match="checksum"):
        decode_image(bytes(data))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "TIFF", "BMP"]), st.booleans(), st.data())
def test_damage_gives_a_reason_or_an_image(form: str, colour: bool, data: st.DataObject) -> None:
    damaged = bytearray(encoded(COLOUR if colour else GREY, form))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(1, len(damaged))) :]

    try:
        image = decode_image(bytes(damaged), max_pixels=10_000)
    except ImageError:
        return
    assert image.dtype == np.uint8 and image.size <= 30_000
