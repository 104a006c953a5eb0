"""Fit the scorer of the classical detector: the file radrefine/artifacts/classical/scorer.json.

    python tests/benchmarks/fit_scorer.py --data SHARED/data/artifacts [--composites 1000] [--out scorer.json]

Learns from composites over clean pictures and phantoms, from pictures with echoes and colour flow that are no marks,
and from real marks. Of the real images only those whose names have an even hash are used, and none of a source whose
terms are not known; the others are for judging. Takes about ten minutes on one core.
"""

import argparse
import hashlib
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.areas import grown
from radrefine.artifacts.classical.fit import Example, fit_calibration, fit_scorer
from radrefine.artifacts.classical.regions import find_regions
from radrefine.artifacts.classical.response import measure_response
from radrefine.artifacts.classical.roi import find_field
from radrefine.artifacts.classical.scorer import CLASSES, WEIGHTS, load_scorer
from radrefine.artifacts.classical.select import draw_group, group_regions, select_regions
from radrefine.artifacts.colours import to_grey
from radrefine.images import decode_image
from radrefine.inpaint import inpaint
from radrefine.marks import composite
from radrefine.phantoms import PHANTOMS, make_phantom
from radrefine.records import Image, Mask

SOURCES = ("busi", "hip")
SCENES = [name for name in PHANTOMS if name.startswith("US/")]
UNKNOWN = 255
UNMARKED = 0.45
# Hues of colour flow, as shares of the brightest channel.
FLOW = np.array([[1, 0.3, 0.05], [1, 0.75, 0.1], [0.05, 0.3, 1], [0.1, 0.8, 1], [1, 0.5, 0], [0, 0.9, 0.3]])
Random = np.random.Generator


def is_for_fitting(name: str) -> bool:
    """Split real images for good, by a hash of their names."""
    return int(hashlib.sha256(Path(name).stem.encode()).hexdigest(), 16) % 2 == 0


def read_real(data: Path, folder: str) -> Iterator[tuple[Image, NDArray[np.uint8]]]:
    """Yield the images of a folder for fitting, grey, with the class of every pixel."""
    if not (data / folder).is_dir():
        return
    objects = json.loads((data / f"{folder}_objects.json").read_text())
    for path in sorted((data / folder).glob("*.png")):
        if is_for_fitting(path.name):
            image = to_grey(decode_image(path.read_bytes()))
            mask_file = data / f"{folder}_masks" / path.name
            truth = decode_image(mask_file.read_bytes()) > 0 if mask_file.is_file() else np.zeros(image.shape, bool)
            yield image, class_map(truth, objects.get(path.name, []))


def class_map(truth: Mask, objects: list[dict]) -> NDArray[np.uint8]:
    """Return the class of every pixel; marked pixels in no box are unknown."""
    classes = np.zeros(truth.shape, np.uint8)
    for mark in objects:
        left, top, right, bottom = (max(0, int(value)) for value in mark["bbox"])
        box = slice(top, bottom), slice(left, right)
        classes[box][truth[box]] = CLASSES.index(mark["type"])
    classes[truth & (classes == 0)] = UNKNOWN
    return classes


def speckled(rng: Random) -> Image:
    """Return grain of random brightness and size, the plainest of tissue."""
    side = int(rng.integers(110, 300))
    grain = rng.rayleigh(rng.uniform(10, 90), (side, side)).clip(0, rng.uniform(90, 255)).astype(np.uint8)
    return np.asarray(
        cv2.GaussianBlur(grain, (0, 0), sigmaX=rng.uniform(0.7, 2.5), sigmaY=rng.uniform(0.6, 1.6)), np.uint8
    )


def background(rng: Random, clean: list[Image]) -> Image:
    """Return a picture without marks: real, phantom or grain."""
    draw = rng.random()
    if draw < 0.1 or not clean:
        return speckled(rng)
    if draw < 0.45:
        side = int(rng.integers(160, 420))
        return to_grey(make_phantom(SCENES[int(rng.integers(len(SCENES)))], rng, (side, side)))
    return clean[int(rng.integers(len(clean)))]


def composites(clean: list[Image], count: int, seed: int) -> Iterator[Example]:
    """Yield composites with the class of every pixel, in grey and colour and many sizes."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        base = background(rng, clean)
        if rng.random() < 0.4:
            base = np.repeat(base[..., None], 3, axis=2)
        size = (int(rng.integers(220, 520)), int(rng.integers(220, 640))) if rng.random() < 0.25 else None
        marked = composite(base, rng, size=size, unmarked=UNMARKED)
        # The numbers of kinds and of classes are the same; an outlier is never drawn.
        yield Example(marked.image, marked.kind_map)


def look_alikes(clean: list[Image], count: int, seed: int) -> Iterator[Example]:
    """Yield pictures with bright echoes and colour flow, which are tissue."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        base = background(rng, clean)
        drawn = base.copy()
        height, width = base.shape
        for _ in range(int(rng.integers(1, 6))):
            centre = int(rng.integers(width)), int(rng.integers(height))
            axes = int(rng.integers(1, 24)), int(rng.integers(1, 14))
            grey = int(rng.integers(120, 256))
            cv2.ellipse(drawn, centre, axes, float(rng.uniform(0, 180)), 0, 360, grey, -1, cv2.LINE_AA)
        blur = float(rng.uniform(0, 1.6))
        if blur > 0.4:
            drawn = np.asarray(cv2.GaussianBlur(drawn, (0, 0), blur), np.uint8)
        image = np.maximum(base, drawn) if rng.random() < 0.6 else drawn
        if rng.random() < 0.6:
            image = with_flow(np.repeat(image[..., None], 3, axis=2), rng)
        yield Example(image, np.zeros(image.shape[:2], np.uint8))


def with_flow(image: Image, rng: Random) -> Image:
    """Return a copy with vessels in colour."""
    height, width = image.shape[:2]
    flowing = image.copy()
    rows, columns = np.ogrid[:height, :width]
    for _ in range(int(rng.integers(1, 4))):
        down, across = rows - rng.uniform(0, height), columns - rng.uniform(0, width)
        turn, size = rng.uniform(0, np.pi), (rng.uniform(4, width / 4), rng.uniform(4, height / 5))
        along = (across * np.cos(turn) + down * np.sin(turn)) / size[0]
        aside = (down * np.cos(turn) - across * np.sin(turn)) / size[1]
        block = int(rng.integers(1, 5))
        coarse = rng.standard_normal((height // block + 1, width // block + 1))
        coarse = cv2.GaussianBlur(coarse, (0, 0), float(rng.uniform(0.8, 4)))
        speed = cv2.resize(coarse / coarse.std(), (width, height), interpolation=cv2.INTER_NEAREST)
        vessel = (along**2 + aside**2 + 0.5 * speed * rng.random() < 1) & (speed > rng.uniform(-3, 0.5))
        hue = FLOW[int(rng.integers(len(FLOW)))]
        flowing[vessel] = (np.clip(0.65 + 0.25 * speed, 0.35, 1)[..., None] * hue * 255).clip(0, 255)[vessel]
    return np.asarray(cv2.GaussianBlur(flowing, (0, 0), 0.6), np.uint8) if rng.random() < 0.5 else flowing


def real_examples(data: Path) -> Iterator[Example]:
    """Yield the real images as they are, mirrored, and in other sizes and gradations."""
    for folder in (f"{source}_{kind}" for source in SOURCES for kind in ("artifact", "clean")):
        for image, classes in read_real(data, folder):
            yield Example(image, classes, 3.0)
            yield Example(np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(classes[:, ::-1]), 3.0)
            for factor, gamma in ((0.7, 1.0), (0.8, 1.0), (0.9, 0.8), (1.15, 1.25), (1.35, 1.0)):
                way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
                scaled = cv2.resize(image, None, fx=factor, fy=factor, interpolation=way)
                graded = np.rint(255 * (scaled / 255.0) ** gamma).astype(np.uint8)
                size = scaled.shape[1], scaled.shape[0]
                yield Example(
                    graded, np.asarray(cv2.resize(classes, size, interpolation=cv2.INTER_NEAREST), np.uint8), 3.0
                )


def judged_findings(clean: list[Image], weights: Path, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return scores of findings in new composites, not calibrated, and whether each is a mark."""
    scorer = load_scorer.__wrapped__(weights)
    scores, right = [], []
    for example in composites(clean, 200, seed):
        response = measure_response(example.image)
        regions = find_regions(response, find_field(response.value))
        classes = scorer(regions)
        for group in group_regions(regions, classes, select_regions(regions, classes)):
            _, rows, columns, part = draw_group(response, regions, group)
            truth = grown(example.kind_map > 0, 1)[rows, columns]
            scores.append(group.score)
            right.append(bool(truth[part].mean() >= 0.5))
    return np.array(scores), np.array(right)


def main() -> None:
    """Fit and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--composites", type=int, default=1000)
    parser.add_argument("--look-alikes", type=int, default=350)
    parser.add_argument("--calibrate-only", action="store_true", help="Keep the weights of --out.")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    started = time.monotonic()
    clean = [
        inpaint(image, cv2.dilate((classes > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
        for source in SOURCES
        for image, classes in read_real(options.data, f"{source}_clean")
    ]
    examples = (
        composites(clean, options.composites, options.seed),
        look_alikes(clean, options.look_alikes, options.seed + 1),
        real_examples(options.data),
    )
    if options.calibrate_only:
        weights = json.loads(options.out.read_text())
    else:
        weights = fit_scorer(itertools.chain(*examples), seed=options.seed)
    options.out.write_text(json.dumps(weights))
    weights["calibration"] = fit_calibration(*judged_findings(clean, options.out, options.seed + 2))
    options.out.write_text(json.dumps(weights))
    print(f"{options.out} after {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
