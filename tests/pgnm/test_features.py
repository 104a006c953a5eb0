import numpy as np
import pytest
import timm
import torch

from pgnm.checkpoints import RunInfo, save_classifier
from pgnm.concepts import ConceptPart, ConceptSet
from pgnm.errors import RunError
from pgnm.features import compute_features, load_backbones

RNG = np.random.default_rng(0)


def part(n, shape=(20, 20)):
    return ConceptPart(RNG.integers(0, 256, (n, *shape), dtype=np.uint8), np.arange(n) % 2)


CONCEPTS = ConceptSet("toy", ("0", "1"), part(6), part(3), part(5, (24, 18, 3)))


@pytest.fixture(scope="module")
def backbone():
    return load_backbones(["random:resnet10t"], size=32)[0]


def test_features_are_those_of_timm_on_normalised_images(backbone, tmp_path):
    square = ConceptSet("toy", ("0", "1"), part(4, (32, 32)), part(2, (32, 32)), part(2, (32, 32)))
    features = compute_features(backbone, square, tmp_path, batch_size=3)
    images = torch.from_numpy(square.train.images)[:, None].expand(-1, 3, -1, -1) / 255
    mean, std = torch.tensor(backbone.mean).view(3, 1, 1), torch.tensor(backbone.std).view(3, 1, 1)
    with torch.no_grad():
        expected = backbone.model.forward_features((images - mean) / std).mean(dim=(2, 3))
    assert features["train"].shape == (4, 512)
    np.testing.assert_allclose(features["train"], expected.numpy(), atol=1e-4)


def test_features_are_computed_once(backbone, tmp_path):
    first = compute_features(backbone, CONCEPTS, tmp_path)
    assert {name: len(values) for name, values in first.items()} == {"train": 6, "val": 3, "test": 5}
    seen = []
    second = compute_features(backbone, CONCEPTS, tmp_path, progress=seen.append)
    assert not seen
    np.testing.assert_array_equal(first["test"], second["test"])
    other = load_backbones(["random:resnet10t"], size=32, seed=1)[0]
    compute_features(other, CONCEPTS, tmp_path, progress=seen.append)
    assert seen
    assert len(list(tmp_path.iterdir())) == 6


def test_backbones_stand_side_by_side_at_one_size(tmp_path):
    save_classifier(
        tmp_path / "run",
        timm.create_model("resnet10t", num_classes=3),
        RunInfo("resnet10t", ("a", "b", "c"), 48, 0.3, 0.2),
    )
    run, named = load_backbones([tmp_path / "run", "chance=random:resnet10t"])
    assert (run.name, run.size, run.mean) == ("run", 48, (0.3,))
    assert (named.name, named.size) == ("chance", 48)


def test_an_unknown_kind_is_named():
    with pytest.raises(RunError, match=r"imagenet:MODEL or random:MODEL; got 'other:resnet10t'"):
        load_backbones(["other:resnet10t"])


def test_published_weights_are_read_from_a_folder(tmp_path):
    published = timm.create_model("resnet10t", num_classes=1000)
    timm.models.save_for_hf(published, tmp_path / "weights", safe_serialization="both")
    (backbone,) = load_backbones([f"imagenet:{tmp_path / 'weights'}"], size=32)
    for name, value in published.state_dict().items():
        assert torch.equal(backbone.model.state_dict()[name], value)
    assert (backbone.size, len(backbone.mean)) == (32, 3)


def test_weights_of_timm_that_tell_channels_apart_are_not_taken_for_a_run(tmp_path):
    model = timm.create_model("test_resnet", num_classes=2)
    one = {"mean": (0.3,) * 3, "std": (0.2,) * 3}
    for name, config in (("apart", {"mean": (0.5, 0.4, 0.3), "std": (0.2,) * 3}), ("alike", one)):
        model.pretrained_cfg = {**model.pretrained_cfg, **config}
        timm.models.save_for_hf(model, tmp_path / name, safe_serialization="both")
    with pytest.raises(RunError, match=f"--backbone imagenet:{tmp_path / 'apart'}$"):
        load_backbones([tmp_path / "apart"])
    assert load_backbones([f"imagenet:{tmp_path / 'apart'}"])[0].mean == (0.5, 0.4, 0.3)
    assert load_backbones([tmp_path / "alike"])[0].mean == (0.3,)


@pytest.mark.parametrize("error", [OSError("no route to the Hub\nmore words"), RuntimeError("no weights")])
def test_weights_that_cannot_be_fetched_are_told_with_what_to_do(error, monkeypatch):
    def offline(*arguments, **options):
        raise error

    monkeypatch.setattr("timm.create_model", offline)
    told_what_to_do = r"weights of resnet10t cannot be had: no .*hf download timm/resnet10t\.c3_in1k --local-dir FOLDER"
    with pytest.raises(RunError, match=told_what_to_do) as told:
        load_backbones(["imagenet:resnet10t"])
    assert "\n" not in str(told.value)


def test_networks_with_the_same_weights_and_other_layers_have_other_features():
    one, other = load_backbones(["random:resnet34d", "random:resnetaa34d"], size=32)
    assert one.fingerprint() != other.fingerprint()


def test_backbones_are_told_apart(tmp_path):
    for name in ("a", "b"):
        model = timm.create_model("test_resnet", num_classes=2)
        save_classifier(tmp_path / name / "tuned", model, RunInfo("test_resnet", ("x", "y"), 32, 0.3, 0.3))
    places = [str(tmp_path / name / "tuned") for name in ("a", "b")]
    assert [one.name for one in load_backbones(places)] == places
    assert [one.name for one in load_backbones(places[:1])] == ["tuned"]
    with pytest.raises(RunError, match="two backbones are called n; tell them apart"):
        load_backbones([f"n={place}" for place in places])
