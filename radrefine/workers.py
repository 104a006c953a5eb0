"""Run chunks of work on threads, processes or a Dask cluster, a bounded number at a time, through joblib."""

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

from radrefine.errors import MissingExtraError, RadrefineError, UsageError
from radrefine.threads import one_thread

BACKENDS: Final = ("loky", "threading", "dask")

_WATCH_SECONDS: Final = 0.5

_Chunk = TypeVar("_Chunk")
_Result = TypeVar("_Result")


class WorkerDiedError(RadrefineError):
    """A worker process ended before its work; the run can go on with the rest."""


def run_chunks(
    chunks: Iterable[_Chunk],
    work: Callable[[_Chunk], _Result],
    *,
    jobs: int,
    backend: str = "loky",
    scheduler: str | None = None,
) -> Iterator[_Result]:
    """Apply `work` to chunks and yield the results as they come, in no order.

    Args:
        chunks: Taken one by one as workers become free, never far ahead of them.
        work: A function that workers can import.
        jobs: Workers; ignored by a Dask cluster, which has its own.
        backend: "loky" (processes), "threading" or "dask".
        scheduler: Address of a Dask scheduler, such as `tcp://host:8786`.

    Raises:
        UsageError: The backend is unknown, or the scheduler does not answer.
        WorkerDiedError: A worker process was ended from outside.
        Exception: Whatever `chunks` or `work` raised.
    """
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    died: tuple[type[BaseException], ...] = (TerminatedWorkerError,)
    with _prepared(backend, scheduler, jobs) as (options, more):
        feed = _Feed(chunks)
        if backend == "loky":
            work = functools.partial(_work_for, os.getpid(), work)
        parallel = Parallel(return_as="generator_unordered", pre_dispatch=3 * jobs, batch_size=1, **options)
        try:
            yield from parallel(delayed(work)(chunk) for chunk in feed)
        except (*died, *more) as error:
            raise WorkerDiedError(f"a worker process ended before its work: {error}") from None
        if feed.error is not None:
            raise feed.error


def check_backend(backend: str, scheduler: str | None = None) -> None:
    """Refuse a backend that there is not.

    Raises:
        UsageError: It is unknown, or does not go with a scheduler.
    """
    if backend not in BACKENDS:
        raise UsageError(f"--backend {backend} is unknown; expected one of {', '.join(BACKENDS)}")
    if scheduler is not None and backend != "dask":
        raise UsageError(f"--scheduler goes with --backend dask, not with {backend}")


def cpu_count() -> int:
    """Count the processors that this process may use, container limits included."""
    import joblib

    return int(joblib.cpu_count())


def _work_for(parent: int, work: Callable[[_Chunk], _Result], chunk: _Chunk) -> _Result:
    """Work in a process that ends with its parent."""
    if os.getpid() != parent:
        _end_with(parent)
    return work(chunk)


@functools.cache
def _end_with(parent: int) -> None:
    """End this process soon after `parent` was killed, lest it write into what is being cleaned anew by then."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="end with the parent", daemon=True).start()


class _Feed:
    """An iterable that keeps its error: joblib consumes it in threads where a raised error would be lost."""

    def __init__(self, chunks: Iterable[Any]) -> None:
        self._chunks = chunks
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._chunks
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error


@contextlib.contextmanager
def _prepared(
    backend: str, scheduler: str | None, jobs: int
) -> Iterator[tuple[dict[str, Any], tuple[type[BaseException], ...]]]:
    """Yield joblib's options for a backend, and the errors by which it tells that a worker died."""
    check_backend(backend, scheduler)
    if backend == "threading":
        with one_thread():
            yield {"n_jobs": jobs, "backend": "threading"}, ()
        return
    from joblib import parallel_config

    if backend == "loky":
        with parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1 if jobs > 1 else None):
            yield {}, ()
        return
    with _dask_client(scheduler, jobs) as (client, errors), parallel_config("dask", client=client, n_jobs=jobs):
        yield {}, errors


@contextlib.contextmanager
def _dask_client(scheduler: str | None, jobs: int) -> Iterator[tuple[Any, tuple[type[BaseException], ...]]]:
    try:
        from distributed import Client, KilledWorker, LocalCluster
    except ImportError:
        raise MissingExtraError("dask.distributed", "dask") from None
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout="20s")
        except (OSError, ValueError, TimeoutError) as error:
            raise UsageError(f"no Dask scheduler answers at {scheduler}: {error}") from None
        with client:
            yield client, (KilledWorker,)
        return
    with (
        LocalCluster(n_workers=jobs, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client, (KilledWorker,)
