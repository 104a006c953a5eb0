"""Options that change nothing are told to whoever gave them."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.pgnm import app
from pgnm.config import PRETRAIN_ONLY, Recipe
from pgnm.finetune import finetune
from pgnm.idle import idle_keys
from pgnm.recipe_files import load_recipe

FINETUNE = Recipe(stage="finetune", policy="none", model="test_resnet", size=16, epochs=1, workers=0, device="cpu")


@pytest.mark.parametrize(
    ("change", "idle", "used"),
    [
        ({"policy": "gaussian"}, {"objective", "policy_lr", "aid"}, {"grid", "kernel", "policy"}),
        ({"policy": "none"}, PRETRAIN_ONLY - {"policy"}, {"lr"}),
        ({"policy": "beta"}, {"baseline", "agent_model", "alone_epochs"}, {"policy_lr", "grid", "policy_size"}),
        ({"objective": "reinforce"}, {"policy_scale"}, {"baseline", "direction", "masks_per_image"}),
        ({"objective": "pathwise"}, {"baseline"}, {"policy_scale", "direction"}),
        ({"policy": "apga"}, {"objective", "grid", "policy_model"}, {"policy_lr", "agent_model", "aid"}),
        ({"policy": "apga", "aid": "cutout"}, {"policy_lr", "agent_model"}, {"alone_epochs", "aid"}),
        ({"kernel": 0}, {"sigma"}, {"kernel", "grid"}),
        ({"policy": "apga", "agent_start": "agent.safetensors"}, {"agent_model", "agent_width"}, {"agent_start"}),
        ({"policy": "apga", "agent_loss": "released"}, {"agent_area", "agent_price"}, {"agent_loss"}),
        ({"policy": "apga", "agent_loss": "paper"}, {"agent_area"}, {"agent_price"}),
        ({"policy": "apga", "agent_loss": "area"}, set(), {"agent_area", "agent_price", "agent_model"}),
        ({"stage": "finetune", "policy": "none"}, {"model", "mean"}, {"lr", "size"}),
        ({}, {"warmup_factor", "mix_alpha", "step_epochs"}, {"momentum", "sched"}),
        ({"warmup_epochs": 1, "augment": "mixup", "policy_sched": "step"}, set(), {"warmup_factor", "step_factor"}),
        ({"opt": "adamw", "policy": "none"}, {"momentum"}, set()),
        ({"opt": "adamw"}, set(), {"momentum"}),  # the policy's optimiser is SGD
    ],
)
def test_a_recipe_knows_what_it_does_not_use(change: dict[str, object], idle: set[str], used: set[str]) -> None:
    found = idle_keys(Recipe(**change)).keys()  # type: ignore[arg-type]
    assert idle <= found and not used & found
    assert found <= {key.name for key in dataclasses.fields(Recipe)}


def test_idle_flags_are_told_before_the_training_and_keys_of_the_recipe_are_not(tmp_path: Path) -> None:
    command = ["pretrain", str(tmp_path / "nowhere"), "--policy", "gaussian", "--objective", "reinforce", "--grid", "8"]
    told = CliRunner().invoke(app, command).stderr.splitlines()
    assert told[0] == "note: --policy gaussian does not use --objective; leave out what it does not use"
    assert len(told) == 2 and told[1].startswith("error: ")
    assert len(CliRunner().invoke(app, [*command, "--quiet"]).stderr.splitlines()) == 1
    assert "agent_model" in idle_keys(load_recipe("laptop", environ={}))


def test_a_warm_up_that_never_ends_is_told(
    make_split: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    finetune(make_split(), None, tmp_path / "run", FINETUNE.replace(warmup_epochs=1))
    assert "--warmup-epochs 1 is not below --epochs 1" in caplog.text
    caplog.clear()
    finetune(make_split("again"), None, tmp_path / "other", FINETUNE)
    assert caplog.text == ""
