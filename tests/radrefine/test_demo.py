import csv
import json

import cv2
import numpy as np
import pytest

from radrefine.demo import DemoOptions, make_demo
from radrefine.errors import UsageError
from radrefine.marks import DRAWN_KINDS

SMALL = DemoOptions(images=84, seed=3, size=64)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return make_demo(tmp_path_factory.mktemp("demo"), SMALL)


def rows(demo, name):
    with (demo.truth / name).open(newline="") as file:
        return list(csv.DictReader(file))


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_collection_has_the_layout_of_radimagenet(demo):
    paths = sorted(files(demo.collection))
    assert len(paths) == demo.images == 84 + demo.duplicates + demo.faults
    assert {path.split("/")[0] for path in paths} == {"CT", "MR", "US", "XR"}
    assert any(path.startswith("US/hip/") and path.count("/") == 2 for path in paths)
    assert not list(demo.collection.rglob("truth*"))


def test_the_same_seed_gives_the_same_bytes(demo, tmp_path):
    again = make_demo(tmp_path / "again", SMALL)
    assert files(demo.collection) == files(again.collection)
    assert files(demo.truth) == files(again.truth)


def test_an_image_does_not_depend_on_how_many_there_are(demo, tmp_path):
    more = make_demo(tmp_path, DemoOptions(images=90, seed=3, size=64))
    name = "CT/chest/normal/normal_0001.png"
    assert (more.collection / name).read_bytes() == (demo.collection / name).read_bytes()


def test_masks_and_findings_tell_where_the_marks_are(demo):
    found = rows(demo, "findings.csv")
    assert {row["kind"] for row in found} <= set(DRAWN_KINDS)
    marked = sorted({row["path"] for row in found})
    assert len(marked) == demo.marked > 0
    for path in marked:
        name = path if path.endswith(".png") else path + ".png"
        image, clean = read(demo.collection / path), read(demo.truth / "clean" / name)
        mask = read(demo.truth / "masks" / name)
        assert image.shape == clean.shape and mask.shape == image.shape[:2]
        assert mask.any() and set(np.unique(mask)) <= {0, 255}
        assert (image != clean).any()


def test_planned_duplicates_are_what_they_are_called(demo):
    listed = rows(demo, "duplicates.csv")
    assert len(listed) == demo.duplicates
    for row in listed:
        copy, original = demo.collection / row["path"], demo.collection / row["of"]
        if row["relation"] == "same bytes":
            assert copy.read_bytes() == original.read_bytes() and copy.parent != original.parent
        elif row["relation"] in ("saved again", "neighbouring frame"):
            change = np.abs(read(copy).astype(float) - read(original))
            assert copy.read_bytes() != original.read_bytes() and change.mean() < 15


def test_copies_of_ultrasound_bring_their_truth(demo):
    marked = {row["path"] for row in rows(demo, "findings.csv")}
    copies = [row for row in rows(demo, "duplicates.csv") if row["relation"] == "same bytes" and row["of"] in marked]
    assert copies
    for row in copies:
        assert row["path"] in marked
        for folder in ("masks", "clean"):
            assert (demo.truth / folder / row["path"]).read_bytes() == (demo.truth / folder / row["of"]).read_bytes()


def test_faults_are_listed_and_real(demo):
    faults = {row["path"]: row["fault"] for row in rows(demo, "faults.csv")}
    assert len(faults) == demo.faults
    for path, fault in faults.items():
        image = read(demo.collection / path) if fault == "blank" else None
        if image is not None:
            assert image.min() == image.max()
        else:
            assert len((demo.collection / path).read_bytes()) > 0


def test_the_same_collection_can_be_made_again_in_place_but_not_another(demo):
    root = demo.collection.parent
    assert make_demo(root, SMALL) == demo
    with pytest.raises(UsageError, match="already holds another collection"):
        make_demo(root, DemoOptions(images=84, seed=4, size=64))


def test_too_few_images_and_impossible_sizes_are_refused(tmp_path):
    with pytest.raises(UsageError, match="--images must be at least 84"):
        make_demo(tmp_path, DemoOptions(images=5))
    with pytest.raises(UsageError, match="--size"):
        make_demo(tmp_path, DemoOptions(size=8))
    assert not list(tmp_path.iterdir())


def test_the_note_holds_what_was_asked_for(demo):
    assert json.loads((demo.truth / "demo.json").read_text()) == {"schema": 1, "images": 84, "seed": 3, "size": 64}
