"""Tar archives are read in place, and what could do harm is refused by name."""

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from radrefine.errors import SourceError
from radrefine.sources import Member, Refusal, open_members


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    item = tarfile.TarInfo(name)
    item.size = len(data)
    tar.addfile(item, io.BytesIO(data))


def test_harmful_tar_members_are_refused_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bad.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind in (("l.png", tarfile.SYMTYPE), ("h.png", tarfile.LNKTYPE), ("d.png", tarfile.CHRTYPE)):
            item = tarfile.TarInfo(name)
            item.type, item.linkname = kind, "/etc/passwd"
            tar.addfile(item)
        for name in ("/abs.png", "../up.png", "US/good.png"):
            add(tar, name, b"abc")
        add(tar, "US/big.png", bytes(300))

    found = list(open_members(path, max_bytes=200).members())

    assert {item.path for item in found if isinstance(item, Member)} == {"US/good.png"}
    assert {item.path for item in found if isinstance(item, Refusal)} == {
        "l.png", "h.png", "d.png", "/abs.png", "../up.png", "US/big.png",
    }  # fmt: skip


def test_sparse_bomb_is_refused_by_name(tmp_path: Path) -> None:
    header = bytearray(tarfile.TarInfo("US/bomb.png").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[483:495] = b"%011o\0" % 2**32  # what it unpacks to
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    path = tmp_path / "sparse.tar"
    path.write_bytes(bytes(header) + bytes(10_240))

    (found,) = open_members(path).members()

    assert isinstance(found, Refusal) and found.path == "US/bomb.png" and "sparse" in found.reason


def test_tar_header_of_gigabytes_is_not_read_into_memory(tmp_path: Path) -> None:
    item = tarfile.TarInfo("name")
    item.type, item.size = tarfile.GNUTYPE_LONGNAME, 2**33
    path = tmp_path / "bomb.tar"
    path.write_bytes(item.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))

    with pytest.raises(SourceError, match="extended header"):
        list(open_members(path).members())


@pytest.mark.parametrize("keep", [3_000, 6_000])
def test_tar_cut_short_is_told(keep: int, tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "CT/chest/a.png", b"one")
        add(tar, "US/thyroid/b.png", bytes(4_000))
    path.write_bytes(path.read_bytes()[:keep])

    assert any(isinstance(found, Refusal) for found in open_members(path).members())


def test_gzip_cut_short_is_told_after_what_could_be_read(tmp_path: Path) -> None:
    path = tmp_path / "set.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        add(tar, "US/thyroid/b.png", b"two")
        add(tar, "US/noise.png", os.urandom(40_000))
    path.write_bytes(path.read_bytes()[:-20])

    found = list(open_members(path).members())

    assert isinstance(found[0], Member)
    assert isinstance(found[-1], Refusal) and found[-1].path == "set.tar.gz"


def test_tar_inside_gzip_that_is_no_tar_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(b"text " * 500))

    with pytest.raises(SourceError, match="not a tar"):
        list(open_members(path).members())
