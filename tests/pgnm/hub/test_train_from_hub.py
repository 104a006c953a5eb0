import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.pgnm import app
from pgnm.checkpoints import RunInfo, save_classifier
from pgnm.models import create_classifier
from radrefine.hub import PushOptions, push_split
from tests.loopback import LoopbackHub
from tests.loopback.fixtures import hub
from tests.radrefine.hub.conftest import CLASSES, make_split

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
__all__ = ["hub"]


def test_finetune_and_eval_take_a_data_set_by_name_and_push_gives_the_model_back(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    push_split(make_split(tmp_path), PushOptions("ada/images", with_images=True, license="mit"))
    info = RunInfo("test_resnet", tuple(CLASSES), size=32, mean=0.5, std=0.3, stage="pretrain")
    save_classifier(tmp_path / "heated", create_classifier("test_resnet", 2, size=32), info)
    monkeypatch.chdir(tmp_path)

    small = ["--epochs", "1", "--batch-size", "4", "--workers", "0", "--augment", "none", "--device", "cpu"]
    trained = run("finetune", "ada/images", "--from", "heated", "--out", "model", *small)
    assert json.loads(trained)["epochs"] == 1
    judged = run("eval", "model", "ada/images", "--workers", "0", "--device", "cpu", "--resamples", "0")
    assert json.loads(judged)["n_images"] == 4
    pushed = json.loads(run("push", "model", "--repo-id", "ada/model", "--license", "mit"))
    assert {file["path"] for file in pushed["files"]} >= {"model.safetensors", "config.json", "README.md", "eval.json"}
    card = hub.read("model", "ada/model", "README.md").decode()
    assert "| accuracy |" in card and str(tmp_path) not in card


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout
