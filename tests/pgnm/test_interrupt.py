"""A run that is killed or interrupted goes on to the weights of one that was not."""

import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pgnm.config import Recipe
from pgnm.engine.devices import Devices
from pgnm.engine.guard import Stop
from pgnm.engine.state import Position
from pgnm.pretrain import pretrain
from pgnm.progress import Progress
from pgnm.run_folder import tell_unfinished

RECIPE = Recipe(
    model="test_resnet", policy_model="test_resnet", size=16, grid=4, kernel=0, epochs=3, batch_size=6, workers=0,
    device="cpu", save_every=1, keep="last",
)  # fmt: skip


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors") | load_file(run / "policy.safetensors")


def same(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_ctrl_c_saves_the_state_of_the_step(make_split: Callable[..., Path], tmp_path: Path) -> None:
    split, recipe = make_split(), RECIPE.replace(save_every=0)
    pretrain(split, tmp_path / "whole", recipe)
    seen = 0

    def interrupt(progress: Progress) -> None:
        nonlocal seen
        seen += progress.stage.startswith("epoch")
        if seen == 6 and progress.stage.startswith("epoch"):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        pretrain(split, tmp_path / "stopped", recipe, progress=interrupt)
    assert pretrain(split, tmp_path / "stopped", recipe).resumed_at == 6
    assert same(tmp_path / "whole", tmp_path / "stopped")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_finished_run_that_is_interrupted_on_its_way_to_more_epochs_says_so(
    make_split: Callable[..., Path], tmp_path: Path
) -> None:
    split, run = make_split(), tmp_path / "run"
    pretrain(split, run, RECIPE.replace(epochs=1))
    assert tell_unfinished(run) == ""

    def interrupt(progress: Progress) -> None:
        if progress.stage.startswith("epoch 3"):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        pretrain(split, run, RECIPE.replace(epochs=5), progress=interrupt)
    assert "was interrupted after 2 of 5 epochs" in tell_unfinished(run)


def test_an_epoch_goes_on_after_the_same_images_however_updates_are_cut_into_batches(
    make_split: Callable[..., Path], tmp_path: Path
) -> None:
    split = make_split()
    told: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        if progress.stage.startswith("epoch") and progress.done == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        pretrain(split, tmp_path / "run", RECIPE, progress=interrupt)  # 12 of 24 images
    halves = RECIPE.replace(batch_size=3, accumulate=2, epochs=1)
    pretrain(split, tmp_path / "run", halves, progress=told.append)
    assert [(step.done, step.total) for step in told if step.stage.startswith("epoch")] == [
        (5, 8), (6, 8), (7, 8), (8, 8)
    ]  # fmt: skip


@pytest.mark.slow
def test_a_process_killed_at_ten_moments_reaches_the_same_weights(
    make_split: Callable[..., Path], tmp_path: Path
) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pgnm.pretrain"])
    split, recipe, chance = make_split(), RECIPE.replace(epochs=8), random.Random(0)

    def start(name: str) -> BaseProcess:
        process = context.Process(target=pretrain, args=(split, tmp_path / name, recipe))
        process.start()
        return process

    start("whole").join()
    killed = 0
    for _ in range(10):
        process = start("killed")
        process.join(0.1 + 0.5 * chance.random())
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    start("killed").join()
    assert killed > 0
    assert same(tmp_path / "whole", tmp_path / "killed")


class Pair(Devices):
    """Two processes, of which the other was interrupted."""

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        return value + 1


def test_processes_ask_each_other_at_least_every_sixteen_batches_that_an_update_closes() -> None:
    stop = Stop(threading.Event(), Pair(torch.device("cpu"), "fp32", 0, 2), 0)
    closing = [5, 10, 15, 17, 22, 27, 32, 34]  # 17 batches an epoch, 5 an update: none is a multiple of 16 but 32
    assert [step for step in closing if stop.due(step)] == [17, 34]


def test_a_fresh_position_has_waited_for_nothing() -> None:
    assert Position().waited == 0
