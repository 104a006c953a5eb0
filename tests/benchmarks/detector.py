"""Measure the mark detectors on real images, and what follows from their masks.

    python tests/benchmarks/detector.py real [--half report] [--weights FILE] [--sheet FILE]
    python tests/benchmarks/detector.py speed
    python tests/benchmarks/detector.py leave-out --minutes 20
    python tests/benchmarks/detector.py fills

The real images are split once, by a hash of their names: thresholds and training were chosen on the half "choose",
figures are reported on the half "report".
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from radrefine.artifacts.detect import DETECTORS
from radrefine.bench import Case, folder_cases, refiner, run_bench
from radrefine.records import Mask
from radrefine.refine import RefineOptions, refine_image

MARKED = ("busi_artifact", "ddti_artifact", "screens")
CLEAN = ("busi_clean", "ddti_clean", "hip_clean")
# It lies among the clean images and carries calipers.
MISPLACED = "146_2.png"

app = typer.Typer(add_completion=False)


def data_folder() -> Path:
    """Return the folder of real images, or end with a message."""
    root = Path(os.environ.get("RADREFINE_SHARED") or Path(__file__).parents[3] / "shared") / "data" / "artifacts"
    if not root.is_dir():
        sys.exit(f"the real images are not at {root}; set RADREFINE_SHARED to the folder that holds data/")
    return root


def half_of(name: str) -> str:
    """Return the half that an image belongs to, by its name alone."""
    return "choose" if hashlib.sha256(name.encode()).digest()[0] % 2 == 0 else "report"


def real_cases(folder: str, half: str) -> Iterator[Case]:
    """Yield one half of the cases of a folder of real images; "all" yields both."""
    root = data_folder()
    ignore = root / f"{folder}_ignore"
    objects = root / f"{folder}_objects.json"
    cases = folder_cases(
        root / folder,
        root / f"{folder}_masks",
        objects if objects.is_file() else None,
        ignore=ignore if ignore.is_dir() else None,
        unmarked=folder in CLEAN,
    )
    for case in cases:
        if case.name != MISPLACED and half in ("all", half_of(case.name)):
            yield case


@app.command("real")
def real(
    half: str = "report",
    weights: str = "",
    detector: Annotated[list[str] | None, typer.Option()] = None,
    sheet: Path | None = None,
) -> None:
    """Print what each detector does on marked and on clean real images."""
    cv2.setNumThreads(1)
    methods = {name: refiner(name, weights) for name in detector or DETECTORS}  # type: ignore[arg-type]
    for folder in (*MARKED, *CLEAN):
        cases = list(real_cases(folder, half))
        for report in run_bench(cases, methods) if cases else ():
            row = report.to_row()
            if folder in CLEAN:
                print(
                    f"{folder:14} {report.method:10} n={len(cases):2} changed {row['clean_changed']:.3f} "
                    f"pixels {row['clean_pixels']:.6f}  {row['ms']:.1f} ms"
                )
            else:
                kinds = " ".join(f"{kind}={share}" for kind, share in row["kinds"].items())
                print(
                    f"{folder:14} {report.method:10} n={len(cases):2} objects {row['objects']:.3f} "
                    f"recall {row['recall_1px']:.3f} precision {row['precision_1px']:.3f} "
                    f"(3px {row['recall_3px']:.3f} {row['precision_3px']:.3f})  {row['ms']:.1f} ms  {kinds}"
                )
    if sheet is not None:
        options = RefineOptions(detector=(detector or ["learned"])[0], weights=weights)  # type: ignore[arg-type]
        write_sheet([case for folder in (*MARKED, *CLEAN) for case in real_cases(folder, half)], options, sheet)


def write_sheet(cases: list[Case], options: RefineOptions, path: Path, side: int = 256, columns: int = 6) -> None:
    """Draw every case: found right in green, found wrong in red, missed in blue, left out in grey."""
    tiles = []
    for case in cases:
        mask = refine_image(case.image, options).mask
        image = case.image if case.image.ndim == 3 else np.repeat(case.image[..., None], 3, axis=2)
        shown = image[..., ::-1].copy() // 2
        near = _grown(case.truth)
        shown[mask & near] = (80, 230, 80)
        shown[mask & ~near] = (60, 60, 255)
        shown[case.truth & ~_grown(mask)] = (255, 120, 40)
        if case.ignored is not None:
            shown[case.ignored] = shown[case.ignored] // 2 + 60
        scale = side / max(shown.shape[:2])
        small = cv2.resize(shown, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        tile = np.zeros((side + 14, side, 3), np.uint8)
        tile[14 : 14 + small.shape[0], : small.shape[1]] = small
        cv2.putText(tile, case.name, (2, 10), cv2.FONT_HERSHEY_PLAIN, 0.8, (255, 255, 255))
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    cv2.imwrite(str(path), np.vstack(rows))


def _grown(mask: Mask) -> Mask:
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)


if __name__ == "__main__":
    app()
