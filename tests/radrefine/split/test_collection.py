import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radrefine.errors import RefinedFolderError, SplitError, UsageError
from radrefine.schema import SPLITS
from radrefine.split import SplitOptions, collection, fold_collection, split_collection
from tests.radrefine.pictures import brighter, scene, smaller
from tests.radrefine.refined import unpack_refined, write_refined


def files() -> list[tuple[str, np.ndarray]]:
    """Return 120 pictures of three classes, some of them twice or nearly twice, one blank."""
    made = [(f"set/{place}/{seed:03d}.png", scene(seed)) for seed, place in _places()]
    made += [(f"set/CT/chest/copy_{seed}.png", scene(seed)) for seed in range(0, 6, 3)]
    made += [(f"set/US/breast/near_{seed}.png", brighter(scene(seed))) for seed in range(1, 30, 3)]
    made += [(f"set/MR/knee/small_{seed}.png", smaller(scene(seed))) for seed in range(2, 30, 3)]
    return [*made, ("set/CT/chest/blank.png", np.zeros((64, 64), np.uint8))]


def _places() -> list[tuple[int, str]]:
    return [(seed, ("CT/chest", "US/breast", "MR/knee")[seed % 3]) for seed in range(97)]


@pytest.fixture(scope="module")
def refined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_refined(tmp_path_factory.mktemp("refined"), files())


def read(out: Path) -> dict[str, pd.DataFrame]:
    return {part: pd.read_csv(out / f"{part}.csv") for part in SPLITS}


def test_split_folder_keeps_the_contract(refined: Path, tmp_path: Path) -> None:
    summary = split_collection(refined, tmp_path / "split", SplitOptions(ratios="8:1:1"))

    tables = read(tmp_path / "split")
    assert all(list(table.columns) == ["path", "label", "class_index", "group"] for table in tables.values())
    rows = pd.concat(tables.values())
    assert sorted(rows["path"]) == sorted(path for path, _ in files() if "blank" not in path)
    classes = pd.read_csv(tmp_path / "split/classes.csv")
    assert classes["label"].tolist() == ["CT__chest", "MR__knee", "US__breast"]
    assert classes[["n_train", "n_val", "n_test"]].sum().tolist() == [len(table) for table in tables.values()]
    facts = json.loads((tmp_path / "split/split.json").read_text())
    assert facts == summary.facts
    assert (tmp_path / "split" / facts["root"] / rows["path"].iloc[0]).is_file()
    assert pd.read_csv(tmp_path / "split/left_out.csv").values.tolist() == [["set/CT/chest/blank.png", "blank"]]


def test_duplicates_and_near_duplicates_stay_together(refined: Path, tmp_path: Path) -> None:
    summary = split_collection(refined, tmp_path, SplitOptions(ratios="2:1:1"))

    rows = pd.concat(read(tmp_path)).set_index("path")
    assert rows.loc["set/CT/chest/000.png", "group"] == rows.loc["set/CT/chest/copy_0.png", "group"]
    assert rows.loc["set/US/breast/001.png", "group"] == rows.loc["set/US/breast/near_1.png", "group"]
    assert rows.loc["set/MR/knee/002.png", "group"] == rows.loc["set/MR/knee/small_2.png", "group"]
    assert rows["group"].nunique() == 97
    assert not summary.proof.leaks


def test_the_proof_finds_what_leaks_when_duplicates_are_let_loose(refined: Path, tmp_path: Path) -> None:
    proof = split_collection(refined, tmp_path, SplitOptions(ratios="1:1:1", duplicates=False)).proof

    assert proof.leaks
    assert proof.shared_near_duplicates > 0
    assert proof.shared_groups == proof.shared_paths == 0
    assert {pair["part_a"] for pair in proof.offending} <= set(SPLITS)


def test_seed_reproduces_and_decides(refined: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        split_collection(refined, tmp_path / name, SplitOptions(seed=seed))

    a, b, c = ((tmp_path / name / "test.csv").read_bytes() for name in "abc")
    assert a == b != c


def test_metadata_keeps_cases_together_and_says_whose_are_unknown(refined: Path, tmp_path: Path) -> None:
    names = [path.removeprefix("set/") for path, _ in files()]
    table = pd.DataFrame({"filename": names, "case": [f"p{i // 4}" if i < 80 else "" for i in range(len(names))]})
    table.to_csv(tmp_path / "cases.csv", index=False)

    options = SplitOptions(ratios="2:1:1", metadata=tmp_path / "cases.csv", group_by=("case",))
    summary = split_collection(refined, tmp_path / "split", options)

    case = dict(zip(("set/" + table["filename"]), table["case"], strict=True))
    parts = pd.concat(read(tmp_path / "split"), names=["part"]).reset_index("part")
    parts = parts.assign(case=parts["path"].map(case)).query("case != ''")
    assert parts.groupby("case")["part"].nunique().max() == 1
    assert any(f"case: {len(names) - 80} of {len(names)} images" in told for told in summary.proof.unverified)


def test_blank_images_can_be_kept_and_then_are_in_train(refined: Path, tmp_path: Path) -> None:
    summary = split_collection(refined, tmp_path, SplitOptions(keep_blank=True))

    assert "set/CT/chest/blank.png" in set(read(tmp_path)["train"]["path"])
    assert not summary.proof.leaks
    assert not (tmp_path / "left_out.csv").exists()


def test_an_unreadable_copied_file_is_left_out_and_named(tmp_path: Path) -> None:
    content = [(f"CT/chest/{seed}.png", scene(seed)) for seed in range(30)]
    refined = write_refined(tmp_path / "refined", [*content, ("CT/chest/broken.png", b"no picture")])

    summary = split_collection(refined, tmp_path / "split")

    assert summary.facts["left_out"] == {"unreadable": 1}
    assert pd.read_csv(tmp_path / "split/left_out.csv")["path"].tolist() == ["CT/chest/broken.png"]


def test_folds_are_split_folders_whose_tests_cover_everything_once(refined: Path, tmp_path: Path) -> None:
    summaries = fold_collection(refined, tmp_path, SplitOptions(folds=4))

    tests = pd.concat([read(tmp_path / f"fold-{index}")["test"] for index in range(4)])
    assert sorted(tests["path"]) == sorted(path for path, _ in files() if "blank" not in path)
    assert not any(summary.proof.leaks for summary in summaries)
    assert {len(read(summary.out)["val"]) for summary in summaries} == {
        len(read(summary.out)["test"]) for summary in summaries
    }


def test_extending_moves_nothing_and_keeps_the_numbers_of_the_classes(tmp_path: Path) -> None:
    old, new = files()[:60], [*files(), ("set/AB/new.png", scene(500))]
    new = [(path.replace("set/AB", "set/CT/abdomen"), image) for path, image in new]
    before = write_refined(tmp_path / "before", old)
    after = write_refined(tmp_path / "after", new)
    split_collection(before, tmp_path / "one", SplitOptions(ratios="2:1:1"))

    summary = split_collection(after, tmp_path / "two", SplitOptions(ratios="2:1:1", extend=tmp_path / "one"))

    one, two = read(tmp_path / "one"), read(tmp_path / "two")
    assert all(set(one[part]["path"]) <= set(two[part]["path"]) for part in SPLITS)
    assert sum(len(two[part]) for part in SPLITS) == len(new) - 1
    assert pd.read_csv(tmp_path / "two/classes.csv")["label"].tolist()[-1] == "CT__abdomen"
    assert not summary.proof.leaks


def test_a_class_of_which_an_extended_split_has_nothing_left_misses_no_ratio(tmp_path: Path) -> None:
    scenes = [(f"{place}/{seed:02d}.png", scene(seed)) for seed in range(12) for place in ("CT/chest",)]
    gone = [(f"MR/knee/{seed:02d}.png", scene(50 + seed)) for seed in range(12)]
    split_collection(write_refined(tmp_path / "before", [*scenes, *gone]), tmp_path / "one", SplitOptions())
    after = write_refined(tmp_path / "after", scenes)
    facts = split_collection(after, tmp_path / "two", SplitOptions(extend=tmp_path / "one")).facts
    assert facts["worst_deviation"]["label"] == "CT__chest"
    assert [row["label"] for row in facts["deviations"]] in ([], ["CT__chest"])


def test_a_part_for_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    series = [(f"CT/chest/{number:03d}.png", scene(number)) for number in range(12)]
    refined = write_refined(tmp_path / "refined", series)
    with pytest.raises(
        SplitError, match=r"val and test: 12 images form 1 group, the largest of 12; .*lower --sequence"
    ):
        split_collection(refined, tmp_path / "split", SplitOptions(sequence=1, rare="train"))
    assert not (tmp_path / "split").exists()


def test_fewer_folds_never_stand_beside_more(tmp_path: Path) -> None:
    refined = write_refined(tmp_path / "refined", [(f"CT/chest/{n:03d}.png", scene(n)) for n in range(12)])
    fold_collection(refined, tmp_path / "folds", SplitOptions(folds=4))
    fold_collection(refined, tmp_path / "folds", SplitOptions(folds=4))
    with pytest.raises(UsageError, match="fold-3 of an earlier call"):
        fold_collection(refined, tmp_path / "folds", SplitOptions(folds=3))


def test_a_new_image_between_two_parts_is_left_out(tmp_path: Path) -> None:
    scenes = [(f"CT/chest/{seed:02d}.png", scene(seed)) for seed in range(12)]
    split_collection(write_refined(tmp_path / "before", scenes), tmp_path / "one", SplitOptions(ratios="1:1:1"))
    tables = read(tmp_path / "one")
    cases = pd.DataFrame({"path": ["CT/chest/new.png", *(table["path"].iloc[0] for table in tables.values())]})
    cases.assign(case="same").to_csv(tmp_path / "cases.csv", index=False)
    after = write_refined(tmp_path / "after", [*scenes, ("CT/chest/new.png", scene(99))])

    options = SplitOptions(ratios="1:1:1", extend=tmp_path / "one", metadata=tmp_path / "cases.csv", group_by=("case",))
    summary = split_collection(after, tmp_path / "two", options)

    assert summary.facts["left_out"] == {"belongs to several parts of the earlier split": 1}
    assert {part: set(table["path"]) for part, table in read(tmp_path / "two").items()} == {
        part: set(table["path"]) for part, table in tables.items()
    }


def test_given_tables_are_taken_as_they_are_and_their_leaks_named(refined: Path, tmp_path: Path) -> None:
    paths = ["root/" + path for path, _ in files() if "blank" not in path]
    for part, names in zip(SPLITS, (paths[:100], paths[100:110], [*paths[110:], "root/set/gone.png"]), strict=True):
        pd.DataFrame({"filename": names, "label": "any"}).to_csv(tmp_path / f"RadiologyAI_{part}.csv", index=False)
    given = tuple(tmp_path / f"RadiologyAI_{part}.csv" for part in SPLITS)

    summary = split_collection(refined, tmp_path / "split", SplitOptions(given=given))

    assert summary.facts["counts"] == {"train": 100, "val": 10, "test": 9}
    assert summary.facts["stratify"] is summary.facts["rare"] is summary.facts["ratios_asked"] is None
    assert summary.proof.shared_near_duplicates > 0
    assert summary.proof.shared_groups > 0
    assert any("RadiologyAI_test.csv names 1 images" in told for told in summary.proof.unverified)


def test_given_files_together_tell_which_images_they_name(tmp_path: Path) -> None:
    images = [(f"CT/{'ab'[n % 2]}/{n:03d}.png", scene(n)) for n in range(8)]
    refined = write_refined(tmp_path / "refined", images)
    # The published split names more than there is, and its numbers begin anew in every folder.
    train = [f"CT/a/{n:03d}.png" for n in range(8)] + ["CT/b/001.png", "CT/b/003.png"]
    test = [f"CT/b/{n:03d}.png" for n in (5, 7, 0, 2, 4)]
    for name, rows in (("published_train.csv", train), ("latest_test.csv", test)):
        (tmp_path / name).write_text("\n".join(["filename", *rows, ""]))
    given = (tmp_path / "published_train.csv", tmp_path / "latest_test.csv")
    split_collection(refined, tmp_path / "split", SplitOptions(given=given))
    parts = read(tmp_path / "split")
    assert parts["train"]["path"].tolist() == [path for path, _ in sorted(images) if path in train]
    assert parts["test"]["path"].tolist() == ["CT/b/005.png", "CT/b/007.png"]


def test_given_files_must_name_their_part(refined: Path, tmp_path: Path) -> None:
    (tmp_path / "images.csv").write_text("filename\nset/CT/chest/000.png\n")

    with pytest.raises(SplitError, match="the name must say which part"):
        split_collection(refined, tmp_path / "split", SplitOptions(given=(tmp_path / "images.csv",)))


def test_imagefolder_links_lead_to_the_images(refined: Path, tmp_path: Path) -> None:
    split_collection(refined, tmp_path, SplitOptions(layout="imagefolder"))
    split_collection(refined, tmp_path, SplitOptions(layout="imagefolder", seed=5))

    links = list((tmp_path / "imagefolder").rglob("*.png"))
    test = read(tmp_path)["test"]
    assert len(links) == len(files()) - 1
    assert all(link.is_file() and not Path(link.readlink()).is_absolute() for link in links)
    linked = {link.resolve() for link in links if "imagefolder/test" in str(link)}
    assert linked == {(refined / "images" / path).resolve() for path in test["path"]}


def test_a_part_of_ratio_zero_stays_empty(refined: Path, tmp_path: Path) -> None:
    split_collection(refined, tmp_path, SplitOptions(ratios="3:0:1"))

    assert len(read(tmp_path)["val"]) == 0


def test_what_cannot_be_split_is_told(refined: Path, tmp_path: Path) -> None:
    with pytest.raises(RefinedFolderError, match=r"expected a refined folder with manifest\.parquet"):
        split_collection(tmp_path, tmp_path / "split")
    blank = write_refined(tmp_path / "blank", [("CT/a/1.png", np.zeros((8, 8), np.uint8))])
    with pytest.raises(SplitError, match="no images to split"):
        split_collection(blank, tmp_path / "split")
    (tmp_path / "other.csv").write_text("filename,case\nnothing.png,1\n")
    with pytest.raises(SplitError, match="names none of the 120 images"):
        split_collection(refined, tmp_path / "split", SplitOptions(metadata=tmp_path / "other.csv", group_by=("case",)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 2}, "--folds must be 3 to 100"),
        ({"folds": 3, "keep_blank": True}, "--keep-blank keeps blank images in train"),
        ({"folds": 3, "extend": Path("x")}, "cannot be combined"),
        ({"folds": 3, "rare": "train"}, "does not use --rare; leave that option out"),
        ({"folds": 3, "ratios": "8:1:1"}, "does not use --ratios"),
        ({"given": (Path("x"),), "ratios": "8:1:1"}, "does not use --ratios"),
        ({"given": (Path("x"),), "rare": "error"}, "does not use --rare"),
        ({"given": (Path("x"),), "stratify": False}, "does not use --no-stratify"),
        ({"given": (Path("x"),), "extend": Path("x")}, "cannot be combined"),
        ({"layout": "tar"}, "--layout must be one of"),
        ({"metadata": Path("x.csv")}, "name it with --group-by"),
        ({"sequence": -1}, "--sequence must be 0 or more"),
        ({"seed": -1}, "--seed must be 0 or more"),
        ({"max_distance": 65}, "--max-distance must be 0 to 64"),
        ({"min_correlation": 2.0}, "--min-correlation must be -1 to 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SplitOptions(**options)


def test_given_files_are_not_written_over(refined: Path, tmp_path: Path) -> None:
    given = tmp_path / "train.csv"
    given.write_text("path,patient\n")
    with pytest.raises(UsageError, match="would be written over"):
        split_collection(refined, tmp_path, SplitOptions(given=(given,)))
    assert given.read_text() == "path,patient\n"


def test_what_no_split_wrote_is_not_written_over(refined: Path, tmp_path: Path) -> None:
    (tmp_path / "val.csv").write_text("mine")
    with pytest.raises(UsageError, match=r"holds val\.csv that no split wrote"):
        split_collection(refined, tmp_path)
    (tmp_path / "split.json").write_text("[1]")
    with pytest.raises(UsageError, match=r"holds val\.csv, split\.json that no split wrote"):
        split_collection(refined, tmp_path)
    assert (tmp_path / "val.csv").read_text() == "mine"
    mine = tmp_path / "b" / "imagefolder" / "benign" / "1.png"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(UsageError, match=r"holds files that no split put there, such as 1\.png"):
        split_collection(refined, tmp_path / "b")
    assert mine.read_text() == "mine"
    for name in ("fold-1", "fold-2"):
        (tmp_path / "folds" / name).mkdir(parents=True)
    (tmp_path / "folds" / "fold-2" / "test.csv").touch()
    with pytest.raises(UsageError, match=r"holds test\.csv that no split wrote"):
        fold_collection(refined, tmp_path / "folds", SplitOptions(folds=3))


def test_a_split_that_was_interrupted_can_be_made_again(
    refined: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split_collection(refined, tmp_path / "whole")
    for _ in range(2):  # anew, and over a split that is there
        with monkeypatch.context() as patch:
            patch.setattr(collection, "draw_histogram", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                split_collection(refined, tmp_path / "split")
        assert not (tmp_path / "split" / "split.json").exists()
        split_collection(refined, tmp_path / "split")
        assert sorted(path.name for path in (tmp_path / "split").iterdir()) == sorted(
            path.name for path in (tmp_path / "whole").iterdir()
        )


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_no_split_is_written_into_the_source(refined: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in refined.iterdir():
        (copy / path.name).symlink_to(path)
    (copy / "run.json").unlink(missing_ok=True)
    (copy / "run.json").write_text(json.dumps({"source": {"path": str(source)}}))
    for out in (source, source / "split"):
        with pytest.raises(UsageError, match="lies in the source"):
            split_collection(copy, out)
    split_collection(copy, tmp_path / "split")


def test_more_folds_than_groups_are_refused(tmp_path: Path) -> None:
    refined = write_refined(tmp_path / "refined", [(f"CT/chest/{n:03d}.png", scene(n)) for n in range(8)])
    with pytest.raises(SplitError, match="--folds 9 are too many: 8 images form 8 groups"):
        fold_collection(refined, tmp_path / "folds", SplitOptions(folds=9))
    assert len(fold_collection(refined, tmp_path / "folds", SplitOptions(folds=8))) == 8


def test_classes_are_too_small_for_folds_by_their_number_alone(tmp_path: Path) -> None:
    images = [
        (f"CT/{place}/{n:03d}.png", scene(n))
        for place, numbers in (("a", range(7)), ("b", range(7, 10)))
        for n in numbers
    ]
    refined = write_refined(tmp_path / "refined", images)
    summary = fold_collection(refined, tmp_path / "three", SplitOptions(folds=3, rare="error"))[0]
    assert summary.facts["rare"] == "error"
    assert fold_collection(refined, tmp_path / "three", SplitOptions(folds=3))[0].facts["rare"] is None
    with pytest.raises(
        SplitError, match=r"1 class is too small for 4 folds: CT__b \(3 images in 3 groups\); name fewer"
    ):
        fold_collection(refined, tmp_path / "four", SplitOptions(folds=4, rare="error"))


def test_a_split_is_not_extended_in_place(refined: Path, tmp_path: Path) -> None:
    split_collection(refined, tmp_path / "split")
    before = (tmp_path / "split" / "split.json").read_bytes()
    with pytest.raises(UsageError, match="is the split to extend"):
        split_collection(refined, tmp_path / "x" / ".." / "split", SplitOptions(extend=tmp_path / "split"))
    assert (tmp_path / "split" / "split.json").read_bytes() == before


def test_columns_of_the_manifest_name_no_patients(tmp_path: Path) -> None:
    images = [(f"CT/{'abc'[n % 3]}/{n:03d}.png", scene(n)) for n in range(12)]
    refined = write_refined(tmp_path / "refined", images)
    options = SplitOptions(ratios="1:1:1", stratify=False, group_by=("anatomy",))
    [told] = split_collection(refined, tmp_path / "split", options).proof.unverified
    assert told.startswith("patients: grouping by anatomy of the manifest does not tell them, so images of one patient")
    for name in ("path", "source_sha256", "phash", "n_text", "mask_fraction", "residual_score", "elapsed_ms"):
        with pytest.raises(UsageError, match=f"--group-by {name}: that tells of each image alone"):
            split_collection(refined, tmp_path / "other", SplitOptions(group_by=(name,)))
    (tmp_path / "t.csv").write_text(
        "filename,phash\n" + "".join(f"{path},p{n // 2}\n" for n, (path, _) in enumerate(images))
    )
    with pytest.raises(UsageError, match="--group-by filename: that tells"):
        split_collection(refined, tmp_path / "o", SplitOptions(metadata=tmp_path / "t.csv", group_by=("filename",)))
    options = SplitOptions(ratios="1:1:1", metadata=tmp_path / "t.csv", group_by=("phash",))
    assert split_collection(refined, tmp_path / "o", options).proof.unverified == []


def test_a_column_to_group_by_may_have_any_name(tmp_path: Path) -> None:
    images = [(f"CT/{'ab'[n % 2]}/{n:03d}.png", scene(n)) for n in range(12)]
    refined = write_refined(tmp_path / "refined", images)
    table = pd.DataFrame({"path": [path for path, _ in images[:9]], "label": [f"p{n // 3}" for n in range(9)]})
    table["blank"] = "x"
    table.to_csv(tmp_path / "t.csv", index=False)
    options = SplitOptions(ratios="1:1:1", metadata=tmp_path / "t.csv", group_by=("label",))
    summary = split_collection(refined, tmp_path / "split", options)

    assert summary.facts["classes"] == 2 and summary.facts["groups"] == 6
    assert "label: 3 of 12 images have no value, so theirs is unknown" in summary.proof.unverified
    split_collection(refined, tmp_path / "two", SplitOptions(metadata=tmp_path / "t.csv", group_by=("blank",)))


def test_rows_that_differ_about_an_image_are_refused_and_values_nearly_alike_are_told(tmp_path: Path) -> None:
    images = [(f"CT/a/{n:03d}.png", scene(n)) for n in range(12)]
    refined = write_refined(tmp_path / "refined", images)
    table = pd.DataFrame({"path": [path for path, _ in images] + [images[3][0]] * 2, "case": "c"})
    table["case"] = [*(f"P{n % 6}" for n in range(11)), "p5", "P3 ", "P9"]
    options = SplitOptions(metadata=tmp_path / "t.csv", group_by=("case",), ratios="1:1:1")
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(SplitError, match=r"gives CT/a/003\.png the case P3 and P9; keep one row"):
        split_collection(refined, tmp_path / "split", options)
    table[:-1].to_csv(tmp_path / "t.csv", index=False)
    summary = split_collection(refined, tmp_path / "split", options)
    assert any("2 values differ from another by case or leading zeros" in told for told in summary.proof.unverified)


@pytest.mark.parametrize("name", ["images", "masks/split"])
def test_no_split_is_written_among_the_images(refined: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"lies among the (images|masks)"):
        split_collection(refined, refined / name)


@pytest.mark.parametrize("ratios", ["24:1", "a:b:c", "0:1:1", "1:0:0", "1:-1:2", "1:inf:1"])
def test_ratios_that_make_no_sense_are_refused(ratios: str) -> None:
    with pytest.raises(UsageError, match="--ratios must be three numbers"):
        SplitOptions(ratios=ratios)


def test_thyroid_cases_of_real_images_stay_whole(shared_data: Path, tmp_path: Path) -> None:
    refined = unpack_refined(shared_data / "openrad.tar", tmp_path / "refined", only="US/thyroid")
    options = SplitOptions(metadata=shared_data / "openrad_sources.csv", group_by=("patient_or_case",))

    summary = split_collection(refined, tmp_path / "split", options)

    sources = pd.read_csv(shared_data / "openrad_sources.csv", dtype=str)
    case = dict(zip("openrad/" + sources["filename"], sources["patient_or_case"], strict=True))
    parts = pd.concat(read(tmp_path / "split"), names=["part"]).reset_index("part")
    assert parts.groupby(parts["path"].map(case))["part"].nunique().max() == 1
    assert not summary.proof.leaks
