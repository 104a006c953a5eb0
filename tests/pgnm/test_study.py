import json
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cli.pgnm import app
from pgnm import study
from pgnm.arms import plan_arms
from pgnm.errors import TrainingError, UsageError
from pgnm.study import StudyOptions, is_done, run_study, whole_arms
from pgnm.study_report import check_failures, collect_runs, compare_arms, table_noises

CLASSES = ("CT__head", "US__breast")


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    (folder / "split").mkdir()
    for part, n in (("train", 12), ("val", 6), ("test", 8)):
        rows = []
        for i in range(n):
            name = f"{part}_{i}.png"
            cv2.imwrite(str(folder / name), rng.integers(0, 80 + 170 * (i % 2), (32, 32), dtype=np.uint8))
            rows.append((name, CLASSES[i % 2], i % 2, ""))
        frame = pd.DataFrame(rows, columns=["path", "label", "class_index", "group"])
        frame.to_csv(folder / "split" / f"{part}.csv", index=False)
    classes = pd.DataFrame({"class_index": [0, 1], "label": CLASSES, "n_train": 6, "n_val": 3, "n_test": 4})
    classes.to_csv(folder / "split" / "classes.csv", index=False)
    (folder / "split" / "split.json").write_text(json.dumps({"schema": 1, "root": ".."}))
    return folder / "split"


@pytest.fixture
def calls(monkeypatch):
    """Stands in for training and judging; notes what was called and writes what marks an evaluation as done."""
    noted = []

    def evaluate(run, split, options, progress, allow_leakage):
        noted.append(("eval", f"{run.parent.parent.name}/{run.parent.name}/{run.name}", options.input))
        path = run / "eval" / f"classify-{options.input}" / "eval.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        intervals = {"resamples": options.resamples} if options.resamples else None
        path.write_text(json.dumps({"metrics": {"f1": 0.5, "accuracy": 0.5}, "intervals": intervals}))

    monkeypatch.setattr(study, "pretrain", lambda s, out, recipe, **_: noted.append(("pretrain", recipe.seed)))
    monkeypatch.setattr(study, "finetune", lambda s, h, out, recipe, **_: noted.append(("finetune", recipe.seed)))
    monkeypatch.setattr(study, "evaluate_run", evaluate)
    return noted


def test_a_study_goes_on_where_it_stopped(calls, split, tmp_path):
    arms = plan_arms(["base=laptop:policy=none", "pgnm=laptop"])
    run_study(arms, split, tmp_path, StudyOptions(seeds=2))
    assert calls.count(("pretrain", 0)) == calls.count(("finetune", 1)) == 2
    assert ("eval", "pgnm/seed1/heated", "noisy") in calls
    assert all(is_done(arm, seed, tmp_path, 200) for arm in arms for seed in range(2))
    calls.clear()
    run_study(arms, split, tmp_path, StudyOptions(seeds=2))
    assert not calls
    (tmp_path / "pgnm" / "seed1" / "finetuned" / "eval" / "classify-normalized" / "eval.json").unlink()
    (tmp_path / "pgnm" / "seed1" / "heated" / "eval" / "classify-noisy" / "eval.json").unlink()
    (tmp_path / "pgnm" / "seed1" / "heated" / "eval" / "classify-noisy").rmdir()
    (tmp_path / "pgnm" / "seed1" / "finetuned" / "eval" / "classify-normalized").rmdir()
    run_study(arms, split, tmp_path, StudyOptions(seeds=3))
    # The interrupted run trains only what is missing; the new seed runs in full.
    assert [call for call in calls if call[-1] == 1] == [("finetune", 1)]
    assert calls.count(("pretrain", 2)) == 2


def test_a_changed_recipe_is_refused_and_an_idle_change_is_not(calls, split, tmp_path):
    run_study(plan_arms(["laptop"]), split, tmp_path, StudyOptions(seeds=1))
    run_study(plan_arms(["laptop"], changes={"workers": 0}), split, tmp_path, StudyOptions(seeds=1))
    with pytest.raises(UsageError, match=r"arm laptop with pretrain lr .* \(now 0.5\)"):
        run_study(plan_arms(["laptop"], changes={"lr": 0.5}), split, tmp_path, StudyOptions(seeds=1))


def test_arms_are_compared_by_seed_and_corrected():
    seeds = [0, 1, 2, 3]
    rows = []
    for arm, shift in (("base", 0.0), ("a", 0.1), ("b", -0.1)):
        for seed in seeds:
            value = 0.5 + 0.01 * seed + shift * (1 + 0.1 * seed)
            rows.append({"arm": arm, "seed": seed, "f1": value, "balanced_accuracy": value, "auroc_ovr": value})
    table = compare_arms(pd.DataFrame(rows).assign(accuracy=0.5), "base", ["base", "a", "b"])
    first = table[(table["metric"] == "f1") & (table["arm"] == "a")].iloc[0]
    assert first["difference"] == pytest.approx(0.115)
    assert first["low"] > 0
    assert first["p_permutation"] == first["p_smallest"] == 0.125
    assert first["p_permutation_holm"] == 0.25
    assert (table.loc[table["metric"] == "accuracy", "p_wilcoxon"] == 1).all()


def write_set(path):
    """Write a set of unseen concepts in MedMNIST's format: bright and dark noise."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 24), ("val", 8), ("test", 12)):
        labels = np.arange(n) % 2
        arrays[f"{part}_images"] = (rng.random((n, 28, 28)) * (90 + 130 * labels[:, None, None])).astype(np.uint8)
        arrays[f"{part}_labels"] = labels[:, None]
    np.savez(path, **arrays)
    return path


@pytest.mark.slow
def test_runs_side_by_side_give_what_runs_in_turn_give(split, tmp_path):
    # Two runs at a time have half the threads each, and sums over other threads round visibly in bf16.
    small = {"size": 32, "grid": 4, "epochs": 1, "batch_size": 6, "workers": 0, "lr": 0.01}
    exact = {"device": "cpu", "precision": "fp32"}
    (arm,) = plan_arms(["laptop"], changes=small | exact, finetune_recipe=None)
    tables = []
    for jobs in (1, 2):
        out = tmp_path / str(jobs)
        run_study([arm], split, out, StudyOptions(seeds=2, jobs=jobs, resamples=0))
        tables.append(collect_runs([arm], [0, 1], out))
    pd.testing.assert_frame_equal(*tables)
    assert tables[0]["f1"].notna().all()


def test_a_run_that_fails_keeps_no_other_from_being_run_and_is_tried_again(calls, split, tmp_path, monkeypatch):
    arms = plan_arms(["laptop", "wild=laptop:lr=9"], finetune_recipe=None)
    train = study.pretrain

    def diverge(split, out, recipe, **more):
        if recipe.lr == 9 and recipe.seed == 0:
            raise TrainingError("loss not finite at step 3")
        train(split, out, recipe, **more)

    monkeypatch.setattr(study, "pretrain", diverge)
    failed = run_study(arms, split, tmp_path, StudyOptions(seeds=2))
    assert failed == {"wild/seed0": "loss not finite at step 3"}
    assert [is_done(arm, seed, tmp_path, 200) for arm in arms for seed in (0, 1)] == [True, True, False, True]
    assert [arm.name for arm in whole_arms(arms, failed)] == ["laptop"]
    with pytest.raises(TrainingError, match="wild/seed0: loss not finite"):
        check_failures(failed, arms, "")
    check_failures(failed, [*arms, *plan_arms(["third=laptop"])], "")
    with pytest.raises(TrainingError, match="too little is left"):
        check_failures(failed, [*arms, *plan_arms(["third=laptop"])], "wild")

    monkeypatch.setattr(study, "pretrain", train)
    assert run_study(arms, split, tmp_path, StudyOptions(seeds=2)) == {}
    assert is_done(arms[1], 0, tmp_path, 200)


def test_a_study_is_not_gone_on_with_after_its_split_changed(split, tmp_path):
    arms = plan_arms(["one=laptop:policy=none"])
    study._record_plan(arms, split, tmp_path, StudyOptions(seeds=1))
    study._record_plan(arms, split, tmp_path, StudyOptions(seeds=2))
    plan = json.loads((tmp_path / "study.json").read_text())
    plan["split_sha256"]["train.csv"] = "0" * 64
    (tmp_path / "study.json").write_text(json.dumps(plan))
    with pytest.raises(UsageError, match="has changed since the study"):
        study._record_plan(arms, split, tmp_path, StudyOptions(seeds=2))


def test_a_study_goes_on_with_a_split_that_was_moved(split, tmp_path):
    arms = plan_arms(["one=laptop:policy=none"])
    study._record_plan(arms, split, tmp_path / "study", StudyOptions(seeds=1))
    shutil.copytree(split.parent, tmp_path / "moved")
    study._record_plan(arms, tmp_path / "moved" / "split", tmp_path / "study", StudyOptions(seeds=1))
    plan = json.loads((tmp_path / "study" / "study.json").read_text())
    assert plan["split"] == str(tmp_path / "moved" / "split")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"split": "s", "split_sha256": 3, "arms": {}, "seeds": []}'])
def test_a_damaged_plan_is_told(text, split, tmp_path):
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(UsageError, match=r"study\.json cannot be used"):
        study._record_plan(plan_arms(["one=laptop"]), split, tmp_path, StudyOptions(seeds=1))


@pytest.mark.parametrize("first", [-1, 2**31 - 1])
def test_seeds_that_no_recipe_takes_are_refused_at_once(first):
    with pytest.raises(UsageError, match="--seed must be between 0 and"):
        StudyOptions(seeds=2, first_seed=first)


def test_evaluations_with_other_intervals_or_damaged_ones_are_made_again_without_training(calls, split, tmp_path):
    arms = plan_arms(["one=laptop:policy=none"], finetune_recipe=None)
    run_study(arms, split, tmp_path, StudyOptions(seeds=2, resamples=0))
    result = tmp_path / "one" / "seed1" / "heated" / "eval" / "classify-normalized" / "eval.json"
    calls.clear()
    run_study(arms, split, tmp_path, StudyOptions(seeds=2, resamples=50))
    assert [kind for kind, *_ in calls] == ["eval", "eval"]
    assert json.loads(result.read_text())["intervals"] == {"resamples": 50}
    calls.clear()
    result.write_text("{")
    run_study(arms, split, tmp_path, StudyOptions(seeds=2, resamples=50))
    assert calls == [("eval", "one/seed1/heated", "normalized")]


def test_the_table_of_noises_names_its_arms_and_leaves_agents_out():
    arms = plan_arms(["one=laptop", "two=laptop:objective=pathwise", "agent=laptop_apga"])
    runs = pd.DataFrame({"arm": ["one", "two", "agent"], "f1": [0.1, 0.2, 0.3], "balanced_accuracy": [0.4, 0.5, 0.6]})

    table = table_noises(runs, arms)
    ours = table[table["source"] == "ours"]
    assert ours["arm"].tolist() == ["one", "two"] and ours["noise"].tolist() == ["beta", "beta"]


def test_the_command_runs_a_study_and_reports(split, tmp_path):
    command = ["study", "base=laptop:policy=none", "pgnm=laptop:grid=4", "--split", str(split), "--out", str(tmp_path)]
    small = ["--seeds", "2", "--epochs", "1", "--finetune-epochs", "1", "--size", "32", "--batch-size", "6"]
    quick = ["--workers", "0", "--resamples", "10", "--device", "cpu", "--quiet", "--lr", "0.01", "--json"]
    probed = [
        "--set",
        str(write_set(tmp_path / "pneumoniamnist.npz")),
        "--trials",
        "2",
        "--backbone",
        "random:resnet10t",
    ]
    result = CliRunner().invoke(app, [*command, *small, *quick, *probed], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["seeds"] == [0, 1]
    report = (tmp_path / "report.md").read_text()
    assert "All arms have the same number of epochs." in report
    for name in ("Table 1", "Table 2", "Table 3", "Table 4", "Comparison", "| published |", "lowshot.png"):
        assert name in report
    for link in report.split("](")[1:]:
        assert (tmp_path / link.split(")")[0]).is_file()
    runs = pd.read_csv(tmp_path / "runs.csv")
    assert len(runs) == 2 * (2 + 3)
    for name in ("table1", "table2", "table3", "table4", "comparison"):
        assert {path.suffix for path in (tmp_path / "tables").glob(f"{name}.*")} == {".md", ".csv", ".tex"}
    trials = pd.read_csv(tmp_path / "probes" / "unseen" / "trials.csv")
    assert trials.groupby("backbone").size().to_dict() == {"base": 4, "pgnm": 4, "random:resnet10t": 2}
    assert pd.read_csv(tmp_path / "tables" / "table3.csv").loc[0, "published: RadImageNet with PGNM"] == 0.8554
    assert pd.read_csv(tmp_path / "tables" / "table4.csv")["arm"].tolist()[:2] == ["base", "pgnm"]
    arms = plan_arms(["base=laptop:policy=none", "pgnm=laptop:grid=4"])
    pd.testing.assert_frame_equal(
        collect_runs(arms, [0, 1], tmp_path)[["arm", "seed", "f1"]], runs[["arm", "seed", "f1"]]
    )
    again = CliRunner().invoke(app, [*command, *small, *quick, "--against", "nobody"])
    assert again.exit_code == 2
    assert "--against must be one of base, pgnm" in again.stderr


def test_a_leaking_split_is_studied_on_request_alone(split, tmp_path, monkeypatch):
    leaking = tmp_path / "split"
    shutil.copytree(split, leaking)
    shutil.copytree(split.parent, tmp_path, dirs_exist_ok=True)
    about = {"schema": 1, "root": "..", "proof": {"shared_file_hashes": 1}}
    (leaking / "split.json").write_text(json.dumps(about))
    command = ["study", "a=laptop:policy=none,model=test_resnet", "--split", str(leaking), "--out", str(tmp_path / "s")]
    command += ["--size", "16", "--epochs", "1", "--batch-size", "4", "--workers", "0", "--device", "cpu", "--quiet"]
    command += ["--seeds", "1", "--finetune", "none", "--resamples", "0", "--json"]
    assert CliRunner().invoke(app, command).exit_code == 4
    done = CliRunner().invoke(app, [*command, "--allow-leakage"])
    assert done.exit_code == 0, done.output
