"""Files of a refined folder are written whole, and share blocks with the source where the file system can do that."""

import errno
from pathlib import Path

import pytest

from radrefine import outputs
from radrefine.outputs import locked, publish, sweep


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the requests to share blocks, which a file system such as ext4 turns down."""
    requests: list[int] = []

    def ioctl(handle: int, request: int, source: int) -> int:
        requests.append(request)
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(outputs.fcntl, "ioctl", ioctl)
    monkeypatch.setattr(outputs, "_NO_CLONES", set())
    return requests


def test_blocks_are_shared_where_the_file_system_can(
    tmp_path: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = tmp_path / "original.png"
    original.write_bytes(b"pixels")
    sweep(tmp_path / "out")

    def ioctl(handle: int, request: int, source: int) -> int:
        asked.append(request)
        return outputs.os.write(handle, outputs.os.pread(source, 100, 0))

    monkeypatch.setattr(outputs.fcntl, "ioctl", ioctl)
    monkeypatch.setattr(outputs, "_write_all", lambda *_: pytest.fail("the bytes were written though they are shared"))
    publish(str(tmp_path / "out"), "images/CT/a.png", b"pixels", original=str(original))

    assert (tmp_path / "out" / "images" / "CT" / "a.png").read_bytes() == b"pixels"
    assert asked == [0x40049409]  # FICLONE of Linux


def test_bytes_are_written_where_blocks_cannot_be_shared_and_it_is_tried_once(tmp_path: Path, asked: list[int]) -> None:
    original, out = tmp_path / "original.png", tmp_path / "out"
    original.write_bytes(b"pixels")
    sweep(out)

    for name in "abc":
        publish(str(out), f"images/{name}.png", b"pixels", original=str(original))

    assert [(out / "images" / f"{name}.png").read_bytes() for name in "abc"] == [b"pixels"] * 3
    assert len(asked) == 1


def test_full_disk_is_not_mistaken_for_one_that_cannot_share(
    tmp_path: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = tmp_path / "original.png"
    original.write_bytes(b"pixels")
    sweep(tmp_path / "out")

    def ioctl(*_: int) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(outputs.fcntl, "ioctl", ioctl)
    with pytest.raises(OSError, match="full"):
        publish(str(tmp_path / "out"), "images/a.png", b"pixels", original=str(original))

    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_file_system_without_locks_is_told_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(outputs.fcntl, "flock", no_locks)
    with locked(tmp_path):
        assert "cannot be locked (Function not implemented)" in caplog.text
