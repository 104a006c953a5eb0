"""Collections are read in place, and what could do harm is refused by name."""

import gzip
import io
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


def test_harmful_tar_members_are_refused_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bad.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind in (("l.png", tarfile.SYMTYPE), ("h.png", tarfile.LNKTYPE), ("d.png", tarfile.CHRTYPE)):
            item = tarfile.TarInfo(name)
            item.type, item.linkname = kind, "/etc/passwd"
            tar.addfile(item)
        for name in ("/abs.png", "../up.png", "US/good.png"):
            item = tarfile.TarInfo(name)
            item.size = 3
            tar.addfile(item, io.BytesIO(b"abc"))
        item = tarfile.TarInfo("US/big.png")
        item.size = 300
        tar.addfile(item, io.BytesIO(bytes(300)))

    found = list(open_members(path, max_bytes=200).members())

    assert {item.path for item in found if isinstance(item, Member)} == {"US/good.png"}
    assert {item.path for item in found if isinstance(item, Refusal)} == {
        "l.png", "h.png", "d.png", "/abs.png", "../up.png", "US/big.png",
    }  # fmt: skip


def test_tar_header_of_gigabytes_is_not_read_into_memory(tmp_path: Path) -> None:
    item = tarfile.TarInfo("name")
    item.type, item.size = tarfile.GNUTYPE_LONGNAME, 2**33
    path = tmp_path / "bomb.tar"
    path.write_bytes(item.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))

    with pytest.raises(SourceError, match="extended header"):
        list(open_members(path).members())


@pytest.mark.parametrize("keep", [3_000, 6_000])
def test_tar_cut_short_is_told(keep: int, tmp_path: Path) -> None:
    path = make_tar(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])

    assert refusals(path)


def test_gzip_cut_short_is_told_after_what_could_be_read(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    (folder / "US" / "noise.png").write_bytes(os.urandom(40_000))
    path = tmp_path / "set.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder / "US" / "thyroid")
        tar.add(folder / "US" / "noise.png")
    path.write_bytes(path.read_bytes()[:-20])

    found = list(open_members(path).members())

    assert isinstance(found[0], Member)
    assert isinstance(found[-1], Refusal) and found[-1].path == "set.tar.gz"


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip", "a.png", "missing"])
def test_what_is_no_source_is_told(name: str, tmp_path: Path) -> None:
    if name != "missing":
        (tmp_path / name).write_bytes(b"text " * 500)

    with pytest.raises(SourceError, match=name):
        list(open_members(tmp_path / name).members())


def test_tar_inside_gzip_that_is_no_tar_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(b"text " * 500))

    with pytest.raises(SourceError, match="not a tar"):
        list(open_members(path).members())


def test_links_in_folders_are_followed_only_on_request(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "real.png").write_bytes(b"real")
    (tmp_path / "set" / "a.png").symlink_to(tmp_path / "real.png")
    os.mkfifo(tmp_path / "set" / "b.png")

    assert set(refusals(tmp_path / "set")) == {"a.png", "b.png"}
    assert set(refusals(tmp_path / "set", follow_links=True)) == {"b.png"}


def test_zip_links_and_encrypted_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("US/link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("../up.png", "up")
        archive.writestr("US/secret.png", "secret")
    data = bytearray(path.read_bytes())
    entry = data.rfind(b"PK\x01\x02", 0, data.rfind(b"US/secret.png"))
    data[entry + 8] |= 1
    path.write_bytes(data)

    assert set(refusals(path)) == {"US/link.png", "../up.png", "US/secret.png"}


def test_zip_member_that_unpacks_to_more_than_stated_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("US/a.png", bytes(1_000_000))
    (member,) = open_members(path).members()
    assert isinstance(member, Member)

    with pytest.raises(ImageError, match="another size"):
        read_bytes(member.locator._replace(size=10))  # type: ignore[union-attr]


def test_file_that_grew_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = make_folder(tmp_path)
    member = list(open_members(path).members())[1]
    assert isinstance(member, Member)

    with pytest.raises(ImageError, match="allowed"):
        read_bytes(member.locator, max_bytes=100)
