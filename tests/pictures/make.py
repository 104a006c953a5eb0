"""Make the pictures of the README and the documentation from a demo folder: python tests/pictures/make.py DEMO."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

WIDTH = 240
N_SHOWN = 5
DOCS = Path(__file__).parents[2] / "cli" / "docs" / "pictures"


def main(demo: Path) -> None:
    """Make the picture of before and after, and photograph the pages of the demo."""
    make_before_after(demo)
    photograph(demo)


def make_before_after(demo: Path) -> None:
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


def photograph(demo: Path) -> None:
    """Build the pages of the demo's refined folder and runs, and take pictures of them as a reader sees them."""
    from playwright.sync_api import sync_playwright

    from pgnm.report import build_report as build_run_report
    from radrefine.report import build_report

    program = next(found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name)))
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        pages = build_report(demo / "refined", source=demo / "RadImageNet-phantom", out=folder / "report").page
        runs = build_run_report(
            [demo / "finetuned", demo / "heated"],
            baseline=demo / "heated",
            split=demo / "split",
            out=folder / "runs.html",
        ).page
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light").new_page()
        tab.goto(pages.as_uri())
        tab.evaluate("document.getElementById('filter-box').open = false")
        _shoot(tab, "gallery")
        tab.click("a[href='#alike']")
        tab.wait_for_selector(".pair img")
        _shoot(tab, "duplicates")
        tab.goto(runs.as_uri())
        _shoot(tab, "runs")
        browser.close()


def _shoot(tab: Any, name: str) -> None:
    tab.evaluate("Promise.all([...document.images].filter((i) => i.loading !== 'lazy').map((i) => i.decode()))")
    picture = cv2.imdecode(np.frombuffer(tab.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    # A page has few colours besides grey; JPEG of this quality shows no trace, at a fifth of the size.
    out = DOCS / f"{name}.jpg"
    out.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(out), picture, [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(f"wrote {out}")


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
