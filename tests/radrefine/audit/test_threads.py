"""Threads of the audit: results in order, nothing left running when the reader stops."""

import threading
import time

import cv2
import pytest

from radrefine.audit.threads import in_threads


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
