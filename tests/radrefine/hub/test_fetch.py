from pathlib import Path

import pyarrow.parquet as pq
import pytest

from radrefine.errors import HubError
from radrefine.hub import PushOptions, fetch, push_split
from radrefine.hub.content import read_split
from radrefine.hub.fetch import is_wanted
from radrefine.hub.shards import mask_features, plan_shards, stat_files, write_shard
from tests.loopback import LoopbackHub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "ada/images"


def test_masks_and_splits_come_back_as_they_were(hub: LoopbackHub, split_folder: Path, tmp_path: Path) -> None:
    push_split(split_folder, PushOptions(REPO, with_images=True, license="mit"))
    done = fetch(REPO, tmp_path / "published")
    masks = split_folder.parent / "refined" / "masks"
    assert done.n_masks == 10 and done.masks == [tmp_path / "published" / "masks"]
    for name in read_split(split_folder).mask_names():
        assert (done.masks[0] / name).read_bytes() == (masks / name).read_bytes()
    assert {path.name for path in done.splits} == {"train.csv", "val.csv", "test.csv"}
    assert not list((tmp_path / "published").rglob("data/*")), "the images stay where they are"


def test_a_second_fetch_downloads_nothing_again(hub: LoopbackHub, split_folder: Path, tmp_path: Path) -> None:
    push_split(split_folder, PushOptions(REPO))
    fetch(REPO, tmp_path / "published")
    downloads = hub.count(r"GET .*/resolve/")
    assert fetch(REPO, tmp_path / "published").n_masks == 10
    assert hub.count(r"GET .*/resolve/") == downloads


def test_a_damaged_mask_is_mended_and_one_that_was_withdrawn_goes(
    hub: LoopbackHub, split_folder: Path, tmp_path: Path
) -> None:
    push_split(split_folder, PushOptions(REPO))
    first, second, *_ = (
        fetch(REPO, tmp_path / "own").masks[0] / name for name in read_split(split_folder).mask_names()
    )
    whole = first.read_bytes()
    first.write_bytes(bytes(len(whole)))
    mine = tmp_path / "own" / "masks" / "mine.png"
    mine.write_bytes(b"kept")
    withdrawn = second.relative_to(tmp_path / "own" / "masks")
    (split_folder.parent / "refined" / "masks" / withdrawn).unlink()
    push_split(split_folder, PushOptions(REPO))

    done = fetch(REPO, tmp_path / "own")

    assert first.read_bytes() == whole and mine.read_bytes() == b"kept"
    assert done.n_masks == 9 and not second.exists()


def test_it_goes_on_after_the_server_failed(
    hub: LoopbackHub, split_folder: Path, tmp_path: Path, no_waiting: list[float]
) -> None:
    push_split(split_folder, PushOptions(REPO))
    hub.fail(r"GET .*/resolve/.*masks", status=503, times=2)
    hub.fail(r"GET .*/tree/", status=429, retry_after=3)
    assert fetch(REPO, tmp_path / "published").n_masks == 10


def test_masks_of_other_peoples_data_sets_are_brought_as_they_are(hub: LoopbackHub, tmp_path: Path) -> None:
    repo = hub.storage.create("dataset", "else/where", private=False)
    tree = {path: _entry(hub, path) for path in ("correction_masks/a.npy", "RadiologyAI_train.csv", "raw/images.tar")}
    repo.commit("main", tree, "all")
    done = fetch("else/where", tmp_path / "published")
    assert done.files == ["RadiologyAI_train.csv", "correction_masks/a.npy"]
    assert done.masks == [tmp_path / "published" / "correction_masks"]
    assert done.splits == [tmp_path / "published" / "RadiologyAI_train.csv"]


def test_a_repository_with_nothing_of_use_says_so(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.storage.create("dataset", "else/empty", private=False)
    with pytest.raises(HubError, match="no masks, splits or tables"):
        fetch("else/empty", tmp_path / "published")


def test_a_repository_that_is_not_there_is_named(hub: LoopbackHub, tmp_path: Path) -> None:
    with pytest.raises(HubError, match="ada/nothing does not exist"):
        fetch("ada/nothing", tmp_path / "published")


def test_masks_are_never_written_outside_the_folder(hub: LoopbackHub, split_folder: Path, tmp_path: Path) -> None:
    push_split(split_folder, PushOptions(REPO))
    masks = split_folder.parent / "refined" / "masks"
    rows = stat_files(masks, read_split(split_folder).mask_names()[:1])
    [shard] = plan_shards(rows, masks, "masks/masks", 10**9)
    file = tmp_path / "evil.parquet"
    write_shard(shard, mask_features(), file)
    table = pq.read_table(file).to_pylist()
    table[0]["path"] = "../../outside.png"
    import pyarrow as pa

    pq.write_table(pa.Table.from_pylist(table, schema=mask_features().arrow_schema), file)
    storage = hub.storage
    entry = storage._large(storage.add_bytes(file.read_bytes()))
    repo = hub.repo("dataset", REPO)
    repo.commit("main", {**repo.tree("main"), "masks/masks-00000-of-00001.parquet": entry}, "evil")
    with pytest.raises(HubError, match="outside the folder"):
        fetch(REPO, tmp_path / "published" / "deep")
    assert not list(tmp_path.rglob("outside.png"))


@pytest.mark.parametrize("path", ["masks/US/a.png", "splits/train.csv", "manifest.parquet", "correction_masks.zip"])
def test_masks_and_tables_are_wanted(path: str) -> None:
    assert is_wanted(path)


@pytest.mark.parametrize("path", ["data/train-00000-of-00001.parquet", "images/a.png", "run.py", "images.tar.gz"])
def test_images_and_code_are_not_wanted(path: str) -> None:
    assert not is_wanted(path)


def _entry(hub: LoopbackHub, text: str):
    return hub.storage._large(hub.storage.add_bytes(text.encode()))
