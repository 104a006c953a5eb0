"""What every command shares: errors in one sentence, exit codes, progress lines."""

import errno
import importlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from cli._terminal import JsonErrors, counted, format_progress, progress, quoted, sized, tell_errors
from pgnm.errors import LeakageError
from radrefine.errors import UsageError
from radrefine.progress import Progress


@pytest.mark.parametrize(
    ("error", "exit_code", "told"),
    [
        (ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"), 1, "pip install 'radrefine[train]'"),
        (OSError(errno.ENOSPC, "No space left on device", "out"), 1, "the disk is full at out"),
        (UsageError("--x must be 1"), 2, "error: --x must be 1"),
        (LeakageError("shared"), 4, "error: shared"),
        (UnicodeEncodeError("utf-8", "set\udcff", 3, 4, "surrogates"), 2, "the name 'set\ufffd' is not in UTF-8"),
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


def test_an_interrupted_command_that_starts_anew_is_told_to_go_on_without_that(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @tell_errors
    def command(resume: bool | None) -> None:
        raise KeyboardInterrupt

    for resume, told in ((False, "run it without --no-resume to go on"), (None, "run the same command again")):
        with pytest.raises(typer.Exit):
            command(resume=resume)
        assert told in capsys.readouterr().err


def test_an_unknown_missing_module_is_a_fault_of_ours_and_is_raised() -> None:
    @tell_errors
    def command() -> None:
        raise ModuleNotFoundError("No module named 'nonsense'", name="nonsense")

    with pytest.raises(ModuleNotFoundError):
        command()


def test_progress_tells_rate_and_time_to_go() -> None:
    state = Progress("cleaning", 50, 200, {"failed": 1})

    assert format_progress(state, 5.0) == "cleaning: 50 of 200, 5.0/s, 30 s to go, 1 failed"


def test_lines_come_every_half_minute_and_once_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("cli._terminal.time.monotonic", lambda: now[0])
    with progress() as tell:
        for second in range(101):
            now[0] = 100.0 + second
            tell(Progress("cleaning", 500 + second, 600))
        tell(Progress("cleaning", 600, 600))

    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"cleaning: {done} of 600" for done in (530, 560, 590, 600)]


def test_what_was_done_before_does_not_flatter_the_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("cli._terminal.time.monotonic", lambda: now[0])
    with progress() as tell:
        for second in range(200):
            now[0] = float(second)
            tell(Progress("cleaning", 1_000_000 * (second > 2) + second, 2_000_000))

    assert ", 1.0/s, " in capsys.readouterr().err.splitlines()[-1]


def test_one_is_not_counted_as_several() -> None:
    assert counted(1, "file") == "1 file" and counted(0, "file") == "0 files"
    assert counted(1_200, "class", "classes") == "1,200 classes" and counted(1, "class", "classes") == "1 class"


def test_errors_are_told_to_machines_too(capsys: pytest.CaptureFixture[str]) -> None:
    @tell_errors
    def command(as_json: bool) -> None:
        raise UsageError("--x must be 1")

    with pytest.raises(typer.Exit):
        command(as_json=True)
    assert json.loads(capsys.readouterr().out) == {"error": "--x must be 1", "exit_code": 2}


def test_options_that_cannot_be_read_are_told_to_machines_too() -> None:
    app = typer.Typer(cls=JsonErrors)

    @app.command()
    def count(number: int = 0, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
        pass

    @app.command()
    def other() -> None:
        pass

    wrong = CliRunner().invoke(app, ["count", "--number", "many", "--json"])
    assert wrong.exit_code == 2 and "Error" in wrong.stderr
    told = json.loads(wrong.stdout)
    assert told["exit_code"] == 2 and "--number" in told["error"] and "\n" not in told["error"]
    plain = CliRunner().invoke(app, ["count", "--number", "many"])
    assert (plain.exit_code, plain.stdout) == (2, "")
    assert json.loads(CliRunner().invoke(app, ["count", "--nmber", "1", "--json"]).stdout)["exit_code"] == 2


def test_the_folder_at_home_is_found_in_every_option() -> None:
    @tell_errors
    def command(out: Path, backgrounds: list[Path], name: str) -> tuple[Path, list[Path], str]:
        return out, backgrounds, name

    home = Path.home()
    assert command(out=Path("~/x"), backgrounds=[Path("~"), Path("y")], name="~") == (
        home / "x",
        [home, Path("y")],
        "~",
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_is_taken_as_ctrl_c(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    @tell_errors
    def command() -> None:
        os.kill(os.getpid(), number)
        time.sleep(5)

    signal.signal(number, signal.SIG_DFL)  # what nohup left ignored stays so
    with pytest.raises(typer.Exit) as stopped:
        command()
    assert stopped.value.exit_code == 130 and "interrupted" in capsys.readouterr().err
    assert signal.getsignal(number) == signal.SIG_DFL


def test_paths_in_hints_can_be_pasted() -> None:
    assert quoted(Path("out")) == "out" and quoted(Path("out put")) == "'out put'"


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 bytes"), (812, "812 bytes"), (1500, "1.5 kB"), (2e6, "2.0 MB"), (3e12, "3.0 TB")]
)
def test_sizes_are_told_in_the_unit_that_shows_them(count: float, told: str) -> None:
    assert sized(count) == told


@pytest.mark.parametrize(
    "arguments",
    [
        ("radrefine", "clean", "--src", "x", "--jobs", "many"),
        ("radrefine", "templates", "mine", "x", "--limit", "many"),
        ("pgnm", "eval", "x", "--batch-size", "many"),
    ],
)
def test_every_command_tells_machines_of_options_that_it_cannot_read(arguments: tuple[str, ...]) -> None:
    command, *rest = arguments
    done = CliRunner().invoke(importlib.import_module(f"cli.{command}").app, [*rest, "--json"])

    told = json.loads(done.stdout)
    assert done.exit_code == told["exit_code"] == 2 and rest[-2] in told["error"]
