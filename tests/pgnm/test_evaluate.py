import json
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
import timm
import torch
from safetensors.torch import save_file
from sklearn import metrics as sk
from typer.testing import CliRunner

from cli.pgnm import app
from pgnm.calibration import fit_temperature, scale_by_temperature
from pgnm.checkpoints import RunInfo, save_classifier
from pgnm.errors import PgnmError, RunError, SplitError, UsageError
from pgnm.evaluate import EvalOptions, evaluate_run

CLASSES = ("CT__head", "MR__knee", "US__breast")
INFO = RunInfo("resnet10t", CLASSES, 32, 0.3162, 0.3213, stage="pretrain", policy="beta", grid=4, kernel=3, sigma=1.0)
QUICK = {"workers": 0, "resamples": 50, "device": "cpu"}


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """Three classes of bright squares, in the split folder's format."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    (folder / "split").mkdir()
    for part, n in (("train", 6), ("val", 6), ("test", 18)):
        rows = []
        for i in range(n):
            name = f"images/{part}_{i}.png"
            cv2.imwrite(str(folder / name), rng.integers(0, 80 + 80 * (i % 3), (40, 36), dtype=np.uint8))
            rows.append((name, CLASSES[i % 3], i % 3, f"{part}_{i // 2}"))
        frame = pd.DataFrame(rows, columns=["path", "label", "class_index", "group"])
        frame.to_csv(folder / "split" / f"{part}.csv", index=False)
    classes = pd.DataFrame({"class_index": range(3), "label": CLASSES, "n_train": 2, "n_val": 2, "n_test": 6})
    classes.to_csv(folder / "split" / "classes.csv", index=False)
    (folder / "split" / "split.json").write_text(json.dumps({"schema": 1, "root": "..", "seed": 0}))
    return folder / "split"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    save_classifier(folder, timm.create_model("resnet10t", num_classes=3), INFO)
    save_file({"a0": torch.randn(1, 16), "b0": torch.randn(1, 16)}, folder / "policy.safetensors")
    return folder


def test_metrics_follow_from_the_predictions_by_sklearn(run, split):
    evaluation = evaluate_run(run, split, EvalOptions(**QUICK))
    written = json.loads((run / "eval.json").read_text())
    table = pd.read_parquet(run / "predictions.parquet")
    assert list(table.columns) == ["path", "target", "prediction", "p_0", "p_1", "p_2"]
    assert table["path"].tolist() == pd.read_csv(split / "test.csv")["path"].tolist()
    p = table[["p_0", "p_1", "p_2"]].to_numpy()
    macro = {"average": "macro", "zero_division": 0}
    expected = {
        "precision": sk.precision_score(table["target"], table["prediction"], **macro),
        "recall": sk.recall_score(table["target"], table["prediction"], **macro),
        "f1": sk.f1_score(table["target"], table["prediction"], **macro),
        "auroc_ovr": sk.roc_auc_score(table["target"], p, multi_class="ovr"),
        "auroc_ovo": sk.roc_auc_score(table["target"], p, multi_class="ovo"),
        "balanced_accuracy": sk.balanced_accuracy_score(table["target"], table["prediction"]),
        "accuracy": sk.accuracy_score(table["target"], table["prediction"]),
        "entropy": -(p * np.log(p)).sum(axis=1).mean(),
    }
    for name, value in expected.items():
        assert written["metrics"][name] == pytest.approx(value, abs=1e-9), name
    assert (written["protocol"], written["input"]) == ("classify", "normalized")
    assert [row["label"] for row in written["per_class"]] == list(CLASSES)
    assert written["intervals"]["by"] == "group"
    assert written["intervals"]["units"] == 9
    assert evaluation.summary["metrics"] == written["metrics"]


def test_both_inputs_stand_side_by_side_and_the_latest_on_top(run, split):
    plain = evaluate_run(run, split, EvalOptions(**QUICK))
    noisy = evaluate_run(run, split, EvalOptions(input="noisy", **QUICK))
    top = json.loads((run / "eval.json").read_text())
    assert top["input"] == "noisy"
    assert top["evaluations"]["classify-normalized"]["metrics"] == plain.summary["metrics"]
    assert top["evaluations"]["classify-noisy"]["metrics"] == noisy.summary["metrics"]
    latest = pd.read_parquet(run / "predictions.parquet")
    pd.testing.assert_frame_equal(latest, noisy.predictions)
    kept = pd.read_parquet(run / "eval" / "classify-normalized" / "predictions.parquet")
    pd.testing.assert_frame_equal(kept, plain.predictions)
    assert not np.allclose(latest["p_0"], kept["p_0"])


@pytest.mark.parametrize("given", ["normalized", "noisy"])
def test_calibrated_predictions_are_those_of_one_temperature(run, split, given):
    plain = evaluate_run(run, split, EvalOptions(input=given, **QUICK))
    evaluation = evaluate_run(run, split, EvalOptions(input=given, calibrate=True, **QUICK))
    val = evaluate_run(run, split, EvalOptions(input=given, part="val", **QUICK))
    columns = ["p_0", "p_1", "p_2"]
    temperature = fit_temperature(val.predictions["target"], val.predictions[columns].to_numpy())
    assert evaluation.summary["temperature"] == pytest.approx(temperature, rel=1e-4)
    expected = scale_by_temperature(plain.predictions[columns].to_numpy(), temperature)
    np.testing.assert_allclose(evaluation.predictions[columns].to_numpy(), expected, atol=1e-5)
    assert evaluation.summary["metrics"]["f1"] == plain.summary["metrics"]["f1"]
    assert evaluation.folder.name == f"classify-{given}-calibrated"
    assert "temperature" not in plain.summary


def test_noise_depends_on_seed_and_path_only(run, split):
    def predictions(**options):
        return evaluate_run(run, split, EvalOptions(input="noisy", **(QUICK | options))).predictions

    first = predictions()
    # Other batch sizes sum in another order; the masks are the same.
    np.testing.assert_allclose(predictions(batch_size=5)["p_0"], first["p_0"], atol=1e-5)
    pd.testing.assert_frame_equal(predictions(), first)
    assert not np.allclose(predictions(seed=1)["p_0"], first["p_0"])


def test_a_split_of_other_classes_is_refused(split, tmp_path):
    save_classifier(
        tmp_path, timm.create_model("resnet10t", num_classes=2), RunInfo("resnet10t", ("a", "b"), 32, 0.3, 0.3)
    )
    with pytest.raises(SplitError, match=r"knows 2 classes \(a, b\), but .* has 3"):
        evaluate_run(tmp_path, split, EvalOptions(**QUICK))


def test_a_diverged_model_is_named(split, tmp_path):
    model = timm.create_model("resnet10t", num_classes=3)
    torch.nn.init.constant_(model.get_classifier().bias, float("nan"))
    save_classifier(tmp_path, model, INFO)
    with pytest.raises(RunError, match="not finite"):
        evaluate_run(tmp_path, split, EvalOptions(**QUICK))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input": "blurred"}, "--input must be one of normalized, noisy, aided; got 'blurred'"),
        ({"part": "tests"}, "--part must be one of"),
        ({"batch_size": 0}, "--batch-size must be at least 1, got 0"),
    ],
)
def test_wrong_options_name_the_flag(options, message):
    with pytest.raises(UsageError, match=message):
        EvalOptions(**options)


def test_an_unknown_device_is_named(run, split):
    with pytest.raises(UsageError, match="--device nonsense"):
        evaluate_run(run, split, EvalOptions(device="nonsense"))


@pytest.mark.parametrize("missing", ["run", "split"])
def test_missing_folders_are_one_sentence(run, split, tmp_path, missing):
    places = {"run": run, "split": split} | {missing: tmp_path / "nowhere"}
    with pytest.raises(PgnmError, match="nowhere"):
        evaluate_run(places["run"], places["split"], EvalOptions(**QUICK))


@pytest.mark.parametrize("content", ["{", "[1]", "3"])
def test_a_damaged_evaluation_is_named_before_the_judging(run, split, tmp_path, content):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    damaged = copy / "eval" / "classify-noisy" / "eval.json"
    damaged.parent.mkdir(parents=True, exist_ok=True)
    damaged.write_text(content)
    with pytest.raises(RunError, match=r"classify-noisy/eval\.json cannot be read .*judge the model so again"):
        evaluate_run(copy, split, EvalOptions(**QUICK), lambda _: pytest.fail("judged"))


def test_the_command_judges_with_its_defaults(run, split, tmp_path, monkeypatch):
    (tmp_path / "finetuned").symlink_to(run)
    (tmp_path / "split").symlink_to(split)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["eval", "--json", "--quiet", "--resamples", "20"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["metrics"] == json.loads((run / "eval.json").read_text())["metrics"]
    assert (run / "eval" / "classify-normalized" / "confusion.png").is_file()


def test_the_command_refuses_in_one_sentence(tmp_path):
    result = CliRunner().invoke(app, ["eval", str(tmp_path), str(tmp_path), "--input", "blurred"])
    assert result.exit_code == 2
    assert result.stderr == "error: --input must be one of normalized, noisy, aided; got 'blurred'\n"


def test_a_leaking_split_is_judged_on_request_alone(run, split, tmp_path):
    leaking = tmp_path / "split"
    shutil.copytree(split, leaking)
    about = {"schema": 1, "root": str(split.parent), "proof": {"shared_file_hashes": 1}}
    (leaking / "split.json").write_text(json.dumps(about))
    command = ["eval", str(run), str(leaking), "--json", "--quiet", "--resamples", "0", "--device", "cpu"]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 4 and "--allow-leakage" in refused.stderr
    accepted = CliRunner().invoke(app, [*command, "--allow-leakage"])
    assert accepted.exit_code == 0, accepted.output
    assert json.loads(accepted.stdout)["allow_leakage"] is True


@pytest.mark.parametrize(
    ("protocol", "option"),
    [
        ("unseen", ["--workers", "0"]),
        ("unseen", ["--input", "noisy"]),
        ("fewshot", ["--part", "val"]),
        ("classify", ["--trials", "3"]),
    ],
)
def test_options_that_a_protocol_does_not_use_are_refused(tmp_path, protocol, option):
    result = CliRunner().invoke(app, ["eval", str(tmp_path), str(tmp_path), "--protocol", protocol, *option])
    assert result.exit_code == 2
    assert f"--protocol {protocol} does not use {option[0]}" in result.stderr


def test_the_command_finds_the_split_in_which_it_runs(run, split, monkeypatch):
    monkeypatch.chdir(split)
    result = CliRunner().invoke(app, ["eval", str(run), "--json", "--quiet", "--resamples", "0", "--device", "cpu"])
    assert result.exit_code == 0, result.output


@pytest.fixture
def probed(monkeypatch):
    """Stands in for networks, sets and probing; notes the sets that are asked for and the options, then stops."""
    noted = {}

    def probe(networks, concepts, kept, options, progress):
        noted["options"] = options
        raise PgnmError("enough")

    monkeypatch.setattr("pgnm.features.load_backbones", lambda *_, **__: [])
    monkeypatch.setattr("pgnm.hub.load_sets", lambda places, **_: noted.update(places=places))
    monkeypatch.setattr("pgnm.probes.probe", probe)
    return noted


@pytest.mark.parametrize(
    ("named", "places"),
    [(["split"], ["split"]), ([], ["split"]), (["split", "--set", "a.npz"], ["split", "a.npz"]),
     (["--set", "a.npz"], ["a.npz"])],
)  # fmt: skip
def test_a_split_that_is_named_is_probed_whatever_it_is_called(probed, split, tmp_path, monkeypatch, named, places):
    (tmp_path / "split").symlink_to(split)
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(app, ["eval", "model", *named, "--protocol", "unseen", "--quiet", "--batch-size", "7"])
    assert probed["places"] == places
    assert probed["options"].feature_batch == 7
