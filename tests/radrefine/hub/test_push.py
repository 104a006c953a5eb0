import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pytest

from radrefine.errors import HubError, RefinedFolderError, SplitError, UsageError
from radrefine.hub import PushOptions, push_split
from radrefine.hub.content import read_split
from radrefine.outputs import locked
from tests.loopback import LoopbackHub

# The Hub's client uses its own HTTP library in a way that library calls outdated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "ada/images"
WITH_IMAGES = PushOptions(REPO, with_images=True, license="cc-by-4.0", max_shard_size="3KB")


def test_images_read_back_bit_for_bit_with_labels_and_splits(
    hub: LoopbackHub, split_folder: Path, tmp_path: Path
) -> None:
    from datasets import ClassLabel, Image, load_dataset

    push_split(split_folder, WITH_IMAGES)
    loaded = load_dataset(REPO, cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "validation", "test"}
    for part, name in {"train": "train", "val": "validation", "test": "test"}.items():
        table, rows = pd.read_csv(split_folder / f"{part}.csv"), loaded[name]
        assert isinstance(rows.features["image"], Image) and isinstance(rows.features["label"], ClassLabel)
        assert rows["path"][:] == table["path"].tolist()
        assert [rows.features["label"].int2str(label) for label in rows["label"]] == table["label"].tolist()
        for row, path in zip(rows, table["path"], strict=True):
            original = PIL.Image.open(split_folder.parent / "refined" / "images" / path)
            assert np.array_equal(np.asarray(row["image"]), np.asarray(original))
    raw = load_dataset(REPO, split="train", cache_dir=str(tmp_path / "cache")).cast_column("image", Image(decode=False))
    first = split_folder.parent / "refined" / "images" / raw[0]["path"]
    assert raw[0]["image"]["bytes"] == first.read_bytes()


def test_a_part_without_images_does_not_keep_the_others_from_being_published(
    hub: LoopbackHub, split_folder: Path, tmp_path: Path
) -> None:
    from datasets import load_dataset

    val = split_folder / "val.csv"
    val.write_text(val.read_text().splitlines(keepends=True)[0])
    push_split(split_folder, WITH_IMAGES)
    loaded = load_dataset(REPO, cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in loaded.items()} == {"train": 12, "test": 4}


def test_a_private_repository_without_images_is_the_default(hub: LoopbackHub, split_folder: Path) -> None:
    push_split(split_folder, PushOptions(REPO))
    assert hub.repo("dataset", REPO).private
    files = hub.files("dataset", REPO)
    assert not [path for path in files if path.startswith("data/")]
    assert {"manifest.parquet", "masks/masks-00000-of-00001.parquet", "splits/train.csv", "README.md"} <= set(files)
    assert not [path for path in files if path.endswith(".png") and path.startswith("masks")]


def test_every_configuration_of_the_card_loads(hub: LoopbackHub, split_folder: Path, tmp_path: Path) -> None:
    from datasets import get_dataset_config_names, load_dataset

    push_split(split_folder, WITH_IMAGES)
    names = get_dataset_config_names(REPO)
    assert set(names) == {"default", "splits", "masks", "manifest", "findings"}
    masks = load_dataset(REPO, "masks", split="train", cache_dir=str(tmp_path / "cache"))
    assert len(masks) == 10 and set(np.unique(np.asarray(masks[0]["mask"]))) <= {0, 255}
    assert len(load_dataset(REPO, "manifest", split="train", cache_dir=str(tmp_path / "cache"))) == 20


def test_a_second_push_uploads_and_commits_nothing(hub: LoopbackHub, split_folder: Path) -> None:
    first = push_split(split_folder, WITH_IMAGES)
    before = (hub.uploads(), len(hub.repo("dataset", REPO).messages))
    second = push_split(split_folder, WITH_IMAGES)
    assert (hub.uploads(), len(hub.repo("dataset", REPO).messages)) == before
    assert second.commits == 0 and second.uploaded == [] and set(second.present) == set(first.uploaded)


def test_without_its_journal_a_push_writes_the_same_shards_again(hub: LoopbackHub, split_folder: Path) -> None:
    push_split(split_folder, WITH_IMAGES)
    uploads = hub.uploads()
    (split_folder / ".push" / "shards.json").unlink()
    assert push_split(split_folder, WITH_IMAGES).uploaded == []
    assert hub.uploads() == uploads


def test_cut_off_and_refused_it_goes_on_without_uploading_a_shard_twice(
    hub: LoopbackHub, split_folder: Path, no_waiting: list[float]
) -> None:
    hub.fail(r"PUT /lfs", status=429, retry_after=7, skip=1)
    hub.fail(r"POST .*/commit/", status=500)
    hub.drop(r"PUT /lfs", after_bytes=100, skip=3, times=1000)
    with pytest.raises(HubError, match="run the same command again"):
        push_split(split_folder, WITH_IMAGES)
    hub.heal()
    hub.fail(r"POST .*/commit/", status=401, times=1)
    with pytest.raises(HubError, match="did not accept the token"):
        push_split(split_folder, WITH_IMAGES)
    hub.heal()
    hub.lose_answer(r"POST .*/commit/", times=1)
    summary = push_split(split_folder, WITH_IMAGES)
    uploads = hub.uploads()
    assert len(uploads) == len(set(uploads))
    assert 8.0 in no_waiting, "the client waits the seconds that Retry-After asks for, and one more"
    assert {path for path, _ in summary.files} <= set(hub.files("dataset", REPO))


def test_a_commit_whose_answer_was_lost_is_not_made_twice(
    hub: LoopbackHub, split_folder: Path, no_waiting: list[float]
) -> None:
    hub.lose_answer(r"POST .*/commit/")
    push_split(split_folder, PushOptions(REPO))
    messages = hub.repo("dataset", REPO).messages
    assert messages == ["initial commit", "Add tables and card"]


def test_content_spoiled_on_its_way_is_refused_and_sent_again_by_the_next_run(
    hub: LoopbackHub, split_folder: Path, no_waiting: list[float]
) -> None:
    hub.spoil(r"PUT /lfs")
    with pytest.raises(HubError, match="checksum"):
        push_split(split_folder, WITH_IMAGES)
    push_split(split_folder, WITH_IMAGES)
    assert len(hub.uploads()) == len(set(hub.uploads()))


def test_shards_cut_differently_replace_the_old_ones(hub: LoopbackHub, split_folder: Path) -> None:
    push_split(split_folder, WITH_IMAGES)
    push_split(split_folder, PushOptions(REPO, with_images=True, license="cc-by-4.0"))
    data = [path for path in hub.files("dataset", REPO) if path.startswith("data/")]
    assert data == [f"data/{name}-00000-of-00001.parquet" for name in ("test", "train", "validation")]


def test_images_left_from_an_earlier_push_are_reported(hub: LoopbackHub, split_folder: Path) -> None:
    push_split(split_folder, WITH_IMAGES)
    assert len(push_split(split_folder, PushOptions(REPO)).left_over) >= 3


def test_patients_and_this_machine_are_not_published(hub: LoopbackHub, split_folder: Path) -> None:
    push_split(split_folder, WITH_IMAGES)
    for path in hub.files("dataset", REPO):
        content = hub.read("dataset", REPO, path)
        assert b"patient-" not in content and b"/home/someone" not in content and b'"box"' not in content
    table = pd.read_csv(io.BytesIO(hub.read("dataset", REPO, "splits/val.csv")))
    original = pd.read_csv(split_folder / "val.csv")
    assert table["group"].nunique() == original["group"].nunique()


def test_a_dry_run_needs_no_network_and_names_files_bytes_and_commits(
    hub: LoopbackHub, split_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    plan = push_split(split_folder, WITH_IMAGES, dry_run=True)
    assert hub.calls == [] and plan.commits >= 1 and plan.n_bytes > 0
    assert "data/train-00000-of-" in " ".join(path for path, _ in plan.files)
    assert not (split_folder / ".push").exists()


def test_a_revision_is_made_and_used(hub: LoopbackHub, split_folder: Path) -> None:
    push_split(split_folder, PushOptions(REPO, revision="v2"))
    assert hub.files("dataset", REPO) == []
    assert "README.md" in hub.files("dataset", REPO, "v2")


def test_a_public_repository_is_not_taken_for_a_private_one(hub: LoopbackHub, split_folder: Path) -> None:
    hub.storage.create("dataset", REPO, private=False)
    with pytest.raises(HubError, match="--public"):
        push_split(split_folder, PushOptions(REPO))
    push_split(split_folder, PushOptions(REPO, public=True))


def test_images_need_a_licence() -> None:
    with pytest.raises(UsageError, match="--license"):
        PushOptions(REPO, with_images=True)


@pytest.mark.parametrize("name", ["images", "ada/x/y", "ada/..", "ada/a b"])
def test_names_the_hub_does_not_take_are_refused(split_folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--repo-id"):
        push_split(split_folder, PushOptions(name), dry_run=True)


def test_a_missing_image_is_named_before_anything_is_uploaded(hub: LoopbackHub, split_folder: Path) -> None:
    path = pd.read_csv(split_folder / "val.csv")["path"][1]
    (split_folder.parent / "refined" / "images" / path).unlink()
    with pytest.raises(SplitError, match=path):
        push_split(split_folder, WITH_IMAGES)
    assert hub.calls == []


def test_a_second_push_of_a_split_at_the_same_time_is_refused(hub: LoopbackHub, split_folder: Path) -> None:
    with locked(split_folder, ".push"), pytest.raises(HubError, match="another run is writing to"):
        push_split(split_folder, WITH_IMAGES)
    assert hub.calls == []


@pytest.mark.parametrize("path", ["../../secret.png", "/etc/secret.png"])
def test_nothing_outside_the_folder_of_the_images_is_published(hub: LoopbackHub, split_folder: Path, path: str) -> None:
    table = pd.read_csv(split_folder / "val.csv")
    table.loc[0, "path"] = path
    table.to_csv(split_folder / "val.csv", index=False)
    with pytest.raises(SplitError, match=f"val.csv names '{path}', which is no path inside"):
        push_split(split_folder, WITH_IMAGES)
    assert hub.calls == []


def test_masks_are_published_whatever_the_case_of_their_suffix(split_folder: Path) -> None:
    masks = split_folder.parent / "refined" / "masks"
    (masks / "IM1.PNG").write_bytes(b"")
    assert "IM1.PNG" in read_split(split_folder).mask_names()


def test_a_split_whose_images_were_moved_is_not_published_without_them(hub: LoopbackHub, split_folder: Path) -> None:
    refined = split_folder.parent / "refined"
    refined.rename(split_folder.parent / "elsewhere")
    with pytest.raises(SplitError, match="is not there; move it back, or run radrefine split again"):
        push_split(split_folder, WITH_IMAGES)
    (split_folder.parent / "elsewhere").rename(refined)
    (refined / ".radrefine").mkdir()
    (refined / ".radrefine" / "journal.sqlite").touch()
    with pytest.raises(RefinedFolderError, match="did not finish"):
        push_split(split_folder, WITH_IMAGES)


def test_settings_in_the_card_are_those_of_the_run(hub: LoopbackHub, split_folder: Path) -> None:
    push_split(split_folder, PushOptions(REPO))
    card = hub.read("dataset", REPO, "README.md").decode()
    assert "radius: 3" in card and "shared groups: 0" in card
    facts = json.loads(hub.read("dataset", REPO, "splits/split.json"))
    assert "root" not in facts and facts["proof"]["shared_groups"] == 0
