"""Threads: work spread over them so that an interrupt lets it finish, and libraries kept from starting their own."""

import contextlib
import functools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2
from joblib import effective_n_jobs
from threadpoolctl import ThreadpoolController

T = TypeVar("T")
Result = TypeVar("Result")


def in_threads(work: Callable[[T], Result], items: Iterable[T], jobs: int) -> Generator[Result, None, None]:
    """Yield the result of each item in turn; the threads of OpenCV and BLAS rest meanwhile.

    One that dies inside OpenCV takes the process with it: those that began are waited for.

    Args:
        work: Called with each item, in one of the threads.
        items: Read only a little ahead of the results.
        jobs: Number of threads; 0 and -1 take one per core.
    """
    count = effective_n_jobs(jobs or -1)
    waiting: deque[Future[Result]] = deque()
    with one_thread(), ThreadPoolExecutor(count) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep OpenCV and BLAS (of NumPy and SciPy) to one thread each, as context or as decorator.

    The matrices of one picture are so small that a second thread only waits for the first, at the cost of a core, and
    workers are parallel already. The numbers belong to the process: where threads of ours do the work, the one that
    started them calls this, and what they call themselves changes nothing.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        # OpenMP is left alone: torch runs on it, and has threads worth having.
        with _pools().limit(limits=1, user_api="blas"):
            yield
    finally:
        cv2.setNumThreads(threads)


@functools.cache
def _pools() -> ThreadpoolController:
    """Find the BLAS libraries of this process, which takes some 50 ms."""
    import scipy.linalg  # noqa: F401  # it brings a BLAS of its own, and only what is loaded is found

    return ThreadpoolController()
