"""Decisions of a person about single marks: read, matched, obeyed by `clean`."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from radrefine.artifacts.detection import Detection
from radrefine.batch import CleanOptions, clean_collection
from radrefine.errors import UsageError
from radrefine.records import Finding, Image
from radrefine.refine import RefineOptions, refine_image
from radrefine.review import COLUMNS, Decision, Review, decide, read_review

HEADER = ",".join(COLUMNS)


def _write(tmp_path: Path, *lines: str, header: str = HEADER) -> Path:
    path = tmp_path / "review.csv"
    path.write_text("\n".join([header, *lines, ""]))
    return path


def test_decisions_are_read_by_image(tmp_path: Path) -> None:
    path = _write(tmp_path, '"a,b.png",text,1,2,3,4,leave', "c.png,caliper,5,6,7,8,remove", "c.png,text,1,1,2,2,leave")

    assert read_review(path).by_path == {
        "a,b.png": (Decision("text", 1, 2, 3, 4, "leave"),),
        "c.png": (Decision("caliper", 5, 6, 7, 8, "remove"), Decision("text", 1, 1, 2, 2, "leave")),
    }


def test_written_decisions_are_read_back(tmp_path: Path) -> None:
    review = read_review(_write(tmp_path, '"a,""b"".png",text,1,2,3,4,leave', "c.png,caliper,5,6,7,8,remove"))
    review.write(tmp_path / "out")

    assert read_review(tmp_path / "out" / "review.csv") == review

    Review({}).write(tmp_path / "out")
    assert not (tmp_path / "out" / "review.csv").exists()
    assert read_review(tmp_path / "out" / "review.earlier.csv") == review


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("a.png,text,1,2,3,4,maybe", "line 3: decision is 'maybe'"),
        ("a.png,smudge,1,2,3,4,remove", "line 3: kind is 'smudge'"),
        ("a.png,text,1,2,-3,4,remove", "line 3: width is '-3'"),
        ("a.png,text,1,2,3.5,4,remove", "line 3: width is '3.5'"),
        (f"a.png,text,1,2,{'9' * 5000},4,remove", "line 3: width is '9999"),
        ("a.png,text,1,2,0,4,remove", "line 3: width is '0'"),
        ("a.png,text,1,2,3", "line 3: decision is None"),
        (",text,1,2,3,4,remove", "line 3: path is ''"),
        ("good.png,text,1,2,3,4,leave", "line 3: the same mark is to be removed and to be left"),
    ],
)
def test_malformed_row_is_told_with_its_line(tmp_path: Path, row: str, fault: str) -> None:
    path = _write(tmp_path, "good.png,text,1,2,3,4,remove", row)

    with pytest.raises(UsageError, match=fault):
        read_review(path)


def test_missing_column_and_missing_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="line 1: the column path is missing"):
        read_review(_write(tmp_path, header="path;kind;x"))
    with pytest.raises(UsageError, match="No such file"):
        read_review(tmp_path / "none.csv")


def test_table_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    path.write_bytes(b"\xff\xfe" + HEADER.encode("utf-16-le"))

    with pytest.raises(UsageError, match="UTF-8"):
        read_review(path)


def test_decision_meets_the_mark_of_its_kind_and_place() -> None:
    findings = [
        Finding("text", 10, 10, 20, 8, 0.9, "test"),
        Finding("caliper", 10, 10, 20, 8, 0.9, "test"),
        Finding("text", 60, 60, 20, 8, 0.2, "test", removed=False),
    ]

    decided, left = decide(
        findings,
        [
            Decision("text", 10, 10, 21, 8, "leave"),  # a pixel wider than found
            Decision("text", 60, 60, 20, 8, "remove"),
            Decision("text", 100, 100, 5, 5, "leave"),  # no such mark
        ],
    )

    assert [found.removed for found in decided] == [False, True, True]
    assert left == [decided[0]]


@pytest.fixture
def two_marks(monkeypatch: pytest.MonkeyPatch) -> Image:
    """An image in which two marks of different kinds are found that share pixels."""
    image = np.random.default_rng(0).integers(20, 90, (64, 64), np.uint8)
    image[10:20, 10:30] = 250
    image[10:20, 20:40] = 255
    masks = {kind: np.zeros(image.shape, bool) for kind in ("text", "caliper")}
    masks["text"][10:20, 10:30] = True
    masks["caliper"][10:20, 20:40] = True
    findings = [Finding("text", 10, 10, 20, 10, 0.9, "test"), Finding("caliper", 20, 10, 20, 10, 0.9, "test")]
    likely = (masks["text"] | masks["caliper"]).astype(np.float32)
    found = Detection(findings, masks, image.shape[:2], likely)
    monkeypatch.setattr("radrefine.refine.detect_marks", lambda *_, **__: found)
    return image


def test_mark_to_leave_keeps_its_pixels_even_where_another_mark_is_removed(two_marks: Image) -> None:
    result = refine_image(two_marks, decisions=[Decision("caliper", 20, 10, 20, 10, "leave")])

    np.testing.assert_array_equal(result.image[10:20, 20:40], two_marks[10:20, 20:40])
    assert result.mask[10:20, 10:20].all()
    assert not result.mask[:, 20:].any()


@pytest.mark.parametrize(
    ("options", "decisions", "left"),
    [
        (RefineOptions(), [], False),
        (RefineOptions(), [Decision("caliper", 20, 10, 20, 10, "leave")], False),
        (RefineOptions(keep=("text", "caliper")), [], False),
        (RefineOptions(min_score=0.95), [], True),
    ],
)
def test_marks_that_are_meant_to_stay_are_not_left_over(
    options: RefineOptions, decisions: list[Decision], left: bool, two_marks: Image
) -> None:
    assert (refine_image(two_marks, options, decisions).residual_score > 0.5) == left


def test_kept_mark_is_removed_whatever_its_score(two_marks: Image) -> None:
    options = RefineOptions(min_score=1.0)
    assert not refine_image(two_marks, options).mask.any()

    result = refine_image(two_marks, options, [Decision("text", 10, 10, 20, 10, "remove")])

    assert result.mask[10:20, 10:30].all()
    assert [found.removed for found in result.findings] == [True, False]


def _collection(root: Path, n: int = 3) -> Path:
    """Ultrasound of noise with a bright word in each image."""
    rng = np.random.default_rng(1)
    for index in range(n):
        image = cv2.GaussianBlur(rng.integers(20, 90, (96, 128), np.uint8), (0, 0), 2)
        cv2.putText(image, "LIVER", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
        path = root / "US" / "liver" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    return root


def _leave_all(refined: Path, image: str) -> list[str]:
    findings = pd.read_parquet(refined / "findings.parquet")
    rows = findings[findings["path"] == image]
    assert len(rows) > 0
    return [",".join(map(str, row)) + ",leave" for row in rows[list(COLUMNS[:-1])].itertuples(index=False)]


def test_clean_leaves_what_a_review_says_and_redoes_nothing_else(tmp_path: Path) -> None:
    source, out = _collection(tmp_path / "raw"), tmp_path / "refined"
    options = CleanOptions(jobs=1)
    clean_collection(source, out, options)
    image = "US/liver/1.png"
    assert (out / "masks" / image).exists()
    before = pd.read_parquet(out / "findings.parquet").set_index("path")["removed"]
    review = _write(tmp_path, *_leave_all(out, image), "US/none.png,text,1,2,3,4,leave", f"{image},tick,0,0,2,2,remove")

    summary = clean_collection(source, out, dataclasses.replace(options, review=review))

    assert (summary.done, summary.kept) == (1, 2)
    assert (out / "images" / image).read_bytes() == (source / image).read_bytes()
    assert not (out / "masks" / image).exists()
    findings = pd.read_parquet(out / "findings.parquet").set_index("path")["removed"]
    assert not findings[image].any()
    pd.testing.assert_series_equal(findings.drop(image), before.drop(image))
    assert summary.notes == [
        "review: paths that the refined folder does not hold: 1, the first being US/none.png",
        f"review: decisions that meet no mark: 1, the first being tick at 0, 0 in {image}",
    ]
    assert read_review(out / "review.csv") == read_review(review)
    again = clean_collection(source, out, dataclasses.replace(options, review=review))
    assert again.done == 0
    without = clean_collection(source, out, options)
    assert (without.done, (out / "review.csv").exists()) == (1, False)


def test_review_and_masks_exclude_each_other(tmp_path: Path, make_collection: Callable[..., Path]) -> None:
    options = CleanOptions(jobs=1, review=_write(tmp_path), masks=tmp_path)

    with pytest.raises(UsageError, match="--review"):
        clean_collection(make_collection(1), tmp_path / "out", options)
