"""What every command shares: progress, results for people and for machines, errors, exit codes.

People read standard error; standard output holds the result and, with `--json`, nothing but JSON.
"""

import contextlib
import errno
import functools
import json
import os
import re
import shlex
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, ParamSpec, Protocol, TypeVar

import typer
from typer.core import TyperGroup

from radrefine.wording import counted as counted  # for the commands

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_FAILED_IMAGES = 3
EXIT_VERIFICATION = 4
EXIT_INTERRUPTED = 130

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON on standard output, and nothing else there.")
]

_P = ParamSpec("_P")
_R = TypeVar("_R")

_JSON_GIVEN = "cli.json_given"

# Packages of the extras, by the name they are imported under.
_EXTRA_OF = {
    **dict.fromkeys(("torch", "torchvision", "timm", "accelerate", "safetensors"), "train"),
    **dict.fromkeys(("huggingface_hub", "datasets"), "hub"),
    **dict.fromkeys(("dask", "distributed"), "dask"),
    "pydicom": "dicom",
    **dict.fromkeys(("tensorboard", "wandb"), "tracking"),
}

# What Python makes of bytes in file names that are not UTF-8.
_SURROGATES = re.compile("[\udc80-\udcff]+")

# Seconds between two lines of progress where standard error is not a terminal.
_LINE_EVERY = 30.0

# Seconds over which the rate is taken.
_PACE_OVER = 60.0


class _Progress(Protocol):
    @property
    def stage(self) -> str: ...
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int | None: ...
    @property
    def counts(self) -> Mapping[str, int]: ...


def say(message: str, *, quiet: bool = False) -> None:
    """Write one line for people to standard error."""
    if not quiet:
        typer.echo(message, err=True)


def finish(result: Mapping[str, Any], lines: list[str], *, as_json: bool, quiet: bool) -> None:
    """Print what a command did: JSON for machines, or lines that say what was written and what to run next."""
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False, default=str))
    elif not quiet:
        for line in lines:
            typer.echo(line)


def sized(count: float) -> str:
    """Return a number of bytes as people read it: "812 bytes", "1.5 MB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def quoted(place: object) -> str:
    """Return a path as a shell takes it."""
    return shlex.quote(str(place))


def tell_errors(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Turn the errors that a user can mend into one sentence on standard error and the right exit code."""

    @functools.wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        def fail(message: str, exit_code: int) -> typer.Exit:
            say(f"error: {message}")
            if kwargs.get("as_json"):
                typer.echo(json.dumps({"error": message, "exit_code": exit_code}, ensure_ascii=False))
            return typer.Exit(exit_code)

        try:
            kwargs.update({name: _at_home(value) for name, value in kwargs.items()})
            with _ended_as_by_hand():
                return command(*args, **kwargs)
        except KeyboardInterrupt:
            # With --no-resume the same command would throw away what was saved.
            how = "it without --no-resume" if kwargs.get("resume") is False else "the same command again"
            say(f"interrupted; run {how} to go on where it stopped")
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except (typer.Exit, typer.Abort):
            raise
        except OSError as error:
            raise fail(_describe(error), EXIT_FAILED) from None
        except UnicodeEncodeError as error:  # the name of a file or folder, as the system holds it
            if not _SURROGATES.search(error.object):
                raise
            name = _SURROGATES.sub("\ufffd", error.object)
            raise fail(f"the name '{name}' is not in UTF-8; rename the folder or file", EXIT_USAGE) from None
        except ModuleNotFoundError as error:
            extra = _EXTRA_OF.get((error.name or "").partition(".")[0])
            if extra is None:
                raise
            needed = f"this needs {error.name}, which is not installed; run: pip install 'radrefine[{extra}]'"
            raise fail(needed, EXIT_FAILED) from None
        except Exception as error:
            exit_code = getattr(error, "exit_code", None)
            if not isinstance(exit_code, int):
                raise
            raise fail(str(error), exit_code) from None

    return run


class JsonErrors(TyperGroup):
    """A command with subcommands that tells what is wrong with their options to machines, too, where `--json` is given.

    `tell_errors` hears of nothing that goes wrong before the command itself begins.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Remember whether `--json` is given, since reading the arguments uses them up."""
        ctx.meta[_JSON_GIVEN] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Read the options of the subcommand and run it."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            told = getattr(error, "format_message", None)  # what typer raises for options that it cannot use
            if told is not None and ctx.meta[_JSON_GIVEN]:
                found = {"error": told(), "exit_code": getattr(error, "exit_code", EXIT_USAGE)}
                typer.echo(json.dumps(found, ensure_ascii=False))
            raise


def _at_home(value: Any) -> Any:
    """Return paths with the folder that `~` stands for: the shell leaves `--out=~/x` as it is."""
    if isinstance(value, Path):
        return value.expanduser()
    return [_at_home(item) for item in value] if isinstance(value, list) else value


@contextlib.contextmanager
def _ended_as_by_hand() -> Iterator[None]:
    """Let a request to end, by `kill` or by a closing terminal, do what Ctrl-C does: workers end, notes are kept."""
    process = os.getpid()

    def on_signal(number: int, _: FrameType | None) -> None:
        if os.getpid() != process:  # a process forked from this one
            os._exit(128 + number)
        raise KeyboardInterrupt

    here = threading.current_thread() is threading.main_thread()
    # What somebody else listens for, or ignores as nohup does, is left to them.
    asked = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    mine = [number for number in asked if here and signal.getsignal(number) == signal.SIG_DFL]
    for number in mine:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)


def _describe(error: OSError) -> str:
    place = f" at {error.filename}" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{place}; free some space and run the same command again to go on"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"no permission{place}; choose a place you may write to"
    return f"{error.strerror or error}{place}"


@contextlib.contextmanager
def progress(*, quiet: bool = False) -> Iterator[Callable[[_Progress], None]]:
    """Yield a callback that draws progress: a bar on a terminal, a line every 30 s elsewhere, nothing when quiet."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        with _bar() as callback:
            yield callback
    else:
        yield _Lines()


class _Pace:
    """The rate of the last minute: what an earlier run had done, found at the start, does not flatter it for long."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def rate(self, done: int, now: float) -> float:
        """Return items per second, 0 where nothing can be said yet."""
        if not self._points or now - self._points[-1][0] >= 1:
            self._points.append((now, done))
        while len(self._points) > 1 and now - self._points[1][0] > _PACE_OVER:
            self._points.popleft()
        started, before = self._points[0]
        return (done - before) / (now - started) if now > started else 0.0


class _Lines:
    """Progress as plain lines, for logs."""

    def __init__(self) -> None:
        self._stage, self._pace, self._last, self._ended = "", _Pace(), 0.0, False

    def __call__(self, state: _Progress) -> None:
        now = time.monotonic()
        if state.stage != self._stage:
            self._stage, self._pace, self._last, self._ended = state.stage, _Pace(), now, False
        rate = self._pace.rate(state.done, now)
        ended = state.total is not None and state.done >= state.total
        if now - self._last < _LINE_EVERY and (not ended or self._ended):
            return
        self._last, self._ended = now, ended
        say(format_progress(state, rate))


def format_progress(state: _Progress, rate: float) -> str:
    """Describe `state` of work at `rate` items per second in one line: done, rate, time to go, counts."""
    parts = [f"{state.done:,}" + (f" of {state.total:,}" if state.total is not None else "")]
    if rate > 0:
        parts.append(f"{rate:,.1f}/s")
        if state.total is not None and state.done < state.total:
            parts.append(f"{_duration((state.total - state.done) / rate)} to go")
    parts += [f"{count:,} {name}" for name, count in state.counts.items()]
    return f"{state.stage}: " + ", ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[_Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[counts]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, tuple[Any, _Pace]] = {}

        def show(state: _Progress) -> None:
            if state.stage not in tasks:
                task = bar.add_task(state.stage, total=state.total, rate="", counts="")
                tasks[state.stage] = (task, _Pace())
            task, pace = tasks[state.stage]
            rate = f"{pace.rate(state.done, time.monotonic()):,.1f}/s"
            counts = " ".join(f"{count:,} {name}" for name, count in state.counts.items())
            bar.update(task, completed=state.done, total=state.total, rate=rate, counts=counts)

        yield show
