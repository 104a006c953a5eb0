import cv2
import numpy as np
import pytest

from radrefine.fingerprints import (
    correlation,
    file_sha256,
    hash_distance,
    is_blank,
    perceptual_hash,
    pixel_sha256,
    thumbnail,
)


def picture(seed: int = 0, size: int = 96) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(12, 12)).astype(np.float32)
    smooth = cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    return cv2.normalize(smooth, None, 20, 220, cv2.NORM_MINMAX).astype(np.uint8)


def test_file_hash_is_the_published_sha256() -> None:
    assert file_sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_pixel_hash_ignores_memory_layout_and_sees_shape_and_pixels() -> None:
    image = picture()

    assert pixel_sha256(image) == pixel_sha256(np.asfortranarray(image))
    assert pixel_sha256(image) != pixel_sha256(image.reshape(48, 192))
    changed = image.copy()
    changed[3, 5] ^= 1
    assert pixel_sha256(image) != pixel_sha256(changed)


def test_pixel_hash_survives_another_encoding() -> None:
    image = picture()
    files = [cv2.imencode(kind, image)[1] for kind in (".png", ".bmp", ".tif")]

    assert {pixel_sha256(cv2.imdecode(data, cv2.IMREAD_UNCHANGED)) for data in files} == {pixel_sha256(image)}


def test_perceptual_hash_has_sixteen_hex_digits_and_ignores_the_number_of_channels() -> None:
    image = picture()

    assert len(perceptual_hash(image)) == 16
    assert int(perceptual_hash(image), 16) >= 0
    assert perceptual_hash(image) == perceptual_hash(np.dstack([image] * 3))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: cv2.resize(x, (64, 64), interpolation=cv2.INTER_AREA),
        lambda x: cv2.resize(x, (200, 150), interpolation=cv2.INTER_LINEAR),
        lambda x: cv2.imdecode(cv2.imencode(".jpg", x)[1], cv2.IMREAD_GRAYSCALE),
        lambda x: (x * 0.8 + 25).astype(np.uint8),
    ],
    ids=["smaller", "larger", "jpeg", "brighter"],
)
def test_perceptual_hash_hardly_changes_for_the_same_picture(change) -> None:  # type: ignore[no-untyped-def]
    for seed in range(10):
        image = picture(seed)
        assert hash_distance(perceptual_hash(image), perceptual_hash(change(image))) <= 4
        assert correlation(thumbnail(image), thumbnail(change(image))) > 0.99


def test_perceptual_hashes_of_other_pictures_are_far_apart() -> None:
    hashes = [perceptual_hash(picture(seed)) for seed in range(20)]

    assert min(hash_distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i]) > 12


def test_correlation_of_a_constant_thumbnail_is_zero() -> None:
    flat = np.full((32, 32), 7, np.uint8)

    assert correlation(flat, thumbnail(picture())) == 0.0
    assert correlation(thumbnail(picture()), thumbnail(picture())) == pytest.approx(1)
    assert correlation(thumbnail(picture()), 255 - thumbnail(picture())) == pytest.approx(-1)
    assert abs(correlation(thumbnail(picture(0)), thumbnail(picture(1)))) < 0.5


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 3), (1, 1), (1, 500)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_constant_images_are_blank_and_hash_without_fault(shape: tuple[int, ...], level: int) -> None:
    image = np.full(shape, level, np.uint8)

    assert is_blank(image)
    assert len(perceptual_hash(image)) == 16


def test_noise_and_a_stray_pixel_leave_an_image_blank_but_a_spot_does_not() -> None:
    image = np.random.default_rng(0).integers(0, 5, (100, 100), dtype=np.uint8)
    image[50, 50] = 255
    assert is_blank(image)

    image[20:30, 20:30] = 200
    assert not is_blank(image)
