"""Small split folders, written by hand."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from tests.loopback.fixtures import hub, no_waiting

__all__ = ["hub", "make_split", "no_waiting", "split_folder"]

CLASSES = ["CT__chest__normal", "US__thyroid"]
PARTS = {"train": 12, "val": 4, "test": 4}


def make_split(where: Path, *, parts: dict[str, int] | None = None, size: int = 24) -> Path:
    """Write a refined folder with noise for images and the split folder beside it; returns the split folder."""
    rng = np.random.default_rng(0)
    refined, split = where / "refined", where / "split"
    split.mkdir(parents=True)
    rows: list[dict[str, object]] = []
    number = 0
    for part, count in (parts or PARTS).items():
        table = []
        for n in range(count):
            label = CLASSES[n % 2]
            path = f"{label.replace('__', '/')}/{part}_{n:05d}.png"
            _write_png(refined / "images" / path, rng.integers(0, 256, (size, size + number % 3), dtype=np.uint8))
            if label.startswith("US"):
                _write_png(refined / "masks" / path, (rng.random((size, size)) > 0.9).astype(np.uint8) * 255)
            table.append({"path": path, "label": label, "class_index": n % 2, "group": f"patient-{number // 2}"})
            rows.append({"path": path, "label": label, "status": "refined"})
            number += 1
        pd.DataFrame(table).to_csv(split / f"{part}.csv", index=False)
    pd.DataFrame(rows).to_parquet(refined / "manifest.parquet")
    pd.DataFrame({"path": [rows[1]["path"]], "kind": ["text"]}).to_parquet(refined / "findings.parquet")
    classes = {"class_index": [0, 1], "label": CLASSES, **{f"n_{part}": [6, 6] for part in PARTS}}
    pd.DataFrame(classes).to_csv(split / "classes.csv", index=False)
    run = {"schema": 1, "options": {"src": "/home/someone/raw", "remove": ["text"], "radius": 3}, "host": "box"}
    (refined / "run.json").write_text(json.dumps(run))
    facts = {"schema": 1, "root": "../refined/images", "seed": 0, "proof": {"shared_groups": 0, "shared_files": 0}}
    (split / "split.json").write_text(json.dumps(facts))
    return split


def _write_png(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


@pytest.fixture
def split_folder(tmp_path: Path) -> Path:
    """Twenty images of two classes in three splits, ten of them with a mask."""
    return make_split(tmp_path)
