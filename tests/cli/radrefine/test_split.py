import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.radrefine import app
from tests.radrefine.pictures import brighter, scene
from tests.radrefine.refined import write_refined


@pytest.fixture
def refined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = [(f"{place}/{seed}.png", scene(seed, 48)) for seed in range(40) for place in ("CT/chest",)]
    files += [(f"US/breast/{seed}.png", brighter(scene(seed, 48))) for seed in range(40)]
    folder = write_refined(tmp_path / "refined", files)
    monkeypatch.chdir(folder)
    return folder


def test_without_arguments_it_splits_the_current_folder(refined: Path) -> None:
    done = CliRunner().invoke(app, ["split", "--stratify"])

    assert done.exit_code == 0, done.output
    assert (refined / "split/train.csv").is_file()
    assert "near duplicates 0" in done.stdout
    assert "80 images of 2 classes in 40 groups, the largest of 2: train" in done.stdout
    assert "next: pgnm pretrain split" in done.stdout


def test_json_is_alone_on_standard_output(refined: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["split", str(refined), "--out", str(tmp_path / "out"), "--json"])

    told = json.loads(done.stdout)
    assert told["images"] == 80
    assert told["proof"]["shared_near_duplicates"] == 0


def test_a_leaking_split_ends_with_4_and_names_pairs(refined: Path) -> None:
    done = CliRunner().invoke(app, ["split", "--no-duplicates", "--ratios", "1:1:1", "--quiet"])

    assert done.exit_code == 4
    assert "shared near-duplicate: " in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--ratios", "1"], 2, "--ratios must be three numbers"),
        (["--group-by", "patient"], 2, "no such column"),
        (["--rare", "drop"], 2, "--rare must be one of"),
        (["--rare", "error", "--ratios", "1000:1:1"], 1, "too small for the ratios"),
        (["nowhere"], 1, "expected a refined folder"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(refined: Path, options: list[str], code: int, message: str) -> None:
    done = CliRunner().invoke(app, ["split", *options])

    assert done.exit_code == code
    assert message in done.stderr
    assert "Traceback" not in done.output
