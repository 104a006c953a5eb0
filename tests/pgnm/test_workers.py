import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pgnm.errors import TrainingError
from pgnm.workers import run_side_by_side
from tests.processes import await_that, is_running

ROOT = Path(__file__).parents[2]


def add(first: int, second: int) -> int:
    return first + second


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(600)


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_call_is_made_once(jobs):
    assert sorted(run_side_by_side(add, [(n, n) for n in range(5)], jobs=jobs)) == [0, 2, 4, 6, 8]


def test_the_end_of_a_process_is_told():
    with pytest.raises(TrainingError, match="fewer --jobs"):
        list(run_side_by_side(die, [(), ()], jobs=2))


def test_processes_end_with_a_killed_parent(tmp_path):
    code = (
        "from pathlib import Path; from pgnm.workers import run_side_by_side; from tests.pgnm import test_workers\n"
        f"list(run_side_by_side(test_workers.wait, [(Path({str(tmp_path)!r}),)] * 2, jobs=2))"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as parent:
        await_that(lambda: len(list(tmp_path.iterdir())) == 2)
        workers = [int(file.name) for file in tmp_path.iterdir()]
        parent.kill()
    await_that(lambda: not any(is_running(worker) for worker in workers))
