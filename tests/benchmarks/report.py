"""Measure the report of a large refined folder: python tests/benchmarks/report.py [--rows 100000]."""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from radrefine.report import build_report
from radrefine.schema import FINDING_COLUMNS, KINDS, MANIFEST_COLUMNS


def make_refined(folder: Path, n_rows: int, n_findings: int = 3) -> None:
    """Write the tables of `n_rows` images and one picture that all of them share."""
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
    picture = cv2.imencode(".png", rng.integers(0, 255, (256, 256), dtype=np.uint8))[1].tobytes()
    for name in {path.rsplit("/", 1)[0] for path in paths}:
        (folder / "images" / name).mkdir(parents=True)
    for path in manifest.sort_values("residual_score", ascending=False)["path"].head(400):
        (folder / "images" / str(path)).write_bytes(picture)


def main() -> None:
    """Build one report and print its time and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        make_refined(Path(name), rows)
        started = time.perf_counter()
        build_report(Path(name))
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{rows:,} rows: built in {seconds:.1f} s, peak memory {peak:,.0f} MiB (making the tables included)")


if __name__ == "__main__":
    main()
