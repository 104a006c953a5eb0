"""Labels come from the path as it is written, and the modality is a whole folder name."""

from pathlib import Path

import pytest

from radrefine.catalog import Entry, default_out, open_source, parse_label
from radrefine.errors import ImageError, UsageError
from radrefine.sources import Refusal


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("CT/abd/adrenal_pathology/1.png", ("CT__abd__adrenal_pathology", "CT", "abd", "adrenal_pathology")),
        ("set/US/thyroid/1.png", ("US__thyroid", "US", "thyroid", None)),
        ("MR/af/achilles_pathology_/1.png", ("MR__af__achilles_pathology_", "MR", "af", "achilles_pathology_")),
        ("BUSI/MR/knee/a/b/1.png", ("MR__knee__a__b", "MR", "knee", "a__b")),
        ("US/1.png", ("US", "US", None, None)),
        ("US/breast/a.DCM/0007.png", ("US__breast", "US", "breast", None)),
    ],
)
def test_label_is_the_path_from_the_modality_on(path: str, expected: tuple[str, ...]) -> None:
    assert parse_label(path) == expected


def test_modality_inside_another_name_does_not_count() -> None:
    with pytest.raises(ImageError, match="--modality US"):
        parse_label("BUSI/benign/1.png")


def test_given_modality_holds_for_any_tree() -> None:
    assert parse_label("benign/1.png", modality="US").label == "US__benign"
    assert parse_label("1.png", modality="US").label == "US"
    assert parse_label("x/US/breast/1.png", modality="US").label == "US__breast"


def test_imagefolder_takes_the_folder_as_class() -> None:
    assert parse_label("benign/1.png", layout="imagefolder") == ("benign", "US", "benign", None)


def test_entries_name_what_has_no_modality(tmp_path: Path) -> None:
    for name in ("US/a/1.png", "other/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")

    first, second = open_source(tmp_path).entries()

    assert isinstance(first, Entry) and first.label == "US__a" and first.size == 1
    assert isinstance(second, Refusal) and second.path == "other/2.png"


def test_unknown_layout_and_modality_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--layout"):
        open_source(tmp_path, layout="flat")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--modality"):
        open_source(tmp_path, modality="PET")


def test_refined_folder_lies_beside_the_source(tmp_path: Path) -> None:
    (tmp_path / "RadImageNet.v1").mkdir()

    assert default_out(tmp_path / "RadImageNet.v1") == tmp_path / "RadImageNet.v1-refined"
    assert default_out(tmp_path / "openrad.tar.gz") == tmp_path / "openrad-refined"


def test_real_tar_is_listed(shared_data: Path) -> None:
    catalog = open_source(shared_data / "openrad.tar")
    entries = list(catalog.entries())

    assert len(entries) == catalog.count() == 4744
    assert all(isinstance(entry, Entry) for entry in entries)
    assert len({entry.label for entry in entries if isinstance(entry, Entry)}) == 12
