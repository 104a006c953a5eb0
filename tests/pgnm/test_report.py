"""The page of runs: what it reads, what it names, and that everyone can open it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from cli.pgnm import app
from pgnm.apga.inference import save_overlays
from pgnm.checkpoints import RunInfo, save_classifier
from pgnm.errors import RunError, SplitError, UsageError
from pgnm.evaluate import EvalOptions, evaluate_run
from pgnm.models import create_classifier
from pgnm.plots import plot_per_label
from pgnm.report import ReportSummary, build_report
from pgnm.report.mistakes import top_confusions, worst_mistakes
from pgnm.report.pictures import comparison, curves
from pgnm.report.runs import find_images, name_runs, read_runs, show_evaluation
from pgnm.run_folder import write_metrics
from tests.pages import faults, opened
from tests.pgnm.conftest import CLASSES, write_split

MakeSplit = Callable[..., Path]


def _run(folder: Path, seed: int, **fields: Any) -> Path:
    """Write a run folder with an untrained classifier, as training would."""
    torch.manual_seed(seed)
    info = RunInfo("resnet10t", CLASSES, 16, 0.3, 0.3, seed=seed, **fields)
    save_classifier(folder, create_classifier(info.model, len(CLASSES), size=16), info)
    rows = [{"epoch": epoch, "loss": 1.0 / (epoch + 1), "val_f1": 0.1 * epoch, "lr": 0.1} for epoch in range(3)]
    write_metrics(folder, rows)
    return folder


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two run folders that were judged on the same split; drawing takes seconds, so that tests share them."""
    root = tmp_path_factory.mktemp("runs")
    split = write_split(root / "data")
    noise = {"policy": "uniform", "grid": 4, "kernel": 3, "sigma": 1.0}
    runs = _run(root / "a" / "model", 0, **noise), _run(root / "b" / "model", 1)
    for run in runs:
        evaluate_run(run, split, EvalOptions(workers=0, resamples=20))
    evaluate_run(runs[0], split, EvalOptions(input="noisy", workers=0, resamples=20))
    return runs


@pytest.fixture(scope="module")
def built(judged: tuple[Path, Path]) -> ReportSummary:
    """The page of the first run with the second as its baseline."""
    return build_report([judged[0]], baseline=judged[1])


def test_runs_are_named_by_what_tells_them_apart() -> None:
    assert name_runs([Path("/x/heated"), Path("/x/finetuned")]) == ["heated", "finetuned"]
    assert name_runs([Path("/x/seed0/model"), Path("/x/seed1/model")]) == ["seed0/model", "seed1/model"]
    some = [Path("/x/seed0/model"), Path("/x/seed1/model"), Path("/x/seed1/heated"), Path("/y/seed1/model")]
    assert name_runs(some) == ["seed0/model", "x/seed1/model", "heated", "y/seed1/model"]


def test_evaluations_are_named_for_people() -> None:
    names = [EvalOptions().name, EvalOptions(input="noisy", part="train", calibrate=True).name]
    assert list(map(show_evaluation, names)) == ["normalized", "noisy (train, calibrated)"]


def test_a_run_that_is_named_by_two_paths_is_shown_once(judged: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(judged[1])
    built = build_report(
        [judged[1], judged[1] / ".." / "model"], baseline=tmp_path / "link", out=tmp_path / "page.html"
    )
    assert built.notes == []
    assert built.page.read_text().count('labelledby="run-') == 1


def test_page_shows_every_part_of_two_runs(judged: tuple[Path, Path], built: ReportSummary, browser: Any) -> None:
    assert (built.page, built.notes) == (judged[0] / "report.html", [])
    with opened(browser, built.page) as page:
        rows = page.locator(".results").first.locator("tbody tr").all_inner_texts()
        assert [row.split()[0] for row in rows] == ["a/model", "a/model", "b/model"]
        assert page.locator("section").count() == 4
        text = page.inner_text("main")
        for part in (
            "Curves",
            "Every class against b/model",
            "Calibration and confusion",
            "Most confused",
            "Worst errors",
            "Masks",
        ):
            assert part in text, part
        assert page.locator(".mistakes img").count() >= 2
        widths = page.evaluate("Promise.all([...document.images].map((i) => i.decode().then(() => i.naturalWidth)))")
        assert all(width > 0 for width in widths)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_everyone_can_use_the_page(built: ReportSummary, browser: Any, scheme: str, width: int) -> None:
    with opened(browser, built.page, color_scheme=scheme, viewport={"width": width, "height": 800}) as page:
        assert faults(page) == []


def test_a_dark_page_shows_a_dark_confusion_matrix(built: ReportSummary, browser: Any) -> None:
    for scheme in ("light", "dark"):
        with opened(browser, built.page, color_scheme=scheme) as page:
            matrix = page.locator("img[alt^='Confusion matrix']").first
            corner = matrix.evaluate(_CORNER)
            assert (max(corner) < 60) if scheme == "dark" else (min(corner) > 240)


_CORNER = """async (image) => {
    await image.decode();
    const canvas = document.createElement("canvas");
    const pen = canvas.getContext("2d");
    pen.drawImage(image, 0, 0);
    return [...pen.getImageData(2, 2, 1, 1).data].slice(0, 3);
}"""


def test_run_without_judgement_or_images_is_still_shown_and_says_what_lacks(
    judged: tuple[Path, Path], make_split: MakeSplit, tmp_path: Path
) -> None:
    new, moved = _run(tmp_path / "new", 2), shutil.copytree(judged[1], tmp_path / "moved")
    evaluation = moved / "eval" / "classify-normalized" / "eval.json"
    summary = json.loads(evaluation.read_text())
    evaluation.write_text(json.dumps(summary | {"split": "gone"}))

    built = build_report([new, moved], out=tmp_path / "page.html")

    assert len(built.notes) == 2
    assert "pgnm eval" in built.notes[0]
    assert "--split" in built.notes[1]
    assert "the picture is not at hand" in built.page.read_text()
    views = read_runs([moved])
    assert find_images(views[0], make_split("again")) is not None


def test_differences_from_the_baseline_are_shown_and_told(
    judged: tuple[Path, Path], built: ReportSummary, browser: Any
) -> None:
    own, other = (
        json.loads((run / "eval" / "classify-normalized" / "eval.json").read_text())["metrics"] for run in judged
    )
    (found,) = built.differences
    assert (found.run, found.baseline, found.evaluation) == ("a/model", "b/model", "classify-normalized")
    assert found.values == {name: own[name] - other[name] for name in found.values}
    low, high = found.intervals.bounds["f1"]
    assert low <= found.values["f1"] <= high
    assert found.is_sure("f1") == (low > 0 or high < 0)
    assert not found.is_sure("a metric that is not known")
    with opened(browser, built.page) as page:
        table = page.locator(".results").nth(1)
        cell = table.locator("tbody td.number").nth(3).inner_text()
        assert float(cell.split()[0].replace("−", "-")) == round(found.values["f1"], 3)
        assert ("<strong>" in table.inner_html()) == any(map(found.is_sure, found.values))
    told = CliRunner().invoke(app, ["report", str(judged[0]), "--baseline", str(judged[1]), "--json"])
    (written,) = json.loads(told.stdout)["differences"]
    assert written["values"] == found.values
    assert written["intervals"]["bounds"]["f1"] == [low, high]
    shown = CliRunner().invoke(app, ["report", str(judged[0]), "--baseline", str(judged[1])])
    assert f"f1                {found.values['f1']:+.4f}  95 % interval {low:+.4f} to {high:+.4f}" in shown.output


def test_differences_are_resampled_by_group(tmp_path: Path) -> None:
    split = write_split(tmp_path / "data", n_test=8)
    test = pd.read_csv(split / "test.csv")
    test["group"] = [f"pair{row // 2}" for row in range(len(test))]
    test.to_csv(split / "test.csv", index=False)
    runs = [_run(tmp_path / name, seed) for seed, name in enumerate("ab")]
    for run in runs:
        evaluate_run(run, split, EvalOptions(workers=0, resamples=0))
    by_group = build_report([runs[0]], baseline=runs[1]).differences[0].intervals
    assert (by_group.by, by_group.units) == ("group", len(test) // 2)
    shutil.rmtree(split)
    by_image = build_report([runs[0]], baseline=runs[1]).differences[0].intervals
    assert (by_image.by, by_image.units) == ("image", len(test))


def test_a_baseline_that_was_judged_otherwise_is_told(judged: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(judged[0], tmp_path / "other")
    shutil.rmtree(tmp_path / "other" / "eval" / "classify-normalized")
    built = build_report([judged[1]], baseline=tmp_path / "other", out=tmp_path / "page.html")
    assert any("share no evaluation of the same input" in note for note in built.notes)


def test_models_that_were_judged_on_other_images_are_no_rivals(judged: tuple[Path, Path], tmp_path: Path) -> None:
    other = _run(tmp_path / "other", 2)
    evaluate_run(other, write_split(tmp_path / "more", n_test=9, seed=1), EvalOptions(workers=0, resamples=0))
    alike = build_report([judged[1], judged[0]], out=tmp_path / "alike.html").page.read_text()
    unlike = build_report([judged[1]], baseline=other, out=tmp_path / "unlike.html")
    page = unlike.page.read_text()
    assert "<strong>" in alike and "best of each column" in alike
    assert "<strong>" not in page and "no best is marked" in page
    assert any("share no evaluation of the same input, images" in note for note in unlike.notes)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("recipe.yaml", ""),
        ("recipe.yaml", "- a list"),
        ("recipe.yaml", "resolved:"),
        ("metrics.csv", ""),
        ("config.json", "3"),
        ("eval/classify-normalized/eval.json", "{}"),
        ("eval/classify-normalized/eval.json", "[]"),
        ("eval/classify-normalized/predictions.parquet", "PAR1"),
        ("eval/unseen/probe.json", "[]"),
    ],
)
def test_damaged_files_are_named(judged: tuple[Path, Path], tmp_path: Path, name: str, text: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(judged[1], run)
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_text(text)
    with pytest.raises(RunError, match=Path(name).name):
        build_report([run])


def test_predictions_without_the_classes_are_named(judged: tuple[Path, Path], tmp_path: Path) -> None:
    run = shutil.copytree(judged[1], tmp_path / "run")
    predictions = run / "eval" / "classify-normalized" / "predictions.parquet"
    pd.read_parquet(predictions).drop(columns="p_1").to_parquet(predictions)
    with pytest.raises(RunError, match=r"predictions\.parquet cannot be used .* pgnm eval"):
        build_report([run])


def test_every_run_has_curves_of_its_own_policy(tmp_path: Path) -> None:
    runs = [_run(tmp_path / name, 0) for name in ("h.1", "h_1")]
    for number, run in enumerate(runs):
        rows = [{"epoch": epoch, "loss": 1.0, "alpha_p50": 1.0 + number + epoch} for epoch in range(2)]
        write_metrics(run, rows)
    drawn = [one for one in curves(read_runs(runs), tmp_path) if "policy" in one.text]
    assert [one.text for one in drawn] == [f"How the policy of {name} moved over the epochs" for name in ("h.1", "h_1")]
    assert drawn[0].source != drawn[1].source


def test_classes_without_images_have_no_score(tmp_path: Path, browser: Any) -> None:
    split = write_split(tmp_path / "data")
    test = pd.read_csv(split / "test.csv")
    test[test["label"] != CLASSES[0]].to_csv(split / "test.csv", index=False)
    runs = [_run(tmp_path / name, seed) for seed, name in enumerate("ab")]
    for run in runs:
        evaluate_run(run, split, EvalOptions(workers=0, resamples=0))
    with opened(browser, build_report([runs[0]], baseline=runs[1]).page) as page:
        last = page.locator(".bars tbody tr").nth(len(CLASSES) - 1)
        assert last.locator("td").all_inner_texts()[:4] == ["0", "–", "–", "–"]
        assert last.locator("i").evaluate("bar => bar.getBoundingClientRect().width") == 0
    tables = [read_runs([run])[0] for run in runs]
    with mock.patch("pgnm.report.pictures.plot_per_label", wraps=plot_per_label) as drawn:
        assert comparison(*tables, tmp_path) is not None
    assert all(CLASSES[0] not in scores.index and len(scores) == len(CLASSES) - 1 for scores in drawn.call_args[0][:2])


def test_agents_masks_are_shown_as_the_run_drew_them(tmp_path: Path, browser: Any) -> None:
    run = _run(tmp_path / "agent", 0, policy="apga")
    pixels = torch.rand(2, 3, 16, 16)
    save_overlays(run / "overlays", pixels, (pixels[:, :1] > 0.5).float(), ["00", "01"], 0.3, 0.3)

    with opened(browser, build_report([run]).page) as page:
        assert page.locator("img[alt*='mask']").count() == 2


def test_names_are_escaped(tmp_path: Path) -> None:
    page = build_report([_run(tmp_path / "<script>alert(1)<", 0)]).page

    assert "<script>alert" not in page.read_text()


def test_wrong_use_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        build_report([tmp_path])
    with pytest.raises(RunError, match="name run folders"):
        build_report([])
    with pytest.raises(SplitError, match="split"):
        build_report([_run(tmp_path / "run", 0)], split=tmp_path)


def test_only_pages_of_reports_are_written_over(tmp_path: Path) -> None:
    run, page = _run(tmp_path / "run", 0), tmp_path / "page.html"
    with pytest.raises(UsageError, match=r"ends in \.html"):
        build_report([run], out=run / "model.safetensors")
    page.write_text("<p>of somebody</p>")
    with pytest.raises(UsageError, match="was not written by pgnm report"):
        build_report([run], out=page)
    page.unlink()
    for _ in range(2):
        assert build_report([run], out=page).page == page


def test_surest_wrong_predictions_come_first() -> None:
    table = pd.DataFrame(
        {
            "path": ["right", "sure", "close", "between"],
            "target": [0, 0, 1, 1],
            "prediction": [0, 1, 0, 0],
            "p_0": [0.9, 0.05, 0.51, 0.7],
            "p_1": [0.1, 0.95, 0.49, 0.3],
        }
    )
    probability = table[["p_0", "p_1"]].to_numpy()

    found = worst_mistakes(table, probability, ("no", "yes"), 2)

    assert [(one.path, one.target, one.prediction) for one in found] == [
        ("sure", "no", "yes"),
        ("between", "yes", "no"),
    ]
    assert found[0].p_prediction == 0.95
    assert len(worst_mistakes(table, probability, ("no", "yes"), 99)) == 3


def test_pairs_confused_most_come_first() -> None:
    confusion = np.array([[5, 3, 0], [0, 9, 1], [4, 0, 0]])

    table = top_confusions(confusion, ("a", "b", "c"), 9)

    assert table.to_dict("records") == [
        {"target": "c", "prediction": "a", "images": 4, "share": 1.0},
        {"target": "a", "prediction": "b", "images": 3, "share": 0.375},
        {"target": "b", "prediction": "c", "images": 1, "share": 0.1},
    ]


def test_command_names_the_page(tmp_path: Path) -> None:
    run, out = _run(tmp_path / "run", 0), tmp_path / "runs.html"
    result = CliRunner().invoke(app, ["report", str(run), "--out", str(out), "--quiet", "--json"])

    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "page": str(out),
        "notes": [f"run has not been judged; run: pgnm eval {run}"],
        "differences": [],
    }
    assert out.is_file()
