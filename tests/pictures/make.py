"""Make the picture of the README from a demo folder: python tests/pictures/make.py DEMO."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

WIDTH = 240
N_SHOWN = 5


def main(demo: Path) -> None:
    """Put phantoms as they came, what was found, and the refined images above each other."""
    source, refined = demo / "RadImageNet-phantom", demo / "refined"
    manifest = pd.read_parquet(refined / "manifest.parquet").query("status == 'refined'")
    # One image per organ, the one with the most marks removed.
    manifest["marks"] = manifest.filter(like="n_").sum(axis=1)
    chosen = manifest.sort_values(["marks", "path"], ascending=[False, True]).drop_duplicates("anatomy").head(N_SHOWN)
    columns = []
    for path in chosen["path"]:
        before, after = _read(source / path), _read(refined / "images" / path)
        found = before // 3
        found[_read(refined / "masks" / path)[..., 0] > 0] = (60, 170, 255)
        columns.append(np.vstack([_framed(picture) for picture in (before, found, after)]))
    out = Path(__file__).parent / "before_after.png"
    cv2.imwrite(str(out), np.hstack(columns), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"wrote {out}: {', '.join(chosen['path'])}")


def _read(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise SystemExit(f"cannot read {path}; make the demo first: make demo")
    return np.asarray(picture)


def _framed(picture: np.ndarray) -> np.ndarray:
    scale = WIDTH / max(picture.shape[:2])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    bottom, right = WIDTH - small.shape[0], WIDTH - small.shape[1]
    return cv2.copyMakeBorder(small, 2, bottom + 2, 2, right + 2, cv2.BORDER_CONSTANT, value=(255, 255, 255))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
