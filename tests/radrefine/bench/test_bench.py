"""The bench: scores on hand-made masks, cases, and the command."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from cli.radrefine import app
from radrefine.bench import BASELINES, composite_cases, folder_cases, refiner, run_bench
from radrefine.bench.leak import measure_leak, tell_apart
from radrefine.bench.scores import ObjectCounts, PixelCounts, hole_fidelity, mark_contrast
from radrefine.errors import SourceError, UsageError
from radrefine.images import encode_png
from radrefine.marks import DRAWN_KINDS
from radrefine.phantoms import make_phantom


def _mask(*points: tuple[int, int]) -> np.ndarray:
    mask = np.zeros((9, 9), bool)
    for row, column in points:
        mask[row, column] = True
    return mask


def test_pixels_within_the_tolerance_agree_and_ignored_ones_do_not_count() -> None:
    counts = PixelCounts()
    counts.add(_mask((2, 2), (8, 8)), _mask((3, 3), (0, 8)), 1, ignored=_mask((8, 8)))

    assert (counts.found, counts.correct, counts.true, counts.covered) == (1, 1, 2, 1)
    assert (counts.precision, counts.recall) == (1.0, 0.5)


def test_a_mark_is_found_when_half_of_it_is_covered() -> None:
    truth = _mask((1, 1), (1, 2), (5, 5), (5, 6))
    counts = ObjectCounts()
    counts.add(_mask((1, 1)), truth, [("text", 1, 1, 2, 1), ("caliper", 5, 5, 2, 1)])

    assert counts.share("text") == 1.0 and counts.share("caliper") == 0.0 and counts.share() == 0.5
    assert math.isnan(counts.share("arrow"))


def test_the_fidelity_looks_into_the_hole_only() -> None:
    clean = np.full((16, 16), 100, np.uint8)
    filled = clean.copy()
    filled[0, 0], filled[8, 8] = 0, 110
    hole = np.zeros((16, 16), bool)
    hole[8, 8] = True

    assert hole_fidelity(filled, clean, hole)[0] == pytest.approx(20 * math.log10(255 / 10))


@pytest.mark.parametrize(("ink", "band"), [(105, "under 1"), (115, "1 to 2"), (130, "2 to 4"), (200, "4 and more")])
def test_contrast_is_the_change_over_the_spread_of_the_tissue(ink: int, band: str) -> None:
    clean = np.where(np.indices((40, 40)).sum(axis=0) % 2, 110, 90).astype(np.uint8)  # mean 100, spread 10
    image, truth = clean.copy(), np.zeros((40, 40), bool)
    truth[20, 10:30:2] = True
    image[truth] = clean[truth] + np.uint8(ink - 100)

    assert mark_contrast(image, clean, truth, (10, 20, 20, 1)) == band
    colours = (np.repeat(picture[..., None], 3, axis=2) for picture in (image, clean))
    assert mark_contrast(*colours, truth, (10, 20, 20, 1)) == band


def test_composites_show_what_belongs_to_a_mark() -> None:
    cases = list(composite_cases([], 60, seed=2, size=128))
    named = [DRAWN_KINDS[number % len(DRAWN_KINDS)] for number in range(60)]

    assert all(kind in {box[0] for box in case.boxes} for kind, case in zip(named, cases, strict=True))
    bars = [case for kind, case in zip(named, cases, strict=True) if kind == "ui_bar"]
    assert sum("text" in {box[0] for box in case.boxes} for case in bars) >= len(bars) / 2


def test_composites_repeat_with_their_seed_and_differ_from_clean_only_under_the_mask() -> None:
    first, again = (list(composite_cases([], 3, seed=5, size=96)) for _ in range(2))

    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        assert one.boxes


def test_the_oracle_mask_fills_better_than_leaving_the_marks() -> None:
    untouched = {"nothing": lambda image: (np.zeros(image.shape[:2], bool), image)}
    nothing, telea, *_ = run_bench(composite_cases([], 3, seed=1, size=96), untouched)

    assert nothing.to_row()["objects"] == 0.0
    assert telea.to_row()["psnr"] > nothing.to_row()["psnr"]


def test_folders_give_cases_with_and_without_marks(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    mask = np.zeros((32, 32), np.uint8)
    mask[4:8, 4:8] = mask[20:24, 20:24] = 255
    cv2.imwrite(str(tmp_path / "images/a.png"), np.full((32, 32), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "masks/a.png"), mask)

    (case,) = folder_cases(tmp_path / "images", tmp_path / "masks")
    assert case.truth.sum() == 32 and len(case.boxes) == 2
    (unmarked,) = folder_cases(tmp_path / "images")
    assert not unmarked.truth.any() and not unmarked.boxes
    with pytest.raises(SourceError, match=r"expected the true mask .*a\.png"):
        list(folder_cases(tmp_path / "images", tmp_path / "images/none"))


def test_ignored_pixels_count_neither_as_marks_nor_as_damage(tmp_path: Path) -> None:
    for folder in ("images", "masks", "ignore"):
        (tmp_path / folder).mkdir()
    mask = np.zeros((32, 32), np.uint8)
    mask[4:8, 4:8] = mask[20:24, 20:24] = 255
    left_out = np.where(np.arange(32)[:, None] > 16, 255, 0).astype(np.uint8) * np.ones((1, 32), np.uint8)
    for folder, picture in (("images", np.full((32, 32), 90, np.uint8)), ("masks", mask), ("ignore", left_out)):
        cv2.imwrite(str(tmp_path / folder / "a.png"), picture)
    exact = {"exact": lambda image: (np.pad(np.ones((4, 4), bool), ((4, 24), (4, 24))), image)}

    folders = tmp_path / "images", tmp_path / "masks"
    (report,) = run_bench(folder_cases(*folders, ignore=tmp_path / "ignore"), exact)
    assert report.to_row()["recall_1px"] == report.to_row()["objects"] == 1.0
    (report,) = run_bench(folder_cases(*folders, unmarked=True), exact)
    assert report.to_row()["clean_changed"] == 0.0 and report.unmarked == 1


@pytest.mark.parametrize("name", ["classical", "learned", "both", *BASELINES])
def test_every_remover_changes_nothing_outside_its_mask(name: str) -> None:
    (case,) = composite_cases([], 1, seed=3, size=96)
    remove = BASELINES[name] if name in BASELINES else refiner(name)  # type: ignore[arg-type]
    mask, filled = remove(case.image)

    assert filled.shape == case.image.shape and filled.dtype == np.uint8
    np.testing.assert_array_equal(filled[~mask], case.image[~mask])


def test_the_command_prints_a_table_and_json() -> None:
    arguments = ["bench", "--count", "2", "--size", "96", "--detector", "classical"]
    shown = CliRunner().invoke(app, [*arguments, "--quiet", "--json"])

    assert shown.exit_code == 0, shown.output
    row = json.loads(shown.stdout)["methods"][0]
    assert row["method"] == "classical" and row["marks"]["caliper"] > 0
    table = CliRunner().invoke(app, arguments).stdout
    assert "x codec" in table and "marks found, by contrast" in table
    for group in (*row["kinds"], *row["contrasts"]):
        assert f"{group} ({row['marks'][group]} marks)" in table
    assert CliRunner().invoke(app, ["bench", "--detector", "magic"]).exit_code == 2
    assert CliRunner().invoke(app, ["bench", "--magnify", "2"]).exit_code == 2


def test_broken_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "short.png").write_bytes(encode_png(np.zeros((64, 64), np.uint8))[:60])

    for arguments in (["--clean", tmp_path], ["--images", tmp_path], ["--clean", tmp_path, "--leak"]):
        shown = CliRunner().invoke(app, ["bench", *map(str, arguments), "--quiet"])
        assert shown.exit_code == 1 and f"{tmp_path / 'short.png'} cannot be read" in shown.stderr
    (tmp_path / "objects.json").write_text('{"short.png": [{"type": "text"}]}')
    for name, said in (("objects.json", "does not list marks"), ("absent.json", "cannot be read")):
        arguments = ["--images", tmp_path, "--objects", tmp_path / name]
        shown = CliRunner().invoke(app, ["bench", *map(str, arguments)])
        assert shown.exit_code == 1 and said in shown.stderr
    shown = CliRunner().invoke(app, ["train-detector", "--out", str(tmp_path / "out"), "--backgrounds", str(tmp_path)])
    assert shown.exit_code == 1 and "short.png cannot be read" in shown.stderr


def test_magnified_composites_have_larger_marks(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), make_phantom("US/breast/cyst", np.random.default_rng(0), (96, 120)))
    (plain,), (large,) = (list(composite_cases([tmp_path], 1, seed=1, magnify=factor)) for factor in (1.0, 3.0))

    assert plain.image.shape[:2] == (96, 120) and large.image.shape[:2] == (288, 360)
    assert large.truth.sum() > 1.5 * plain.truth.sum()


def test_a_classifier_sees_the_marks_and_not_what_a_perfect_cleaner_leaves() -> None:
    rng = np.random.default_rng(0)
    pictures = [make_phantom("US/breast/cyst", rng, (96, 96)) for _ in range(4)]
    told = measure_leak(pictures, {"grey": lambda image: (image > 0, np.full_like(image, 90))}, count=16, size=96)

    assert told.before.value > 0.7 and told.after["grey"].value == pytest.approx(0.5)
    assert told.before.low <= told.before.value <= told.before.high
    assert 0.3 < told.true_mask.value < told.before.value
    with pytest.raises(UsageError, match="--clean"):
        measure_leak(pictures[:2], {})


def test_the_interval_of_the_leak_is_a_bootstrap_over_backgrounds() -> None:
    rng = np.random.default_rng(1)
    backgrounds, pairs = 40, 200
    noise = rng.normal(size=(2 * pairs, 3))
    marked = np.arange(2 * pairs) % 2 == 0
    assert tell_apart(noise + 9 * marked[:, None], backgrounds).low == pytest.approx(1.0)
    told = tell_apart(noise, backgrounds)
    assert told.low < 0.5 < told.high
    # Marks that show on half of the backgrounds alone leave more doubt than those that show as much in all.
    some = (np.arange(pairs) % backgrounds % 4 < 2).repeat(2) & marked
    uneven, even = tell_apart(noise + 3 * some[:, None], backgrounds), tell_apart(noise + marked[:, None], backgrounds)
    assert uneven.high - uneven.low > even.high - even.low
