"""Zip archives are read in place and in constant memory, and what could do harm is refused by name."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from radrefine.errors import ImageError, SourceError
from radrefine.sources import Member, Refusal, open_members, read_bytes

FILES = {f"US/thyroid/{index:03d}.png": bytes([index]) * (1 + 40 * index) for index in range(60)}


def make_zip(path: Path, *, before: bytes = b"", comment: bytes = b"") -> Path:
    """Write an archive, perhaps behind other bytes, as in one that unpacks itself."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
        archive.writestr("US/\N{GREEK SMALL LETTER ALPHA}.png", b"in UTF-8")
        archive.comment = comment
    path.write_bytes(before + data.getvalue())
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {member.path: read_bytes(member.locator) for member in open_members(path).members()}  # type: ignore[union-attr]


def refusals(path: Path) -> dict[str, str]:
    found = open_members(path).members()
    return {refused.path: refused.reason for refused in found if isinstance(refused, Refusal)}


@pytest.mark.parametrize(("before", "comment"), [(b"", b""), (b"#!/bin/sh\n" * 90, b""), (b"x", b"made by hand" * 900)])
@pytest.mark.parametrize("wide", [False, True])
def test_members_are_those_that_zipfile_reads(
    before: bytes, comment: bytes, wide: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if wide:  # 64-bit records from a few bytes on, rather than from 4 GB
        monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 20)
    path = make_zip(tmp_path / "set.zip", before=before, comment=comment)

    with zipfile.ZipFile(path) as archive:
        expected = {name: archive.read(name) for name in archive.namelist()}
    assert contents(path) == expected and len(expected) == 61


def test_memory_does_not_grow_with_the_members(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(5000):
            archive.writestr(zipfile.ZipInfo(f"US/thyroid/{index:06d}.png"), b"")

    tracemalloc.start()
    count = sum(1 for _ in open_members(path).members())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 5000 and peak < 500_000


def test_damaged_archives_are_told_and_never_crash(tmp_path: Path) -> None:
    data = make_zip(tmp_path / "set.zip").read_bytes()
    directory = data.index(b"PK\x01\x02")
    path, rng = tmp_path / "bad.zip", np.random.default_rng(0)
    told = 0
    for _ in range(300):
        bad = bytearray(data)
        for place in rng.integers(directory, len(bad), 3):
            bad[place] = int(rng.integers(256))
        path.write_bytes(bad[: len(bad) - int(rng.integers(2) * rng.integers(len(bad)))])
        try:
            for member in open_members(path).members():
                assert isinstance(member, Member | Refusal)
                if isinstance(member, Member):
                    read_bytes(member.locator)
        except (SourceError, ImageError) as error:
            told += bool(str(error))
    assert told > 50


def test_directory_that_breaks_off_is_told_after_what_could_be_read(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "set.zip")
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    data[entry] = 0
    path.write_bytes(data)

    assert [getattr(found, "path", None) for found in open_members(path).members()] == [next(iter(FILES)), "set.zip"]
    assert "directory is damaged" in refusals(path)["set.zip"]


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
