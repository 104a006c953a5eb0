"""Run folders: held by one training, told from what no training wrote, known as interrupted."""

import errno
from pathlib import Path

import pytest

from pgnm import run_folder
from pgnm.checkpoints import RunInfo, save_classifier, save_state
from pgnm.errors import RunError, UsageError
from pgnm.models import create_classifier


@pytest.fixture
def run(tmp_path: Path) -> Path:
    info = RunInfo("test_resnet", ("CT__a", "MR__b"), 32, 0.3162, 0.3213, stage="pretrain")
    save_classifier(tmp_path / "run", create_classifier("test_resnet", 2, size=32), info)
    return tmp_path / "run"


def test_weights_of_an_interrupted_training_are_told(run: Path) -> None:
    assert not run_folder.tell_unfinished(run)
    state = {"recipe": {"epochs": 5}, "position": {"epoch": 2, "finished": False}}
    save_state(run, state)
    assert "interrupted after 2 of 5 epochs" in run_folder.tell_unfinished(run)
    for position in ({"epoch": 3, "finished": True}, {"epoch": 5, "finished": False}):
        save_state(run, {**state, "position": position})
        assert not run_folder.tell_unfinished(run)
    (run / "state" / "last.pt").write_bytes(b"PK damaged")
    assert not run_folder.tell_unfinished(run)


def test_a_run_folder_is_held_for_one_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with run_folder.held(tmp_path), pytest.raises(RunError, match="another training is writing"):
        run_folder.held(tmp_path).__enter__()
    run_folder.refuse_foreign(tmp_path)  # what a training leaves that was killed at once

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with run_folder.held(tmp_path):
        assert "cannot be locked (Function not implemented)" in caplog.text


def test_what_no_training_wrote_is_not_written_over(run: Path, tmp_path: Path) -> None:
    run_folder.refuse_foreign(tmp_path / "nothing")
    run_folder.refuse_foreign(run)
    mine = tmp_path / "mine"
    (mine / "eval").mkdir(parents=True)
    (mine / "config.json").write_text("{}")
    with pytest.raises(UsageError, match=r"holds config\.json, eval that no training wrote; choose another folder"):
        run_folder.refuse_foreign(mine)
    (mine / "config.json").unlink()
    (mine / "eval").rmdir()
    (mine / "notes.txt").touch()
    run_folder.refuse_foreign(mine)
    with pytest.raises(UsageError, match="is a file"):
        run_folder.refuse_foreign(mine / "notes.txt")
    (mine / "split.json").touch()
    with pytest.raises(UsageError, match="of a split"):
        run_folder.refuse_foreign(mine)
