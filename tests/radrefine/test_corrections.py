"""Predefined corrections are applied exactly, found by path, and checked before they are trusted."""

import io
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import radrefine.refine
from radrefine.batch import CleanOptions, clean_collection
from radrefine.correction_index import open_corrections
from radrefine.corrections import Correction, apply_correction
from radrefine.errors import ImageError, SourceError, UsageError
from radrefine.images import decode_image, encode_png
from radrefine.inpaint import inpaint
from radrefine.members import HeldBytes
from radrefine.records import Image, RefineResult
from radrefine.refine import RefineOptions
from radrefine.removals import write_removals

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30), np.uint8)
COLOUR = RNG.integers(0, 256, (20, 30, 3), np.uint8)
Make = Callable[..., Path]


def npy(array: np.ndarray, *, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=pickled)
    return buffer.getvalue()


def apply(image: Image, data: bytes, kind: str = "npy") -> RefineResult:
    return apply_correction(image, Correction(HeldBytes(data), kind, ""), RefineOptions())


@pytest.mark.parametrize("kind", [np.int16, np.float32, np.float64])
@pytest.mark.parametrize(("image", "shape"), [(GREY, (20, 30)), (GREY, (20, 30, 1)), (COLOUR, (20, 30, 3))])
def test_array_is_added_and_clipped(image: Image, shape: tuple[int, ...], kind: type) -> None:
    change = np.random.default_rng(1).integers(-200, 200, shape)

    result = apply(image, npy(change.astype(kind)))

    expected = np.clip(image.astype(int) + change.reshape(image.shape), 0, 255)
    assert np.array_equal(result.image, expected) and result.image.dtype == np.uint8
    changed = expected != image
    assert np.array_equal(result.mask, changed if changed.ndim == 2 else changed.any(axis=2))


def test_published_array_goes_with_the_resized_image() -> None:
    result = apply(GREY, npy(np.zeros((224, 224))))

    assert result.image.shape == (224, 224) and not result.mask.any()


def test_mask_is_filled_as_refinement_fills() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[5:9, 6:12] = 255

    result = apply(GREY, encode_png(mask), "png")

    assert np.array_equal(result.image, inpaint(GREY, mask > 0)) and np.array_equal(result.mask, mask > 0)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no array", "no .npy array"),
        (npy(np.zeros((20, 31))), "expected"),
        (npy(np.zeros((20, 30)))[:-8], "damaged"),
        (npy(np.full((20, 30), 256.0)), "beyond"),
        (npy(np.full((20, 30), np.nan)), "beyond"),
        (npy(np.zeros((20, 30), complex)), "type"),
        (npy(np.zeros((20, 30), bool)), "type"),
        (npy(np.full((20, 30), None), pickled=True), "type"),
        (npy(RNG.integers(0, 9, (20, 30, 3))), "coloured"),
        (npy(np.zeros(600)), "shape"),
    ],
)
def test_array_that_does_not_fit_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        apply(GREY, data)


def test_array_that_claims_to_be_huge_takes_no_memory() -> None:
    file = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)}
    np.lib.format.write_array_header_1_0(file, header)

    with pytest.raises(ImageError, match="damaged"):
        apply(GREY, file.getvalue() + bytes(64))


def test_corrections_are_found_by_path_before_base_name(tmp_path: Path) -> None:
    for name in ("US/a/1.npy", "US/b/1.jpg.png.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(npy(GREY))

    corrections = open_corrections(tmp_path, ["US/a/1.png", "US/b/1.jpg"])

    assert corrections.find("US/a/1.png", "US/a/1.png") is not None
    assert corrections.find("US/b/1.jpg", "US/b/1.jpg.png") is not None
    assert corrections.find("US/c/1.png", "US/c/1.png") is None
    corrections.close()


def test_index_of_corrections_takes_no_memory(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for index in range(4000):
            archive.writestr(zipfile.ZipInfo(f"US/thyroid/{index:05d}.png.npy"), b"")
    names = [f"US/thyroid/{index:05d}.png" for index in range(4000)]
    open_corrections(tmp_path / "set.zip", names).close()  # what is loaded once, at first use

    tracemalloc.start()
    corrections = open_corrections(tmp_path / "set.zip", names)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 300_000 and corrections.count == 4000
    assert all(corrections.find(name, name) is not None for name in names)
    corrections.close()


def test_base_name_that_several_images_bear_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1.npy").write_bytes(npy(GREY))
    (tmp_path / "2.npy").write_bytes(npy(GREY))

    corrections = open_corrections(tmp_path, ["US/a/1.png", "US/b/1.png", "US/a/2.png"])

    assert corrections.find("US/a/2.png", "US/a/2.png") is not None
    with pytest.raises(ImageError, match="several images"):
        corrections.find("US/a/1.png", "US/a/1.png")
    corrections.close()


def test_one_correction_without_a_folder_beside_others_is_refused_for_several_images(tmp_path: Path) -> None:
    for name in ("1.npy", "US/b/2.png.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(npy(GREY))

    corrections = open_corrections(tmp_path, ["US/a/1.png", "US/b/1.png", "US/b/2.png"])

    assert corrections.find("US/b/2.png", "US/b/2.png") is not None
    with pytest.raises(ImageError, match="several images"):
        corrections.find("US/a/1.png", "US/a/1.png")
    corrections.close()


def test_folder_without_corrections_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no correction"):
        open_corrections(tmp_path, [])


@pytest.fixture
def fill_bright_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refine by a rule that these tests can predict."""

    def refine(image: Image, options: object, decisions: object = (), sight: object = None) -> RefineResult:
        mask = (image if image.ndim == 2 else image.min(axis=2)) > 200
        return RefineResult(inpaint(image, mask), mask)

    monkeypatch.setattr(radrefine.refine, "refine_image", refine)


@pytest.mark.usefixtures("fill_bright_pixels")
def test_own_removals_make_the_same_images_on_another_copy(make_collection: Make, tmp_path: Path) -> None:
    source, archive = make_collection(), tmp_path / "removals.zip"
    clean_collection(source, tmp_path / "first", CleanOptions(jobs=1, backend="threading"))

    summary = write_removals(tmp_path / "first", source, archive)
    clean_collection(source, tmp_path / "second", CleanOptions(jobs=1, backend="threading", masks=archive))

    assert summary.images == 12 and not summary.failures
    first, second = (pd.read_parquet(tmp_path / name / "manifest.parquet") for name in ("first", "second"))
    assert first.phash_refined.equals(second.phash_refined) and first.status.equals(second.status)
    assert second.residual_score.isna().all()  # nobody looked for marks
    for path in first.path[first.status == "refined"]:
        images = [(tmp_path / name / "images" / path).read_bytes() for name in ("first", "second")]
        assert images[0] == images[1]


def test_corrections_that_meet_no_image_are_counted(make_collection: Make, tmp_path: Path) -> None:
    (tmp_path / "masks/US/elsewhere").mkdir(parents=True)
    (tmp_path / "masks/US/elsewhere/x1.npy").write_bytes(npy(GREY))
    options = CleanOptions(jobs=1, backend="threading", masks=tmp_path / "masks")
    summary = clean_collection(make_collection(), tmp_path / "out", options)
    assert any(note.startswith("0 of the 1 corrections in") for note in summary.notes)


@pytest.mark.usefixtures("fill_bright_pixels")
def test_another_source_leaves_an_earlier_archive_whole(make_collection: Make, tmp_path: Path) -> None:
    source, archive, other = make_collection(), tmp_path / "removals.zip", tmp_path / "other"
    clean_collection(source, tmp_path / "out", CleanOptions(jobs=1, backend="threading"))
    (other / "US").mkdir(parents=True)
    write_removals(tmp_path / "out", source, archive)
    earlier = archive.read_bytes()
    with pytest.raises(SourceError, match="name their source"):
        write_removals(tmp_path / "out", other, archive)
    assert archive.read_bytes() == earlier

    archive.write_bytes(b"of somebody")
    for place, told in ((archive, "was not written by radrefine masks"), (tmp_path, r"ends in \.zip")):
        with pytest.raises(UsageError, match=told):
            write_removals(tmp_path / "out", source, place)
    assert archive.read_bytes() == b"of somebody"


def test_corrections_in_one_folder_that_go_by_path_are_not_taken_by_name(tmp_path: Path) -> None:
    (tmp_path / "US/a").mkdir(parents=True)
    (tmp_path / "US/a/1.jpg.png.npy").write_bytes(npy(GREY))
    corrections = open_corrections(tmp_path, ["US/a/1.jpg", "US/b/1.jpg"])
    assert corrections.find("US/a/1.jpg", "US/a/1.jpg.png") is not None
    assert corrections.find("US/b/1.jpg", "US/b/1.jpg.png") is None


@pytest.mark.usefixtures("fill_bright_pixels")
def test_removals_archive_is_the_same_each_time_and_holds_no_more_than_changes(
    make_collection: Make, tmp_path: Path
) -> None:
    source = make_collection()
    clean_collection(source, tmp_path / "out", CleanOptions(jobs=1, backend="threading"))

    write_removals(tmp_path / "out", source, tmp_path / "a.zip")
    write_removals(tmp_path / "out", source, tmp_path / "b.zip")

    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        for name in archive.namelist():
            change = np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
            mask = decode_image((tmp_path / "out" / "masks" / name.removesuffix(".npy")).read_bytes())
            assert not change[mask == 0].any()
