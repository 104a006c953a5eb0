"""Measure the report of a large refined folder: python tests/benchmarks/report.py [--rows 100000]."""

import argparse
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from radrefine.report import build_report
from radrefine.schema import FINDING_COLUMNS, KINDS, MANIFEST_COLUMNS


def make_refined(folder: Path, n_rows: int, n_findings: int = 3) -> None:
    """Write the tables of `n_rows` images, and links to one picture in the refined folder and in `raw` beside it."""
    rng = np.random.default_rng(0)
    paths = [f"US/organ{number % 7}/class{number % 40}/{number:06d}.png" for number in range(n_rows)]
    manifest = pd.DataFrame(dict.fromkeys(MANIFEST_COLUMNS), index=range(n_rows))
    manifest["path"] = paths
    manifest["label"] = [path.rsplit("/", 1)[0].replace("/", "__") for path in paths]
    manifest["status"] = np.where(rng.random(n_rows) < 0.3, "refined", "clean")
    manifest["width"] = manifest["height"] = 256
    manifest["residual_score"] = rng.random(n_rows)
    manifest["mask_fraction"] = rng.random(n_rows) / 50
    manifest["elapsed_ms"] = 5.0
    manifest.to_parquet(folder / "manifest.parquet")
    findings = pd.DataFrame(
        {
            "path": np.repeat(paths, n_findings),
            "kind": rng.choice(KINDS, n_rows * n_findings),
            **{name: rng.integers(5, 200, n_rows * n_findings) for name in ("x", "y", "width", "height")},
            "score": rng.random(n_rows * n_findings),
            "detector": "benchmark",
            "removed": True,
        }
    )
    findings[list(FINDING_COLUMNS)].to_parquet(folder / "findings.parquet")
    (folder / "run.json").write_text(json.dumps({"schema": 1}))
    picture = cv2.imencode(".png", cv2.GaussianBlur(rng.integers(0, 255, (512, 512), np.uint8), (0, 0), 2))[1].tobytes()
    for name in {path.rsplit("/", 1)[0] for path in paths}:
        for root in ("refined/images", "raw"):
            (folder.parent / root / name).mkdir(parents=True, exist_ok=True)
    first = folder.parent / "picture.png"
    first.write_bytes(picture)
    for path in paths:
        for root in ("refined/images", "raw"):
            (folder.parent / root / path).symlink_to(first)


def build(folder: Path) -> None:
    """Build the report and print its time and the peak memory of this process."""
    started = time.perf_counter()
    summary = build_report(folder / "refined", source=folder / "raw")
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = sum(path.stat().st_size for path in summary.page.parent.rglob("*")) / 2**20
    print(f"  {summary.n_shown} images shown, {size:,.0f} MiB; built in {seconds:.1f} s, peak memory {peak:,.0f} MiB")


def open_page(page: Path) -> None:
    """Print how long a browser takes from the address to the pictures of the first screen, three times."""
    from playwright.sync_api import sync_playwright

    program = next(found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(3):
            tab = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
            tab.goto(page.as_uri())
            tab.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
            paint = tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            times = tab.evaluate("performance.getEntriesByType('navigation')[0].toJSON()")
            # The event `load` waits for the pictures of the cards.
            print(
                f"  first paint {paint:.0f} ms, cards there {times['domContentLoadedEventEnd']:.0f} ms, "
                f"{tab.locator('#cards img').count()} pictures there {times['loadEventEnd']:.0f} ms"
            )
        browser.close()


def main() -> None:
    """Build one report, then open it in Chromium."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "refined").mkdir()
        print(f"{rows:,} rows:")
        # Each in a process of its own, whose peak memory is that of its work alone.
        for work, arguments in ((make_refined, (folder / "refined", rows)), (build, (folder,))):
            process = spawn.Process(target=work, args=arguments)
            process.start()
            process.join()
        open_page(folder / "refined" / "report" / "index.html")


if __name__ == "__main__":
    main()
