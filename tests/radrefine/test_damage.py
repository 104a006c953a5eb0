"""What earlier commands wrote may be damaged: the file is named in a sentence, and clean writes its tables anew."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from cli.radrefine import app
from radrefine.audit import audit_collection
from radrefine.batch import CleanOptions, clean_collection
from radrefine.errors import RadrefineError
from radrefine.hub.content import read_split
from radrefine.removals import write_removals
from radrefine.report import build_report
from radrefine.split import SplitOptions, split_collection

HERE = CleanOptions(jobs=1, backend="threading", modality="US")
DAMAGES = ("", "{}", "[]", "PAR1")
READERS: dict[str, tuple[Callable[[Path, Path], object], tuple[str, ...]]] = {
    "audit": (lambda out, _: audit_collection(out, jobs=1), ("manifest.parquet",)),
    "split": (lambda out, _: split_collection(out, out.parent / "new", SplitOptions(jobs=1)), ("manifest.parquet",)),
    "masks": (lambda out, source: write_removals(out, source, out.parent / "m.zip"), ("manifest.parquet",)),
    "report": (
        lambda out, _: build_report(out),
        ("manifest.parquet", "findings.parquet", "failures.csv", "run.json", "audit/audit.json"),
    ),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source, and the refined folder, audit and split made from it; tests work on copies."""
    root = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    for number in range(6):
        image = cv2.GaussianBlur(rng.integers(20, 90, (96, 128), np.uint8), (0, 0), 2)
        cv2.putText(image, "LIVER", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
        path = root / "raw" / "US" / ("liver", "spleen")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    clean_collection(root / "raw", root / "refined", HERE)
    audit_collection(root / "refined", jobs=1)
    split_collection(root / "refined", root / "split", SplitOptions(ratios="1:1:1", jobs=1))
    return root


@pytest.mark.parametrize(("reader", "name"), [(key, name) for key, (_, names) in READERS.items() for name in names])
def test_damaged_tables_are_named(made: Path, tmp_path: Path, reader: str, name: str) -> None:
    shutil.copytree(made, tmp_path / "made")
    out = tmp_path / "made" / "refined"
    for text in DAMAGES:
        (out / name).write_text(text)
        if (name, text) == ("run.json", "{}"):  # the page then tells less
            continue
        with pytest.raises(RadrefineError, match=f"{Path(name).name} (cannot be read|lacks)"):
            READERS[reader][0](out, tmp_path / "made" / "raw")


@pytest.mark.parametrize("name", ["manifest.parquet", "findings.parquet", "failures.csv", "run.json"])
def test_cleaning_again_writes_damaged_tables_anew(made: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "refined"
    shutil.copytree(made / "refined", out)
    for text in DAMAGES:
        (out / name).write_text(text)
        assert clean_collection(made / "raw", out, HERE).done == 0
        if name != "run.json":
            assert (out / name).read_bytes() == (made / "refined" / name).read_bytes()
        else:
            assert "configuration" in (out / name).read_text()


@pytest.mark.parametrize("name", ["split.json", "classes.csv", "train.csv", "test.csv"])
def test_a_damaged_split_is_not_published(made: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(made / "split", tmp_path / "split")
    for text in DAMAGES:
        (tmp_path / "split" / name).write_text(text)
        with pytest.raises(RadrefineError, match=r"cannot be read|has no column|is missing"):
            read_split(tmp_path / "split")


def test_masks_without_a_known_source_ask_for_it(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "refined", tmp_path / "refined")
    (tmp_path / "refined" / "run.json").write_text("{}")
    told = CliRunner().invoke(app, ["masks", str(tmp_path / "refined")])
    assert told.exit_code == 1
    assert "name the source with --src" in told.stderr


def test_masks_tell_how_to_read_another_copy(made: Path, tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["masks", str(made / "refined"), "--out", str(tmp_path / "m.zip")])
    assert f"radrefine clean --src COPY --masks {tmp_path / 'm.zip'} --modality US" in told.stdout + told.stderr
