import numpy as np
import pandas as pd
import pytest

from radrefine.errors import UsageError
from radrefine.split.grouping import group_images, link_numbers, name_groups


def frame(*paths: str, **columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"path": list(paths), **columns})


def test_groups_join_duplicates_columns_and_neighbours() -> None:
    images = frame("a/1.png", "a/2.png", "b/x.png", "b/y.png", "c/z.png", patient=["", "p", "p", "q", None])

    groups = group_images(images, components=np.array([0, 1, 2, 3, 3]), columns=("patient",), sequence=1)

    assert groups.tolist() == [0, 0, 0, 1, 1]


def test_frames_of_a_file_belong_together() -> None:
    images = frame("US/a.dcm/0000.png", "US/a.dcm/0001.png", "US/b.dcm/0000.png", "US/c/0000.png", "US/c/0001.png")

    assert group_images(images, components=None).tolist() == [0, 0, 1, 2, 3]


def test_empty_values_belong_to_nobody() -> None:
    images = frame("a.png", "b.png", "c.png", patient=["", " ", None])

    assert len(set(group_images(images, components=None, columns=("patient",)))) == 3


def test_an_unknown_column_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"--group-by case: no such column; there are path, patient"):
        group_images(frame("a.png", patient=["p"]), components=None, columns=("case",))


def test_numbers_link_within_a_folder_and_a_stem_only() -> None:
    paths = pd.Series(["a/im_001.png", "a/im_003.png", "a/im_006.png", "a/us_002.png", "b/im_002.png", "a/none.png"])

    assert link_numbers(paths, 2).tolist() == [[0, 1]]
    assert link_numbers(paths, 3).tolist() == [[0, 1], [1, 2]]


def test_the_dots_of_a_uid_are_no_suffixes() -> None:
    paths = [
        "1.2.840.113619.2.1000.png",
        "1.2.840.113619.9.5.png",
        "1.2.840.113619.9.6.dcm.PNG",
        "1.2.840.113619.9.8.png",
    ]

    assert link_numbers(pd.Series(paths), 1).tolist() == [[1, 2]]
    assert link_numbers(pd.Series(paths), 2).tolist() == [[1, 2], [2, 3]]


def test_dicom_files_with_frames_are_linked_by_their_own_numbers() -> None:
    paths = ["s/IM1.dcm/0000.png", "s/IM2.DCM/0000.png", "s/IM2.DCM/0001.png", "s/IM9.dcm/0000.png"]

    assert group_images(frame(*paths), components=None, sequence=1).tolist() == [0, 0, 0, 1]


def test_group_names_depend_on_the_first_path_only() -> None:
    one = name_groups(pd.Series(["b.png", "a.png", "c.png"]), np.array([0, 0, 1]))
    other = name_groups(pd.Series(["c.png", "a.png"]), np.array([0, 1]))

    assert one[0] == one[1] == other[1]
    assert one[2] == other[0]


def test_values_that_differ_by_blanks_or_unicode_form_are_one() -> None:
    patients = ["P0", "P0 ", "Zo\u00eb", "Zoe\u0308"]
    images = pd.DataFrame({"path": [f"{n}.png" for n in range(4)], "patient": patients})
    assert group_images(images, components=None, columns=("patient",)).tolist() == [0, 0, 1, 1]


def test_words_for_no_value_join_nothing() -> None:
    images = pd.DataFrame({"path": [f"{n}.png" for n in range(6)], "patient": ["a", "NA", "NaN", "NA", "a", None]})
    assert group_images(images, components=None, columns=("patient",)).tolist() == [0, 1, 2, 3, 0, 4]
    words = ["-", "--", "?", "Unknown", "UNK", "missing", "n.a."]
    images = pd.DataFrame({"path": [f"{n}.png" for n in range(14)], "patient": words * 2})
    assert len(set(group_images(images, components=None, columns=("patient",)))) == 14
