"""Run work in threads that an interrupt lets finish: one that dies inside OpenCV takes the process with it."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2
from joblib import effective_n_jobs

T = TypeVar("T")
Result = TypeVar("Result")


def in_threads(work: Callable[[T], Result], items: Iterable[T], jobs: int) -> Generator[Result, None, None]:
    """Yield the result of each item in turn; OpenCV's own threads rest meanwhile.

    Args:
        work: Called with each item, in one of the threads.
        items: Read only a little ahead of the results.
        jobs: Number of threads; 0 and -1 take one per core.
    """
    count = effective_n_jobs(jobs or -1)
    waiting: deque[Future[Result]] = deque()
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(count) as pool:
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
    finally:
        cv2.setNumThreads(threads)
