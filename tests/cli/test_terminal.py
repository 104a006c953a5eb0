"""What every command shares: errors in one sentence, exit codes, progress lines."""

import errno

import pytest
import typer

from cli._terminal import format_progress, tell_errors
from radrefine.errors import LeakageError, UsageError
from radrefine.progress import Progress


@pytest.mark.parametrize(
    ("error", "exit_code", "told"),
    [
        (ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"), 1, "pip install 'radrefine[train]'"),
        (OSError(errno.ENOSPC, "No space left on device", "out"), 1, "the disk is full at out"),
        (UsageError("--x must be 1"), 2, "error: --x must be 1"),
        (LeakageError("shared"), 4, "error: shared"),
        (KeyboardInterrupt(), 130, "run the same command again"),
    ],
)
def test_errors_become_a_sentence_and_an_exit_code(
    error: BaseException, exit_code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @tell_errors
    def command() -> None:
        raise error

    with pytest.raises(typer.Exit) as stopped:
        command()

    assert stopped.value.exit_code == exit_code
    assert told in capsys.readouterr().err


def test_an_unknown_missing_module_is_a_fault_of_ours_and_is_raised() -> None:
    @tell_errors
    def command() -> None:
        raise ModuleNotFoundError("No module named 'nonsense'", name="nonsense")

    with pytest.raises(ModuleNotFoundError):
        command()


def test_progress_tells_rate_and_time_to_go() -> None:
    state = Progress("cleaning", 50, 200, {"failed": 1})

    assert format_progress(state, 10.0) == "cleaning: 50 of 200, 5.0/s, 30 s to go, 1 failed"
