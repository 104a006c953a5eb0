"""Choose the threshold of a trained network, calibrate the scores of its marks and measure it, on unseen composites."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from radrefine.areas import grown
from radrefine.artifacts.learned.detector import MarkDetector
from radrefine.artifacts.learned.rims import FEATURES, Layer, RimNetwork, rim_pixels
from radrefine.artifacts.learned.verdict import DetectorSettings, Verdict, group_marks, score_features, separate_marks
from radrefine.bench.scores import ObjectCounts, PixelCounts
from radrefine.detector.backgrounds import Backgrounds
from radrefine.detector.dataset import draw_composite
from radrefine.marks import DRAWN_KINDS, MarkedImage
from radrefine.records import Mask

_THRESHOLDS: Final = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
_USUAL_SCORE: Final = 0.5
# A found mark is right when at least this share of its pixels lies on a true one.
_RIGHT_SHARE: Final = 0.5
# Of the pictures, this share has no marks: collections have many such, and what is found in them is wrong.
_UNMARKED_SHARE: Final = 0.3
# Drawn from other numbers than the pictures of the training.
_STREAM: Final = 7_001
_RIM_STREAM: Final = 7_002
# Hidden layers of what decides about rims: a single one was worse, boosted trees were no better.
_RIM_LAYERS: Final = (32, 16)
_RIM_PASSES: Final = 10


@dataclass(frozen=True, slots=True)
class Figures:
    """What a detector reaches on composites over backgrounds that it did not see.

    Attributes:
        pictures: Composites and clean pictures.
        recall: Share of true pixels within 1 px of a found one.
        precision: Share of found pixels within 1 px of a true one.
        objects: Share of marks that were at least half covered.
        kinds: The same for each kind.
        kinds_right: Share of found marks whose kind is right, among those that lie on a true mark.
        clean_changed: Share of unmarked pictures in which something was found.
    """

    pictures: int
    recall: float
    precision: float
    objects: float
    kinds: dict[str, float]
    kinds_right: float
    clean_changed: float


@dataclass(frozen=True, slots=True)
class _Seen:
    truth: MarkedImage
    verdict: Verdict


def calibrate(
    detector: MarkDetector,
    backgrounds: Backgrounds,
    *,
    count: int = 240,
    size: int = 256,
    seed: int = 0,
    threshold: float | None = None,
) -> DetectorSettings:
    """Fit the scores of marks to how often such marks are right, and choose the threshold with the best F1.

    The F1 is that of the pixels of marks with a score of one half or more, as the detector is used: a low threshold
    draws whole marks, and the score keeps it from adding false ones.

    Args:
        detector: Weights with any settings.
        backgrounds: Clean pictures that the network has not seen.
        count: Composites to draw.
        size: Their side, px.
        seed: Of the composites.
        threshold: Probability from which a pixel belongs to a mark; None chooses it.
    """
    seen = list(_look(detector, backgrounds, count, size, seed))
    choices = [_with_score(seen, choice) for choice in (_THRESHOLDS if threshold is None else (threshold,))]
    return max(choices, key=lambda settings: _f1(seen, settings))


def fit_rims(
    detector: MarkDetector, backgrounds: Backgrounds, *, count: int = 240, size: int = 256, seed: int = 0
) -> RimNetwork | None:
    """Fit what decides about the rims of marks to composites, with the threshold that the detector has.

    Args:
        detector: A calibrated detector that leaves the rims as the network drew them.
        backgrounds: Clean pictures; the network may have been trained on them.
        count: Composites to draw.
        size: Their side, px.
        seed: Of the composites and of the fit.

    Returns:
        The fitted network; None where there is nothing to learn from.
    """
    from sklearn.neural_network import MLPClassifier

    least = detector.settings.least_logit
    features, ink = [np.zeros((0, FEATURES), np.float32)], [np.zeros(0, bool)]
    for item in _look(detector, backgrounds, count, size, seed, stream=_RIM_STREAM, unmarked=0.0):
        # What the score would leave in place counts, too: along its rims there is no ink to be found.
        rim = rim_pixels(item.truth.image, item.verdict.logits, least)
        if rim is not None:
            features.append(rim.features.astype(np.float32))
            ink.append(item.truth.mask[rim.rows, rim.columns])
    values, true = np.concatenate(features), np.concatenate(ink)
    if true.all() or not true.any():
        return None
    centre, scale = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64) + 1e-6
    values -= centre
    values /= scale
    model = MLPClassifier(_RIM_LAYERS, batch_size=min(2048, len(true)), learning_rate_init=2e-3)
    model.random_state = np.random.RandomState(seed)  # goes on from pass to pass
    for _ in range(_RIM_PASSES):
        model.partial_fit(values, true, classes=[False, True])
    first, *others = (Layer(*pair) for pair in zip(model.coefs_, model.intercepts_, strict=True))
    weights = first.weights / scale[:, None]
    return RimNetwork([Layer(weights, first.bias - centre @ weights), *others])


def measure(
    detector: MarkDetector, backgrounds: Backgrounds, *, count: int = 240, size: int = 256, seed: int = 1
) -> Figures:
    """Measure a calibrated detector as it is used: marks with a score below one half stay in place."""
    pixels, objects = PixelCounts(), ObjectCounts()
    right = placed = changed = unmarked = 0
    for item in _look(detector, backgrounds, count, size, seed):
        found = np.zeros(item.truth.mask.shape, bool)
        for kind, box, own in _kept_marks(item, detector.settings):
            found[box] |= own
            true = item.truth.kind_map[box][own]
            placed += int((true > 0).any())
            right += int((true > 0).any() and np.bincount(true[true > 0]).argmax() == 1 + DRAWN_KINDS.index(kind))
        if not item.truth.mask.any():
            unmarked, changed = unmarked + 1, changed + int(found.any())
            continue
        pixels.add(found, item.truth.mask, 1)
        boxes = [(mark.kind, mark.x, mark.y, mark.width, mark.height) for mark in item.truth.findings]
        objects.add(found, item.truth.mask, boxes)
    kinds = {kind: objects.share(kind) for kind in DRAWN_KINDS if kind in objects.true}
    return Figures(
        count,
        pixels.recall,
        pixels.precision,
        objects.share(),
        kinds,
        right / max(1, placed),
        changed / max(1, unmarked),
    )


def _look(
    detector: MarkDetector,
    backgrounds: Backgrounds,
    count: int,
    size: int,
    seed: int,
    *,
    stream: int = _STREAM,
    unmarked: float = _UNMARKED_SHARE,
) -> Iterator[_Seen]:
    for number in range(count):
        rng = np.random.default_rng([stream, seed, number])
        truth = draw_composite(backgrounds, rng, size, unmarked=unmarked)
        yield _Seen(truth, detector.look(truth.image))


def _kept_marks(item: _Seen, settings: DetectorSettings) -> Iterator[tuple[str, tuple[slice, slice], Mask]]:
    """Yield kind, box and pixels within the box of each mark with a score of one half or more."""
    findings, masks = group_marks(item.verdict, settings)
    for mark in findings:
        if mark.score >= _USUAL_SCORE:
            box = slice(mark.y, mark.y + mark.height), slice(mark.x, mark.x + mark.width)
            yield mark.kind, box, masks[mark.kind][box]


def _f1(seen: Sequence[_Seen], settings: DetectorSettings) -> float:
    counts = PixelCounts()
    for item in seen:
        found = np.zeros(item.truth.mask.shape, bool)
        for _, box, own in _kept_marks(item, settings):
            found[box] |= own
        counts.add(found, item.truth.mask, 1)
    return counts.f1


def _with_score(seen: Sequence[_Seen], threshold: float) -> DetectorSettings:
    """Fit a logistic regression at this threshold: is a mark with these features a true one?"""
    from sklearn.linear_model import LogisticRegression

    settings = DetectorSettings(DRAWN_KINDS, threshold, (0.0, 1.0, 0.0, 0.0))
    rows, verdicts = [np.zeros((0, 4))], [np.zeros(0, bool)]
    for item in seen:
        near = grown(item.truth.mask, 1)
        for part in separate_marks(item.verdict, settings):
            rows.append(score_features(part, item.verdict.logits))
            true = np.bincount(part.labels, near[part.rows, part.columns], minlength=part.count)
            verdicts.append(true >= _RIGHT_SHARE * np.bincount(part.labels, minlength=part.count))
    features, right = np.concatenate(rows), np.concatenate(verdicts)
    if right.all() or not right.any():
        return settings
    model = LogisticRegression(C=1.0, fit_intercept=False, max_iter=1000).fit(features, right)
    one, mean, largest, area = (float(round(weight, 5)) for weight in model.coef_[0])
    return replace(settings, score=(one, mean, largest, area))
