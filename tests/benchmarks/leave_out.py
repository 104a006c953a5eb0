"""Train the mark detector without an organ, by several seeds, and judge it on that organ.

    python tests/benchmarks/leave_out.py OUT [--organ hip] [--steps 6000] [--seeds 2]

OUT keeps the weights: run again, it goes on where it stopped. Judged are composites over the organ's clean images and,
where there are any, its images with real marks. The seeds are compared on the same pictures; the interval of their
difference is a bootstrap over pictures.
"""

import itertools
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from radrefine.bench import Case, composite_cases, refiner, run_bench
from radrefine.detector.card import WEIGHTS_NAME, write_detector
from radrefine.detector.options import TrainOptions
from radrefine.detector.training import train_detector
from tests.benchmarks.detector import data_folder, real_cases

# What the shipped weights were trained over, besides phantoms and further pictures of breasts.
SHIPPED: Final = ("busi_clean", "hip_clean")
# Words of an organ's backgrounds, its clean images and its images with real marks.
ORGANS: Final = {
    "breast": (("busi",), "busi_clean", "busi_artifact"),
    "thyroid": (("ddti",), "ddti_clean", "ddti_artifact"),
    "hip": ((), "hip_clean", ""),
}
FIGURES: Final = ("objects", "recall", "precision")
RESAMPLES: Final = 2000

app = typer.Typer(add_completion=False)


@app.command()
def main(
    out: Path,
    organ: Annotated[list[str] | None, typer.Option()] = None,
    steps: int = 6000,
    seeds: int = 2,
    count: int = 120,
    threshold: float = 0.1,
) -> None:
    """Print the figures of every seed and how far the seeds differ; batches and threshold as of the shipped weights."""
    unknown = [name for name in organ or () if name not in ORGANS]
    if unknown:
        sys.exit(f"--organ must be one of {', '.join(ORGANS)}, got {unknown[0]}")
    cv2.setNumThreads(1)
    for name in organ or ORGANS:
        _, clean, marked = ORGANS[name]
        weights = [trained_without(name, out / f"{name}_{seed}", steps, seed, threshold) for seed in range(seeds)]
        cases = {"composites": list(composite_cases([data_folder() / clean], count, 0))}
        if marked:
            cases["real marks"] = list(real_cases(marked, "all"))
        for title, judged in cases.items():
            tables = [counts(judged, path) for path in weights]
            for seed, table in enumerate(tables):
                print(f"without {name:8} {title} ({len(judged)}), seed {seed}: {_listed(shares(table))}", flush=True)
            for first, second in itertools.combinations(range(seeds), 2):
                print(f"  seed {second} less seed {first}: {_difference(tables[first], tables[second])}", flush=True)


def trained_without(organ: str, out: Path, steps: int, seed: int, threshold: float) -> Path:
    """Train without an organ, or take what `out` holds of that training, and return the weights."""
    options = TrainOptions(
        backgrounds=tuple(data_folder() / folder for folder in SHIPPED),
        leave_out=(*ORGANS[organ][0], organ),
        steps=steps,
        batch_size=8,
        seed=seed,
    )
    trained = train_detector(out, options)
    if not (out / WEIGHTS_NAME).is_file():
        write_detector(trained, out, options, threshold=threshold)
    return out / WEIGHTS_NAME


def counts(cases: Iterable[Case], weights: Path) -> NDArray[np.int64]:
    """Return a row per picture: what counts for and what counts in all, of objects, recall and precision in turn."""
    methods = {"learned": refiner("learned", str(weights))}
    rows = []
    for case in cases:
        report = run_bench([case], methods)[0]
        pixels = report.pixels[1]
        objects = sum(report.objects.found.values()), sum(report.objects.true.values())
        rows.append((*objects, pixels.covered, pixels.true, pixels.correct, pixels.found))
    return np.array(rows, np.int64)


def shares(table: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return objects, recall and precision over the rows (pictures) of (..., N, 6), as (..., 3)."""
    total = table.sum(axis=-2)
    return np.asarray(total[..., ::2] / np.maximum(total[..., 1::2], 1), np.float64)


def _difference(first: NDArray[np.int64], second: NDArray[np.int64]) -> str:
    drawn = np.random.default_rng(0).integers(len(first), size=(RESAMPLES, len(first)))
    low, high = np.percentile(shares(second[drawn]) - shares(first[drawn]), [2.5, 97.5], axis=0)
    apart = shares(second) - shares(first)
    texts = [
        f"{name} {value:+.3f} ({below:+.3f} to {above:+.3f})"
        for name, value, below, above in zip(FIGURES, apart, low, high, strict=True)
    ]
    return ", ".join(texts)


def _listed(values: NDArray[np.float64]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in zip(FIGURES, values, strict=True))


if __name__ == "__main__":
    app()
