"""The pages of a refined folder in a real browser: compare, filter, page, review, and the way back to `clean`."""

import csv
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cli.radrefine import app
from radrefine.report import build_report
from tests.pages import faults, opened
from tests.radrefine.report.made import path_of, write_audit


def test_gallery_filters_sorts_and_pages(refined: Path, browser: Any) -> None:
    with opened(browser, build_report(refined).page) as page:
        assert page.inner_text("#status") == "20 of 26 images fit"
        assert page.locator(".card").count() == 12
        assert page.locator(".card strong").first.inner_text().endswith("019.png")
        page.keyboard.press("ArrowRight")
        assert page.inner_text("#page") == "page 2 of 2"
        page.keyboard.press("ArrowLeft")
        page.click("#next")
        assert page.inner_text("#page") == "page 2 of 2"
        page.select_option("#filter-kind", "caliper")
        assert page.inner_text("#status") == "7 of 26 images fit"
        assert page.inner_text("#page") == "page 1 of 1"
        page.fill("#filter-score", "0.7")
        assert page.inner_text("#status") == "3 of 26 images fit"
        page.select_option("#filter-label", "US__breast__benign")
        assert page.inner_text("#status") == "1 of 26 images fit"
        page.select_option("#filter-kind", "")
        page.fill("#filter-score", "0")
        page.select_option("#filter-label", "")
        page.select_option("#filter-status", "")
        assert page.inner_text("#status") == "26 of 26 images fit"
        assert page.locator(".card strong").first.inner_text().endswith("025.png")
        page.select_option("#sort", "path")
        assert page.locator(".card strong").first.inner_text().endswith("001.png")


def test_slider_view_boxes_and_mask_change_what_is_seen(refined: Path, browser: Any) -> None:
    with opened(browser, build_report(refined).page) as page:
        frame = page.locator(".frame").first
        slider = frame.locator("input[type=range]")
        slider.fill("80")
        assert frame.evaluate("frame => frame.style.getPropertyValue('--cut')") == "80%"
        slider.focus()
        page.keyboard.press("ArrowRight")
        assert slider.input_value() == "81"
        assert page.inner_text("#page") == "page 1 of 2"
        assert page.locator(".box").count() == 12
        page.locator("h1").click()
        page.keyboard.press("o")
        assert page.locator(".box").count() == 0
        assert page.locator(".mask").count() == 0
        page.keyboard.press("m")
        assert page.locator(".mask img").count() == 12
        page.keyboard.press("b")
        assert page.locator(".frame input").first.input_value() == "100"
        page.locator("button.large").first.click()
        assert "wide" in page.locator(".card").first.get_attribute("class")


def test_every_section_opens_and_shows_its_part(refined: Path, browser: Any) -> None:
    write_audit(refined)
    with opened(browser, build_report(refined).page) as page:
        for name in ("overview", "alike", "failures", "settings", "gallery"):
            page.click(f".tabs a[href='#{name}']")
            assert page.locator("main > section:visible").count() == 1
            assert page.locator(f"#{name}").is_visible()
        page.click(".tabs a[href='#alike']")
        assert page.inner_text("#alike-status") == "4 of 4 sets fit"
        page.select_option("#alike-sort", "conflict")
        assert page.locator(".pair").count() == 1
        assert "labels differ" in page.locator(".pair").inner_text()
        assert page.locator(".pair img").count() == 2
        assert page.locator(".pair img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 64


@pytest.mark.parametrize("width", [1400, 1100, 390])
def test_controls_that_belong_together_stay_together_and_tabs_in_sight(refined: Path, browser: Any, width: int) -> None:
    write_audit(refined)
    with opened(browser, build_report(refined).page, viewport={"width": width, "height": 800}) as page:
        page.evaluate("document.querySelectorAll('details').forEach((box) => { box.open = true; })")
        tops = [page.locator(name).bounding_box()["y"] for name in ("#show-boxes", "#show-mask")]
        assert tops[0] == tops[1]
        for tab in page.locator(".tabs a").all():
            box = tab.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width
        text = page.evaluate("document.body.textContent")
        assert "\u00a0%" in text and not re.search(r"\d %", text)
        assert "7 surplus copies of images, 3 pairs of near-duplicates, 1 pair with different labels" in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_everyone_can_use_the_pages(refined: Path, browser: Any, scheme: str, width: int) -> None:
    write_audit(refined)
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    with opened(browser, build_report(refined).page, **options) as page:
        page.evaluate("document.querySelectorAll('details').forEach((box) => { box.open = true; })")
        page.locator("button.leave").first.click()
        page.locator("button.remove").nth(1).click()
        for name in ("gallery", "overview", "alike", "failures", "settings"):
            page.click(f".tabs a[href='#{name}']")
            assert faults(page) == [], name


def test_marks_are_reviewed_by_keyboard_and_the_decisions_last(refined: Path, browser: Any, tmp_path: Path) -> None:
    built = build_report(refined).page
    with opened(browser, built) as page:
        page.locator("h1").click()
        for key in ("n", "l", "r", "r", "p", "u"):
            page.keyboard.press(key)
        assert page.inner_text("#progress") == "2 decisions: 1 to leave, 1 to remove"
        page.reload()
        assert page.inner_text("#progress") == "2 decisions: 1 to leave, 1 to remove"
        page.select_option("#filter-review", "leave")
        assert page.inner_text("#status") == "1 of 26 images fit"
        with page.expect_download() as download:
            page.click("#export")
        download.value.save_as(tmp_path / "review.csv")
        page.on("dialog", lambda dialog: dialog.accept())
        page.click("#forget")
        assert page.inner_text("#progress") == "No decision yet"

    with (tmp_path / "review.csv").open() as file:
        rows = [(row["path"], row["kind"], row["x"], row["height"], row["decision"]) for row in csv.DictReader(file)]
    assert rows == [(path_of(19), "dotted_line", "10", "8", "leave"), (path_of(18), "caliper", "10", "8", "remove")]


def test_another_view_keeps_the_mark_and_the_size_of_the_cards(refined: Path, browser: Any) -> None:
    with opened(browser, build_report(refined).page) as page:
        page.locator("button.large").nth(2).click()
        page.locator("h1").click()
        page.keyboard.press("n")
        page.keyboard.press("n")
        held = "((row) => [row.closest('figure').dataset.path, row.dataset.mark])(document.activeElement)"
        before = page.evaluate(held)
        for key in ("m", "o", "b"):
            page.keyboard.press(key)
            assert page.evaluate(held) == before
        assert page.locator(".card.wide").count() == 1
        assert page.locator(".card").nth(2).evaluate("card => card.classList.contains('wide')")
        assert page.locator("button.large").nth(2).get_attribute("aria-pressed") == "true"


def test_marks_step_over_the_edge_of_a_page(refined: Path, browser: Any) -> None:
    with opened(browser, build_report(refined).page) as page:
        page.locator("h1").click()
        page.keyboard.press("p")  # from nowhere: the last mark of the page
        page.keyboard.press("n")
        assert page.inner_text("#page") == "page 2 of 2"
        assert page.evaluate("document.activeElement.dataset.mark") == "0"


def _marked_collection(root: Path) -> Path:
    rng = np.random.default_rng(1)
    for index in range(3):
        image = cv2.GaussianBlur(rng.integers(20, 90, (96, 128), np.uint8), (0, 0), 2)
        cv2.putText(image, "LIVER", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
        path = root / "US" / "liver" / f"{index}, copy.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    return root


def test_marks_to_leave_come_back_bit_for_bit(browser: Any, tmp_path: Path) -> None:
    source, out = _marked_collection(tmp_path / "raw"), tmp_path / "refined"
    clean = ["clean", "--src", str(source), "--out", str(out), "--jobs", "1", "--json"]
    runner = CliRunner()
    assert runner.invoke(app, [*clean, "--report"]).exit_code == 0
    assert len(list((out / "masks").rglob("*.png"))) == 3

    with opened(browser, out / "report" / "index.html") as page:
        page.locator("h1").click()
        card = page.locator(".card").first
        left = card.locator("strong").inner_text().replace("\n", "")
        for row in range(card.locator("li").count()):
            card.locator("button.leave").nth(row).click()
        with page.expect_download() as download:
            page.click("#export")
        download.value.save_as(tmp_path / "review.csv")

    again = runner.invoke(app, [*clean, "--review", str(tmp_path / "review.csv")])
    assert '"done": 1, "kept": 2' in again.stdout
    assert (out / "images" / left).read_bytes() == (source / left).read_bytes()
    assert len(list((out / "masks").rglob("*.png"))) == 2
    findings = pd.read_parquet(out / "findings.parquet").groupby("path")["removed"].any()
    assert findings[findings].index.tolist() == sorted(set(findings.index) - {left})
