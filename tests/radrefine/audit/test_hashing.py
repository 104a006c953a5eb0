import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radrefine.audit import hashing, load_manifest
from radrefine.audit.hashing import FINGERPRINTS, fingerprint_images, load_thumbnails
from radrefine.errors import RefinedFolderError
from radrefine.fingerprints import perceptual_hash, pixel_sha256, thumbnail
from radrefine.images import encode_png
from radrefine.outputs import locked
from tests.radrefine.pictures import scene
from tests.radrefine.refined import write_refined


@pytest.fixture
def refined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(hashing, "_CHUNK", 4)
    monkeypatch.setattr(hashing, "_ROWS_PER_PART", 8)
    files = [(f"CT/chest/{seed:02d}.png", scene(seed)) for seed in range(30)]
    return write_refined(tmp_path, [*files, ("CT/chest/bad.png", b"no image")])


def count_decoding(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    one = hashing._fingerprint
    monkeypatch.setattr(hashing, "_fingerprint", lambda *item: (seen.append(item[0]), one(*item))[1])
    return seen


def test_every_image_gets_its_fingerprints(refined: Path) -> None:
    rows = load_manifest(refined)

    found = fingerprint_images(refined, rows)

    assert found.index.equals(rows.index)
    assert found["path"].tolist() == rows["path"].tolist()
    assert found.loc[3, "stored_phash"] == perceptual_hash(scene(3))
    assert found.loc[3, "stored_pixel_sha256"] == pixel_sha256(scene(3))
    assert (load_thumbnails(refined, rows["path"].iloc[[9, 2]])[1] == thumbnail(scene(2))).all()
    assert found.set_index("path").loc["CT/chest/bad.png", "failure"]
    assert found["failure"].isna().sum() == 30


def test_the_number_of_jobs_does_not_matter(refined: Path) -> None:
    rows = load_manifest(refined)
    one = fingerprint_images(refined, rows, jobs=1)
    (refined / FINGERPRINTS).unlink()

    pd.testing.assert_frame_equal(one, fingerprint_images(refined, rows, jobs=2))


def test_what_is_known_is_not_decoded_again(refined: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = load_manifest(refined)
    fingerprint_images(refined, rows.iloc[:10])
    seen = count_decoding(monkeypatch)

    fingerprint_images(refined, rows)
    fingerprint_images(refined, rows.iloc[::-1])

    assert sorted(seen) == rows["path"].iloc[10:].tolist()


def test_an_interrupted_run_goes_on_where_it_stopped(refined: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = load_manifest(refined)

    def stop(progress) -> None:  # type: ignore[no-untyped-def]
        if progress.done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fingerprint_images(refined, rows, jobs=1, progress=stop)
    seen = count_decoding(monkeypatch)
    found = fingerprint_images(refined, rows)

    assert 0 < len(seen) < 20
    assert len(found) == 31
    assert not (refined / ".fingerprints").exists()


def test_an_image_that_was_cleaned_anew_is_fingerprinted_anew(refined: Path) -> None:
    rows = load_manifest(refined)
    fingerprint_images(refined, rows)
    (refined / "images" / rows.loc[0, "path"]).write_bytes((refined / "images" / rows.loc[1, "path"]).read_bytes())
    rows.loc[0, "source_sha256"] = rows.loc[1, "source_sha256"]

    found = fingerprint_images(refined, rows)

    assert found.loc[0, "stored_phash"] == found.loc[1, "stored_phash"]


def test_a_file_that_was_damaged_or_mended_is_fingerprinted_anew(refined: Path) -> None:
    rows = load_manifest(refined)
    place = refined / "images" / rows.loc[0, "path"]
    whole = place.read_bytes()
    before = fingerprint_images(refined, rows)["failure"].notna().sum()
    place.write_bytes(whole[: len(whole) // 2])
    assert fingerprint_images(refined, rows)["failure"].notna().sum() == before + 1
    place.write_bytes(whole)
    assert fingerprint_images(refined, rows)["failure"].notna().sum() == before


def test_a_missing_file_is_a_failure_and_is_tried_again(refined: Path) -> None:
    rows = load_manifest(refined)
    place = refined / "images" / rows.loc[5, "path"]
    data = place.read_bytes()
    place.unlink()
    assert "No such file" in fingerprint_images(refined, rows).loc[5, "failure"]

    place.write_bytes(data)

    assert fingerprint_images(refined, rows)["failure"].notna().sum() == 1


def test_two_runs_do_not_work_on_the_same_fingerprints(refined: Path) -> None:
    rows = load_manifest(refined)
    with locked(refined), pytest.raises(RefinedFolderError, match="another run is writing"):
        fingerprint_images(refined, rows)
    fingerprint_images(refined, rows[rows["path"] != "CT/chest/bad.png"])
    with locked(refined):  # what is known is only read
        assert len(fingerprint_images(refined, rows.iloc[3:6])) == 3


def test_images_that_clean_took_are_not_too_large_here(refined: Path) -> None:
    rows = load_manifest(refined)
    width, height = 15_000, 5_000  # above the usual bound
    (refined / "images" / rows["path"][0]).write_bytes(encode_png(np.zeros((height, width), np.uint8)))
    assert "pixels allowed" in fingerprint_images(refined, rows.iloc[:1])["failure"][0]
    run = {"configuration": {"max_bytes": 2**30, "max_pixels": width * height}}
    (refined / "run.json").write_text(json.dumps(run))
    (refined / FINGERPRINTS).unlink()
    assert fingerprint_images(refined, rows.iloc[:1])["failure"].isna().all()


def test_damaged_fingerprints_are_named(refined: Path) -> None:
    rows = load_manifest(refined)
    fingerprint_images(refined, rows)
    (refined / FINGERPRINTS).write_bytes((refined / FINGERPRINTS).read_bytes()[:-20])
    with pytest.raises(RefinedFolderError, match=rf"{FINGERPRINTS} cannot be read .* remove it"):
        fingerprint_images(refined, rows)
