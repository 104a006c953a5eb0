"""Time phantoms and marks beside the PNG codec, in one run.

    python tests/benchmarks/phantoms.py [--size 256] [--repeats 12]

prints CPU milliseconds per image and the ratio to encoding and decoding the same images as PNG, then how many
composites one core makes in a second as training reads them, at 192 and 256 px.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from radrefine.marks import composite, draw_marks
from radrefine.phantoms import PHANTOMS, make_phantom


def main() -> None:
    """Run the measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="height and width, px")
    parser.add_argument("--repeats", type=int, default=12, help="images per line")
    options = parser.parse_args()
    size, seeds = (options.size, options.size), range(options.repeats)
    tissue = [make_phantom("US/breast/cyst", np.random.default_rng(seed), size) for seed in seeds]
    codec = _milliseconds(lambda seed: _through_png(tissue[seed]), seeds)
    print(f"{'PNG codec':24}{codec:8.2f} ms{1.0:8.1f} x")
    for modality in ("CT", "MR", "US", "XR"):
        names = [name for name in PHANTOMS if name.startswith(modality)]
        made = _milliseconds(lambda seed, names=names: _phantom(names[seed % len(names)], seed, size), seeds)
        print(f"{modality + ' phantom':24}{made:8.2f} ms{made / codec:8.1f} x")
    for name, draw in (("draw_marks", draw_marks), ("composite", composite)):
        drawn = _milliseconds(lambda seed, draw=draw: draw(tissue[seed], np.random.default_rng(seed)), seeds)
        print(f"{name:24}{drawn:8.2f} ms{drawn / codec:8.1f} x")
    for side in (192, 256):
        print(f"{f'composites, {side} px':24}{_composites_per_second(side, 10 * options.repeats):8.0f} /s")


def _composites_per_second(side: int, count: int) -> float:
    """Return the rate over backgrounds of every scene, grey and colour in turn; the phantoms are made beforehand."""
    cv2.setNumThreads(1)
    scenes = [name for name in PHANTOMS if name.startswith("US/")]
    grey = [_phantom(name, seed, (256, 256)) for seed, name in enumerate(scenes)]
    pool = [picture for tissue in grey for picture in (tissue, np.repeat(tissue[..., None], 3, axis=2))]

    def work(seed: int) -> object:
        return composite(pool[seed % len(pool)], np.random.default_rng(seed), size=(side, side))

    return 1000 / _milliseconds(work, range(count))


def _phantom(name: str, seed: int, size: tuple[int, int]) -> np.ndarray:
    return make_phantom(name, np.random.default_rng(seed), size)


def _through_png(image: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".png", image)[1], cv2.IMREAD_UNCHANGED)


def _milliseconds(work: Callable[[int], object], seeds: range) -> float:
    work(0)
    started = time.process_time()
    for seed in seeds:
        work(seed)
    return (time.process_time() - started) / len(seeds) * 1000


if __name__ == "__main__":
    main()
