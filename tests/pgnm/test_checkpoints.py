"""Run folders: what is written is read back, by pgnm and by plain timm."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch

from pgnm.checkpoints import RunInfo, load_classifier, load_state, save_classifier, save_state
from pgnm.errors import RunError, UsageError
from pgnm.models import create_classifier

INFO = RunInfo(
    "resnet10t",
    ("CT__a", "MR__b", "US__c"),
    32,
    0.3162,
    0.3213,
    stage="pretrain",
    policy="beta",
    grid=8,
    kernel=3,
    sigma=1.0,
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_classifier(tmp_path / "run", create_classifier("resnet10t", 3, size=32), INFO)
    return tmp_path / "run"


def test_timm_loads_the_run_folder_with_the_same_logits(run: Path) -> None:
    ours, _ = load_classifier(run)
    theirs = timm.create_model(f"local-dir:{run}", pretrained=True).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(ours(images), theirs(images))
    config = timm.data.resolve_data_config({}, model=theirs)
    assert tuple(config["input_size"]) == (3, 32, 32)
    assert tuple(config["mean"]) == (0.3162,) * 3 and tuple(config["std"]) == (0.3213,) * 3
    assert list(theirs.pretrained_cfg["label_names"]) == list(INFO.class_names)


def test_the_record_of_the_run_is_read_back(run: Path) -> None:
    assert load_classifier(run)[1] == INFO


@pytest.mark.parametrize(("crop_min", "shown"), [(0.08, (0.875, "center")), (1.0, (1.0, "squash"))])
def test_plain_timm_is_told_how_much_of_an_image_to_show(
    tmp_path: Path, crop_min: float, shown: tuple[float, str]
) -> None:
    info = replace(INFO, crop_min=crop_min)
    save_classifier(tmp_path, create_classifier(info.model, len(info.class_names), size=info.size), info)
    theirs = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    config = timm.data.resolve_data_config(model=theirs)

    assert (config["crop_pct"], config["crop_mode"]) == shown
    assert load_classifier(tmp_path)[1] == info


@pytest.mark.parametrize("crop_min", [0.08, 1.0])
def test_a_folder_of_timm_is_judged_as_it_says(
    tmp_path: Path, crop_min: float, caplog: pytest.LogCaptureFixture
) -> None:
    info = replace(INFO, crop_min=crop_min)
    save_classifier(tmp_path, create_classifier(info.model, len(info.class_names), size=info.size), info)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["pgnm"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_classifier(tmp_path)[1].crop_min == crop_min
    assert caplog.text == ""
    config["pretrained_cfg"] |= {"crop_pct": 0.95, "crop_mode": "center"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_classifier(tmp_path)[1].crop_min == 0.08
    assert "crop_pct 0.95; judged here is the central 0.875 of their sides" in caplog.text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"pgnm": "x"}, "keys and values under pgnm"),
        ({"pgnm": {"model": 5}}, "the name of a model"),
        ({"pgnm": {"model": ["resnet10t"]}}, "the name of a model"),
        ({"label_names": [1, 2, 3]}, "a list of texts under label_names"),
        ({"label_names": "abc"}, "a list of texts under label_names"),
        ({"pretrained_cfg": 3, "pgnm": {}}, "lacks"),
    ],
)
def test_odd_values_of_the_configuration_are_told(run: Path, change: dict[str, object], told: str) -> None:
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(RunError, match=told):
        load_classifier(run)


def test_a_model_with_a_fixed_size_is_loaded_with_the_size_it_was_trained_at(tmp_path: Path) -> None:
    info = RunInfo("vit_tiny_patch16_224", ("a", "b"), 32, 0.3, 0.3)
    save_classifier(tmp_path, create_classifier(info.model, 2, size=32), info)
    images = torch.randn(1, 3, 32, 32)
    theirs = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    with torch.inference_mode():
        assert torch.equal(load_classifier(tmp_path)[0](images), theirs(images))


def test_a_folder_that_is_no_run_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="pgnm pretrain"):
        load_classifier(tmp_path)


def test_damaged_weights_are_told(run: Path) -> None:
    weights = run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"model\.safetensors"):
        load_classifier(run)


def test_an_unknown_model_is_answered_with_near_names() -> None:
    with pytest.raises(UsageError, match="resnet10t"):
        create_classifier("resnet10", 3, size=32)


def test_state_holds_tensors_and_plain_values(tmp_path: Path) -> None:
    assert load_state(tmp_path) is None
    save_state(tmp_path, {"step": 3, "weights": {"w": torch.ones(2)}, "rows": [{"epoch": 0, "f1": 0.5}]})
    state = load_state(tmp_path)
    assert state is not None
    assert state["step"] == 3 and torch.equal(state["weights"]["w"], torch.ones(2)) and state["rows"][0]["f1"] == 0.5


def test_a_damaged_state_is_told(tmp_path: Path) -> None:
    save_state(tmp_path, {"step": 3})
    (tmp_path / "state" / "last.pt").write_bytes(b"PK damaged")
    with pytest.raises(RunError, match="start anew"):
        load_state(tmp_path)
