"""Temperature scaling against a known temperature, a grid of temperatures and torch's softmax."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from pgnm.calibration import TEMPERATURES, fit_temperature, scale_by_temperature
from pgnm.metrics import classification_metrics


def softmax(logits: np.ndarray) -> np.ndarray:
    return torch.softmax(torch.from_numpy(logits), dim=1).numpy()


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.5])
def test_the_temperature_that_undoes_a_known_sharpness(sharpness: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 4)) * 2
    target = (softmax(logits).cumsum(axis=1) < rng.random((len(logits), 1))).sum(axis=1)
    given = softmax(logits * sharpness)
    temperature = fit_temperature(target, given)
    assert temperature == pytest.approx(sharpness, rel=0.03)
    scaled = scale_by_temperature(given, temperature)
    assert classification_metrics(target, scaled)["ece"] < 0.015
    grid = [log_loss(target, scale_by_temperature(given, one)) for one in np.geomspace(0.2, 5, 60)]
    assert log_loss(target, scaled) <= min(grid)


def test_scaling_is_that_of_the_logits_and_keeps_the_order() -> None:
    logits = np.random.default_rng(1).normal(size=(50, 6)) * 300  # some probabilities are 0 in float64
    given = softmax(logits)
    scaled = scale_by_temperature(given, 3.0)
    known = given > 0
    np.testing.assert_allclose(scaled[known], softmax(np.where(known, logits, -np.inf) / 3)[known], rtol=1e-6)
    assert (scaled.argmax(axis=1) == given.argmax(axis=1)).all()
    np.testing.assert_allclose(scaled.sum(axis=1), 1)
    np.testing.assert_allclose(scale_by_temperature(given, 1.0), given, atol=1e-12)


def test_a_faultless_model_ends_at_the_bound_and_bad_input_is_told() -> None:
    target = np.arange(6) % 3
    sure = np.full((6, 3), 0.1) + 0.7 * np.eye(3)[target]
    assert fit_temperature(target, sure) == pytest.approx(TEMPERATURES[0], rel=0.1)
    assert fit_temperature(target, sure[::-1]) == pytest.approx(TEMPERATURES[1], rel=0.1)
    with pytest.raises(ValueError, match="probabilities"):
        fit_temperature(target, sure * 2)
