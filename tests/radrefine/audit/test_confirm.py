from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from radrefine.audit import confirm, load_manifest
from radrefine.audit.confirm import CONFIRMATIONS, confirm_pairs, likeness, shrink
from radrefine.audit.hashing import fingerprint_images
from radrefine.inpaint import inpaint
from radrefine.progress import Progress
from tests.radrefine.pictures import brighter, smaller, with_calipers
from tests.radrefine.refined import write_refined


def frame(texture: int, anatomy: int = 0) -> np.ndarray:
    """Return a frame, (128, 128) uint8: bold outlines that depend on `anatomy`, a fine texture on `texture`."""
    outline = np.full((128, 128), 60, np.float32)
    cv2.ellipse(outline, (64 + anatomy, 70), (40, 25), 10, 0, 360, 150, -1)
    cv2.rectangle(outline, (0, 0), (127, 20), 200, -1)
    grain = np.random.default_rng(texture).normal(0, 30, (128, 128)).astype(np.float32)
    return np.clip(outline + cv2.GaussianBlur(grain, (0, 0), 1.2) * 1.5, 0, 255).astype(np.uint8)


def moved(image: np.ndarray) -> np.ndarray:
    """Return the same frame as another capture shows it: shifted by 2 px and zoomed by 2 %."""
    return cv2.warpAffine(image, np.array([[1.02, 0, -2.0], [0, 1.02, 1.5]]), (128, 128), borderMode=cv2.BORDER_REFLECT)


@pytest.mark.parametrize("change", [brighter, smaller, with_calipers, moved])
def test_the_same_frame_is_alike_however_it_was_captured(change) -> None:  # type: ignore[no-untyped-def]
    assert likeness(shrink(frame(1)), shrink(change(frame(1)))) > 0.9


def test_look_alike_anatomy_of_another_texture_is_not_alike() -> None:
    assert likeness(shrink(frame(1)), shrink(frame(2))) < 0.8


def test_an_image_equals_itself_and_nothing_equals_a_flat_one() -> None:
    flat = shrink(np.full((96, 96), 9, np.uint8))

    assert likeness(shrink(frame(1)), shrink(frame(1))) == pytest.approx(1, abs=1e-3)
    assert likeness(flat, shrink(frame(1))) == 0
    assert likeness(flat, flat) == 0


def test_what_cleaning_replaced_is_left_out() -> None:
    mask = np.zeros((128, 128), np.uint8)
    mask[np.arange(128) % 20 < 5] = 255  # every window holds replaced pixels
    filled = inpaint(frame(1), mask > 0)

    assert likeness(shrink(frame(1)), shrink(filled)) < 0.97
    assert likeness(shrink(frame(1)), shrink(filled, mask)) > 0.99
    assert likeness(shrink(frame(2)), shrink(filled, mask)) < 0.8
    assert likeness(shrink(frame(1)), shrink(frame(1), np.full((128, 128), 255, np.uint8))) == 0


@pytest.fixture
def images(tmp_path: Path) -> pd.DataFrame:
    """Return the fingerprints of a refined folder: a frame, the same moved, another one, and a broken file."""
    files = [("CT/a/1.png", frame(1)), ("CT/a/2.png", moved(frame(1))), ("CT/a/3.png", frame(3)), ("CT/a/4.png", b"no")]
    write_refined(tmp_path, files)
    return fingerprint_images(tmp_path, load_manifest(tmp_path), jobs=1)


PAIRS = np.array([[0, 1], [0, 2], [0, 3]])


def test_pairs_of_files_are_confirmed_whatever_the_number_of_jobs(tmp_path: Path, images: pd.DataFrame) -> None:
    one = confirm_pairs(tmp_path, images, PAIRS, jobs=1)
    (tmp_path / CONFIRMATIONS).unlink()
    two = confirm_pairs(tmp_path, images, PAIRS, jobs=2)

    assert one[0] > 0.9 > 0.8 > one[1]
    assert one[2] == 0
    assert (one == two).all()


def count_comparisons(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seen: list[float] = []
    monkeypatch.setattr(confirm, "likeness", lambda *pair, enough: (seen.append(enough), likeness(*pair))[1])
    return seen


def test_what_was_compared_is_not_compared_again(
    tmp_path: Path, images: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = count_comparisons(monkeypatch)
    first = confirm_pairs(tmp_path, images, PAIRS[1:], jobs=1)
    both = confirm_pairs(tmp_path, images, PAIRS, jobs=1)
    again = confirm_pairs(tmp_path, images, PAIRS[::-1], jobs=1)

    assert len(seen) == 2  # the broken file is never compared
    assert (both[1:] == first).all()
    assert (again == both[::-1]).all()


def test_another_threshold_or_another_cleaning_is_compared_anew(
    tmp_path: Path, images: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirm_pairs(tmp_path, images, PAIRS[:1], jobs=1)
    seen = count_comparisons(monkeypatch)
    confirm_pairs(tmp_path, images, PAIRS[:1], enough=0.5, jobs=1)
    confirm_pairs(tmp_path, images.assign(stored_pixel_sha256="ab" * 32), PAIRS[:1], jobs=1)

    assert len(seen) == 2


def test_an_interrupted_comparison_goes_on_where_it_stopped(
    tmp_path: Path, images: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirm, "_PAIRS_PER_CHUNK", 1)
    monkeypatch.setattr(confirm, "_PAIRS_PER_PART", 1)

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        confirm_pairs(tmp_path, images, PAIRS[:2], jobs=1, progress=stop)
    seen = count_comparisons(monkeypatch)
    confirm_pairs(tmp_path, images, PAIRS[:2], jobs=1)

    assert len(seen) == 1
