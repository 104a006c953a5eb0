"""Measure the split of a collection of RadImageNet's size beside scikit-learn's StratifiedGroupKFold, in one run.

    python tests/benchmarks/split.py [--images 1350000] [--groups 132000] [--without-sklearn]

prints JSON: seconds, divided groups, and by how much the classes miss 24:1:2. scikit-learn makes 27 folds, of which 24
are train, one val and two test; it is measured twice, with images of several classes in a group and with few of them.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from radrefine.split.assign import assign_groups, count_groups

_CLASSES = 165
_RATIOS = (24, 1, 2)


def main() -> None:
    """Run the measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_350_000)
    parser.add_argument("--groups", type=int, default=132_000)
    parser.add_argument("--mixed", type=float, default=0.05, help="Share of images of another class than their group.")
    parser.add_argument("--without-sklearn", action="store_true")
    options = parser.parse_args()
    groups, classes = _collection(options.images, options.groups, options.mixed)
    result = {
        "images": len(groups),
        "groups": int(groups.max()) + 1,
        "classes": _CLASSES,
        "smallest_class": int(np.bincount(classes).min()),
        "radrefine": _measure(_ours, groups, classes),
    }
    if not options.without_sklearn:
        result["sklearn"] = _measure(_theirs, groups, classes)
        result["times_faster"] = round(result["sklearn"]["seconds"] / result["radrefine"]["seconds"], 1)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def _collection(images: int, groups: int, mixed: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw (group, class) of each image: class sizes over four decades, groups of geometric size."""
    rng = np.random.default_rng(0)
    shares = np.exp(rng.uniform(np.log(1), np.log(1e4), _CLASSES))
    shares = np.maximum(shares / shares.sum(), 60 / images)
    shares /= shares.sum()
    # The first groups go round the classes, so that each has some.
    of_group = np.r_[np.tile(np.arange(_CLASSES), 8), rng.choice(_CLASSES, groups - 8 * _CLASSES, p=shares)]
    sizes = np.maximum(1, rng.multinomial(images, rng.dirichlet(np.ones(groups))))
    group = np.repeat(np.arange(groups), sizes)
    other = rng.random(len(group)) < mixed
    return group, np.where(other, rng.choice(_CLASSES, len(group), p=shares), of_group[group])


def _measure(split, groups: np.ndarray, classes: np.ndarray) -> dict[str, float]:  # type: ignore[no-untyped-def]
    started = time.perf_counter()
    parts = split(groups, classes)
    seconds = time.perf_counter() - started
    counts = np.zeros((_CLASSES, 3), np.int64)
    np.add.at(counts, (classes, parts), 1)
    missed = np.abs(counts / counts.sum(axis=1, keepdims=True) - np.array(_RATIOS) / sum(_RATIOS)).max(axis=1)
    first = np.full(int(groups.max()) + 1, -1)
    first[groups] = parts
    return {
        "seconds": round(seconds, 2),
        "divided_groups": len(np.unique(groups[first[groups] != parts])),
        "worst_class_deviation": round(float(missed.max()), 5),
        "mean_class_deviation": round(float(missed.mean()), 6),
        "classes_missing_in_a_part": int((counts == 0).any(axis=1).sum()),
    }


def _ours(groups: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return assign_groups(count_groups(groups, classes, _CLASSES), _RATIOS)[groups]


def _theirs(groups: np.ndarray, classes: np.ndarray) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold

    folds = StratifiedGroupKFold(sum(_RATIOS), shuffle=True, random_state=0)
    parts = np.zeros(len(groups), np.int64)
    for index, (_, test) in enumerate(folds.split(classes, classes, groups)):
        parts[test] = 1 if index == 0 else 2 if index < 3 else 0
    return parts


if __name__ == "__main__":
    main()
