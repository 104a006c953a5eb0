"""Collections are read in place, and what could do harm is refused by name."""

import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from radrefine.errors import ImageError, SourceError
from radrefine.sources import Member, Refusal, open_members, read_bytes, safe_path

FILES = {"CT/chest/a.png": b"one", "US/thyroid/b.png": b"two" * 700, "US/thyroid/c.JPG": b""}


def make_folder(folder: Path) -> Path:
    for name, data in FILES.items():
        path = folder / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "set" / "notes.txt").write_text("not an image")
    (folder / "set" / "._a.png").write_text("not an image either")
    return folder / "set"


def make_tar(folder: Path, mode: str = "w", suffix: str = ".tar") -> Path:
    path = folder / f"set{suffix}"
    with tarfile.open(path, mode) as tar:
        tar.add(make_folder(folder), ".")
    return path


def make_tar_gz(folder: Path) -> Path:
    return make_tar(folder, "w:gz", ".tar.gz")


def make_zip(folder: Path) -> Path:
    path = folder / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
        archive.writestr("notes.txt", "not an image")
    return path


def contents(path: Path) -> dict[str, bytes]:
    found = list(open_members(path).members())
    assert all(isinstance(member, Member) for member in found), found
    return {member.path: read_bytes(member.locator) for member in found if isinstance(member, Member)}


def refusals(path: Path, **options: bool | int) -> dict[str, str]:
    found = open_members(path, **options).members()  # type: ignore[arg-type]
    return {refused.path: refused.reason for refused in found if isinstance(refused, Refusal)}


@pytest.mark.parametrize("make", [make_folder, make_tar, make_tar_gz, make_zip])
def test_every_form_gives_the_same_files(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)

    assert contents(path) == FILES
    assert open_members(path).count() in (len(FILES), None)


def test_folder_is_walked_in_one_order(tmp_path: Path) -> None:
    path = make_folder(tmp_path)

    assert [member.path for member in open_members(path).members()] == sorted(FILES)


@pytest.mark.parametrize("name", ["/etc/a.png", "../a.png", "x/../../a.png", "C:a.png", "a\\b.png", "a\nb.png"])
def test_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(ImageError):
        safe_path(name)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip", "a.png", "missing"])
def test_what_is_no_source_is_told(name: str, tmp_path: Path) -> None:
    if name != "missing":
        (tmp_path / name).write_bytes(b"text " * 500)

    with pytest.raises(SourceError, match=name):
        list(open_members(tmp_path / name).members())


def test_pictures_of_other_formats_are_refused_not_passed_over(tmp_path: Path) -> None:
    for name in ("US/a.png", "US/b.WEBP", "CT/c.nii.gz", "CT/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    refused, *others = open_members(tmp_path).members()
    assert isinstance(refused, Refusal) and refused.path == "CT/c.nii.gz" and "convert it" in refused.reason
    assert [(item.path, type(item)) for item in others] == [("US/a.png", Member), ("US/b.WEBP", Refusal)]
    assert [item.path for item in open_members(tmp_path, suffixes=(".png",)).members()] == ["US/a.png"]


@pytest.mark.parametrize("make", [make_folder, make_tar, make_tar_gz, make_zip])
def test_dicom_files_and_images_without_a_suffix_are_refused_not_passed_over(
    make: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FILES, "US/IM_0001", bytes(128) + b"DICM" + bytes(40))
    monkeypatch.setitem(FILES, "US/IM_0002", b"\x89PNG\r\n\x1a\n" + bytes(40))
    monkeypatch.setitem(FILES, "US/README", b"words")
    monkeypatch.setitem(FILES, "US/VERSION", bytes(400))
    source = open_members(make(tmp_path))
    refused = [found for found in source.members() if isinstance(found, Refusal)]
    assert [(found.path, found.reason) for found in refused] == [
        ("US/IM_0001", "a DICOM file without the suffix .dcm; rename such files"),
        ("US/IM_0002", "a PNG file without the suffix .png; rename such files"),
    ]


def test_links_in_folders_are_followed_only_on_request(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "real.png").write_bytes(b"real")
    (tmp_path / "set" / "a.png").symlink_to(tmp_path / "real.png")
    os.mkfifo(tmp_path / "set" / "b.png")

    assert set(refusals(tmp_path / "set")) == {"a.png", "b.png"}
    assert set(refusals(tmp_path / "set", follow_links=True)) == {"b.png"}


@pytest.mark.parametrize("loops", [1, 2])
def test_links_that_lead_round_in_circles_are_refused(tmp_path: Path, loops: int) -> None:
    (tmp_path / "US").mkdir()
    (tmp_path / "US" / "a.png").write_bytes(b"a")
    for number in range(loops):
        (tmp_path / "US" / f"loop{number}").symlink_to("..")
    source = open_members(tmp_path, follow_links=True)
    assert [item.path for item in source.members() if isinstance(item, Member)] == ["US/a.png"]
    assert len(refusals(tmp_path, follow_links=True)) == loops
    assert source.count() == 1


def test_file_that_grew_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = make_folder(tmp_path)
    member = list(open_members(path).members())[1]
    assert isinstance(member, Member)

    with pytest.raises(ImageError, match="allowed"):
        read_bytes(member.locator, max_bytes=100)
