"""Chunks are worked on anywhere with the same results, and errors come back instead of being lost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from radrefine.errors import UsageError
from radrefine.workers import WorkerDiedError, run_chunks
from tests.processes import await_that, is_running

ROOT = Path(__file__).parents[2]


def double(chunk: int) -> int:
    return 2 * chunk


def fail(chunk: int) -> int:
    if chunk == 3:
        raise OSError(28, "No space left on device")
    return chunk


def wait(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(600)


def die(chunk: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return chunk


@pytest.mark.parametrize(("backend", "jobs"), [("threading", 1), ("threading", 3), ("loky", 1), ("loky", 2)])
def test_every_chunk_is_done_once(backend: str, jobs: int) -> None:
    assert sorted(run_chunks(range(20), double, jobs=jobs, backend=backend)) == list(range(0, 40, 2))


def test_chunks_are_taken_as_workers_become_free() -> None:
    taken: list[int] = []

    def chunks() -> Iterator[int]:
        for chunk in range(1000):
            taken.append(chunk)
            yield chunk

    results = run_chunks(chunks(), double, jobs=1, backend="threading")
    next(results)

    assert len(taken) < 100
    results.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_error_of_the_work_comes_back(backend: str) -> None:
    with pytest.raises(OSError, match="No space"):
        list(run_chunks(range(10), fail, jobs=2, backend=backend))


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_error_of_the_source_comes_back(backend: str) -> None:
    def chunks() -> Iterator[int]:
        yield from range(30)
        raise ValueError("a fault while listing")

    with pytest.raises(ValueError, match="while listing"):
        list(run_chunks(chunks(), double, jobs=2, backend=backend))


def test_death_of_a_worker_is_noticed() -> None:
    with pytest.raises(WorkerDiedError):
        list(run_chunks(range(4), die, jobs=2))


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from radrefine.workers import run_chunks; from tests.radrefine import test_workers\n"
        f"list(run_chunks([Path({str(tmp_path)!r})] * 2, test_workers.wait, jobs=2))"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as parent:
        await_that(lambda: len(list(tmp_path.iterdir())) == 2)
        workers = [int(file.name) for file in tmp_path.iterdir()]
        parent.kill()
    await_that(lambda: not any(is_running(worker) for worker in workers))


def test_unknown_backend_and_idle_scheduler_are_refused() -> None:
    with pytest.raises(UsageError, match="--backend"):
        list(run_chunks([1], double, jobs=1, backend="spark"))
    with pytest.raises(UsageError, match="--scheduler"):
        list(run_chunks([1], double, jobs=1, backend="loky", scheduler="tcp://host:1"))
