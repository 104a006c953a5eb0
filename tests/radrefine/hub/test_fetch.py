from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.radrefine import app
from radrefine.errors import HubError, UsageError
from radrefine.hub import PushOptions, fetch, push_split
from radrefine.hub.connection import Repository
from radrefine.hub.content import read_split
from radrefine.hub.fetch import is_wanted
from radrefine.hub.shards import read_masks
from radrefine.outputs import locked
from tests.loopback import LoopbackHub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "ada/images"
SHARD = "masks/masks-00000-of-00001.parquet"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
MASK = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


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


def test_a_fetch_of_half_a_repository_goes_on(hub: LoopbackHub, tmp_path: Path) -> None:
    _publish(hub, SHARD, _masks([("a.png", PNG), ("b.png", b"no mask")]))
    with pytest.raises(HubError, match="holds no PNG file"):
        fetch(REPO, tmp_path)
    _publish(hub, SHARD, _masks([("a.png", PNG + b"new"), ("b.png", PNG)]))
    assert fetch(REPO, tmp_path).n_masks == 2
    assert (tmp_path / "masks" / "a.png").read_bytes() == PNG + b"new"


@pytest.mark.parametrize("sign", [".radrefine/journal", "run.json"])
def test_a_refined_folder_is_left_alone(hub: LoopbackHub, tmp_path: Path, sign: str) -> None:
    _publish(hub, "manifest.parquet", b"theirs")
    (tmp_path / sign).parent.mkdir(exist_ok=True)
    (tmp_path / sign).touch()
    (tmp_path / "manifest.parquet").write_bytes(b"mine")
    with pytest.raises(UsageError, match="is a refined folder"):
        fetch(REPO, tmp_path)
    assert (tmp_path / "manifest.parquet").read_bytes() == b"mine"


@pytest.mark.parametrize(("path", "theirs"), [("README.md", b"theirs"), ("masks/a.png", PNG)])
def test_files_that_no_fetch_brought_are_not_written_over(
    hub: LoopbackHub, tmp_path: Path, path: str, theirs: bytes
) -> None:
    _publish(hub, "README.md", b"theirs")
    _publish(hub, "splits/train.csv", b"path\n")
    _publish(hub, SHARD, _masks([("a.png", PNG)]))
    place = tmp_path / path
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"mine")
    with pytest.raises(UsageError, match=f"{path} is there and no fetch put it there"):
        fetch(REPO, tmp_path)
    assert place.read_bytes() == b"mine"
    place.write_bytes(theirs)
    assert fetch(REPO, tmp_path).n_masks == 1
    _publish(hub, "README.md", b"newer")
    fetch(REPO, tmp_path)
    assert (tmp_path / "README.md").read_bytes() == b"newer"


def test_two_fetches_do_not_write_into_one_folder(hub: LoopbackHub, tmp_path: Path) -> None:
    _publish(hub, "a.csv", b"path\n")
    with locked(tmp_path, ".fetch"), pytest.raises(HubError, match="another run is writing to"):
        fetch(REPO, tmp_path)


def test_all_files_are_of_the_commit_at_the_start(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.csv", "b.csv"):
        _publish(hub, name, b"old")
    download = Repository.download

    def push_and_download(self: Repository, path: str, folder: Path) -> Path:
        _publish(hub, path, b"new")
        return download(self, path, folder)

    monkeypatch.setattr(Repository, "download", push_and_download)
    fetch(REPO, tmp_path)
    assert [(tmp_path / name).read_bytes() for name in ("a.csv", "b.csv")] == [b"old", b"old"]


def test_the_command_to_run_next_can_be_pasted_whatever_files_are_called(hub: LoopbackHub, tmp_path: Path) -> None:
    _publish(hub, "train;touch PWNED $(id).csv", b"path\n")
    done = CliRunner().invoke(app, ["fetch", REPO, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert f"--given '{tmp_path}/out/train;touch PWNED $(id).csv'" in done.stdout


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("../../outside.png", PNG),
        ("/outside.png", PNG),
        ("a\0b.png", PNG),
        ("run.sh", PNG),
        ("run.png", b"#!/bin/sh"),
        (None, PNG),
        ("a.png", None),
        ("a" * 300 + ".png", PNG),
    ],
)
def test_nothing_but_masks_comes_out_of_a_shard(
    hub: LoopbackHub, tmp_path: Path, path: str | None, data: bytes | None
) -> None:
    _publish(hub, SHARD, _masks([(path, data)]))
    out = tmp_path / "published" / "deep"
    with pytest.raises(HubError, match=f"{SHARD}.* its owner"):
        fetch(REPO, out)
    assert not list(tmp_path.rglob("outside.png")) and not list(out.glob("masks/*"))


def test_a_shard_that_is_no_table_of_masks_is_told_in_a_sentence(tmp_path: Path) -> None:
    shard = tmp_path / "shard.parquet"
    shard.write_bytes(b"PAR1 no Parquet")
    with pytest.raises(HubError, match="x cannot be read as a table of masks"):
        list(read_masks(shard, "x"))
    for table in (
        {"q": [1]},
        {"mask": [1], "path": ["a.png"]},
        {"mask": [{"bytes": "text"}], "path": ["a.png"]},
        {"mask": pa.array([{"bytes": PNG}], MASK), "path": [1]},
    ):
        pq.write_table(pa.table(table), shard)
        with pytest.raises(HubError, match="x has not the columns mask"):
            list(read_masks(shard, "x"))
    pq.write_table(pa.table({"mask": pa.array([None], MASK), "path": ["a.png"]}), shard)
    with pytest.raises(HubError, match="holds no PNG file"):
        list(read_masks(shard, "x"))


def test_a_shard_that_would_fill_the_memory_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    masks = pa.array([{"bytes": PNG + bytes(130 << 20)}] * 2, MASK)
    pq.write_table(
        pa.table({"mask": masks, "path": ["a.png", "b.png"]}),
        tmp_path / "bomb.parquet",
        compression="zstd",
        use_dictionary=False,
    )
    assert (tmp_path / "bomb.parquet").stat().st_size < 1 << 20
    before = pa.total_allocated_bytes()
    with pytest.raises(HubError, match=r"unpacks to 2\d\d,\d+,\d+ bytes at once"):
        list(read_masks(tmp_path / "bomb.parquet", "x"))
    assert pa.total_allocated_bytes() - before < 1 << 20


@pytest.mark.parametrize("path", ["masks/US/a.png", "splits/train.csv", "manifest.parquet", "correction_masks.zip"])
def test_masks_and_tables_are_wanted(path: str) -> None:
    assert is_wanted(path)


@pytest.mark.parametrize(
    "path",
    ["data/train-00000-of-00001.parquet", "images/a.png", "run.py", "images.tar.gz", "masks/.git/a", ".fetch/a.csv"],
)
def test_images_and_code_are_not_wanted(path: str) -> None:
    assert not is_wanted(path)


def _entry(hub: LoopbackHub, text: str):
    return hub.storage._large(hub.storage.add_bytes(text.encode()))


def _publish(hub: LoopbackHub, path: str, content: bytes) -> None:
    storage = hub.storage
    repo = storage.repos.get(("dataset", REPO)) or storage.create("dataset", REPO, private=False)
    entry = storage._large(storage.add_bytes(content))
    repo.commit("main", {**repo.tree("main"), path: entry}, f"put {path}")


def _masks(rows: list[tuple[str | None, bytes | None]]) -> bytes:
    masks = pa.array([{"bytes": data, "path": "x"} for _, data in rows], MASK)
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table({"mask": masks, "path": pa.array([path for path, _ in rows], pa.string())}), buffer)
    return buffer.getvalue().to_pybytes()
