"""Two processes with half the batch each learn what one learns with the whole."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml
from safetensors.torch import load_file

from pgnm.config import Recipe

RECIPE = Recipe(
    model="test_resnet",
    policy_model="test_resnet",
    size=32,
    grid=4,
    kernel=3,
    sigma=0.5,
    epochs=2,
    batch_size=6,
    workers=0,
    device="cpu",
    precision="fp32",
    augment="autoaugment",
    lr=0.01,
    baseline="running",
    keep="last",
)
CHANGES: dict[str, dict[str, object]] = {
    "paper": {},
    "reinforce": {"objective": "reinforce"},
    # Batch norm and activation in one layer; larger steps would enlarge the rounding of its large gradients.
    "activated": {"model": "test_efficientnet", "lr": 1e-4},
}
SCRIPT = Path(__file__).with_name("two_processes.py")


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("two_processes", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def difference(one: Path, other: Path, file: str) -> float:
    first, second = load_file(one / file), load_file(other / file)
    assert first.keys() == second.keys()
    return max(float((first[name].double() - second[name].double()).abs().max()) for name in first)


@pytest.mark.slow
def test_two_processes_equal_one_and_one_goes_on_where_two_stopped(
    make_split: Callable[..., Path], tmp_path: Path
) -> None:
    split = make_split(n_train=18, size=32)
    for name, change in CHANGES.items():
        half = RECIPE.replace(batch_size=3, **change)
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(half.to_dict()))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(SCRIPT)]
    root = str(Path(__file__).parents[2])
    environ = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root, "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run([*command, str(split), str(tmp_path)], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        script = load_script()
        for name, change in CHANGES.items():
            one, two = tmp_path / f"{name}_one", tmp_path / f"{name}_two"
            script.train(split, one, RECIPE.replace(**change))
            assert difference(one, two, "model.safetensors") < 1e-4
            assert difference(one, two, "policy.safetensors") < 1e-4
        script.train(split, tmp_path / "half", RECIPE)
        assert difference(tmp_path / "paper_one", tmp_path / "half", "model.safetensors") < 1e-4
    finally:
        torch.set_num_threads(threads)
