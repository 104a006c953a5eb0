import numpy as np
import pandas as pd
import pytest

from pgnm.concepts import load_concepts
from pgnm.errors import UsageError
from pgnm.features import load_backbones
from pgnm.probe_report import refuse_foreign, table_unseen, write_probe
from pgnm.probes import ProbeOptions, count_trials, draw_samples, probe, summarise


@pytest.fixture(scope="module")
def concepts(tmp_path_factory):
    """Bright and dark noise: two classes that any features tell apart."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 120), ("val", 30), ("test", 60)):
        labels = np.arange(n) % 2
        arrays[f"{part}_images"] = (rng.random((n, 28, 28)) * (90 + 130 * labels[:, None, None])).astype(np.uint8)
        arrays[f"{part}_labels"] = labels[:, None]
    path = tmp_path_factory.mktemp("sets") / "pneumoniamnist.npz"
    np.savez(path, **arrays)
    return load_concepts(path)


@pytest.fixture(scope="module")
def backbones():
    return load_backbones(["random:resnet10t"], size=32)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("features")


@pytest.mark.parametrize("protocol", ["unseen", "fewshot"])
def test_probes_learn_repeat_and_fall_to_chance_on_permuted_labels(concepts, backbones, cache, protocol):
    def run(**options):
        return probe(backbones, [concepts], cache, ProbeOptions(protocol, trials=8, samples=(8, 64), **options))

    results = run()
    assert results["f1"].mean() > 0.95
    pd.testing.assert_frame_equal(run(), results)
    assert run(shuffle_labels=True)["balanced_accuracy"].mean() == pytest.approx(0.5, abs=0.15)


def test_trials_by_size_of_the_set():
    assert [count_trials(n) for n in (9_999, 10_000, 30_000, 100_000, 100_001)] == [7, 3, 3, 3, 1]


def test_draws_take_the_classes_in_turn_and_grow():
    labels = np.array([0] * 50 + [1] * 50 + [2] * 3)
    drawn = draw_samples(labels, 32, np.random.default_rng(0))
    assert np.bincount(labels[drawn[:9]]).tolist() == [3, 3, 3]
    assert len(set(drawn.tolist())) == 32
    np.testing.assert_array_equal(draw_samples(labels, 16, np.random.default_rng(0)), drawn[:16])
    assert len(draw_samples(labels, 256, np.random.default_rng(0))) == 103


def test_larger_draws_than_the_set_are_left_out(concepts, backbones, cache):
    options = ProbeOptions("fewshot", trials=1, samples=(8, 512))
    assert probe(backbones, [concepts], cache, options)["samples"].tolist() == [8]


def test_report_holds_trials_tables_and_curves(concepts, backbones, cache, tmp_path):
    options = ProbeOptions("fewshot", trials=2, samples=(8, 16))
    results = probe(backbones, [concepts], cache, options)
    found = write_probe(results, backbones, [concepts], options, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        "trials.csv",
        "scores.md",
        "scores.csv",
        "scores.tex",
        "lowshot.png",
        "probe.json",
    }
    refuse_foreign(tmp_path)
    (tmp_path / "probe.json").unlink()
    with pytest.raises(UsageError, match=r"trials\.csv, scores\.csv, lowshot\.png that no probe wrote"):
        refuse_foreign(tmp_path)
    assert [row["samples"] for row in found["scores"]] == [8, 16]
    assert found["sets"][0]["n_train"] == 120


def test_table_3_shows_published_figures_beside_ours():
    scores = {"f1": [0.5, 0.7], "balanced_accuracy": 0.5, "accuracy": 0.5, "auroc_ovr": 0.5}
    results = pd.DataFrame(
        {"set": "braintumormnist_128", "backbone": "heated", "samples": 9, "trial": [0, 1], **scores}
    )
    row = table_unseen(summarise(results)).iloc[0]
    assert row["heated"] == "0.6000 ± 0.1414"
    assert row["published: RadImageNet with PGNM"] == 0.8880


@pytest.mark.parametrize(
    ("options", "message"),
    [({"protocol": "zeroshot"}, "--protocol must be"), ({"trials": -1}, "--trials"), ({"samples": (1,)}, "--samples")],
)
def test_wrong_options_name_the_flag(options, message):
    with pytest.raises(UsageError, match=message):
        ProbeOptions(**options)


def test_backbones_see_as_many_images_at_once_as_asked_for(concepts, backbones, tmp_path, monkeypatch):
    def embed(backbone, concepts, cache, **given):
        assert given["batch_size"] == 5
        raise UsageError("enough")

    monkeypatch.setattr("pgnm.probes.compute_features", embed)
    with pytest.raises(UsageError, match="enough"):
        probe(backbones, [concepts], tmp_path, ProbeOptions(feature_batch=5))
    with pytest.raises(UsageError, match="--batch-size must be at least 1, got 0"):
        ProbeOptions(feature_batch=0)
