"""Split folders of tiny images for the tests of training."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

CLASSES = ("CT__chest__normal", "MR__brain__normal", "US__breast__benign")


def write_split(
    folder: Path,
    *,
    n_train: int = 24,
    n_val: int = 9,
    n_test: int = 6,
    size: int = 16,
    colour: bool = False,
    seed: int = 0,
) -> Path:
    """Write PNG images of three classes told apart by the place of a bright square, and a split folder beside them."""
    rng = np.random.default_rng(seed)
    number = 0
    for part, count in (("train", n_train), ("val", n_val), ("test", n_test)):
        rows = []
        for index in range(count):
            class_index = index % len(CLASSES)
            path = f"images/{CLASSES[class_index].replace('__', '/')}/{number:04d}.png"
            image = rng.integers(0, 80, (size, size) + ((3,) if colour and index % 2 else ())).astype(np.uint8)
            corner = class_index * size // 4
            image[corner : corner + size // 2, corner : corner + size // 2] += 120
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / path), image)
            rows.append((path, CLASSES[class_index], class_index, f"g{number}"))
            number += 1
        (folder / "split").mkdir(exist_ok=True)
        frame = pd.DataFrame(rows, columns=["path", "label", "class_index", "group"])
        frame.to_csv(folder / "split" / f"{part}.csv", index=False)
    classes = pd.DataFrame({"class_index": range(len(CLASSES)), "label": CLASSES})
    classes.to_csv(folder / "split" / "classes.csv", index=False)
    about = {"schema": 1, "root": "..", "seed": 0, "proof": {"shared_groups": 0}}
    (folder / "split" / "split.json").write_text(json.dumps(about))
    return folder / "split"


@pytest.fixture
def make_split(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a split folder under the test's own folder."""

    def make(name: str = "data", **options: object) -> Path:
        return write_split(tmp_path / name, **options)  # type: ignore[arg-type]

    return make
