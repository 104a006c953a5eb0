"""APGA from a split folder to a run folder."""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from pgnm.apga.agent import load_agent
from pgnm.checkpoints import load_classifier, load_policy
from pgnm.config import Recipe
from pgnm.engine import open_devices
from pgnm.errors import RunError, UsageError
from pgnm.evaluate import EvalOptions, evaluate_run
from pgnm.models import create_classifier
from pgnm.pretrain import pretrain
from pgnm.pretrain_apga import AdversarialPretraining

MakeSplit = Callable[..., Path]

TINY = Recipe(
    model="test_resnet",
    policy="apga",
    agent_model="test_resnet",
    agent_width=8,
    policy_opt="adam",
    policy_lr=1e-3,
    size=32,
    epochs=2,
    batch_size=8,
    workers=0,
    device="cpu",
    precision="fp32",
    augment="none",
    lr=0.02,
)


def test_a_run_folder_holds_classifier_agent_and_overlays(make_split: MakeSplit, tmp_path: Path) -> None:
    run = tmp_path / "run"
    pretrain(make_split(), run, TINY.replace(keep="last"))
    assert load_classifier(run)[1].policy == "apga"
    assert load_policy(run) is None
    assert load_agent(run / "policy.safetensors").encoder_name == "test_resnet"
    assert len(list((run / "overlays").glob("*.png"))) == 8
    assert "APGA" in (run / "README.md").read_text()
    rows = pd.read_csv(run / "metrics.csv")
    # The classifier alone in the first epoch, with the agent in the second.
    assert rows["loss_otsu"].notna().tolist() == [True, False]
    assert rows["reward"].notna().tolist() == [False, True]
    assert {"advantage", "baseline", "mask_share", "loss_aiding", "val_f1"} <= set(rows)


@pytest.mark.parametrize(
    "change",
    [
        {"aid": "cutout"},
        {"aid": "gradcam"},
        {"agent_action": "bernoulli", "agent_reward": "image", "agent_actions": 3, "agent_cell": 4},
        {"agent_loss": "paper", "agent_start": "random", "alone_epochs": 0},
        {"agent_loss": "area", "agent_pay": "contrast", "agent_bound": 2.0, "crop_min": 1.0, "flip": 0.0},
        {"augment": "cutmix", "class_balance": "loss", "label_smoothing": 0.1, "clip_grad": 1.0},
        {"precision": "bf16"},
    ],
    ids=lambda change: "-".join(f"{value}" for value in change.values()),
)
def test_every_option_runs(make_split: MakeSplit, tmp_path: Path, change: dict[str, object]) -> None:
    summary = pretrain(make_split(), tmp_path / "run", TINY.replace(**change))
    assert all(math.isfinite(value) for value in summary.metrics.values())


@pytest.mark.parametrize("aid", ["agent", "gradcam"])
def test_resumed_equals_uninterrupted(make_split: MakeSplit, tmp_path: Path, aid: str) -> None:
    split, recipe = make_split(), TINY.replace(aid=aid, sched="constant", policy_sched="constant", keep="last")
    pretrain(split, tmp_path / "whole", recipe.replace(epochs=3))
    for epochs in (2, 3):
        pretrain(split, tmp_path / "parts", recipe.replace(epochs=epochs))
    files = ["model.safetensors"] + (["policy.safetensors"] if aid == "agent" else [])
    for file in files:
        whole, parts = (load_file(tmp_path / name / file) for name in ("whole", "parts"))
        assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_the_agent_joins_the_best_classifier_of_those_that_learned_alone() -> None:
    stage = AdversarialPretraining(create_classifier("test_resnet", 3, size=32), TINY, open_devices(TINY), None)
    stage.recipe = TINY.replace(alone_epochs=2)
    best = {name: value.clone() for name, value in stage.model.state_dict().items()}
    assert stage.close_epoch(1, best=True) is None
    with torch.no_grad():
        for parameter in stage.model.parameters():
            parameter.add_(1.0)
    assert "best_alone" in stage.state_dict()
    go_on_from = stage.close_epoch(2, best=False)
    assert go_on_from is not None
    assert all(torch.equal(value, best[name]) for name, value in go_on_from.items())
    assert "best_alone" not in stage.state_dict()


def test_with_averaged_weights_the_agent_joins_those_that_were_judged(
    make_split: MakeSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[dict[str, torch.Tensor]] = []
    started: list[dict[str, torch.Tensor]] = []
    loop = sys.modules["pgnm.engine.fit"]  # the name is also that of a function
    scores, validate = iter([0.0, 0.9, 0.3, 0.5]), loop.validate  # the first is of the try before training

    def judge(model: torch.nn.Module, *args: object, **more: object) -> dict[str, float]:
        judged.append({name: value.clone() for name, value in model.state_dict().items()})
        return validate(model, *args, **more) | {"val_f1": next(scores)}

    def restart(average: object, module: torch.nn.Module) -> None:
        started.append({name: value.clone() for name, value in module.state_dict().items()})
        restarted(average, module)

    restarted = loop.Ema.restart
    monkeypatch.setattr(loop, "validate", judge)
    monkeypatch.setattr(loop.Ema, "restart", restart)
    pretrain(make_split(), tmp_path / "run", TINY.replace(epochs=3, alone_epochs=2, ema=0.9))
    (began,) = started
    assert all(torch.equal(value, judged[1][name]) for name, value in began.items())
    assert not all(torch.equal(value, judged[2][name]) for name, value in began.items())


@pytest.mark.parametrize(("alone", "best"), [(0, 1), (1, 1), (2, 2), (3, 3), (4, 1)])
def test_weights_that_never_met_the_agent_are_not_kept_as_the_best(
    alone: int, best: int, make_split: MakeSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = sys.modules["pgnm.engine.fit"]  # the name is also that of a function
    scores, validate = iter([0.0, 0.3, 0.9, 0.5, 0.4]), loop.validate  # the first is of the try before training

    def judge(*args: object, **more: object) -> dict[str, float]:
        return validate(*args, **more) | {"val_f1": next(scores)}

    monkeypatch.setattr(loop, "validate", judge)
    summary = pretrain(make_split(), tmp_path / "run", TINY.replace(epochs=4, alone_epochs=alone))
    assert summary.best_epoch == best


def test_an_agent_of_an_earlier_run_is_taken_up(make_split: MakeSplit, tmp_path: Path) -> None:
    split = make_split()
    pretrain(split, tmp_path / "one", TINY.replace(epochs=1))
    file = tmp_path / "one" / "policy.safetensors"
    pretrain(split, tmp_path / "two", TINY.replace(epochs=1, agent_start=str(file), alone_epochs=1))
    one, two = load_file(file), load_file(tmp_path / "two" / "policy.safetensors")
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize(
    ("change", "told", "kind"),
    [
        ({"size": 16}, "--size", UsageError),
        ({"accumulate": 2}, "--accumulate", UsageError),
        ({"agent_model": "resnet10x"}, "vgg11", UsageError),
        ({"agent_actions": 2}, "bernoulli", UsageError),
        ({"agent_start": "absent.safetensors"}, "absent", RunError),
        ({"aid": "gradcam", "model": "test_vit", "alone_epochs": 5}, "Grad-CAM needs", UsageError),
    ],
)
def test_what_cannot_work_is_told_before_training(
    make_split: MakeSplit, tmp_path: Path, change: dict[str, object], told: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=told):
        pretrain(make_split(), tmp_path / "run", TINY.replace(**change))


def test_aided_prediction_is_chosen_on_validation_and_judged_on_test(make_split: MakeSplit, tmp_path: Path) -> None:
    split, run = make_split(), tmp_path / "run"
    pretrain(split, run, TINY.replace(keep="last"))
    summary = evaluate_run(run, split, EvalOptions(input="aided", workers=0, device="cpu", resamples=0)).summary
    better = summary["val_accuracy_aided"] > summary["val_accuracy_plain"]
    assert summary["inference"] == ("aided" if better else "plain")
    assert summary["part"] == "test" and summary["input"] == "aided"
    pretrain(split, tmp_path / "plain", TINY.replace(policy="none", epochs=1))
    with pytest.raises(RunError, match="apga"):
        evaluate_run(tmp_path / "plain", split, EvalOptions(input="aided", workers=0, device="cpu", resamples=0))
