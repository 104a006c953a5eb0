"""How sure a number is: bootstrap intervals over images or groups, and paired comparisons over images or seeds."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import entr

from pgnm.metrics import (
    METRICS,
    Floats,
    Ints,
    RankedColumns,
    aurocs,
    confusion_matrix,
    confusion_metrics,
    macro_ovo,
    macro_ovr,
)

# Scores times resamples that the areas under the curve may cost, some seconds; beyond it they get no interval.
_MOST_RANKED = 200_000_000
# Sign patterns are enumerated up to this many pairs (65,536 patterns) and drawn at random beyond.
_MOST_ENUMERATED = 16
_DRAWS = 20_000
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Intervals:
    """Percentile bootstrap intervals.

    Attributes:
        bounds: Lower and upper bound by metric; areas under the curve are missing where they would take minutes.
        level: Share of resamples between the bounds.
        resamples: Number of resamples.
        units: Number of groups (or images where no group is known) that were drawn with replacement.
        by: "group" or "image".
    """

    bounds: dict[str, tuple[float, float]]
    level: float
    resamples: int
    units: int
    by: str


def bootstrap_intervals(
    target: Ints,
    probability: Floats,
    groups: Sequence[object] | None = None,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Intervals:
    """Resample groups with replacement and return percentile intervals of the metrics.

    Images of one patient or one near-duplicate group are not independent, so whole groups are drawn.

    Args:
        target: (N,) class indices.
        probability: (N, C) class probabilities.
        groups: (N,) names; an image whose name is missing or empty is a group of its own. None: no groups.
        resamples: Number of resamples.
        level: Share of resamples between the bounds.
        seed: Seed of the resampling.
    """
    (table,), units = _resampled(target, [probability], groups, resamples, seed)
    return _percentiles(table, level, units, len(target))


def bootstrap_differences(
    target: Ints,
    probability: Floats,
    reference: Floats,
    groups: Sequence[object] | None = None,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Intervals:
    """Return percentile intervals of what one model's metrics are above those of another, on the same images.

    Both are judged on the same draws of groups, so that what makes images hard for both cancels out: the interval is
    narrower than two separate ones suggest. It holds for these two models, not for other seeds of their training.

    Args:
        target: (N,) class indices.
        probability: (N, C) class probabilities of the one.
        reference: (N, C) those of the other, of the same images in the same order.
        groups: As for `bootstrap_intervals`.
        resamples: Number of resamples.
        level: Share of resamples between the bounds.
        seed: Seed of the resampling.
    """
    (own, other), units = _resampled(target, [probability, reference], groups, resamples, seed)
    return _percentiles(own - other, level, units, len(target))


def _resampled(
    target: Ints, models: Sequence[Floats], groups: Sequence[object] | None, resamples: int, seed: int
) -> tuple[list[pd.DataFrame], int]:
    """Return the metrics of each model, a row per resample, on the same draws; and how many groups there are."""
    codes = group_codes(groups, len(target))
    units = int(codes.max()) + 1
    rng = np.random.default_rng(seed)
    ranked = sum(model.size for model in models) * resamples <= _MOST_RANKED
    judges = [_WeightedMetrics(target, model, with_areas=ranked) for model in models]
    rows: list[list[dict[str, float]]] = [[] for _ in models]
    for _ in range(resamples):
        times = np.bincount(rng.integers(units, size=units), minlength=units)
        weight = times[codes].astype(np.float64)
        for judge, drawn in zip(judges, rows, strict=True):
            drawn.append(judge(weight))
    return list(map(pd.DataFrame, rows)), units


def _percentiles(table: pd.DataFrame, level: float, units: int, images: int) -> Intervals:
    tails = [50 * (1 - level), 50 * (1 + level)]
    bounds = {
        name: np.nanpercentile(table[name], tails) for name in METRICS if name in table and table[name].notna().any()
    }
    return Intervals(
        {name: (float(low), float(high)) for name, (low, high) in bounds.items()},
        level,
        len(table),
        units,
        "image" if units == images else "group",
    )


def group_codes(groups: Sequence[object] | None, n: int) -> Ints:
    """Number the groups 0, 1, ...; images without a group (None, NaN, empty) each get a number of their own."""
    if groups is None:
        return np.arange(n)
    names = pd.Series(list(groups), dtype=object)
    missing = names.isna() | (names.astype(str).str.strip() == "")
    # A tuple can never equal a name that a user gave.
    own = [(row,) if alone else name for row, (name, alone) in enumerate(zip(names, missing, strict=True))]
    return pd.factorize(pd.Series(own, dtype=object))[0].astype(np.int64)


class _WeightedMetrics:
    """The metrics of images that count a varying number of times; ranks are found once and used for every draw."""

    def __init__(self, target: Ints, probability: Floats, *, with_areas: bool) -> None:
        self.target = target
        self.n_classes = probability.shape[1]
        self.prediction = probability.argmax(axis=1)
        self.entropy = entr(probability).sum(axis=1)
        self.ranks = RankedColumns(target, probability) if with_areas else None

    def __call__(self, weight: Floats) -> dict[str, float]:
        confusion = confusion_matrix(self.target, self.prediction, self.n_classes, weight)
        metrics = confusion_metrics(confusion)
        metrics["entropy"] = float(np.average(self.entropy, weights=weight))
        if self.ranks is not None:
            ovr, ovo = aurocs(self.ranks.wins(weight), confusion.sum(axis=1))
            metrics |= {"auroc_ovr": macro_ovr(ovr), "auroc_ovo": macro_ovo(ovo)}
        return metrics


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """One arm against the baseline arm over the same seeds.

    Attributes:
        n: Number of pairs.
        difference: Mean of arm minus baseline.
        low: Lower bound of the 95 % t interval of the mean difference; NaN for one pair.
        high: Upper bound.
        p_permutation: Two-sided sign-flip permutation test of the mean, exact up to 16 pairs.
        p_wilcoxon: Two-sided Wilcoxon signed-rank test; 1 when no pair differs.
        p_smallest: The smallest p that the permutation test can give: 2 / 2^n, above 16 pairs 1 / 20,001.
    """

    n: int
    difference: float
    low: float
    high: float
    p_permutation: float
    p_wilcoxon: float
    p_smallest: float


def compare_paired(arm: ArrayLike, baseline: ArrayLike, seed: int = 0) -> PairedComparison:
    """Compare an arm with the baseline, pair by pair.

    Args:
        arm: (n,) one score per seed.
        baseline: (n,) the baseline's scores for the same seeds in the same order.
        seed: Seed of the random sign patterns, used above 16 pairs.

    Raises:
        ValueError: The two differ in length or are empty.
    """
    scores, reference = np.asarray(arm, float), np.asarray(baseline, float)
    if scores.shape != reference.shape or scores.ndim != 1 or not len(scores):
        raise ValueError(f"expected two equally long rows of scores, got {scores.shape} and {reference.shape}")
    # Scores are ratios of counts: differences that are equal differ by rounding, and must tie.
    difference = np.round(scores - reference, _DIGITS)
    n, mean = len(difference), float(difference.mean())
    half = float("nan")
    if n > 1:
        half = float(stats.t.ppf(0.975, n - 1) * difference.std(ddof=1) / np.sqrt(n))
    wilcoxon = float(stats.wilcoxon(difference).pvalue) if np.any(difference) else 1.0
    smallest = min(1.0, 2.0 ** (1 - n)) if n <= _MOST_ENUMERATED else 1 / (_DRAWS + 1)
    return PairedComparison(n, mean, mean - half, mean + half, sign_flip_test(difference, seed), wilcoxon, smallest)


def sign_flip_test(difference: Floats, seed: int = 0, draws: int = _DRAWS) -> float:
    """Return the two-sided p of the mean difference under random signs; exact up to 16 pairs."""
    n = len(difference)
    if n <= _MOST_ENUMERATED:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=n)))
        extra = 0
    else:
        signs = np.random.default_rng(seed).choice((-1.0, 1.0), size=(draws, n))
        extra = 1  # the observed pattern itself, so that p is never zero
    means = np.abs(signs @ difference)
    # The tolerance keeps patterns that differ by rounding alone on the side of the observed one.
    reached = int((means >= abs(difference.sum()) - 1e-12 * np.abs(difference).sum()).sum())
    return (reached + extra) / (len(signs) + extra)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Correct p-values for several comparisons (Holm 1979); the order is kept, NaN stays NaN and is not counted."""
    p = np.asarray(p_values, float)
    corrected = np.full(p.shape, np.nan)
    valid = np.flatnonzero(np.isfinite(p))
    order = valid[np.argsort(p[valid], kind="stable")]
    stepped = p[order] * (len(order) - np.arange(len(order)))
    corrected[order] = np.minimum(1, np.maximum.accumulate(stepped))
    return corrected
