"""Do work in several processes through joblib; they end with this one."""

import functools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from pgnm.errors import TrainingError

_WATCH_SECONDS: Final = 0.5

_Result = TypeVar("_Result")


def run_side_by_side(work: Callable[..., _Result], calls: Iterable[tuple[Any, ...]], *, jobs: int) -> Iterator[_Result]:
    """Call `work` with the arguments of each call, and yield the results as they come, in no order.

    Args:
        work: A function that processes can import.
        calls: Arguments.
        jobs: Processes; with 1 all is done in this one.

    Raises:
        TrainingError: A process was ended from outside.
    """
    tasks = (joblib.delayed(_work_for)(os.getpid(), work, *call) for call in calls)
    try:
        yield from joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks)
    except TerminatedWorkerError:
        raise TrainingError(
            "the process of a run was ended from outside, often for lack of memory; "
            "run the same again, with fewer --jobs: what is finished is kept"
        ) from None


def _work_for(parent: int, work: Callable[..., _Result], *call: Any) -> _Result:
    if os.getpid() != parent:
        _end_with(parent)
    return work(*call)


@functools.cache
def _end_with(parent: int) -> None:
    """End this process soon after `parent` was killed: a run that goes on unseen would be in the way of the next."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="end with the parent", daemon=True).start()
