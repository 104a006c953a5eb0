"""Measure the classical detector beyond `radrefine bench`: are its scores probabilities; and does the last check rank.

    python tests/benchmarks/artifacts.py scores    --clean FOLDER... [--count 200]   share that is right, by score
    python tests/benchmarks/artifacts.py residual  --clean FOLDER... [--count 200]   AUROC of residual_score
    python tests/benchmarks/artifacts.py field     --data SHARED/data/artifacts      overlap with the outlined scan area
    python tests/benchmarks/artifacts.py steps     --clean FOLDER                    time of each step beside the codec

Clean images of which the scorer has seen the half with even hashes of names; only the other half is used here.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from sklearn.metrics import roc_auc_score

from radrefine.areas import grown, window
from radrefine.artifacts.classical.find import find_artifacts
from radrefine.artifacts.classical.regions import find_regions
from radrefine.artifacts.classical.response import measure_response
from radrefine.artifacts.classical.roi import find_field
from radrefine.artifacts.classical.scorer import load_scorer
from radrefine.artifacts.colours import to_grey
from radrefine.artifacts.detect import DETECTORS
from radrefine.images import decode_image, encode_png, list_images
from radrefine.marks import MarkedImage, composite
from radrefine.records import Image
from radrefine.refine import RefineOptions, refine_image
from radrefine.threads import one_thread
from tests.benchmarks.fit_scorer import is_for_fitting

BINS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0001)


def unseen(folders: list[Path]) -> list[Image]:
    """Read the clean images that the scorer was not fitted to."""
    paths = [path for folder in folders for path in list_images(folder) if not is_for_fitting(path.name)]
    return [decode_image(path.read_bytes()) for path in paths]


def composites(folders: list[Path], count: int, unmarked: float) -> Iterator[MarkedImage]:
    """Yield composites over unseen clean images."""
    images = unseen(folders)
    for number in range(count):
        rng = np.random.default_rng([99, number])
        yield composite(images[int(rng.integers(len(images)))], rng, unmarked=unmarked)


def measure_scores(options: argparse.Namespace) -> None:
    """Print, per range of scores, the share of findings that are marks."""
    scores, right = [], []
    for marked in composites(options.clean, options.count, 0.3):
        truth = grown(marked.mask, 1)
        detection = find_artifacts(marked.image)
        for found in detection.findings:
            box = slice(found.y, found.y + found.height), slice(found.x, found.x + found.width)
            own = detection.masks[found.kind][box]
            scores.append(found.score)
            right.append(bool(truth[box][own].mean() >= 0.5) if own.any() else False)
    score, is_mark = np.array(scores), np.array(right)
    error = 0.0
    for low, high in itertools.pairwise(BINS):
        here = (score >= low) & (score < high)
        if here.any():
            error += here.mean() * abs(float(score[here].mean() - is_mark[here].mean()))
            print(f"{low:.2f}-{min(high, 1):.2f}  {here.sum():5d} findings, mean score {score[here].mean():.3f}, "
                  f"marks {is_mark[here].mean():.3f}")  # fmt: skip
    print(f"{len(score)} findings, expected calibration error {error:.3f}, AUROC {roc_auc_score(is_mark, score):.3f}")


def measure_residual(options: argparse.Namespace) -> None:
    """Print how well residual_score tells images that still hold marks from those that do not, by detector."""
    pictures = list(composites(options.clean, options.count, 0.2))
    for detector in DETECTORS:
        scores, missed, left = [], [], []
        for marked in pictures:
            result = refine_image(marked.image, RefineOptions(detector=detector))  # type: ignore[arg-type]
            scores.append(result.residual_score)
            covered = [
                (marked.mask & result.mask)[place].sum() / max(1, marked.mask[place].sum())
                for place in (window((mark.x, mark.y, mark.width, mark.height), 0) for mark in marked.findings)
            ]
            missed.append(min(covered, default=1.0) < 0.5)
            left.append((marked.mask & ~grown(result.mask, 1)).sum() >= 10)
        for name, truth in (("a mark missed", missed), ("10 px of ink left", left)):
            print(
                f"{detector:10} {name}: {sum(truth)} of {len(truth)} images, AUROC {roc_auc_score(truth, scores):.3f}"
            )


def measure_field(options: argparse.Namespace) -> None:
    """Print the overlap (intersection over union) of the field with the area that a reader outlined."""
    for name, polygons in json.loads((options.data / "screens_roi.json").read_text()).items():
        grey = to_grey(decode_image((options.data / "screens" / name).read_bytes()))
        truth = np.zeros(grey.shape, np.uint8)
        cv2.fillPoly(truth, [np.array(polygon, np.int32) for polygon in polygons], 1)
        field = find_field(grey)
        print(f"{name}: {(field & (truth > 0)).sum() / (field | (truth > 0)).sum():.3f}")


@one_thread()
def measure_steps(options: argparse.Namespace) -> None:
    """Print the processor time of each step, in units of decoding and encoding the image."""
    ratios: dict[str, list[float]] = {}
    for image in unseen(options.clean)[: options.count]:
        data = encode_png(image)
        response = measure_response(image)
        field = find_field(response.value)
        regions = find_regions(response, field)
        steps: dict[str, Callable[[], object]] = {
            "response": lambda image=image: measure_response(image),
            "field": lambda response=response: find_field(response.value),
            "regions": lambda response=response, field=field: find_regions(response, field),
            "scores": lambda regions=regions: load_scorer()(regions),
            "all of finding": lambda image=image: find_artifacts(image),
            "decode, refine, encode": lambda data=data: encode_png(refine_image(decode_image(data)).image),
        }
        floor = _seconds(lambda data=data: encode_png(decode_image(data)))
        for name, step in steps.items():
            ratios.setdefault(name, []).append(_seconds(step) / floor)
    for name, values in ratios.items():
        print(f"{name}: {np.mean(values):.2f} x codec floor, at most {np.max(values):.2f}")


def _seconds(step: Callable[[], object], repeats: int = 5) -> float:
    best = np.inf
    for _ in range(repeats):
        started = time.process_time()
        step()
        best = min(best, time.process_time() - started)
    return float(best)


def main() -> None:
    """Run one measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    measures = {"scores": measure_scores, "residual": measure_residual, "field": measure_field, "steps": measure_steps}
    parser.add_argument("measure", choices=measures)
    parser.add_argument("--clean", type=Path, nargs="+", action="extend", default=[])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    if options.measure == "field" and options.data is None:
        parser.error("field needs --data, the folder that holds screens/ and screens_roi.json")
    if options.measure != "field" and not unseen(options.clean):
        parser.error(f"{options.measure} needs --clean, folders of clean images")
    measures[options.measure](options)


if __name__ == "__main__":
    main()
