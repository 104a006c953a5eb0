"""The pages of a refined folder: what they show, and that they are built whole."""

import importlib.util
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from radrefine.errors import RefinedFolderError, UsageError
from radrefine.images import decode_image, encode_png
from radrefine.progress import ignore_progress
from radrefine.report import ReportOptions, build_report
from radrefine.report.duplicates import gather_audit
from radrefine.report.gallery import GalleryItem, choose_items
from radrefine.report.pictures import write_pictures
from radrefine.report.summary import summarise
from radrefine.schema import FAILURE_COLUMNS, FINDING_COLUMNS, MANIFEST_COLUMNS
from tests.radrefine.report.made import N_CLEAN, N_REFINED, findings, manifest, path_of, write_audit


def test_worst_images_come_first_and_the_rest_is_drawn_from_those_looked_at() -> None:
    items = choose_items(manifest(), findings(), sample=8, seed=3)

    residuals = [item.residual for item in items]
    assert residuals == sorted(residuals, reverse=True)
    worst_four = [(N_REFINED + N_CLEAN - 1 - place) / 100 for place in range(4)]
    assert residuals[:4] == worst_four
    assert len({item.path for item in items}) == 8
    assert all(item.status != "copied" for item in items)
    assert items == choose_items(manifest(), findings(), sample=8, seed=3)


def test_sample_holds_the_worst_of_every_kind() -> None:
    many = pd.concat([manifest().assign(path=[f"US/{n}/{p}" for p in manifest()["path"]]) for n in range(50)])
    marks = pd.concat([findings().assign(path=[f"US/{n}/{p}" for p in findings()["path"]]) for n in range(50)])
    rare = pd.DataFrame([(f"US/7/{path_of(0)}", "arrow", 1, 1, 5, 5, 0.9, "test", True)], columns=list(FINDING_COLUMNS))

    items = choose_items(many, pd.concat([marks, rare]), sample=80, seed=0)

    assert len(items) == 80
    assert any(found["kind"] == "arrow" for item in items for found in item.findings)


def test_sample_zero_shows_all_that_were_looked_at() -> None:
    assert len(choose_items(manifest(), findings(), sample=0, seed=0)) == N_REFINED + N_CLEAN


def test_overview_counts_statuses_kinds_and_labels() -> None:
    overview = summarise(manifest(), findings(), pd.DataFrame(columns=list(FAILURE_COLUMNS)))

    assert overview.statuses == {"refined": 20, "clean": 6, "copied": 3, "failed": 0}
    assert [(bar.name, bar.count) for bar in overview.kinds[:3]] == [("caliper", 7), ("dotted_line", 7), ("text", 6)]
    assert overview.n_found == 20
    assert sum(bar.count for bar in overview.labels) == 29
    assert overview.labels[0].parts == {"refined": 10 / 15, "clean": 3 / 15, "copied": 2 / 15, "failed": 0}


def test_overview_spreads_scores_over_bins_and_tells_timings() -> None:
    timings = {"seconds": 12.3, "done": 29, "kept": 0, "images_per_second": 2.4, "mean_ms": {"refined": 8.5}}
    overview = summarise(manifest(), findings(), pd.DataFrame(columns=list(FAILURE_COLUMNS)), timings)

    assert overview.residuals is not None
    # Scores from 0 to 0.25 fill the first bins of 0.05.
    assert sum(overview.residuals.counts[:6]) == sum(overview.residuals.counts) == N_REFINED + N_CLEAN
    assert overview.replaced is not None
    assert (overview.replaced.upper, sum(overview.replaced.counts)) == (0.01, N_REFINED)
    assert ("mean time of an image, refined", "8.5 ms") in overview.timings


def test_overview_of_nothing_is_empty() -> None:
    nothing = [pd.DataFrame(columns=list(names)) for names in (MANIFEST_COLUMNS, FINDING_COLUMNS, FAILURE_COLUMNS)]
    overview = summarise(*nothing)

    assert (overview.n_images, overview.n_found, overview.labels, overview.residuals) == (0, 0, [], None)


def test_pages_hold_every_picture_and_escape_what_they_quote(refined: Path) -> None:
    summary = build_report(refined)

    text = summary.page.read_text()
    assert summary.n_shown == N_REFINED + N_CLEAN
    assert summary.n_without_before == 0
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text
    pictures = list((refined / "report" / "before").glob("*.png"))
    assert len(pictures) == N_REFINED  # the others are as they were
    before = cv2.imread(str(pictures[0]))
    assert before is not None
    assert before.mean() == 200


def test_missing_source_leaves_the_pictures_before_out(refined: Path) -> None:
    shutil.rmtree(refined.parent / "raw")

    assert build_report(refined).n_without_before == N_REFINED


def test_building_again_replaces_the_report(refined: Path) -> None:
    build_report(refined)
    summary = build_report(refined, options=ReportOptions(sample=4))

    assert len(list((refined / "report" / "after").iterdir())) == summary.n_shown == 4


def test_a_folder_that_is_no_report_of_ours_is_left_alone(refined: Path, tmp_path: Path) -> None:
    site, mixed = tmp_path / "site", tmp_path / "mixed"
    site.mkdir()
    (site / "index.html").write_text("a page of somebody's")
    build_report(refined, out=mixed)
    (mixed / "thesis.txt").write_text("precious")
    for folder in (site, mixed):
        with pytest.raises(RefinedFolderError, match="holds something else"):
            build_report(refined, out=folder)
    assert (site / "index.html").is_file() and (mixed / "thesis.txt").read_text() == "precious"


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


def test_no_picture_outside_the_refined_folder_is_shown(refined: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "secret.png"), np.zeros((48, 64), np.uint8))
    write_audit(refined)
    near = pd.read_csv(refined / "audit" / "near_duplicates.csv")
    near.replace(path_of(2), "../../secret.png").to_csv(refined / "audit" / "near_duplicates.csv", index=False)
    with pytest.raises(RefinedFolderError, match="no path inside the folder of the images; run radrefine audit again"):
        gather_audit(refined, tmp_path)
    manifest = pd.read_parquet(refined / "manifest.parquet")
    manifest.replace(path_of(0), "../../secret.png").to_parquet(refined / "manifest.parquet")
    with pytest.raises(RefinedFolderError, match="no path inside the folder of the images; run radrefine clean again"):
        build_report(refined)


def test_duplicates_are_shown_side_by_side_conflicts_first(refined: Path, tmp_path: Path) -> None:
    assert gather_audit(refined, tmp_path / "before") is None
    write_audit(refined)

    audit = gather_audit(refined, tmp_path)

    assert audit is not None
    assert audit.facts["label_conflicts"] == 1
    assert [(alike.sort, alike.conflict, len(alike.images)) for alike in audit.sets] == [
        ("near", True, 2),
        ("bytes", False, 6),
        ("marks", False, 2),
        ("near", False, 2),
    ]
    conflict, exact = audit.sets[:2]
    assert conflict.note == "likeness 0.991"
    assert [image["label"] for image in conflict.images] == ["US__breast__normal", "US__breast__benign"]
    assert "8 times" in exact.note and "2 of them not shown" in exact.note
    assert all((tmp_path / image["picture"]).is_file() for alike in audit.sets for image in alike.images)


def test_earlier_decisions_are_taken_over(refined: Path) -> None:
    (refined / "review.csv").write_text(f"path,kind,x,y,width,height,decision\n{path_of(3)},text,10,12,8,8,leave\n")

    build_report(refined)

    data = (refined / "report" / "data" / "decisions.js").read_text()
    assert data == f'review.load([["{path_of(3)}","text",10,12,8,8,"leave"]]);\n'


@pytest.mark.parametrize("archived", [False, True])
def test_pictures_before_are_found_for_every_kind_of_file(tmp_path: Path, archived: bool) -> None:
    source = tmp_path / "raw"
    pixels = np.random.default_rng(0).integers(20, 60, (3, 48, 64)).astype(np.uint8)
    files = {"a.png": encode_png(pixels[0]), "b.bmp": cv2.imencode(".bmp", pixels[1])[1].tobytes()}
    paths = {"US/a.png": pixels[0], "US/b.bmp.png": pixels[1]}
    if importlib.util.find_spec("pydicom"):
        from tests.radrefine.test_dicom import _dicom

        files["c.dcm"] = _dicom(pixels)
        paths["US/c.dcm/0002.png"] = pixels[2]
    for name, data in files.items():
        (source / "US").mkdir(parents=True, exist_ok=True)
        (source / "US" / name).write_bytes(data)
    if archived:
        source = Path(shutil.make_archive(str(tmp_path / "raw"), "zip", source))
    items = [GalleryItem(path, "US", "refined", 64, 48, 0.5, 0.1) for path in [*paths, "US/gone.png"]]

    write_pictures(items, tmp_path / "refined", source, tmp_path / "out", ignore_progress)

    found = {item.path: decode_image((tmp_path / "out" / item.before).read_bytes()) for item in items if item.before}
    assert found.keys() == paths.keys()
    for path, image in found.items():
        np.testing.assert_array_equal(image, paths[path])


@pytest.mark.parametrize(
    ("bounds", "shown"),
    [((10_000, 48 * 64), True), ((10_000, 48 * 64 - 1), False), ((20, 48 * 64), False)],
)
def test_pictures_are_shown_as_large_as_clean_took_them(tmp_path: Path, bounds: tuple[int, int], shown: bool) -> None:
    picture, refined = encode_png(np.zeros((48, 64), np.uint8)), tmp_path / "refined"
    (tmp_path / "US").mkdir()
    (tmp_path / "US" / "a.png").write_bytes(picture)
    refined.mkdir()
    (refined / "run.json").write_text(
        json.dumps({"configuration": dict(zip(("max_bytes", "max_pixels"), bounds, strict=True))})
    )
    item = GalleryItem("US/a.png", "US", "refined", 64, 48, 0.5, 0.1)

    write_pictures([item], refined, tmp_path, tmp_path / "out", ignore_progress)

    assert bool(item.before) is shown
