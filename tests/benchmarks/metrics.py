"""Time the post-processing of a RadImageNet-sized test set beside scikit-learn, in one run.

python tests/benchmarks/metrics.py [--images 100364] [--classes 165] [--pairs 200]

scikit-learn's one-vs-one area takes minutes for 165 classes. It is timed on all pairs of the first classes, as many as
give about `--pairs` pairs, and scaled to all pairs; `--pairs 0` leaves nothing out.
"""

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn import metrics as sk

from pgnm.metrics import Floats, Ints, judge
from pgnm.statistics import bootstrap_intervals


def make_scores(images: int, classes: int, seed: int = 0) -> tuple[Ints, Floats]:
    """Return targets of very unequal classes and softmax scores with some signal."""
    rng = np.random.default_rng(seed)
    target = np.concatenate(
        [np.arange(classes), rng.choice(classes, images - classes, p=rng.dirichlet(np.ones(classes)))]
    )
    logits = rng.normal(size=(images, classes))
    logits[np.arange(images), target] += 2
    p = np.exp(logits)
    return target, p / p.sum(axis=1, keepdims=True)


def timed(call: Callable[[], float]) -> tuple[float, float]:
    """Return the result of a call and its seconds."""
    started = time.perf_counter()
    return call(), time.perf_counter() - started


def ovo_by_sklearn(target: Ints, p: Floats, pairs: int) -> tuple[float, float, float]:
    """Return scikit-learn's one-vs-one area on the first classes, ours there, and its seconds scaled to all pairs."""
    classes = p.shape[1]
    few = classes if not pairs else min(classes, max(3, round((1 + (1 + 8 * pairs) ** 0.5) / 2)))
    rows = target < few
    part = p[rows, :few] / p[rows, :few].sum(axis=1, keepdims=True)
    area, seconds = timed(lambda: sk.roc_auc_score(target[rows], part, multi_class="ovo", labels=np.arange(few)))
    # The images per pair are the same on average, so the time grows with the number of pairs.
    return area, judge(target[rows], part).metrics["auroc_ovo"], seconds * classes * (classes - 1) / (few * (few - 1))


def main() -> None:
    """Time both and print seconds, ratios and the largest difference."""
    parser = argparse.ArgumentParser()
    for name, default in (("images", 100_364), ("classes", 165), ("pairs", 200)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    target, p = make_scores(options.images, options.classes)
    prediction = p.argmax(axis=1)

    started = time.perf_counter()
    ours = judge(target, p).metrics
    own = time.perf_counter() - started
    started = time.perf_counter()
    bootstrap_intervals(target, p)
    resampling = time.perf_counter() - started
    macro = {"average": "macro", "zero_division": 0}
    calls: dict[str, Callable[[], float]] = {
        "precision": lambda: sk.precision_score(target, prediction, **macro),
        "recall": lambda: sk.recall_score(target, prediction, **macro),
        "f1": lambda: sk.f1_score(target, prediction, **macro),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(target, prediction),
        "accuracy": lambda: sk.accuracy_score(target, prediction),
        "auroc_ovr": lambda: sk.roc_auc_score(target, p, multi_class="ovr"),
    }
    print(f"{options.images:,} images x {options.classes} classes")
    print(f"pgnm: all metrics, per-class table, confusion and calibration in {own:.2f} s")
    print(f"pgnm: intervals from 1,000 resamples in {resampling:.2f} s (none for the areas at this size)")
    total = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, call in calls.items():
            value, seconds = timed(call)
            total += seconds
            print(f"scikit-learn {name:<18}{seconds:8.2f} s   difference {abs(value - ours[name]):.1e}")
        area, same, scaled = ovo_by_sklearn(target, p, options.pairs)
    print(f"scikit-learn {'auroc_ovo':<18}{scaled:8.2f} s   difference {abs(area - same):.1e}   (scaled to all pairs)")
    print(f"ratio without one-vs-one {total / own:.1f}, with it {(total + scaled) / own:.1f}")


if __name__ == "__main__":
    main()
