"""The pages of a refined folder: built, opened and used in a real browser."""

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from radrefine.errors import RefinedFolderError, UsageError
from radrefine.report import ReportOptions, build_report
from radrefine.report.gallery import choose_items
from radrefine.report.summary import summarise
from radrefine.schema import FAILURE_COLUMNS, FINDING_COLUMNS, KINDS, MANIFEST_COLUMNS

N_REFINED, N_CLEAN, N_COPIED = 20, 6, 3


def _path(number: int) -> str:
    return f"US/breast/{'benign' if number % 2 else 'normal'}/{number:03d}.png"


def _manifest() -> pd.DataFrame:
    statuses = ["refined"] * N_REFINED + ["clean"] * N_CLEAN + ["copied"] * N_COPIED
    rows = [
        dict.fromkeys(MANIFEST_COLUMNS)
        | {
            "path": _path(number),
            "label": f"US__breast__{'benign' if number % 2 else 'normal'}",
            "width": 64,
            "height": 48,
            "status": status,
            "mask_fraction": 0.01 if status == "refined" else 0.0,
            "residual_score": number / 100,
            "elapsed_ms": 2.0,
        }
        for number, status in enumerate(statuses)
    ]
    return pd.DataFrame(rows, columns=list(MANIFEST_COLUMNS))


def _findings() -> pd.DataFrame:
    rows = [(_path(n), KINDS[n % 3], 10, 12, 8, 8, 0.5 + n / 50, "test", True) for n in range(N_REFINED)]
    return pd.DataFrame(rows, columns=list(FINDING_COLUMNS))


def _write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


@pytest.fixture
def refined(tmp_path: Path) -> Path:
    """A refined folder of small pictures, made by hand, with its source beside it."""
    folder, source = tmp_path / "refined", tmp_path / "raw"
    manifest = _manifest()
    mask = np.zeros((48, 64), np.uint8)
    mask[12:20, 10:18] = 255
    for row in manifest.to_dict("records"):
        _write(folder / "images" / str(row["path"]), np.full((48, 64), 60, np.uint8))
        _write(source / str(row["path"]), np.full((48, 64), 200, np.uint8))
        if row["status"] == "refined":
            _write(folder / "masks" / str(row["path"]), mask)
    manifest.to_parquet(folder / "manifest.parquet")
    _findings().to_parquet(folder / "findings.parquet")
    failure = ("US/broken.png", "decode", "not an image <script>alert(1)</script>")
    pd.DataFrame([failure], columns=list(FAILURE_COLUMNS)).to_csv(folder / "failures.csv", index=False)
    (folder / "run.json").write_text(json.dumps({"schema": 1, "source": str(source)}))
    return folder


def test_worst_images_come_first_and_the_rest_is_drawn_from_those_looked_at() -> None:
    items = choose_items(_manifest(), _findings(), sample=8, seed=3)

    worst = [item.residual for item in items[:6]]
    assert worst == sorted(worst, reverse=True)
    assert worst[0] == (N_REFINED + N_CLEAN - 1) / 100
    assert len({item.path for item in items}) == 8
    assert all(item.status != "copied" for item in items)
    assert items == choose_items(_manifest(), _findings(), sample=8, seed=3)


def test_sample_zero_shows_all_that_were_looked_at() -> None:
    assert len(choose_items(_manifest(), _findings(), sample=0, seed=0)) == N_REFINED + N_CLEAN


def test_overview_counts_statuses_kinds_and_labels() -> None:
    overview = summarise(_manifest(), _findings(), pd.DataFrame(columns=list(FAILURE_COLUMNS)))

    assert {bar.name: bar.count for bar in overview.statuses} == {"refined": 20, "clean": 6, "copied": 3, "failed": 0}
    assert ("caliper", 7, 7) in overview.kinds
    assert sum(bar.count for bar in overview.labels) == 29
    assert overview.median_ms == 2.0


def test_pages_hold_every_picture_and_escape_what_they_quote(refined: Path) -> None:
    summary = build_report(refined)

    text = summary.page.read_text()
    assert summary.n_shown == N_REFINED + N_CLEAN
    assert summary.n_without_before == 0
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text
    pictures = list((refined / "report" / "before").glob("*.png"))
    assert len(pictures) == N_REFINED + N_CLEAN
    before = cv2.imread(str(pictures[0]))
    assert before is not None
    assert before.mean() == 200


def test_missing_source_leaves_the_pictures_before_out(refined: Path) -> None:
    shutil.rmtree(refined.parent / "raw")

    assert build_report(refined).n_without_before == N_REFINED + N_CLEAN


def test_building_again_replaces_the_report(refined: Path) -> None:
    build_report(refined)
    summary = build_report(refined, options=ReportOptions(sample=4))

    assert len(list((refined / "report" / "after").iterdir())) == summary.n_shown == 4


@pytest.mark.parametrize("fault", ["not refined", "occupied out", "negative sample"])
def test_wrong_use_is_told_in_a_sentence(refined: Path, tmp_path: Path, fault: str) -> None:
    if fault == "not refined":
        with pytest.raises(RefinedFolderError, match="radrefine clean"):
            build_report(tmp_path)
    elif fault == "occupied out":
        with pytest.raises(RefinedFolderError, match="--out"):
            build_report(refined, out=refined / "images")
    else:
        with pytest.raises(UsageError, match="--sample"):
            build_report(refined, options=ReportOptions(sample=-1))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no chromium on this machine; make install brings it on Debian")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


def test_gallery_works_in_a_browser_and_asks_nobody_for_anything(refined: Path, browser: Any) -> None:
    page = browser.new_page()
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(build_report(refined).page.as_uri())

    assert page.inner_text("#status") == "26 of 26 images fit"
    assert page.locator(".card").count() == 12
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#page") == "page 2 of 3"
    page.select_option("#filter-kind", "caliper")
    assert page.inner_text("#status") == "7 of 26 images fit"
    page.fill("#filter-score", "0.7")
    assert page.inner_text("#status") == "3 of 26 images fit"
    page.locator(".card input[type=range]").first.fill("80")
    assert page.locator(".frame").first.evaluate("frame => frame.style.getPropertyValue('--cut')") == "80%"
    assert messages == []
    assert all(url.startswith(("file:", "data:")) for url in requests)
    page.close()


def test_rejected_removals_are_exported_as_a_table(refined: Path, browser: Any, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(build_report(refined).page.as_uri())
    page.select_option("#filter-kind", "text")
    card = page.locator(".card").first
    card.locator("button", has_text="reject").click()
    with page.expect_download() as download:
        page.click("#export")
    download.value.save_as(tmp_path / "review.csv")
    page.close()

    with (tmp_path / "review.csv").open() as file:
        rows = list(csv.DictReader(file))
    box = {"kind": "text", "x": "10", "y": "12", "width": "8", "height": "8"}
    assert rows == [{"path": "US/breast/benign/017.png", **box, "decision": "reject"}]
