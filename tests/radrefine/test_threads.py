"""Threads: results in order, nothing left running when the reader stops, libraries that rest and are woken again."""

import threading
import time
from collections.abc import Iterator

import cv2
import pytest
import scipy.linalg  # noqa: F401  # the BLAS of SciPy is looked at
from threadpoolctl import threadpool_info, threadpool_limits

from radrefine.threads import in_threads, one_thread


@pytest.mark.parametrize("jobs", [-1, 0, 1, 3])
def test_results_come_in_order(jobs: int) -> None:
    assert list(in_threads(lambda value: value * value, range(40), jobs)) == [value**2 for value in range(40)]


def test_what_runs_ends_and_what_waits_is_dropped_when_the_reader_is_interrupted() -> None:
    before, started, ended = cv2.getNumThreads(), [], []

    def work(value: int) -> int:
        started.append(value)
        time.sleep(0.05)
        ended.append(value)
        return value

    results = in_threads(work, range(1000), 2)
    assert next(results) == 0
    results.close()  # what an interrupt of the reader does
    assert sorted(started) == sorted(ended) and len(started) < 20
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]
    assert cv2.getNumThreads() == before


def test_an_error_of_the_work_reaches_the_reader() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda value: 1 // value, [1, 0, 2], 2))


@pytest.fixture
def several() -> Iterator[None]:
    """OpenCV and BLAS with three threads each, however many processors there are."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    with threadpool_limits(3, user_api="blas"):
        yield
    cv2.setNumThreads(before)


def library_threads() -> set[int]:
    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert len(pools) >= 2  # of NumPy and of SciPy
    return {cv2.getNumThreads(), *pools}


@pytest.mark.usefixtures("several")
def test_libraries_rest_until_the_outermost_leaves_whatever_its_threads_do() -> None:
    assert library_threads() == {3}

    def rest() -> None:
        with one_thread():
            assert library_threads() == {1}

    with one_thread():
        other = threading.Thread(target=rest)
        other.start()
        other.join()
        assert library_threads() == {1}
        rest()
        assert library_threads() == {1}
    assert library_threads() == {3}


@pytest.mark.usefixtures("several")
def test_libraries_are_woken_after_an_error() -> None:
    @one_thread()
    def fail() -> None:
        assert library_threads() == {1}
        raise ValueError("as asked")

    for _ in range(2):
        with pytest.raises(ValueError, match="as asked"):
            fail()
        assert library_threads() == {3}
