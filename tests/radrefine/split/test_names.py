from pathlib import Path

import pandas as pd
import pytest

from radrefine.errors import SplitError
from radrefine.split.names import find_key, match_images, match_paths, read_table


@pytest.mark.parametrize(
    "names",
    [
        ["CT/a/1.png", "US/b/1.png"],
        ["root/CT/a/1.png", "root/US/b/1.png"],
        ["other/CT/a/1.png", "other/US/b/1.png"],
        ["./set/CT/a/1.png", "./set/US/b/1.png"],
        ["x\\y\\set\\CT\\a\\1.png", "x\\y\\set\\US\\b\\1.png"],
    ],
)
def test_names_match_whatever_folders_lead(names: list[str]) -> None:
    paths = pd.Series(["set/US/b/1.png", "set/CT/a/1.png", "set/CT/a/2.png"])

    assert match_paths(paths, pd.Series(names)).tolist() == [1, 0]


def test_names_of_images_that_became_png_match() -> None:
    assert match_paths(pd.Series(["a/1.jpg.png", "a/2.jpg.png"]), pd.Series(["a/2.jpg"])).tolist() == [1]


def test_base_names_that_repeat_never_match() -> None:
    assert match_paths(pd.Series(["a/1.png", "b/1.png"]), pd.Series(["1.png"])).tolist() == [-1]


def test_names_of_images_that_are_not_there_are_not_taken_for_others() -> None:
    paths = pd.Series([f"benign/{n}.png" for n in (1, 3, 5)] + [f"malignant/{n}.png" for n in (2, 4)])
    names = pd.Series([f"malignant/{n}.png" for n in range(1, 6)] + [f"benign/{n}.png" for n in range(1, 6)])

    assert match_paths(paths, names).tolist() == [-1, 3, -1, 4, -1, 0, -1, 1, -1, 2]
    # Without folders the rest of them would name images of the other folder.
    assert match_paths(paths, "x/y/" + names).tolist() == [-1, 3, -1, 4, -1, 0, -1, 1, -1, 2]


def test_absolute_paths_and_blanks_match() -> None:
    paths = pd.Series(["a/1.png", "b/1.png"])

    assert match_paths(paths, pd.Series(["/home/u/v/w/x/y/z/b/1.png "])).tolist() == [1]
    assert match_paths(paths, pd.Series([r"C:\Users\me\2024\study\data\a\1.png"])).tolist() == [0]


def test_tables_are_read_as_text_and_faults_are_told(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "t.csv").write_text("Filename,case\na.png,007\n")
    table = read_table(tmp_path / "t.csv")

    assert table["case"].tolist() == ["007"]
    assert find_key(table, tmp_path / "t.csv") == "Filename"
    with pytest.raises(SplitError, match="is not there"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(SplitError, match="needs a column of file names"):
        find_key(pd.DataFrame({"case": []}), tmp_path)


@pytest.mark.parametrize("text", ["path,case\na.png,1,\nb.png,2,\n", "path\tcase\na.png\t1\t\t\nb.png\t2\t\t\n"])
def test_separators_at_the_end_of_rows_shift_no_columns(tmp_path: Path, text: str) -> None:
    place = tmp_path / ("t.tsv" if "\t" in text else "t.csv")
    place.write_text(text)

    assert read_table(place).to_dict("list") == {"path": ["a.png", "b.png"], "case": ["1", "2"]}
    place.write_text(text.replace("2", "2" + text[4] + "x", 1).rstrip() + "\n")
    with pytest.raises(SplitError, match="cannot be read as a table"):
        read_table(place)


def test_a_named_index_of_a_parquet_table_is_a_column(tmp_path: Path) -> None:
    place = tmp_path / "t.parquet"
    pd.DataFrame({"case": ["1"]}, index=pd.Index(["a.png"], name="path")).to_parquet(place)
    assert find_key(read_table(place), place) == "path"
    with pytest.raises(SplitError, match="one of path, filename, file_name, file, image; it has case"):
        find_key(pd.DataFrame({"case": ["1"]}), place)


def test_columns_whose_names_differ_by_blanks_are_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,case, case\na.png,1,2\n")
    with pytest.raises(SplitError, match="has two columns case; rename one of them"):
        read_table(tmp_path / "t.csv")


def test_the_name_of_a_dicom_file_matches_its_frames_and_that_of_a_frame_is_stronger() -> None:
    paths = pd.Series(["p/a.dcm/0000.png", "p/a.dcm/0001.png", "p/b.dcm/0000.png", "p/c.png"])
    found = match_images(paths, pd.Series(["p/a.dcm", "p/b.dcm/0000.png", "p/c.png", "p/d.dcm", "p/b.dcm"]))
    assert found[["row", "position"]].to_numpy().tolist() == [[1, 2], [2, 3], [0, 0], [0, 1], [4, 2]]
    assert found["whole"].tolist() == [False, False, True, True, True]
    assert match_images(paths, pd.Series(["a.dcm"]))["position"].tolist() == [0, 1]
