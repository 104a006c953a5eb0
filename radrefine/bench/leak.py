"""Measure what cleaning leaves of the label leak: can a classifier still tell which pictures carried marks?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.colours import to_grey
from radrefine.bench.baselines import Remover
from radrefine.errors import UsageError
from radrefine.inpaint import inpaint
from radrefine.marks import MarkedImage, draw_marks
from radrefine.progress import Progress, ProgressCallback, ignore_progress
from radrefine.records import Image
from radrefine.threads import one_thread

_QUANTILES: Final = (0.0, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1.0)
_HIGH: Final = (0.5, 0.9, 0.99, 0.999, 0.9999, 1.0)
_TREES: Final = 300
_RESAMPLES: Final = 1000
_TRUE_MASK: Final = "true mask"


@dataclass(frozen=True, slots=True)
class Auroc:
    """An AUROC with its 95 % interval: a bootstrap over the backgrounds of the test, the classifier as it is.

    Attributes:
        value: 0 to 1; one half where nothing tells the two kinds apart.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LeakReport:
    """How well a classifier tells marked from unmarked pictures that it was not trained on.

    Attributes:
        pictures: Pictures that it was tested on, half of them marked.
        before: On the pictures as they come.
        after: By remover, when both kinds of pictures went through it; trained anew on such pictures.
        true_mask: When exactly the pixels of the marks were filled: what the fill alone leaves.
    """

    pictures: int
    before: Auroc
    after: dict[str, Auroc]
    true_mask: Auroc


@one_thread()
def measure_leak(
    backgrounds: Sequence[Image],
    removers: dict[str, Remover],
    *,
    count: int = 300,
    size: int = 256,
    seed: int = 0,
    progress: ProgressCallback = ignore_progress,
) -> LeakReport:
    """Train a classifier on half of the backgrounds and test it on the other half.

    Every picture with a measurement drawn on it, and often text, is paired with the same picture without, so that only
    the marks, or what is left of them, tell the two apart. The features are quantiles of local responses: strokes and
    crosses stand out, fills are smooth. Two classifiers vote, a linear one and trees.

    Args:
        backgrounds: Clean pictures, 4 or more; even ones train, odd ones test.
        removers: What cleans the pictures, by name.
        count: Pairs in all.
        size: Side of the pictures, px.
        seed: Of the marks.
        progress: Called after every pair.

    Raises:
        UsageError: Too few backgrounds.
    """
    ways = {"before": None, **removers}
    rows: dict[str, list[NDArray[np.float64]]] = {name: [] for name in (*ways, _TRUE_MASK)}
    for number, pair in enumerate(draw_pairs(backgrounds, count, size=size, seed=seed), start=1):
        for name, remover in ways.items():
            for image in (pair.image, pair.clean):
                rows[name].append(texture_features(image if remover is None else remover(image)[1]))
        rows[_TRUE_MASK] += [texture_features(inpaint(pair.image, pair.mask)), texture_features(pair.clean)]
        progress(Progress("leak", number, count))
    scores = {name: tell_apart(np.stack(features), len(backgrounds)) for name, features in rows.items()}
    pictures = 2 * int((~_trains(count, len(backgrounds))).sum())
    return LeakReport(pictures, before=scores.pop("before"), true_mask=scores.pop(_TRUE_MASK), after=scores)


def draw_pairs(backgrounds: Sequence[Image], count: int, *, size: int = 256, seed: int = 0) -> Iterator[MarkedImage]:
    """Yield pictures with a measurement, half of them also with text, over the backgrounds in turn.

    Raises:
        UsageError: Fewer than 4 backgrounds.
    """
    if len(backgrounds) < 4:
        raise UsageError(f"the leak needs 4 clean images or more, got {len(backgrounds)}; name a fuller --clean")
    for number in range(count):
        yield _draw(backgrounds[number % len(backgrounds)], np.random.default_rng([seed, number]), size)


def tell_apart(features: NDArray[np.float64], backgrounds: int) -> Auroc:
    """Return how well a classifier tells marked pictures from unmarked ones.

    Args:
        features: (2 * count, F) `texture_features`, of a marked picture and its unmarked twin in turn, in the order of
            `draw_pairs`.
        backgrounds: How many backgrounds the pairs were drawn on; even ones train, odd ones test.
    """
    train = _trains(len(features) // 2, backgrounds).repeat(2)
    background = (np.arange(len(features) // 2) % backgrounds).repeat(2)
    marked = np.arange(len(features)) % 2 == 0
    scores = _scores(features, marked, train)
    return _with_interval(scores, marked[~train], background[~train])


def _trains(count: int, backgrounds: int) -> NDArray[np.bool_]:
    return np.asarray(np.arange(count) % backgrounds % 2 == 0)


def texture_features(image: Image) -> NDArray[np.float64]:
    """Return quantiles, over the picture, of how strokes and crosses stand out and of how smooth and rough it is."""
    grey = to_grey(image).astype(np.float32)
    # Black surroundings are smooth in every picture.
    inside = cv2.blur(grey, (9, 9)) > 8
    inside = inside if inside.any() else np.ones_like(inside)
    maps = [np.abs(cv2.Laplacian(grey, cv2.CV_32F)), _spread(grey, 5), _spread(grey, 9)]
    for side in (5, 9, 15):
        element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        maps += [cv2.morphologyEx(grey, way, element) for way in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)]
    features = [np.quantile(values[inside], _QUANTILES) for values in maps]
    tophat = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, np.ones((7, 7), np.uint8))
    for template in _TEMPLATES:
        match = cv2.filter2D(tophat, cv2.CV_32F, template)
        usual = cv2.blur(np.abs(match), (31, 31)) + 3
        features += [np.quantile(match, _HIGH), np.quantile(match / usual, _HIGH)]
    together = np.concatenate(features)
    return np.sign(together) * np.log1p(np.abs(together))


def _draw(background: Image, rng: np.random.Generator, size: int) -> MarkedImage:
    view = background[:, ::-1] if rng.random() < 0.5 else background
    view = np.asarray(cv2.resize(view, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    return draw_marks(view, rng, ("caliper", "text") if rng.random() < 0.5 else ("caliper",))


def _template(shape: str, side: int) -> NDArray[np.float32]:
    drawn = np.zeros((side, side), bool)
    if shape in ("plus", "flat"):
        drawn[side // 2] = True
    if shape in ("plus", "upright"):
        drawn[:, side // 2] = True
    if shape == "cross":
        drawn = np.eye(side, dtype=bool) | np.eye(side, dtype=bool)[::-1]
    return np.where(drawn, 1 / drawn.sum(), -1 / (~drawn).sum()).astype(np.float32)


_TEMPLATES: Final = [_template(shape, side) for shape in ("plus", "cross", "flat", "upright") for side in (7, 11, 15)]


def _spread(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    mean = cv2.blur(values, (side, side))
    return np.sqrt(np.maximum(cv2.blur(values * values, (side, side)) - mean * mean, 0)).astype(np.float32)


def _with_interval(scores: NDArray[np.float64], marked: NDArray[np.bool_], background: NDArray[np.intp]) -> Auroc:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    numbers, index = np.unique(background, return_inverse=True)
    drawn = []
    for _ in range(_RESAMPLES):
        # A background that is drawn twice counts twice.
        times = np.bincount(rng.integers(len(numbers), size=len(numbers)), minlength=len(numbers))
        drawn.append(roc_auc_score(marked, scores, sample_weight=times[index]))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Auroc(float(roc_auc_score(marked, scores)), float(low), float(high))


def _scores(features: NDArray[np.float64], marked: NDArray[np.bool_], train: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how marked the pictures that the classifier was not trained on look to it, 0 to 1."""
    from sklearn.ensemble import ExtraTreesClassifier, VotingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=5000))
    trees = ExtraTreesClassifier(_TREES, min_samples_leaf=2, random_state=0, n_jobs=1)
    model = VotingClassifier([("linear", linear), ("trees", trees)], voting="soft")
    model.fit(features[train], marked[train])
    return np.asarray(model.predict_proba(features[~train])[:, 1], np.float64)
