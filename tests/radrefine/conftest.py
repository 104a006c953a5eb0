"""Small collections to clean."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow


def encoded(image: np.ndarray, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, form)
    return buffer.getvalue()


def speckled(rng: np.random.Generator, colour: bool = False) -> np.ndarray:
    """A dim field with a bright rectangle where a mark could be."""
    image = rng.integers(20, 90, (48, 64, 3) if colour else (48, 64), np.uint8)
    row, column = rng.integers(4, 30, 2)
    image[row : row + 3, column : column + 12] = 255
    return image


@pytest.fixture
def make_collection(tmp_path: Path) -> Callable[..., Path]:
    """Write a collection in RadImageNet's layout: ultrasound in several formats, other images, damaged files."""

    def make(n: int = 6, *, damaged: bool = True, name: str = "raw") -> Path:
        rng = np.random.default_rng(0)
        root = tmp_path / name
        files = {"notes.txt": b"not an image"}
        for index in range(n):
            files[f"US/thyroid/{index}.png"] = encoded(speckled(rng))
            files[f"US/breast/benign/{index}.jpg"] = encoded(speckled(rng, colour=True), "JPEG")
            files[f"CT/chest/normal/{index}.png"] = encoded(speckled(rng))
            files[f"MR/knee/acl/{index}.bmp"] = encoded(speckled(rng), "BMP")
        if damaged:
            files["US/thyroid/cut.png"] = encoded(speckled(rng))[:-30]
            files["US/thyroid/text.png"] = b"just text"
            files["CT/chest/normal/empty.png"] = b""
        for path, data in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
        return root

    return make
