import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.preprocessing import label_binarize

from pgnm.metrics import classification_metrics, confusion_matrix, judge, pairwise_wins, reliability


def probabilities(rng, n, n_classes, steps=None):
    scores = rng.random((n, n_classes)) + 1e-3
    if steps:  # few distinct values, so that ties abound
        scores = np.ceil(scores * steps)
    return scores / scores.sum(axis=1, keepdims=True)


def sklearn_metrics(target, p):
    """The same metrics by scikit-learn, one-vs-rest over the classes that occur."""
    n_classes = p.shape[1]
    prediction = p.argmax(axis=1)
    present = np.unique(target)
    macro = {"average": "macro", "zero_division": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = {
            "precision": sk.precision_score(target, prediction, **macro),
            "recall": sk.recall_score(target, prediction, **macro),
            "f1": sk.f1_score(target, prediction, **macro),
            "balanced_accuracy": sk.balanced_accuracy_score(target, prediction),
            "accuracy": sk.accuracy_score(target, prediction),
            "auroc_ovr": np.nan,
            "auroc_ovo": np.nan,
        }
    if len(present) > 1 and n_classes == 2:
        result["auroc_ovr"] = result["auroc_ovo"] = sk.roc_auc_score(target, p[:, 1])
    elif len(present) > 1:
        indicator = label_binarize(target, classes=np.arange(n_classes))[:, present]
        result["auroc_ovr"] = sk.roc_auc_score(indicator, p[:, present], average="macro")
        result["auroc_ovo"] = sk.roc_auc_score(target, p, multi_class="ovo", labels=np.arange(n_classes))
    return result


def check_equal(target, p):
    ours = classification_metrics(target, p)
    for name, value in sklearn_metrics(target, p).items():
        assert ours[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 60),
    n_classes=st.integers(2, 7),
    occurring=st.integers(1, 7),
    steps=st.sampled_from([None, 2, 3]),
)
def test_equals_sklearn_on_random_absent_single_and_tied(seed, n, n_classes, occurring, steps):
    rng = np.random.default_rng(seed)
    pool = rng.permutation(n_classes)[:occurring]
    check_equal(rng.choice(pool, n), probabilities(rng, n, n_classes, steps))


def test_equals_sklearn_with_all_classes_by_its_own_ovr():
    rng = np.random.default_rng(0)
    target = np.arange(300) % 6
    p = probabilities(rng, 300, 6)
    ours = classification_metrics(target, p)
    assert ours["auroc_ovr"] == pytest.approx(sk.roc_auc_score(target, p, multi_class="ovr"), abs=1e-12)
    assert ours["auroc_ovo"] == pytest.approx(sk.roc_auc_score(target, p, multi_class="ovo"), abs=1e-12)


def test_perfect_and_constant_scores():
    target = np.array([0, 1, 2, 2])
    perfect = classification_metrics(target, np.eye(3)[target])
    assert all(perfect[name] == 1 for name in ("precision", "recall", "f1", "auroc_ovr", "auroc_ovo", "accuracy"))
    assert perfect["entropy"] == 0
    assert perfect["ece"] == 0
    constant = classification_metrics(target, np.full((4, 3), 1 / 3))
    assert constant["auroc_ovr"] == constant["auroc_ovo"] == 0.5
    assert constant["entropy"] == pytest.approx(np.log(3))


def test_areas_are_undefined_when_one_class_occurs():
    result = classification_metrics(np.zeros(5, int), probabilities(np.random.default_rng(0), 5, 3))
    assert np.isnan(result["auroc_ovr"])
    assert np.isnan(result["auroc_ovo"])


def test_wins_count_ties_one_half():
    target = np.array([0, 0, 1, 2])
    p = np.array([[0.5, 0.2, 0.3], [0.2, 0.4, 0.4], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    assert pairwise_wins(target, p).tolist() == [[0, 0.5, 2], [1, 0, 1], [2, 1, 0]]


def test_per_class_table_equals_sklearn():
    rng = np.random.default_rng(1)
    target, p = rng.integers(0, 4, 80), probabilities(rng, 80, 5)
    table = judge(target, p, list("abcde")).per_class
    expected = sk.precision_recall_fscore_support(target, p.argmax(1), labels=range(5), zero_division=0)
    for column, values in zip(["precision", "recall", "f1", "n"], expected, strict=True):
        np.testing.assert_allclose(table[column], values)
    assert np.isnan(table["auroc"].iloc[4])
    assert table["auroc"].iloc[2] == pytest.approx(sk.roc_auc_score(target == 2, p[:, 2]))


def test_confusion_matrix_equals_sklearn():
    rng = np.random.default_rng(2)
    target, prediction = rng.integers(0, 4, (2, 50))
    np.testing.assert_array_equal(confusion_matrix(target, prediction, 4), sk.confusion_matrix(target, prediction))


def test_reliability_by_hand():
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.45, 0.55], [0.0, 1.0]])
    table = reliability(np.array([0, 1, 1, 1]), p, bins=2)
    assert table["n"].tolist() == [0, 4]
    assert table["confidence"].iloc[1] == pytest.approx(0.8125)
    assert table["accuracy"].iloc[1] == 0.75
    assert classification_metrics([0, 1, 1, 1], p)["ece"] == pytest.approx((0.1 + 0.8 + 0.45 + 0) / 4)


@pytest.mark.parametrize(
    ("target", "p", "message"),
    [
        ([0], [[0.5, 0.6]], "sum to 1"),
        ([0], [[np.nan, 0.6]], "sum to 1"),
        ([2], [[0.5, 0.5]], "from 0 to 1, got 2"),
        ([0, 1], [[0.5, 0.5]], r"got \(2,\) and \(1, 2\)"),
        ([0.5], [[0.5, 0.5]], "whole class indices"),
        (np.zeros(0, int), np.zeros((0, 2)), "at least one"),
    ],
)
def test_says_what_does_not_fit(target, p, message):
    with pytest.raises(ValueError, match=message):
        classification_metrics(target, p)
