"""A proof names what its search for near-duplicates could not see."""

from types import SimpleNamespace

import pandas as pd
import pytest

from radrefine.split.proof import _blind_spots


@pytest.mark.parametrize(
    ("asked", "searched", "sure", "cut", "told"),
    [
        (10, 10, 10, 0, []),
        (10, 10, 6, 0, ["7 to 10 bits may be overlooked"]),
        (10, 8, 6, 0, ["9 to 10 bits were left out", "7 to 8 bits may be overlooked"]),
        (10, 10, -1, 5000, ["5,000 comparisons"]),
        (6, 6, 6, 0, []),
    ],
)
def test_limits_of_the_search_are_told(asked: int, searched: int, sure: int, cut: int, told: list[str]) -> None:
    rows = pd.DataFrame({"file_sha256": ["a"], "pixel_sha256": ["b"]})
    found = SimpleNamespace(asked_distance=asked, max_distance=searched, sure_distance=sure, cut=cut)
    sentences = _blind_spots(rows, found)  # type: ignore[arg-type]
    assert len(sentences) == len(told)
    assert all(part in sentence for part, sentence in zip(told, sentences, strict=True))
