import numpy as np
import pytest
from scipy import stats

from pgnm.metrics import RankedColumns, classification_metrics, pairwise_wins
from pgnm.statistics import (
    bootstrap_differences,
    bootstrap_intervals,
    compare_paired,
    group_codes,
    holm,
    sign_flip_test,
)


def scores(rng, n, n_classes, signal=2.0):
    target = np.arange(n) % n_classes
    logits = rng.normal(size=(n, n_classes))
    logits[np.arange(n), target] += signal
    p = np.exp(logits)
    return target, p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_weights_equal_repeated_images(n_classes):
    rng = np.random.default_rng(0)
    target, p = scores(rng, 40, n_classes)
    p = np.round(p, 1) + 1e-3  # ties
    weight = rng.integers(0, 4, 40)
    repeated = np.repeat(np.arange(40), weight)
    weighted = RankedColumns(target, p).wins(weight.astype(float))
    np.testing.assert_array_equal(weighted, pairwise_wins(target[repeated], p[repeated]))


def test_intervals_hold_the_metrics_and_repeat_from_the_seed():
    target, p = scores(np.random.default_rng(1), 200, 4)
    metrics = classification_metrics(target, p)
    first = bootstrap_intervals(target, p, resamples=200, seed=3)
    assert first == bootstrap_intervals(target, p, resamples=200, seed=3)
    assert first.by == "image"
    for name, (low, high) in first.bounds.items():
        assert low < metrics[name] < high, name
    assert set(first.bounds) == set(metrics) - {"ece"}


def test_intervals_widen_where_groups_hold_copies():
    target, p = scores(np.random.default_rng(2), 60, 3)
    target, p, groups = np.tile(target, 6), np.tile(p, (6, 1)), np.tile(np.arange(60), 6)
    by_image = bootstrap_intervals(target, p, resamples=200).bounds["accuracy"]
    by_group = bootstrap_intervals(target, p, groups, resamples=200)
    assert (by_group.by, by_group.units) == ("group", 60)
    assert np.ptp(by_group.bounds["accuracy"]) > 1.5 * np.ptp(by_image)


def test_differences_are_those_of_models_judged_on_the_same_draws():
    rng = np.random.default_rng(4)
    target, p = scores(rng, 80, 3)
    _, other = scores(rng, 80, 3, signal=1.0)
    groups = np.arange(80) // 2
    found = bootstrap_differences(target, p, other, groups, resamples=50, seed=7)
    assert (found.units, found.by, found.resamples) == (40, "group", 50)
    # The same draws by hand, images repeated as often as their group was drawn.
    again = np.random.default_rng(7)
    drawn = []
    for _ in range(50):
        times = np.bincount(again.integers(40, size=40), minlength=40)[groups]
        rows = np.repeat(np.arange(80), times)
        ours, theirs = (classification_metrics(target[rows], one[rows]) for one in (p, other))
        drawn.append({name: ours[name] - theirs[name] for name in found.bounds})
    for name, bounds in found.bounds.items():
        np.testing.assert_allclose(bounds, np.percentile([row[name] for row in drawn], [2.5, 97.5]), atol=1e-12)


def test_a_difference_is_surer_than_both_models_and_none_is_none():
    rng = np.random.default_rng(5)
    target, p = scores(rng, 300, 3, signal=1.5)
    better = p.copy()
    wrong = np.flatnonzero(p.argmax(axis=1) != target)[::3]
    better[wrong] = np.eye(3)[target[wrong]]
    low, high = bootstrap_differences(target, better, p, resamples=400).bounds["accuracy"]
    alone = bootstrap_intervals(target, p, resamples=400).bounds["accuracy"]
    assert 0 < low < len(wrong) / 300 < high
    assert high - low < np.ptp(alone)
    same = bootstrap_differences(target, p, p, resamples=50).bounds
    assert set(same.values()) == {(0.0, 0.0)}


def test_images_without_a_group_stand_alone():
    assert group_codes(["a", None, "a", "", np.nan, " ", "b"], 7).tolist() == [0, 1, 0, 2, 3, 4, 5]
    assert group_codes(None, 3).tolist() == [0, 1, 2]


def test_paired_comparison_by_hand():
    result = compare_paired([0.6, 0.7, 0.8], [0.5, 0.5, 0.5])
    assert result.difference == pytest.approx(0.2)
    expected = stats.ttest_rel([0.6, 0.7, 0.8], [0.5, 0.5, 0.5]).confidence_interval()
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))
    assert result.p_permutation == result.p_smallest == 0.25
    assert result.p_wilcoxon == 0.25


def test_comparison_of_equal_arms_and_of_one_pair():
    same = compare_paired([0.5, 0.6], [0.5, 0.6])
    assert (same.difference, same.p_permutation, same.p_wilcoxon) == (0, 1, 1)
    single = compare_paired([0.5], [0.4])
    assert np.isnan(single.low)
    assert single.p_permutation == 1


def test_the_smallest_p_is_what_the_test_can_give():
    for n in (1, 2, 5, 16, 30):
        result = compare_paired(0.5 + np.arange(1, n + 1) / 100, np.full(n, 0.5))
        assert result.p_permutation == pytest.approx(result.p_smallest)


def test_sign_flips_agree_with_scipy_exact_and_drawn():
    difference = np.random.default_rng(5).normal(0.4, 1, 10)
    expected = stats.permutation_test((difference,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert sign_flip_test(difference) == pytest.approx(expected)
    many = np.random.default_rng(6).normal(0.2, 1, 40)
    assert sign_flip_test(many) == pytest.approx(stats.ttest_1samp(many, 0).pvalue, abs=0.02)


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, np.nan, 0.02]), [0.5, np.nan, 0.04])


def test_says_when_pairs_do_not_match():
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        compare_paired([1, 2], [1, 2, 3])


def test_differences_that_are_equal_but_for_rounding_tie() -> None:
    # Of 10 images: the arm is better by 1, 1, 1 and worse by 1, 2.
    arm, baseline = [0.8, 0.7, 0.4, 0.2, 0.1], [0.7, 0.6, 0.3, 0.3, 0.3]
    exact = compare_paired([8, 7, 4, 2, 1], [7, 6, 3, 3, 3])
    found = compare_paired(arm, baseline)
    assert (found.p_wilcoxon, found.p_permutation) == (exact.p_wilcoxon, exact.p_permutation)
    assert sign_flip_test(np.array([0.1, 0.2, -0.3])) == 1.0
