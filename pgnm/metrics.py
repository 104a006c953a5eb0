"""Judge class probabilities: the metrics of the paper's tables 1 and 2, per-class scores and calibration.

All numbers equal scikit-learn's. Conventions where a class is absent:

- Macro precision, recall and F1 average over the classes that occur among the targets or the predictions, and a class
  without predictions (or without targets) has precision (or recall) 0: scikit-learn's default with `zero_division=0`.
- Balanced accuracy averages the recall over the classes that occur among the targets.
- The area under the ROC curve one-vs-rest averages over the classes that have targets inside and outside; one-vs-one
  averages over the pairs of classes that both have targets (Hand & Till 2001, Machine Learning 45). Both are NaN when
  only one class occurs. scikit-learn gives the same one-vs-one with `labels=`, and the same one-vs-rest on the columns
  of the classes that occur.
- With two classes both areas are that of column 1, as in scikit-learn's binary case.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

METRICS: Final = (
    "precision",
    "recall",
    "f1",
    "auroc_ovr",
    "auroc_ovo",
    "balanced_accuracy",
    "accuracy",
    "entropy",
)
"""The metrics of the `eval.json` contract; `ece` is given beside them."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """All that one set of predictions says.

    Attributes:
        metrics: `METRICS` and `ece`, each in [0, 1] except `entropy`, the mean predictive entropy in nats; NaN where
            undefined.
        per_class: A row per class: class_index, label, n, n_predicted, precision, recall, f1, auroc (one-vs-rest; NaN
            for a class without images inside or outside).
        confusion: (C, C) counts, targets in rows, predictions in columns.
        reliability: A row per bin of confidence, see `reliability`.
    """

    metrics: dict[str, float]
    per_class: pd.DataFrame
    confusion: Floats
    reliability: pd.DataFrame


def classification_metrics(target: ArrayLike, probability: ArrayLike) -> dict[str, float]:
    """Compute the metrics of tables 1 and 2 of the paper; see `judge`."""
    return judge(target, probability).metrics


def judge(target: ArrayLike, probability: ArrayLike, class_names: Sequence[str] | None = None) -> Judgement:
    """Judge class probabilities against the targets.

    Args:
        target: (N,) class indices, 0 to C - 1.
        probability: (N, C) class probabilities; every row sums to 1.
        class_names: C names; the indices when left out.

    Raises:
        ValueError: The arrays do not fit each other or are no probabilities.
    """
    target, probability = check_scores(target, probability)
    n_classes = probability.shape[1]
    names = list(map(str, range(n_classes))) if class_names is None else list(class_names)
    if len(names) != n_classes:
        raise ValueError(f"expected {n_classes} class names, one for each column, got {len(names)}")
    confusion = confusion_matrix(target, probability.argmax(axis=1), n_classes)
    counts = confusion.sum(axis=1)
    ovr, ovo = aurocs(pairwise_wins(target, probability), counts)
    calibration = reliability(target, probability)
    metrics = confusion_metrics(confusion)
    metrics |= {"auroc_ovr": macro_ovr(ovr), "auroc_ovo": macro_ovo(ovo), "entropy": mean_entropy(probability)}
    metrics = {name: metrics[name] for name in METRICS}
    metrics["ece"] = expected_calibration_error(calibration)
    precision, recall, f1 = class_scores(confusion)
    columns = {
        "class_index": np.arange(n_classes),
        "label": names,
        "n": counts.astype(np.int64),
        "n_predicted": confusion.sum(axis=0).astype(np.int64),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "auroc": ovr,
    }
    return Judgement(metrics, pd.DataFrame(columns), confusion, calibration)


def mean_entropy(probability: Floats) -> float:
    """Average the entropy of the predicted distributions, in nats."""
    return float(entr(probability).sum(axis=1).mean())


def check_scores(target: ArrayLike, probability: ArrayLike) -> tuple[Ints, Floats]:
    """Return both as arrays of int64 and float64, or say what does not fit.

    Raises:
        ValueError: Wrong shapes, no rows, a target out of range, or rows that are not probabilities.
    """
    scores = np.asarray(probability, dtype=np.float64)
    labels = np.asarray(target)
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(f"expected targets (N,) and probabilities (N, C), got {labels.shape} and {scores.shape}")
    if not len(labels):
        raise ValueError("expected at least one image to judge, got none")
    if labels.dtype.kind not in "iu":
        raise ValueError(f"expected targets as whole class indices, got values of type {labels.dtype}")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(f"expected targets from 0 to {scores.shape[1] - 1}, got {labels.min()} to {labels.max()}")
    worst = np.abs(scores.sum(axis=1) - 1).max()
    if not worst <= 1e-6 or scores.min() < 0:
        raise ValueError(f"expected rows of probabilities that sum to 1, got a row that is off by {worst:g}")
    return labels.astype(np.int64), scores


def confusion_matrix(target: Ints, prediction: Ints, n_classes: int, weight: Floats | None = None) -> Floats:
    """Count images by target (row) and prediction (column): (C, C), optionally with a weight per image."""
    cells = np.bincount(target * n_classes + prediction, weights=weight, minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes).astype(np.float64)


def class_scores(confusion: Floats) -> tuple[Floats, Floats, Floats]:
    """Return precision, recall and F1 of each class, (C,) each, 0 where the denominator is 0."""
    hits, wanted, given = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    return _ratio(hits, given), _ratio(hits, wanted), _ratio(2 * hits, wanted + given)


def confusion_metrics(confusion: Floats) -> dict[str, float]:
    """Compute macro precision, recall and F1, balanced accuracy and accuracy from a (C, C) confusion matrix."""
    precision, recall, f1 = class_scores(confusion)
    wanted = confusion.sum(axis=1) > 0
    occurs = wanted | (confusion.sum(axis=0) > 0)
    return {
        "precision": float(precision[occurs].mean()),
        "recall": float(recall[occurs].mean()),
        "f1": float(f1[occurs].mean()),
        "balanced_accuracy": float(recall[wanted].mean()),
        "accuracy": float(np.trace(confusion) / confusion.sum()),
    }


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.zeros(len(numerator)), where=denominator > 0)


def pairwise_wins(target: Ints, probability: Floats) -> Floats:
    """Count, for every pair of classes (a, b), how often an image of a outranks one of b by the probability of a.

    One pass per column serves both areas under the ROC curve: every score is located among the sorted scores of the
    column's own class, which is short, and the sums by class are whole numbers (ties count one half), so the result
    is exact. The cost is N C log(N / C) instead of the N C^2 of a curve for each pair.

    Args:
        target: (N,) class indices.
        probability: (N, C) scores.

    Returns:
        (C, C), the Mann-Whitney U of class a against class b; the diagonal is zero.
    """
    wins = np.zeros((probability.shape[1], probability.shape[1]))
    by_class = _ByClass(target, probability)
    for a in by_class.present:
        own, below, upto = by_class.locate(a)
        wins[a, by_class.present] = by_class.sums(2 * len(own) - below - upto) / 2
    np.fill_diagonal(wins, 0)
    return wins


class RankedColumns:
    """The ranks of `pairwise_wins`, kept so that images can be counted a varying number of times."""

    def __init__(self, target: Ints, probability: Floats) -> None:
        self._by_class = by_class = _ByClass(target, probability)
        self._n_classes = probability.shape[1]
        self._located = [(a, *by_class.locate(a)) for a in by_class.present]

    def wins(self, weight: Floats) -> Floats:
        """Return `pairwise_wins` with every image counted `weight` times; weight is (N,)."""
        by_class = self._by_class
        ordered = weight[by_class.order]
        wins = np.zeros((self._n_classes, self._n_classes))
        for a, own, below, upto in self._located:
            cumulated = np.concatenate([[0.0], np.cumsum(ordered[by_class.rows(a)][own])])
            twice_above = 2 * cumulated[-1] - cumulated[below] - cumulated[upto]
            wins[a, by_class.present] = by_class.sums(twice_above * ordered) / 2
        np.fill_diagonal(wins, 0)
        return wins


class _ByClass:
    """Scores sorted by class, so that the images of one class are a slice and sums by class are sums over slices."""

    def __init__(self, target: Ints, probability: Floats) -> None:
        self.order = np.argsort(target, kind="stable")
        counts = np.bincount(target, minlength=probability.shape[1])
        self._ends = np.cumsum(counts)
        self._starts = self._ends - counts
        self.present: list[int] = np.flatnonzero(counts).tolist()
        self._columns = np.ascontiguousarray(_score_columns(probability)[self.order].T)

    def rows(self, a: int) -> slice:
        """Return the rows of class `a`."""
        return slice(self._starts[a], self._ends[a])

    def sums(self, values: NDArray) -> NDArray:
        """Sum values over the images of each class that is present."""
        return np.add.reduceat(values, self._starts[self.present])

    def locate(self, a: int) -> tuple[Ints, Ints, Ints]:
        """Return the sorting order of the scores of class `a` in its column, and where all images lie among them."""
        column = self._columns[a]
        own = column[self.rows(a)]
        order = np.argsort(own)
        return order, *_locate(own[order], column)


def _score_columns(probability: Floats) -> Floats:
    """Return the score of each class; with two classes both come from column 1, as in the binary case."""
    if probability.shape[1] != 2:
        return probability
    return np.column_stack([-probability[:, 1], probability[:, 1]])


def _locate(ordered: Floats, values: Floats) -> tuple[Ints, Ints]:
    """Return for each value how many of `ordered` lie below it, and how many lie below or are equal to it."""
    below = np.searchsorted(ordered, values)
    upto = below.copy()
    tied = np.flatnonzero(ordered[np.minimum(below, len(ordered) - 1)] == values)
    upto[tied] = np.searchsorted(ordered, values[tied], side="right")
    return below, upto


def aurocs(wins: Floats, counts: NDArray) -> tuple[Floats, Floats]:
    """Return the areas under the ROC curves from the counts of `pairwise_wins`.

    Args:
        wins: (C, C) from `pairwise_wins`.
        counts: (C,) images of each class.

    Returns:
        One-vs-rest (C,), NaN for a class without images inside or outside; one-vs-one (C, C), the mean of both
        directions of a pair, NaN on the diagonal and for pairs with an absent class.
    """
    inside = counts.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        ovr = wins.sum(axis=1) / (inside * (inside.sum() - inside))
        one_way = wins / np.outer(inside, inside)
    np.fill_diagonal(one_way, np.nan)
    return ovr, (one_way + one_way.T) / 2


def macro_ovr(ovr: Floats) -> float:
    """Average the one-vs-rest areas over the classes where they exist; NaN when there is none."""
    return _mean_of_finite(ovr)


def macro_ovo(ovo: Floats) -> float:
    """Average the one-vs-one areas over the pairs where they exist (Hand & Till's M); NaN when there is none."""
    return _mean_of_finite(ovo[np.triu_indices(len(ovo), 1)])


def _mean_of_finite(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def reliability(target: Ints, probability: Floats, bins: int = 15) -> pd.DataFrame:
    """Group images by the confidence of their prediction into bins of equal width.

    Returns:
        A row per bin: lower, upper (a bin holds confidences above its lower and up to its upper edge), n, confidence
        and accuracy (means; NaN in an empty bin).
    """
    confidence = probability.max(axis=1)
    correct = probability.argmax(axis=1) == target
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    n = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(place, weights=confidence, minlength=bins) / n
        accuracy = np.bincount(place, weights=correct, minlength=bins) / n
    table = {"lower": edges[:-1], "upper": edges[1:], "n": n, "confidence": mean_confidence, "accuracy": accuracy}
    return pd.DataFrame(table)


def expected_calibration_error(table: pd.DataFrame) -> float:
    """Average the gap between confidence and accuracy over the bins of `reliability`, weighted by their images."""
    filled = table[table["n"] > 0]
    gap = (filled["confidence"] - filled["accuracy"]).abs().to_numpy()
    return float(np.average(gap, weights=filled["n"].to_numpy()))
