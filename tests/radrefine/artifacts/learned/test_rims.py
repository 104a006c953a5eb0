"""Rims of marks: described by numbers worked out by hand, decided anew, and truer for it."""

import json
from pathlib import Path

import numpy as np
import pytest

from radrefine.artifacts.learned.detector import WEIGHTS, MarkDetector
from radrefine.artifacts.learned.rims import FEATURES, Layer, RimNetwork, rim_pixels
from radrefine.bench.scores import hole_fidelity
from radrefine.detector.backgrounds import load_backgrounds
from radrefine.detector.calibration import fit_rims
from radrefine.errors import UsageError
from radrefine.inpaint import inpaint
from radrefine.marks import draw_marks
from radrefine.phantoms import make_phantom

GREY = 9 + 25  # the place of a pixel's own grey level among its features
LEAST = -2.0


def _threshold(level: float) -> RimNetwork:
    """Return a network that holds a pixel for ink where it is brighter than `level`."""
    weights = np.zeros((FEATURES, 1))
    weights[GREY] = 1
    # From a probability of 0.3 on it is ink.
    return RimNetwork([Layer(weights, np.array([np.log(0.3 / 0.7) - level]))])


def _dot() -> tuple[np.ndarray, np.ndarray]:
    image = np.full((30, 40), 50, np.uint8)
    image[::2] = 70  # rows of 70 and 50 by turns
    image[10, 20] = 200
    logits = np.full(image.shape, -6, np.float32)
    logits[10, 20] = 3
    return image, logits


def test_a_rim_is_a_pixel_wide_and_described_by_its_neighbourhood() -> None:
    image, logits = _dot()
    logits[10, 21] = -9  # as good as -8
    rim = rim_pixels(image, logits, LEAST)

    assert rim is not None
    places = [(row, column) for row in (9, 10, 11) for column in (19, 20, 21)]
    assert list(zip(rim.rows.tolist(), rim.columns.tolist(), strict=True)) == places
    middle = rim.features[4]
    np.testing.assert_allclose(middle[:9], [-6, -6, -6, -6, 3, -8, -6, -6, -6])
    # Tissue is what lies in the 13 x 13 square and not in the 5 x 5 one: rows 4 to 16, 7 of them of 70.
    bright, dark = 7 * 13 - 3 * 5, 6 * 13 - 2 * 5
    level = (70 * bright + 50 * dark) / (bright + dark)
    spread = 20 * np.sqrt(bright * dark) / (bright + dark) + 2
    np.testing.assert_allclose(middle[GREY:], [200, level, spread, 1], rtol=1e-4)
    np.testing.assert_allclose(middle[9 + 12], np.tanh((200 - level) / (3 * spread)), rtol=1e-4)
    np.testing.assert_allclose(middle[9], np.tanh((70 - level) / (3 * spread)), rtol=1e-3)


def test_rims_at_the_border_and_without_tissue_are_described_too() -> None:
    image = np.full((6, 5), 90, np.uint8)
    logits = np.full(image.shape, -6, np.float32)
    logits[2, 2] = 3
    rim = rim_pixels(image, logits, LEAST)
    assert rim is not None and np.isfinite(rim.features).all()

    logits[:] = 3
    full = rim_pixels(image, logits, LEAST)
    assert full is not None and full.features.shape == (0, FEATURES)
    np.testing.assert_array_equal(_threshold(100).settle(image, logits, LEAST), logits)


def test_bright_neighbours_are_taken_dark_ones_left_and_sure_ones_stay() -> None:
    image, logits = _dot()
    image[9, 20] = 180  # ink that was missed
    logits[10, 21] = -1  # tissue that was taken
    logits[10, 19] = 2  # tissue of which the network is sure
    settled = _threshold(100).settle(image, logits, LEAST)

    assert settled[9, 20] > LEAST and settled[10, 20] == 3 and settled[10, 19] == 2
    assert settled[10, 21] <= LEAST
    changed = np.argwhere(settled != logits).tolist()
    assert changed == [[9, 20], [10, 21]]


def test_a_picture_without_marks_is_left_alone() -> None:
    image, logits = _dot()
    nothing = np.minimum(logits, np.float32(LEAST))
    assert _threshold(100).settle(image, nothing, LEAST) is nothing


def test_layers_survive_being_written_and_those_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    network = RimNetwork(
        [Layer(rng.normal(size=(FEATURES, 4)), rng.normal(size=4)), Layer(np.ones((4, 1)), np.ones(1))]
    )
    again = RimNetwork.from_plain(json.loads(json.dumps(network.to_plain())))
    for one, other in zip(network.layers, again.layers, strict=True):
        np.testing.assert_allclose(one.weights, other.weights, rtol=1e-4)
        np.testing.assert_allclose(one.bias, other.bias, rtol=1e-4)

    with pytest.raises(ValueError, match="must lead from 38 inputs to 1"):
        RimNetwork(network.layers[:1])
    with pytest.raises(ValueError, match="must lead"):
        RimNetwork(network.layers[1:])
    with pytest.raises(ValueError, match="not finite"):
        RimNetwork([network.layers[0], Layer(np.full((4, 1), np.nan), np.ones(1))])

    weights = tmp_path / "own.onnx"
    weights.write_bytes(WEIGHTS.read_bytes())
    known = json.loads(WEIGHTS.with_suffix(".json").read_text())
    for rims in ([{"weights": [[1.0]], "bias": [0.0]}], [{"weights": 3}], "rims", 5):
        weights.with_suffix(".json").write_text(json.dumps({**known, "rims": rims}))
        with pytest.raises(UsageError, match="train-detector"):
            MarkDetector(weights)
    weights.with_suffix(".json").write_text(json.dumps({**known, "rims": []}))
    assert MarkDetector(weights).rims is None


def test_the_rims_that_come_with_the_package_make_fills_truer() -> None:
    detector, plain = MarkDetector(), MarkDetector()
    plain.rims = None
    least = plain.settings.least_logit
    gains = []
    for number in range(8):
        rng = np.random.default_rng([5, number])
        marked = draw_marks(make_phantom("US/thyroid/nodule", rng, (224, 224)), rng, ("caliper", "text"))
        after, before = (
            hole_fidelity(inpaint(marked.image, by.look(marked.image).logits > least), marked.clean, marked.mask)[0]
            for by in (detector, plain)
        )
        gains.append(after - before)

    assert np.mean(gains) > 0


def test_rims_are_learned_from_composites() -> None:
    backgrounds, _ = load_backgrounds((), leave_out=(), phantoms=6, seed=0)
    detector = MarkDetector()
    detector.rims = None
    first = fit_rims(detector, backgrounds, count=12, size=128, seed=0)
    second = fit_rims(detector, backgrounds, count=12, size=128, seed=0)

    assert first is not None and second is not None
    assert first.to_plain() == second.to_plain()
    assert fit_rims(detector, backgrounds, count=0, size=128, seed=0) is None
