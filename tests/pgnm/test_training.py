"""Pretraining and finetuning from a split folder to a run folder."""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pandas as pd
import pytest
import timm
import torch
import yaml
from safetensors.torch import load_file

from pgnm import checkpoints
from pgnm.checkpoints import load_classifier, load_policy
from pgnm.config import Recipe
from pgnm.errors import RunError, TrainingError, UsageError
from pgnm.evaluate import EvalOptions, evaluate_run
from pgnm.finetune import finetune
from pgnm.pretrain import pretrain
from pgnm.progress import Progress
from pgnm.recipe_files import load_recipe
from pgnm.run_folder import held

MakeSplit = Callable[..., Path]
# The smallest network of timm's that has batch norm, so that a run takes a second.
TINY = Recipe(
    model="test_resnet",
    policy_model="test_resnet",
    size=16,
    grid=4,
    kernel=3,
    sigma=0.5,
    epochs=2,
    batch_size=8,
    workers=0,
    device="cpu",
    augment="none",
    lr=0.02,
)
TINY_FINETUNE = TINY.replace(stage="finetune", policy="none", size=0)


def weights(run: Path) -> dict[str, torch.Tensor]:
    files = [file for file in ("model.safetensors", "policy.safetensors") if (run / file).exists()]
    return {f"{file}:{name}": value for file in files for name, value in load_file(run / file).items()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_model_to_start_from_is_not_written_over(make_split: MakeSplit, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is the model to start from, which would be lost"):
        finetune(make_split(), tmp_path / "x" / ".." / "run", tmp_path / "run", load_recipe("laptop_finetune"))


def test_the_line_from_split_to_finetuned_model(make_split: MakeSplit, tmp_path: Path) -> None:
    split, heated, tuned = make_split(), tmp_path / "heated", tmp_path / "tuned"
    pretrain(split, heated, TINY)
    summary = finetune(split, heated, tuned, TINY_FINETUNE.replace(epochs=6, lr=0.05))
    assert summary.best_f1 > 0.5
    model, info = load_classifier(tuned)
    assert (info.stage, info.size, info.policy) == ("finetune", 16, "none")
    images = torch.randn(2, 3, 16, 16)
    theirs = timm.create_model(f"local-dir:{tuned}", pretrained=True).eval()
    with torch.inference_mode():
        assert torch.equal(model(images), theirs(images))


def test_a_run_folder_holds_what_the_contract_names(make_split: MakeSplit, tmp_path: Path) -> None:
    pretrain(make_split(), tmp_path / "run", TINY)
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files == {
        "model.safetensors",
        "config.json",
        "policy.safetensors",
        "state",
        "metrics.csv",
        "recipe.yaml",
        "README.md",
    }
    rows = pd.read_csv(tmp_path / "run" / "metrics.csv")
    assert len(rows) == 2 and rows.notna().all().all()
    wanted = (
        "mask_mean mask_std alpha_p05 beta_p95 policy_entropy share_at_bound log_prob reward grad_norm policy_grad_norm"
    )
    assert {*wanted.split(), "images_per_second", "lr", "policy_lr", "val_f1"} <= set(rows)
    resolved = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())["resolved"]
    assert "torch" in resolved["versions"] and "train.csv" in resolved["sha256"]
    assert load_recipe(tmp_path / "run" / "recipe.yaml", environ={}) == TINY


def test_the_policy_is_read_back(make_split: MakeSplit, tmp_path: Path) -> None:
    pretrain(make_split(), tmp_path / "run", TINY)
    policy = load_policy(tmp_path / "run")
    assert policy is not None and policy.grid == 4
    assert torch.equal(policy.a0, load_file(tmp_path / "run" / "policy.safetensors")["a0"])


@pytest.mark.parametrize(
    "change",
    [
        {"policy": "none"},
        {"policy": "gaussian"},
        {"policy": "uniform", "kernel": 0},
        {"policy": "uniform", "grid": 16},
        {"objective": "reinforce"},
        {"policy_size": 8},
        {"objective": "reinforce", "baseline": "running", "direction": "oppose"},
        {"objective": "reinforce", "baseline": "leave_one_out", "masks_per_image": 2},
        {"objective": "pathwise", "policy_opt": "adam", "policy_lr": 1e-3},
        {"augment": "cutmix+autoaugment", "label_smoothing": 0.1},
        {"augment": "mixup", "class_balance": "loss"},
        {"ema": 0.9, "clip_grad": 1.0, "accumulate": 2},
        {"precision": "bf16", "size": 32},
        {"opt": "adamw", "lr": 1e-3, "sched": "step", "keep": "last"},
    ],
    ids=lambda change: "-".join(f"{value}" for value in change.values()),
)
def test_every_kind_of_noise_objective_and_technique_runs(
    make_split: MakeSplit, tmp_path: Path, change: dict[str, object]
) -> None:
    summary = pretrain(make_split(), tmp_path / "run", TINY.replace(**change, epochs=1))
    assert all(math.isfinite(value) for value in summary.metrics.values())


def test_the_same_seed_gives_the_same_weights_and_another_does_not(make_split: MakeSplit, tmp_path: Path) -> None:
    split = make_split()
    recipe = TINY.replace(epochs=1)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(hash(name))
        pretrain(split, tmp_path / name, recipe.replace(seed=seed))
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_an_update_of_fewer_batches_counts_as_much_as_a_whole_one(make_split: MakeSplit, tmp_path: Path) -> None:
    split, recipe = make_split(), TINY.replace(epochs=1, keep="last")
    for name, accumulate in (("whole", 3), ("cut", 7)):  # an epoch has 3 batches
        pretrain(split, tmp_path / name, recipe.replace(accumulate=accumulate))
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def test_no_step_needs_an_operation_that_is_not_deterministic(make_split: MakeSplit, tmp_path: Path) -> None:
    split, recipe = make_split(), TINY.replace(epochs=1, policy_size=8)
    pretrain(split, tmp_path / "plain", recipe)
    torch.use_deterministic_algorithms(True)
    try:
        pretrain(split, tmp_path / "strict", recipe)
    finally:
        torch.use_deterministic_algorithms(False)
    assert same(weights(tmp_path / "plain"), weights(tmp_path / "strict"))


def fake_wandb(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    run = MagicMock()
    opened = MagicMock(__enter__=lambda _: run, __exit__=lambda *_: None)
    fake = MagicMock(run=run, init=MagicMock(return_value=opened))
    fake.errors.Error = type("Error", (Exception,), {})
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def test_weights_and_biases_hears_of_every_epoch(
    make_split: MakeSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = fake_wandb(monkeypatch)
    pretrain(make_split(), tmp_path / "run", TINY.replace(track="wandb"))
    assert fake.init.call_args.kwargs["config"]["model"] == "test_resnet"
    assert [call.kwargs["step"] for call in fake.run.log.call_args_list] == [0, 1]
    assert all("val_f1" in call.args[0] for call in fake.run.log.call_args_list)


def test_weights_and_biases_goes_on_with_the_run_of_an_interrupted_training_only(
    make_split: MakeSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, split, out, recipe = fake_wandb(monkeypatch), make_split(), tmp_path / "run", TINY.replace(track="wandb")
    fake.run.log.side_effect = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        pretrain(split, out, recipe)
    fake.run.log.side_effect = None
    pretrain(split, out, recipe)
    pretrain(split, out, recipe, resume=False)

    first, resumed, anew = (call.kwargs["id"] for call in fake.init.call_args_list)
    assert first == resumed != anew


def test_a_refusal_of_weights_and_biases_is_told_in_one_sentence(
    make_split: MakeSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = fake_wandb(monkeypatch)
    fake.init.side_effect = fake.errors.Error("No API key configured.")
    with pytest.raises(TrainingError, match="No API key configured; set WANDB_MODE=offline"):
        pretrain(make_split(), tmp_path / "run", TINY.replace(track="wandb"))


def test_the_policy_sees_smaller_images_only_where_asked(make_split: MakeSplit, tmp_path: Path) -> None:
    split, recipe = make_split(), TINY.replace(epochs=1)
    for name, size in (("published", 0), ("same", 16), ("larger", 64), ("smaller", 8)):
        pretrain(split, tmp_path / name, recipe.replace(policy_size=size))
    published = weights(tmp_path / "published")
    assert same(published, weights(tmp_path / "same")) and same(published, weights(tmp_path / "larger"))
    assert not same(published, weights(tmp_path / "smaller"))


class Killed(Exception):
    """Stands in for a process that is killed between two steps."""


def kill_after(steps: int) -> Callable[[Progress], None]:
    seen = 0

    def notice(progress: Progress) -> None:
        nonlocal seen
        seen += progress.stage.startswith("epoch")
        if seen == steps:
            raise Killed

    return notice


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        ({}, 7),
        ({"save_every": 2, "ema": 0.9}, 6),
        ({"objective": "reinforce", "baseline": "running", "save_every": 1}, 4),
        ({"precision": "bf16", "size": 32, "save_every": 2}, 6),
    ],
)
def test_a_killed_run_that_goes_on_equals_an_uninterrupted_one(
    make_split: MakeSplit, tmp_path: Path, change: dict[str, object], steps: int
) -> None:
    split = make_split()
    recipe = TINY.replace(epochs=4, augment="autoaugment", **change)
    pretrain(split, tmp_path / "whole", recipe)
    with pytest.raises(Killed):
        pretrain(split, tmp_path / "killed", recipe, progress=kill_after(steps))
    summary = pretrain(split, tmp_path / "killed", recipe)
    assert summary.resumed_at > 0
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    rows = [
        pd.read_csv(tmp_path / name / "metrics.csv").drop(columns=["images_per_second", "seconds"])
        for name in ("whole", "killed")
    ]
    pd.testing.assert_frame_equal(*rows)


def test_four_epochs_equal_two_and_two_resumed(make_split: MakeSplit, tmp_path: Path) -> None:
    split = make_split()
    recipe = TINY.replace(sched="constant", policy_sched="constant", keep="last")
    pretrain(split, tmp_path / "four", recipe.replace(epochs=4))
    pretrain(split, tmp_path / "two", recipe.replace(epochs=2))
    pretrain(split, tmp_path / "two", recipe.replace(epochs=4), resume=True)
    assert same(weights(tmp_path / "four"), weights(tmp_path / "two"))


def test_a_finished_run_is_left_alone(make_split: MakeSplit, tmp_path: Path) -> None:
    split = make_split()
    first = pretrain(split, tmp_path / "run", TINY)
    before = (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns
    again = pretrain(split, tmp_path / "run", TINY)
    assert (again.best_f1, again.epochs) == (first.best_f1, 2)
    assert (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns == before


def test_a_finished_run_that_lost_its_weights_says_how_to_mend_it(make_split: MakeSplit, tmp_path: Path) -> None:
    split = make_split()
    pretrain(split, tmp_path / "run", TINY)
    (tmp_path / "run" / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"model\.safetensors is gone; train anew with --no-resume"):
        pretrain(split, tmp_path / "run", TINY)
    pretrain(split, tmp_path / "run", TINY, resume=False)
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_a_run_of_another_recipe_is_not_gone_on_with(make_split: MakeSplit, tmp_path: Path) -> None:
    split = make_split()
    pretrain(split, tmp_path / "run", TINY)
    with pytest.raises(RunError, match=r"lr is 0\.5, was 0\.02"):
        pretrain(split, tmp_path / "run", TINY.replace(lr=0.5))
    assert pretrain(split, tmp_path / "run", TINY.replace(lr=0.5, epochs=1), resume=False).epochs == 1


def test_other_weights_are_not_kept_in_a_run_that_is_gone_on_with(make_split: MakeSplit, tmp_path: Path) -> None:
    split = make_split()
    pretrain(split, tmp_path / "run", TINY.replace(keep="last"))
    with pytest.raises(RunError, match=r"keep is 'best', was 'last'"):
        pretrain(split, tmp_path / "run", TINY.replace(keep="best"))


def test_a_finished_run_keeps_its_recipe_where_fewer_epochs_are_asked_for(
    make_split: MakeSplit, tmp_path: Path
) -> None:
    split = make_split()
    pretrain(split, tmp_path / "run", TINY)
    assert pretrain(split, tmp_path / "run", TINY.replace(epochs=1)).epochs == 2
    assert load_recipe(tmp_path / "run" / "recipe.yaml", environ={}).epochs == 2


def test_a_refused_run_keeps_its_recipe(make_split: MakeSplit, tmp_path: Path) -> None:
    split = make_split()
    pretrain(split, tmp_path / "run", TINY.replace(epochs=1))
    before = (tmp_path / "run" / "recipe.yaml").read_text()
    with pytest.raises(RunError, match=r"lr is 0\.5"):
        pretrain(split, tmp_path / "run", TINY.replace(epochs=1, lr=0.5))
    assert (tmp_path / "run" / "recipe.yaml").read_text() == before


def test_a_run_from_other_heated_weights_is_not_gone_on_with(make_split: MakeSplit, tmp_path: Path) -> None:
    split = make_split()
    for seed in (0, 1):
        pretrain(split, tmp_path / f"heated{seed}", TINY.replace(epochs=1, seed=seed))
    recipe = TINY_FINETUNE.replace(epochs=1)
    finetune(split, tmp_path / "heated0", tmp_path / "run", recipe)
    with pytest.raises(RunError, match="it started from other weights"):
        finetune(split, tmp_path / "heated1", tmp_path / "run", recipe)


def test_more_epochs_leave_no_judgement_of_the_weights_before(make_split: MakeSplit, tmp_path: Path) -> None:
    split, run = make_split(), tmp_path / "run"
    recipe = TINY.replace(epochs=1, keep="last")
    pretrain(split, run, recipe)
    evaluate_run(run, split, EvalOptions(workers=0, resamples=0, device="cpu"))
    pretrain(split, run, recipe)  # nothing is left to do: what was said still holds
    assert (run / "eval.json").is_file()
    pretrain(split, run, recipe.replace(epochs=2))
    assert not {"eval.json", "predictions.parquet", "eval"} & {path.name for path in run.iterdir()}


def test_training_anew_leaves_nothing_of_the_run_before(make_split: MakeSplit, tmp_path: Path) -> None:
    split, run = make_split(), tmp_path / "run"
    pretrain(split, run, TINY.replace(epochs=1))
    (run / "eval").mkdir()
    (run / "eval.json").write_text("{}")
    pretrain(split, run, TINY.replace(epochs=1, policy="none"), resume=False)
    assert not any((run / name).exists() for name in ("policy.safetensors", "eval", "eval.json"))


def test_a_training_anew_that_fails_is_not_taken_for_the_one_before(make_split: MakeSplit, tmp_path: Path) -> None:
    split, run = make_split(), tmp_path / "run"
    pretrain(split, run, TINY)
    with pytest.raises(TrainingError, match="no state was saved yet"):
        pretrain(split, run, TINY.replace(lr=1e30), resume=False)
    assert {path.name for path in run.iterdir()} == {"state", "recipe.yaml"}
    assert pretrain(split, run, TINY).resumed_at == 0
    assert (run / "policy.safetensors").is_file()


def test_states_are_saved_as_often_however_many_batches_make_an_update(
    make_split: MakeSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    monkeypatch.setattr(checkpoints, "save_state", lambda run, state: saved.append(state["position"]["step"]))
    recipe = TINY.replace(policy="none", batch_size=2, accumulate=4, save_every=4)
    pretrain(make_split(n_train=34), tmp_path / "run", recipe)  # 17 batches, of which the last makes an update alone
    assert saved == [4, 8, 12, 16, 17, 21, 25, 29, 33, 34, 34]


def test_a_run_that_diverges_ends(make_split: MakeSplit, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not finite"):
        pretrain(make_split(), tmp_path / "run", TINY.replace(lr=1e30))


def test_a_demanded_state_must_be_there(make_split: MakeSplit, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="without --resume"):
        pretrain(make_split(), tmp_path / "run", TINY, resume=True)


def test_a_loss_that_is_not_finite_names_step_files_and_last_good_state(make_split: MakeSplit, tmp_path: Path) -> None:
    recipe = TINY.replace(lr=1e30, policy="none", save_every=1)
    with pytest.raises(TrainingError, match=r"step \d+ .*images/.*\.png.*state") as caught:
        pretrain(make_split(), tmp_path / "run", recipe)
    assert "--lr" in str(caught.value)


def test_two_trainings_do_not_write_into_one_folder(make_split: MakeSplit, tmp_path: Path) -> None:
    split = make_split()
    with held(tmp_path / "run"), pytest.raises(RunError, match="another training is writing"):
        pretrain(split, tmp_path / "run", TINY)
    assert pretrain(split, tmp_path / "run", TINY.replace(epochs=1)).epochs == 1


def test_early_stop_waits_for_a_better_epoch(make_split: MakeSplit, tmp_path: Path) -> None:
    recipe = TINY.replace(lr=0.0, policy="none", epochs=9, early_stop=2, weight_decay=0.0)
    assert pretrain(make_split(), tmp_path / "run", recipe).epochs < 9


def test_other_classes_than_the_heated_models_get_a_new_last_layer(
    make_split: MakeSplit, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    split = make_split()
    pretrain(split, tmp_path / "heated", TINY.replace(epochs=1))
    other = make_split("other")
    classes = pd.read_csv(other / "classes.csv")
    classes["label"] = [f"US__other__{index}" for index in range(3)]
    classes.to_csv(other / "classes.csv", index=False)
    for part in ("train", "val", "test"):
        table = pd.read_csv(other / f"{part}.csv")
        table["label"] = classes["label"].to_numpy()[table["class_index"]]
        table.to_csv(other / f"{part}.csv", index=False)
    finetune(other, tmp_path / "heated", tmp_path / "tuned", TINY_FINETUNE.replace(epochs=1))
    assert "starts anew" in caplog.text
    assert load_classifier(tmp_path / "tuned")[1].class_names[0] == "US__other__0"


def test_a_recipe_of_the_other_stage_is_refused(make_split: MakeSplit, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="finetun"):
        finetune(make_split(), None, tmp_path / "run", TINY)
