from pathlib import Path

import pandas as pd
import pytest

from pgnm.data import load_split
from pgnm.errors import HubError, LeakageError, SplitError
from pgnm.hub import load_sets, locate_split
from radrefine.hub import PushOptions, push_split
from tests.loopback import LoopbackHub
from tests.loopback.fixtures import hub, no_waiting
from tests.radrefine.hub.conftest import make_split, split_folder

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
__all__ = ["hub", "no_waiting", "split_folder"]

REPO = "ada/images"


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what `datasets` and we unpack inside the test."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    return tmp_path


def push(split: Path) -> None:
    push_split(split, PushOptions(REPO, with_images=True, license="mit", max_shard_size="3KB"))


def test_a_published_data_set_is_the_split_it_was_made_from(hub: LoopbackHub, split_folder: Path, caches: Path) -> None:
    push(split_folder)
    ours, theirs = load_split(locate_split(Path(REPO))), load_split(split_folder)
    assert ours.class_names == theirs.class_names
    for part in ("train", "val", "test"):
        own, other = ours.part(part), theirs.part(part)
        assert own["path"].tolist() == other["path"].tolist()
        assert own["class_index"].tolist() == other["class_index"].tolist()
        assert own.groupby("group").size().tolist() == other.groupby("group").size().tolist()
        for path in own["path"]:
            assert (ours.root / path).read_bytes() == (theirs.root / path).read_bytes()


def test_it_is_unpacked_once(hub: LoopbackHub, split_folder: Path, caches: Path) -> None:
    push(split_folder)
    first = locate_split(Path(REPO))
    time = (first / "train.csv").stat().st_mtime_ns
    assert locate_split(Path(REPO)) == first and (first / "train.csv").stat().st_mtime_ns == time


def test_folders_of_datasets_work_too(split_folder: Path, caches: Path) -> None:
    import datasets

    split = load_split(split_folder)
    for part, name in {"train": "train", "val": "validation", "test": "test"}.items():
        for row in split.part(part).itertuples():
            target = caches / "folder" / name / row.label / Path(row.path).name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((split.root / row.path).read_bytes())
    from_folder = load_split(locate_split(caches / "folder"))
    assert [len(from_folder.part(part)) for part in ("train", "val", "test")] == [12, 4, 4]
    assert from_folder.class_names == split.class_names
    datasets.load_dataset(str(caches / "folder")).save_to_disk(str(caches / "saved"))
    assert len(load_split(locate_split(caches / "saved")).train) == 12


def test_unseen_sets_come_from_the_hub_from_datasets_and_from_files(
    hub: LoopbackHub, split_folder: Path, caches: Path
) -> None:
    import datasets

    push(split_folder)
    saved = datasets.load_dataset(REPO)
    del saved["validation"]
    saved.save_to_disk(str(caches / "saved"))

    published, kept, local = load_sets([REPO, str(caches / "saved"), str(split_folder)])

    assert (published.name, kept.name) == ("images", "saved")
    assert published.class_names == kept.class_names == local.class_names
    assert [len(part.labels) for _, part in published.parts()] == [12, 4, 4]
    assert kept.carved == ("val",) and len(kept.train.labels) + len(kept.val.labels) == 12
    assert all((a == b).all() for a, b in zip(published.test.images, local.test.images, strict=True))


def test_a_data_set_without_images_says_so(hub: LoopbackHub, split_folder: Path, caches: Path) -> None:
    push_split(split_folder, PushOptions(REPO))
    with pytest.raises(SplitError, match="published without its images"):
        locate_split(Path(REPO))


def test_a_name_that_is_nowhere_says_so(hub: LoopbackHub, caches: Path) -> None:
    with pytest.raises((SplitError, HubError), match="ada/nothing"):
        locate_split(Path("ada/nothing"))


def test_a_refined_folder_is_told_from_a_data_set(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "run.json").write_text("{}")
    pd.DataFrame({"path": ["a.png"]}).to_parquet(tmp_path / "manifest.parquet")
    with pytest.raises(SplitError, match=r"is not a split folder.*radrefine split --stratify"):
        locate_split(tmp_path)


def test_a_run_folder_is_told_from_a_data_set(tmp_path: Path) -> None:
    for name in ("config.json", "metrics.csv"):
        (tmp_path / name).touch()
    pd.DataFrame({"path": ["a.png"]}).to_parquet(tmp_path / "predictions.parquet")
    with pytest.raises(SplitError, match=r"is not a split folder"):
        locate_split(tmp_path)


def test_split_folders_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = make_split(tmp_path)
    assert locate_split(split) == split
    with pytest.raises(SplitError, match="no train"):
        locate_split(tmp_path / "nowhere")
    monkeypatch.chdir(tmp_path)
    assert locate_split(None) == Path("split")


def test_images_that_a_published_set_holds_in_two_parts_are_told(split_folder: Path, caches: Path) -> None:
    split = load_split(split_folder)
    for part, name in {"train": "train", "val": "validation", "test": "test"}.items():
        for number, row in enumerate(split.part(part).itertuples()):
            source = split.root / (split.train["path"].iloc[0] if (part, number) == ("test", 0) else row.path)
            target = caches / "folder" / name / row.label / f"{part}{number}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    unpacked = locate_split(caches / "folder")
    with pytest.raises(LeakageError, match="shared_file_hashes: 1"):
        load_split(unpacked)
    with pytest.raises(LeakageError):
        load_sets([str(unpacked)])
    assert len(load_sets([str(unpacked)], allow_leakage=True)[0].test.labels) == 4
