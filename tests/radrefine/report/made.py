"""A refined folder of small pictures, made by hand, and an audit of it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from radrefine.schema import FAILURE_COLUMNS, FINDING_COLUMNS, KINDS, MANIFEST_COLUMNS

N_REFINED, N_CLEAN, N_COPIED = 20, 6, 3


def path_of(number: int) -> str:
    """Return the path of an image."""
    return f"US/breast/{'benign' if number % 2 else 'normal'}/{number:03d}.png"


def manifest() -> pd.DataFrame:
    """Return a manifest of images that get worse with their number."""
    statuses = ["refined"] * N_REFINED + ["clean"] * N_CLEAN + ["copied"] * N_COPIED
    rows = [
        dict.fromkeys(MANIFEST_COLUMNS)
        | {
            "path": path_of(number),
            "label": f"US__breast__{'benign' if number % 2 else 'normal'}",
            "width": 64,
            "height": 48,
            "status": status,
            "mask_fraction": 0.01 if status == "refined" else 0.0,
            "residual_score": number / 100,
            "elapsed_ms": 2.0,
        }
        for number, status in enumerate(statuses)
    ]
    return pd.DataFrame(rows, columns=list(MANIFEST_COLUMNS))


def findings() -> pd.DataFrame:
    """Return one mark in each refined image."""
    rows = [(path_of(n), KINDS[n % 3], 10, 12, 8, 8, 0.5 + n / 50, "test", True) for n in range(N_REFINED)]
    return pd.DataFrame(rows, columns=list(FINDING_COLUMNS))


def _write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def write_refined(folder: Path, source: Path) -> None:
    """Write a refined folder and the source that it was made from."""
    table = manifest()
    mask = np.zeros((48, 64), np.uint8)
    mask[12:20, 10:18] = 255
    for row in table.to_dict("records"):
        _write(folder / "images" / str(row["path"]), np.full((48, 64), 60, np.uint8))
        _write(source / str(row["path"]), np.full((48, 64), 200, np.uint8))
        if row["status"] == "refined":
            _write(folder / "masks" / str(row["path"]), mask)
    table.to_parquet(folder / "manifest.parquet")
    findings().to_parquet(folder / "findings.parquet")
    failure = ("US/broken.png", "decode", "not an image <script>alert(1)</script>")
    pd.DataFrame([failure], columns=list(FAILURE_COLUMNS)).to_csv(folder / "failures.csv", index=False)
    (folder / "run.json").write_text(json.dumps({"schema": 1, "source": str(source)}))


def write_audit(folder: Path) -> None:
    """Write the tables of an audit: eight equal images, three pairs, one of them with different labels."""
    audit = folder / "audit"
    audit.mkdir()
    labels = dict(zip(manifest()["path"], manifest()["label"], strict=True))
    facts = {"exact_duplicates": 7, "near_duplicate_pairs": 3, "label_conflicts": 1}
    (audit / "audit.json").write_text(json.dumps(facts))
    same = [path_of(number) for number in range(1, 16, 2)]
    rows = [(0, len(same), path, labels[path], "bytes", "00") for path in same]
    columns = ["set", "images", "path", "label", "kind", "pixel_sha256"]
    pd.DataFrame(rows, columns=columns).to_csv(audit / "exact_duplicates.csv", index=False)
    pairs = [(0, 1, "near", 0.991), (2, 4, "near", 0.98), (6, 8, "marks", 0.97)]
    near = [(path_of(a), path_of(b), labels[path_of(a)], labels[path_of(b)], kind, 2, c) for a, b, kind, c in pairs]
    columns = ["path_a", "path_b", "label_a", "label_b", "kind", "distance", "correlation"]
    table = pd.DataFrame(near, columns=columns)
    table.to_csv(audit / "near_duplicates.csv", index=False)
    table.head(1)[["path_a", "label_a", "path_b", "label_b", "kind"]].to_csv(audit / "label_conflicts.csv", index=False)


def _write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
