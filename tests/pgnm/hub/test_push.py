import json
from pathlib import Path

import pytest
import torch
import yaml

from pgnm.checkpoints import RunInfo, save_classifier
from pgnm.errors import HubError, RunError, UsageError
from pgnm.hub import ModelPushOptions, push_model
from pgnm.models import create_classifier
from tests.loopback import LoopbackHub
from tests.loopback.fixtures import hub, no_waiting

# The Hub's client uses its own HTTP library in a way that library calls outdated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
__all__ = ["hub", "no_waiting"]

REPO = "ada/model"
OPTIONS = ModelPushOptions(REPO, license="cc-by-4.0")


@pytest.fixture(scope="module")
def trained() -> torch.nn.Module:
    torch.manual_seed(0)
    return create_classifier("resnet10t", 3, size=32).eval()


@pytest.fixture
def run_folder(tmp_path: Path, trained: torch.nn.Module) -> Path:
    """A run folder as training and evaluation leave it."""
    run = tmp_path / "run"
    info = RunInfo("resnet10t", ("CT__chest", "MR__knee", "US__thyroid"), size=32, mean=0.3, std=0.2)
    save_classifier(run, trained, info)
    (run / "recipe.yaml").write_text("stage: finetune\nepochs: 1\nresolved:\n  split: /home/someone/split\n")
    (run / "metrics.csv").write_text("epoch,loss\n1,0.5\n")
    (run / "state").mkdir()
    (run / "state" / "last.pt").write_bytes(b"state")
    (run / "predictions.parquet").write_bytes(b"predictions")
    metrics = {"accuracy": 0.91, "f1": 0.875, "auroc_ovr": None}
    evaluation = {"protocol": "classify", "input": "normalized", "part": "test", "run": "/home/someone/run"}
    evaluation |= {"n_images": 40, "metrics": metrics}
    evaluation["evaluations"] = {"classify-normalized": {"protocol": "classify", "part": "test", "metrics": metrics}}
    (run / "eval.json").write_text(json.dumps(evaluation))
    return run


def test_timm_loads_the_pushed_model_with_equal_logits(
    hub: LoopbackHub, run_folder: Path, trained: torch.nn.Module
) -> None:
    import timm

    push_model(run_folder, OPTIONS)
    loaded = timm.create_model(f"hf_hub:{REPO}", pretrained=True).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(loaded(images), trained(images))
    assert loaded.pretrained_cfg["mean"] == [0.3] * 3
    assert loaded.pretrained_cfg["label_names"] == ["CT__chest", "MR__knee", "US__thyroid"]


def test_predictions_and_state_stay_at_home(hub: LoopbackHub, run_folder: Path) -> None:
    push_model(run_folder, OPTIONS)
    expected = ["README.md", "config.json", "eval.json", "metrics.csv", "model.safetensors", "recipe.yaml"]
    assert hub.files("model", REPO) == expected and hub.repo("model", REPO).private
    for path in expected:
        assert b"/home/someone" not in hub.read("model", REPO, path)


def test_the_card_passes_the_clients_validation_and_carries_the_metrics(hub: LoopbackHub, run_folder: Path) -> None:
    from huggingface_hub import ModelCard

    push_model(run_folder, OPTIONS)
    card = ModelCard(hub.read("model", REPO, "README.md").decode())
    card.validate()
    assert card.data.library_name == "timm" and card.data.license == "cc-by-4.0"
    assert {(r.metric_type, r.metric_value) for r in card.data.eval_results} == {("accuracy", 0.91), ("f1", 0.875)}
    assert "| f1 | 0.8750 |" in card.text and "epochs: 1" in card.text


def test_a_failed_push_is_finished_by_the_next_without_sending_the_weights_again(
    hub: LoopbackHub, run_folder: Path, no_waiting: list[float]
) -> None:
    hub.fail(r"POST .*/commit/", status=504, times=100)
    with pytest.raises(HubError, match="keeps answering 504"):
        push_model(run_folder, OPTIONS)
    hub.heal()
    hub.lose_answer(r"POST .*/commit/")
    push_model(run_folder, OPTIONS)
    assert len(hub.uploads()) == 1
    assert hub.repo("model", REPO).messages == ["initial commit", "Add the model"]


def test_a_wrong_token_is_one_sentence_and_not_shown(
    hub: LoopbackHub, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_SecretSecret")
    with pytest.raises(HubError, match="did not accept the token") as caught:
        push_model(run_folder, OPTIONS)
    assert "\n" not in str(caught.value) and "SecretSecret" not in str(caught.value)


def test_a_dry_run_sends_nothing(hub: LoopbackHub, run_folder: Path) -> None:
    done = push_model(run_folder, OPTIONS, dry_run=True)
    assert hub.calls == [] and "model.safetensors" in dict(done.files)


def test_a_public_repository_is_not_taken_for_a_private_one(hub: LoopbackHub, run_folder: Path) -> None:
    hub.storage.create("model", REPO, private=False)
    with pytest.raises(HubError, match="--public"):
        push_model(run_folder, OPTIONS)


def test_a_folder_that_is_no_run_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"model\.safetensors is missing"):
        push_model(tmp_path, OPTIONS)


def test_a_name_without_a_user_is_refused(run_folder: Path) -> None:
    with pytest.raises(UsageError, match="USER/NAME"):
        push_model(run_folder, ModelPushOptions("model"))


def test_the_recipe_stays_usable(hub: LoopbackHub, run_folder: Path) -> None:
    push_model(run_folder, OPTIONS)
    recipe = yaml.safe_load(hub.read("model", REPO, "recipe.yaml"))
    assert recipe == {"stage": "finetune", "epochs": 1, "resolved": {"split": "split"}}


def test_both_packages_treat_the_hub_alike() -> None:
    import pgnm.hub.patience
    import radrefine.hub.patience

    own, twin = (Path(module.__file__).read_text() for module in (pgnm.hub.patience, radrefine.hub.patience))
    assert own.split('"""', 2)[2].replace("pgnm.errors", "radrefine.errors") == twin.split('"""', 2)[2]


@pytest.mark.parametrize(("name", "content"), [("recipe.yaml", "a: ["), ("recipe.yaml", "\x00"), ("eval.json", "{")])
def test_a_damaged_file_of_the_run_is_named(hub: LoopbackHub, run_folder: Path, name: str, content: str) -> None:
    (run_folder / name).write_text(content)
    with pytest.raises(RunError, match=rf"{name} is not (YAML|JSON)") as caught:
        push_model(run_folder, OPTIONS, dry_run=True)
    assert "\n" not in str(caught.value)


def test_evaluations_that_are_none_are_left_out_of_the_card(hub: LoopbackHub, run_folder: Path) -> None:
    (run_folder / "eval.json").write_text(json.dumps({"evaluations": {"odd": 3}}))
    assert push_model(run_folder, OPTIONS, dry_run=True).files
