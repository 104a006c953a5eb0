"""`radrefine clean` and `radrefine masks`: exit codes, what goes where, and one sentence for each mistake."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow
from typer.testing import CliRunner, Result

from cli.radrefine import app


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for index, folder in enumerate(("US/thyroid", "US/thyroid", "CT/chest/normal")):
        path = tmp_path / "raw" / folder / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(rng.integers(0, 90, (64, 64), np.uint8)).save(path)
    return tmp_path / "raw"


def test_out_lies_beside_the_source_by_default(source: Path) -> None:
    done = run("clean", "--src", source, "--jobs", 1)

    assert done.exit_code == 0, done.output
    assert (source.with_name("raw-refined") / "manifest.parquet").is_file()
    assert "radrefine split" in done.stdout


def test_json_is_alone_on_standard_output(source: Path, tmp_path: Path) -> None:
    done = run("clean", "--src", source, "--out", tmp_path / "out", "--jobs", 1, "--json")

    result = json.loads(done.stdout)
    assert result["done"] == 3 and result["counts"]["copied"] == 1


def test_quiet_says_nothing(source: Path, tmp_path: Path) -> None:
    done = run("clean", "--src", source, "--out", tmp_path / "out", "--jobs", 1, "--quiet")

    assert done.output == ""


def test_failed_images_give_exit_code_3_and_a_row(source: Path, tmp_path: Path) -> None:
    (source / "US/thyroid/text.png").write_text("not an image")

    done = run("clean", "--src", source, "--out", tmp_path / "out", "--jobs", 1)

    assert done.exit_code == 3
    (row,) = pd.read_csv(tmp_path / "out" / "failures.csv").to_dict("records")
    assert row["path"] == "US/thyroid/text.png" and row["stage"] == "decode" and "not an image" in row["reason"]


def test_dry_run_writes_nothing(source: Path, tmp_path: Path) -> None:
    done = run("clean", "--src", source, "--dry-run")

    assert done.exit_code == 0 and "would refine 2" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda path: None, 1, "no source"),
        (lambda path: path.mkdir(), 1, "no image"),
        (lambda path: path.with_suffix(".tar").write_text("text"), 1, "not a tar"),
    ],
)
def test_unusable_source_is_one_sentence(make, code: int, words: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "raw")
    source = next(tmp_path.iterdir(), tmp_path / "raw")

    done = run("clean", "--src", source, "--out", tmp_path / "out")

    assert done.exit_code == code and words in done.output
    assert len(done.output.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "options",
    [("--remove", "arrows"), ("--backend", "spark"), ("--layout", "flat"), ("--modality", "PET"), ("--jobs", "-2")],
)
def test_wrong_option_gives_exit_code_2(options: tuple[str, str], source: Path, tmp_path: Path) -> None:
    done = run("clean", "--src", source, "--out", tmp_path / "out", *options)

    assert done.exit_code == 2 and options[0] in done.output


def test_masks_carry_removals_to_another_copy(source: Path, tmp_path: Path) -> None:
    correction = np.zeros((64, 64), np.int16)
    correction[5:9, 5:9] = 100
    (tmp_path / "corrections" / "US" / "thyroid").mkdir(parents=True)
    buffer = io.BytesIO()
    np.save(buffer, correction)
    (tmp_path / "corrections" / "US" / "thyroid" / "0.npy").write_bytes(buffer.getvalue())
    shutil.copytree(source, tmp_path / "copy" / "raw")

    first = run("clean", "--src", source, "--out", tmp_path / "a", "--jobs", 1, "--masks", tmp_path / "corrections")
    packed = run("masks", tmp_path / "a", "--out", tmp_path / "m.zip")
    second = run(
        "clean", "--src", tmp_path / "copy" / "raw", "--out", tmp_path / "b", "--jobs", 1, "--masks", tmp_path / "m.zip"
    )

    assert (first.exit_code, packed.exit_code, second.exit_code) == (0, 0, 0), packed.output
    image = "images/US/thyroid/0.png"
    assert (tmp_path / "a" / image).read_bytes() == (tmp_path / "b" / image).read_bytes()
    assert (tmp_path / "a" / image).read_bytes() != (source / "US/thyroid/0.png").read_bytes()


def test_full_disk_is_one_sentence_and_the_next_run_completes(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    out.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", out], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        for index in range(60):
            (source / f"CT/chest/normal/more{index}.png").write_bytes((source / "CT/chest/normal/2.png").read_bytes())

        full = run("clean", "--src", source, "--out", out / "refined", "--jobs", 1)

        assert full.exit_code == 1 and "disk is full" in full.output and full.output.count("\n") == 1
        whole = {path.stat().st_size for path in (out / "refined/images/CT").rglob("*.png")}
        assert whole <= {(source / "CT/chest/normal/2.png").stat().st_size}
        subprocess.run(["mount", "-o", "remount,size=9m", out], check=True)
        assert run("clean", "--src", source, "--out", out / "refined", "--jobs", 1).exit_code == 0
        assert len(list((out / "refined/images/CT").rglob("*.png"))) == 61
    finally:
        subprocess.run(["umount", out], check=True)


def test_interrupt_gives_exit_code_130(source: Path, tmp_path: Path) -> None:
    code = (
        "import os, signal, radrefine.chunks as chunks; from cli.radrefine import main\n"
        "def stop(*_): os.kill(os.getpid(), signal.SIGINT)\n"
        "chunks._open = stop; main()"
    )
    command = [sys.executable, "-c", code, "clean", "--src", source, "--out", tmp_path / "out", "--jobs", "1"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 130, done.stderr
    assert "run the same command again" in done.stderr and "Traceback" not in done.stderr
