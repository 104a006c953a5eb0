"""Training the detector: the same seed gives the same weights, interrupted or not."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from radrefine.artifacts.learned.detector import WEIGHTS
from radrefine.artifacts.learned.engines import read_network
from radrefine.artifacts.learned.network import MarkNetwork, to_blocks, to_pixels
from radrefine.detector import training
from radrefine.detector.export import to_onnx
from radrefine.detector.loss import mark_loss
from radrefine.detector.options import TrainOptions
from radrefine.detector.start import SHIPPED, take_weights
from radrefine.detector.training import one_cycle, train_detector
from radrefine.errors import UsageError
from radrefine.progress import Progress

TINY = TrainOptions(steps=20, batch_size=2, size=48, round_steps=5, phantoms=6, workers=0, seed=3, device="cpu")


class _Interrupted(Exception):
    pass


def _stop_at(step: int) -> training.ProgressCallback:
    def stop(state: Progress) -> None:
        if state.done == step:
            raise _Interrupted

    return stop


def _weights(network: MarkNetwork) -> np.ndarray:
    return torch.cat([value.flatten().float() for value in network.state_dict().values()]).numpy()


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole = train_detector(tmp_path / "whole", TINY)
    with pytest.raises(_Interrupted):
        train_detector(tmp_path / "parts", TINY, _stop_at(13))
    parts = train_detector(tmp_path / "parts", TINY)

    assert whole.steps == parts.steps == 20
    np.testing.assert_array_equal(_weights(whole.network), _weights(parts.network))
    losses = [(tmp_path / name / "metrics.csv").read_text().splitlines() for name in ("whole", "parts")]
    assert [line.rsplit(",", 1)[0] for line in losses[0]] == [line.rsplit(",", 1)[0] for line in losses[1]]


def test_workers_draw_the_same_pictures_and_do_not_hang_on_the_threads_of_opencv(tmp_path: Path) -> None:
    cv2.setNumThreads(2)
    cv2.GaussianBlur(np.zeros((600, 600), np.uint8), (0, 0), 3.0)  # a fork would copy its locked threads
    one = train_detector(tmp_path / "one", replace(TINY, steps=2, round_steps=2))
    other = train_detector(tmp_path / "other", replace(TINY, steps=2, round_steps=2, workers=1))

    np.testing.assert_array_equal(_weights(one.network), _weights(other.network))


def test_a_checkpoint_of_other_options_is_refused(tmp_path: Path) -> None:
    options = replace(TINY, steps=1, round_steps=1)
    train_detector(tmp_path, options)

    with pytest.raises(UsageError, match="other options"):
        train_detector(tmp_path, replace(options, seed=4))


def test_damaged_checkpoints_and_those_of_another_network_are_named(tmp_path: Path) -> None:
    options = replace(TINY, steps=1, round_steps=1)
    train_detector(tmp_path, options)
    state = tmp_path / "state.pt"
    data = state.read_bytes()
    for damaged in (b"", b"text", data[:1000], data[: len(data) // 2]):
        state.write_bytes(damaged)
        with pytest.raises(UsageError, match=r"state\.pt cannot be read"):
            train_detector(tmp_path, options)
        with pytest.raises(UsageError, match=r"state\.pt cannot be read"):
            train_detector(tmp_path / "new", replace(options, start=str(tmp_path)))
    state.write_bytes(data)
    saved = torch.load(state, weights_only=True)
    saved["network"].popitem()
    torch.save(saved, state)
    with pytest.raises(UsageError, match="another network"):
        train_detector(tmp_path, options)


@pytest.mark.parametrize("name", ["card.md", "metrics.csv", "mark_detector.onnx"])
def test_files_of_others_are_not_written_over(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match=f"{name} is of no training"):
        train_detector(tmp_path, TINY)
    assert (tmp_path / name).read_text() == "mine"


def test_a_training_can_start_from_the_weights_of_another(tmp_path: Path) -> None:
    first = train_detector(tmp_path / "first", replace(TINY, steps=2))
    options = replace(TINY, steps=1, lr=0.0, start=str(tmp_path / "first"))
    second = train_detector(tmp_path / "second", options)

    assert (second.steps, second.earlier_steps) == (1, 2)
    parameters = zip(first.network.parameters(), second.network.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in parameters)
    with pytest.raises(UsageError, match="does not exist"):
        train_detector(tmp_path / "third", replace(options, start=str(tmp_path / "nowhere")))


def test_a_training_that_starts_from_finished_weights_computes_what_they_do(tmp_path: Path) -> None:
    options = replace(TINY, steps=1, lr=0.0, phantoms=12, start=SHIPPED)
    started = train_detector(tmp_path, options)

    # The one small batch moves the statistics of activations a little.
    picture = torch.from_numpy(started.training.phantoms[0][:96, :96])[None, None].expand(1, 3, 96, 96).float() / 255
    with torch.no_grad():
        marks = to_pixels(started.network(to_blocks(picture))[0])[0].numpy()
    net = read_network(WEIGHTS)
    net.setInput(to_blocks(picture).numpy())
    shipped = to_pixels(torch.from_numpy(net.forward(["mark", "kind"])[0]))[0].numpy()
    assert np.abs(marks - shipped).mean() < 0.2 * np.abs(shipped).mean()


def test_finished_weights_are_taken_exactly(tmp_path: Path) -> None:
    torch.manual_seed(1)
    trained = MarkNetwork().eval()
    (tmp_path / "a.onnx").write_bytes(to_onnx(trained))
    network = MarkNetwork()
    take_weights(network, tmp_path / "a.onnx", torch.rand(4, 3, 64, 64))

    blocks = to_blocks(torch.rand(2, 3, 96, 64))
    with torch.no_grad():
        for mine, theirs in zip(network(blocks), trained(blocks), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def test_weights_that_cannot_be_started_from_are_named(tmp_path: Path) -> None:
    images = torch.rand(1, 3, 64, 64)
    (tmp_path / "text.onnx").write_text("no network")
    (tmp_path / "wide.onnx").write_bytes(to_onnx(MarkNetwork((12, 24, 40, 72))))
    with pytest.raises(UsageError, match="cannot be read"):
        take_weights(MarkNetwork(), tmp_path / "none.onnx", images)
    with pytest.raises(UsageError, match="cannot be read"):
        take_weights(MarkNetwork(), tmp_path / "text.onnx", images)
    with pytest.raises(UsageError, match="another network"):
        take_weights(MarkNetwork(), tmp_path / "wide.onnx", images)


def test_minutes_end_a_training(tmp_path: Path) -> None:
    trained = train_detector(tmp_path, replace(TINY, minutes=1e-4, round_steps=2))

    assert trained.steps == 2


def test_the_loss_falls_with_the_truth_and_ignores_pixels_without_weight() -> None:
    kinds = torch.zeros(1, 16, 16, dtype=torch.uint8)
    kinds[0, 4:8, 4:8] = 3
    weights = torch.ones(1, 16, 16)
    good = (kinds > 0).float() * 20 - 10
    kind_logits = torch.zeros(1, 9, 4, 4)

    assert mark_loss(good, kind_logits, kinds, weights) < mark_loss(-good, kind_logits, kinds, weights)
    wrong = good.clone()
    wrong[0, 0] = 10
    weights[0, 0] = 0
    torch.testing.assert_close(
        mark_loss(wrong, kind_logits, kinds, weights), mark_loss(good, kind_logits, kinds, weights)
    )


def test_the_learning_rate_rises_then_falls() -> None:
    rates = [one_cycle(share) for share in np.linspace(0, 1, 21)]

    assert rates[0] == pytest.approx(0.1) and max(rates) > 0.95 and rates[-1] < 0.01


def test_blocks_and_pixels_keep_their_places() -> None:
    image = torch.arange(16.0).reshape(1, 1, 4, 4)

    np.testing.assert_array_equal(to_pixels(to_blocks(image))[0], image[0, 0])


@pytest.mark.parametrize(
    ("field", "value"),
    [("size", 50), ("steps", 0), ("minutes", -1.0), ("lr", -1.0), ("lr", float("nan")), ("seed", -1)],
)
def test_wrong_options_name_the_flag(field: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"--{field}"):
        replace(TINY, **{field: value})


def test_unknown_devices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--device"):
        train_detector(tmp_path, replace(TINY, device="abacus"))
