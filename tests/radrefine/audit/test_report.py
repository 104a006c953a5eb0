import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radrefine.audit import audit_collection, load_manifest
from radrefine.errors import RefinedFolderError
from radrefine.images import encode_png
from radrefine.report.duplicates import gather_audit
from radrefine.split import SplitOptions, split_collection
from tests.radrefine.pictures import brighter, scene, smaller, with_calipers
from tests.radrefine.refined import write_refined


def planted() -> dict[str, object]:
    """Return files by path, with one fault of each kind planted among scenes that share nothing."""
    files: dict[str, object] = {f"US/breast/{seed}.png": scene(seed, 96) for seed in range(30)}
    files |= {f"CT/chest/{seed}.png": scene(100 + seed, 96) for seed in range(30)}
    files["US/liver/same_bytes.png"] = encode_png(scene(0, 96))
    files["CT/chest/same_bytes.png"] = encode_png(scene(101, 96))
    files["CT/chest/same_pixels.png"] = encode_png(scene(102, 96)) + b"trailing"
    files["US/breast/marked.png"] = with_calipers(scene(3, 96))
    files["CT/chest/bright.png"] = brighter(scene(104, 96))
    files["CT/spine/small.png"] = smaller(scene(105, 96))
    files["CT/chest/blank.png"] = np.zeros((96, 96), np.uint8)
    files["US/breast/blank.png"] = np.zeros((96, 96), np.uint8)
    files["CT/chest/broken.png"] = b"no image"
    files["US/breast/broken.png"] = b"no image"
    return files


@pytest.fixture(scope="module")
def refined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    return write_refined(folder, planted().items(), marked=frozenset({"US/breast/marked.png"}))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def out(refined: Path) -> Path:
    return audit_collection(refined).out


def test_facts_count_what_was_planted(out: Path) -> None:
    facts = json.loads((out / "audit.json").read_text())

    assert facts["images"] == 70
    assert facts["unreadable"] == 2
    assert facts["blank"] == 2
    assert facts["exact_duplicates"] == facts["exact_duplicate_sets"] == 3
    assert facts["near_duplicate_pairs"] == 3
    assert facts["with_and_without_marks"] == 1
    assert facts["label_conflicts"] == 2
    assert facts["comparisons_left_out"] == 0
    assert facts["taxonomy"] == {}


def test_stored_images_that_are_gone_or_damaged_are_unreadable(refined: Path, tmp_path: Path) -> None:
    folder = tmp_path / "refined"
    shutil.copytree(refined, folder, ignore=shutil.ignore_patterns("audit"))
    gone, cut = folder / "images" / "US/breast/7.png", folder / "images" / "US/breast/marked.png"
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:200])
    audit_collection(folder)

    assert json.loads((folder / "audit" / "audit.json").read_text())["unreadable"] == 4
    unusable = pd.read_csv(folder / "audit" / "unusable.csv").set_index("path")
    assert "missing in images/" in str(unusable.loc["US/breast/7.png"].to_dict())
    assert "US/breast/marked.png" in unusable.index
    summary = split_collection(folder, tmp_path / "split", SplitOptions(ratios="2:1:1"))
    assert summary.facts["left_out"]["unreadable"] == 4


def test_exact_duplicates_tell_bytes_from_pixels(out: Path) -> None:
    table = pd.read_csv(out / "exact_duplicates.csv").set_index("path")

    assert table.loc["US/breast/0.png", "kind"] == table.loc["US/liver/same_bytes.png", "kind"] == "bytes"
    assert table.loc["CT/chest/2.png", "kind"] == table.loc["CT/chest/same_pixels.png", "kind"] == "pixels"
    assert not table.index.str.contains("blank").any()


def test_near_duplicates_are_named_with_their_kind(out: Path) -> None:
    table = pd.read_csv(out / "near_duplicates.csv")

    assert {frozenset((row.path_a, row.path_b)): row.kind for row in table.itertuples()} == {
        frozenset(("US/breast/3.png", "US/breast/marked.png")): "marks",
        frozenset(("CT/chest/4.png", "CT/chest/bright.png")): "near",
        frozenset(("CT/chest/5.png", "CT/spine/small.png")): "near",
    }


def test_conflicts_name_both_labels(out: Path) -> None:
    table = pd.read_csv(out / "label_conflicts.csv")

    assert [frozenset(pair) for pair in table[["label_a", "label_b"]].to_numpy()] == [
        frozenset(("US__breast", "US__liver")),
        frozenset(("CT__chest", "CT__spine")),
    ]


def test_unusable_images_and_small_classes_are_listed(out: Path) -> None:
    unusable = pd.read_csv(out / "unusable.csv")
    classes = pd.read_csv(out / "classes.csv").set_index("label")

    assert sorted(unusable["path"].str.rpartition("/")[2]) == ["blank.png", "blank.png", "broken.png", "broken.png"]
    assert classes["too_small"].to_dict() == {
        "CT__chest": False,
        "CT__spine": True,
        "US__breast": False,
        "US__liver": True,
    }
    assert classes.loc["CT__chest", ["images", "groups", "largest_group"]].tolist() == [33, 30, 2]


def test_every_image_has_its_flags(out: Path) -> None:
    flags = pd.read_parquet(out / "images.parquet").set_index("path")

    assert len(flags) == 70
    assert flags.filter(like="is_").sum().to_dict() == {
        "is_unreadable": 2,
        "is_blank": 2,
        "is_exact_duplicate": 6,
        "is_near_duplicate": 6,
        "is_label_conflict": 4,
    }
    assert flags.loc["CT/chest/4.png", "group"] == flags.loc["CT/chest/bright.png", "group"]
    assert (out / "classes.png").read_bytes().startswith(b"\x89PNG")


def test_a_sound_collection_has_no_tables_of_faults(tmp_path: Path) -> None:
    write_refined(tmp_path, [(f"CT/chest/{seed}.png", scene(seed)) for seed in range(30)])

    summary = audit_collection(tmp_path)

    assert summary.problems == {}
    assert {place.name for place in summary.out.iterdir()} == {
        "audit.json",
        "classes.csv",
        "classes.png",
        "images.parquet",
    }


def test_what_is_no_refined_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(RefinedFolderError, match="expected a refined folder"):
        audit_collection(tmp_path)
    (tmp_path / "manifest.parquet").write_bytes(b"no table")
    with pytest.raises(RefinedFolderError, match="cannot be read"):
        audit_collection(tmp_path)
    pd.DataFrame({"path": ["a"]}).to_parquet(tmp_path / "manifest.parquet")
    with pytest.raises(RefinedFolderError, match="lacks the columns label"):
        audit_collection(tmp_path)


@pytest.mark.parametrize("path", ["../../secret.png", "CT/../../../secret.png", "/secret.png", "CT/a\0.png"])
def test_a_manifest_that_leads_out_of_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    write_refined(tmp_path, [("CT/chest/1.png", scene(1))])
    manifest = pd.read_parquet(tmp_path / "manifest.parquet")
    manifest.assign(path=path).to_parquet(tmp_path / "manifest.parquet")
    with pytest.raises(RefinedFolderError, match=r"manifest\.parquet names .* no path inside the folder"):
        load_manifest(tmp_path)


def test_a_report_tells_when_the_audit_is_older_than_the_images(tmp_path: Path) -> None:
    images = [(f"CT/chest/{n}.png", scene(n % 3)) for n in range(4)]
    refined = write_refined(tmp_path / "refined", images)
    audit_collection(refined)
    for name in ("page", "page2"):
        (tmp_path / name).mkdir()
    assert not gather_audit(refined, tmp_path / "page").is_old  # type: ignore[union-attr]
    write_refined(refined, images[:3])
    assert gather_audit(refined, tmp_path / "page2").is_old  # type: ignore[union-attr]
