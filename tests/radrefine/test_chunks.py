"""Images that the network sees together come out as if each had been alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radrefine import chunks
from radrefine.batch import CleanOptions, clean_collection
from radrefine.images import encode_png, read_image
from radrefine.marks import draw_marks
from radrefine.phantoms import make_phantom
from radrefine.refine import RefineOptions

TOGETHER = RefineOptions(engine="torch")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source" / "US" / "breast" / "cyst"
    folder.mkdir(parents=True)
    for number in range(6):
        rng = np.random.default_rng(number)
        phantom = make_phantom("US/breast/cyst", rng, (160, 160) if number % 2 else (128, 176))
        image = draw_marks(phantom, rng, ("caliper", "text")).image if number < 5 else phantom
        (folder / f"{number}.png").write_bytes(encode_png(np.asarray(image, np.uint8)))
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:-400])
    (folder / "tiny.png").write_bytes(encode_png(np.full((20, 20), 7, np.uint8)))
    copied = tmp_path / "source" / "CT" / "lung" / "normal"
    copied.mkdir(parents=True)
    (copied / "a.png").write_bytes((folder / "1.png").read_bytes())
    return tmp_path / "source"


def clean(source: Path, out: Path, refine: RefineOptions) -> tuple[pd.DataFrame, pd.DataFrame]:
    clean_collection(source, out, CleanOptions(refine=refine, jobs=1, backend="threading"))
    return pd.read_parquet(out / "manifest.parquet"), pd.read_parquet(out / "findings.parquet")


@pytest.mark.parametrize("pixels", [1, 50_000, 10**9])
def test_seen_together_or_alone_the_result_is_the_same(
    pixels: int, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "_TOGETHER_PIXELS", pixels)
    rows, marks = clean(source, tmp_path / "torch", TOGETHER)
    expected, found = clean(source, tmp_path / "opencv", RefineOptions())

    assert rows.status.value_counts().to_dict() == {"refined": 5, "clean": 2, "copied": 1, "failed": 1}
    exact = ["path", "status", "source_sha256", "pixel_sha256", "n_caliper", "n_text"]
    pd.testing.assert_frame_equal(rows[exact], expected[exact])
    pd.testing.assert_frame_equal(marks, found, atol=1e-3)
    for path in rows.path[rows.status == "refined"]:
        ours, theirs = (read_image(tmp_path / engine / "masks" / path) for engine in ("torch", "opencv"))
        assert (ours != theirs).sum() <= 2, path  # the engines round differently


def test_corrections_and_rules_need_no_network(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("radrefine.artifacts.learned.detector.see_marks", fail)
    rows, _ = clean(source, tmp_path / "out", RefineOptions(engine="torch", detector="classical"))

    assert (rows.status == "failed").sum() == 1
