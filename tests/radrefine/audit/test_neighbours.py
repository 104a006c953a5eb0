import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radrefine.audit.neighbours import correlate_pairs, find_candidates, keep_nearest, parse_hashes
from radrefine.fingerprints import thumbnail
from radrefine.progress import Progress
from tests.radrefine.pictures import brighter, scene


def random_hashes(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


def flip(value: np.uint64, bits: list[int]) -> np.uint64:
    for bit in bits:
        value ^= np.uint64(1) << np.uint64(bit)
    return value


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 63), max_size=6, unique=True), st.integers(0, 2**32 - 1))
def test_hashes_up_to_six_bits_apart_are_always_found(bits: list[int], seed: int) -> None:
    hashes = random_hashes(40, seed)
    hashes[31] = flip(hashes[7], bits)

    found = find_candidates(hashes, np.arange(40), few=0)

    assert found.sure_distance == 6
    assert [7, 31] in found.pairs.tolist()
    assert found.distances[found.pairs.tolist().index([7, 31])] == len(bits)
    assert found.cut == 0


@pytest.mark.parametrize("few", [0, 300])
def test_pairs_are_exactly_those_of_all_comparisons(few: int) -> None:
    base = random_hashes(60)
    rng = np.random.default_rng(1)
    hashes = np.array([flip(value, rng.integers(0, 64, 3).tolist()) for value in np.repeat(base, 5)])
    distance = np.bitwise_count(hashes[:, None] ^ hashes[None])
    expected = {(a, b) for a, b in np.argwhere(distance <= 6) if a < b}

    found = find_candidates(hashes, np.arange(len(hashes)), max_distance=6, few=few)

    assert {tuple(pair) for pair in found.pairs.tolist()} == expected


def test_search_and_likeness_are_told_to_their_ends() -> None:
    told: list[Progress] = []
    hashes = np.repeat(random_hashes(20), 2)

    found = find_candidates(hashes, np.arange(40), few=0, progress=told.append)
    correlate_pairs(np.stack([thumbnail(scene(0))] * 40), found.pairs, told.append)

    assert [(state.done, state.total) for state in told if state.stage == "search"] == [(n, 28) for n in range(1, 29)]
    assert told[-1] == Progress("likeness", 20, 20)


def test_few_hashes_are_all_compared_whatever_the_distance() -> None:
    first, second = np.uint64(0), np.uint64(0x0101010101010101)  # eight bits apart, one in each band

    found = find_candidates(np.array([first, second]), np.arange(2))

    assert found.pairs.tolist() == [[0, 1]]
    assert found.distances.tolist() == [8]


@pytest.mark.parametrize("few", [0, 300])
def test_an_image_with_two_hashes_pairs_by_either_and_never_with_itself(few: int) -> None:
    hashes = random_hashes(3)
    hashes = np.array([hashes[0], hashes[1], hashes[2], hashes[0], hashes[0]])

    found = find_candidates(hashes, np.array([0, 1, 2, 0, 2]), few=few)

    assert found.pairs.tolist() == [[0, 2]]


def test_clustered_hashes_stay_within_the_bounds_and_say_so() -> None:
    hashes = np.repeat(random_hashes(1), 3000)
    hashes ^= np.random.default_rng(2).integers(0, 2**12, 3000).astype(np.uint64)

    found = find_candidates(hashes, np.arange(3000), most_pairs=5000, comparisons=0, few=0)

    assert len(found.pairs) <= 5000
    assert found.max_distance < 10
    assert found.sure_distance == -1
    assert found.cut > 0


def test_comparisons_left_out_are_counted() -> None:
    hashes = np.repeat(random_hashes(1), 100)
    found = find_candidates(hashes, np.arange(100), comparisons=0, few=0)
    # Each of the 28 tables holds one bucket, in which a hash meets its next 16 neighbours of 99.
    assert found.cut == 28 * sum(max(0, 99 - first - 16) for first in range(100))


def test_few_clustered_hashes_stay_within_the_bound() -> None:
    hashes = np.repeat(random_hashes(1), 3000) ^ np.random.default_rng(2).integers(0, 2**12, 3000).astype(np.uint64)

    found = find_candidates(hashes, np.arange(3000), most_pairs=50_000)

    assert 0 < len(found.pairs) <= 50_000
    assert (found.distances <= found.max_distance).all()
    assert found.max_distance < 10


def test_nothing_is_found_in_nothing() -> None:
    empty = find_candidates(np.empty(0, np.uint64), np.empty(0, np.int64))

    assert empty.pairs.shape == (0, 2)
    assert correlate_pairs(np.zeros((0, 32, 32), np.uint8), empty.pairs).shape == (0,)


def test_correlation_confirms_the_same_scene_and_no_other() -> None:
    thumbnails = np.stack([thumbnail(image) for image in (scene(0), brighter(scene(0)), scene(1))])

    same, other = correlate_pairs(thumbnails, np.array([[0, 1], [0, 2]]))

    assert same > 0.99
    assert abs(other) < 0.5


def test_the_nearest_partners_of_either_image_are_kept() -> None:
    pairs = np.array([[0, 1], [0, 2], [0, 3], [3, 4]])
    correlations = np.array([0.9, 0.8, 0.7, 0.95], np.float32)

    # 2 has no better partner than 0; 0 and 3 both have better ones than each other.
    assert keep_nearest(pairs, correlations, 1).tolist() == [True, True, False, True]
    assert keep_nearest(pairs, correlations, 3).all()
    assert keep_nearest(pairs[:0], correlations[:0]).shape == (0,)


def test_hashes_are_parsed_from_hexadecimal() -> None:
    assert parse_hashes(["00000000000000ff", "8000000000000000"]).tolist() == [255, 2**63]
    assert parse_hashes([]).tolist() == []
    with pytest.raises(ValueError):
        parse_hashes(["no hash"])
