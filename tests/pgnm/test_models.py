"""Models that are unknown or cannot take the images are told before training starts."""

from pathlib import Path

import pytest
import torch

from pgnm.checkpoints import RunInfo, save_classifier
from pgnm.config import Recipe
from pgnm.errors import UsageError
from pgnm.finetune import finetune
from pgnm.models import check_takes, create_classifier
from pgnm.pretrain import pretrain

TINY = Recipe(model="test_resnet", policy_model="test_resnet", size=16, grid=4, kernel=3, batch_size=8, workers=0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": "resnet10"}, "--model 'resnet10' is not a model of timm; did you mean resnet10t"),
        ({"model": "vgg11"}, r"--model vgg11 cannot take images of 16 px \(.*too small\)"),
        ({"policy_model": "resnet10"}, "--policy-model 'resnet10' is not a model of timm"),
        ({"policy_model": "vit_tiny_patch16_224"}, "--policy-model vit_tiny_patch16_224 is built for one size"),
        ({"policy_model": "vgg11", "size": 32, "policy_size": 16}, "--policy-model vgg11 cannot take images of 16 px"),
        ({"policy": "apga", "agent_model": "vit_tiny_patch16_224"}, "--agent-model vit_tiny_patch16_224 cannot take"),
    ],
)
def test_a_model_that_cannot_be_trained_is_told_in_one_sentence(
    make_split, tmp_path: Path, change: dict[str, object], told: str
) -> None:
    with pytest.raises(UsageError, match=told) as error:
        pretrain(make_split(), tmp_path / "run", TINY.replace(device="cpu", **change))
    assert "\n" not in str(error.value)


def test_a_heated_model_of_one_size_is_not_finetuned_at_another(make_split, tmp_path: Path) -> None:
    info = RunInfo(model="vit_tiny_patch16_224", class_names=("a", "b", "c"), size=32, mean=0.5, std=0.2)
    save_classifier(tmp_path / "heated", create_classifier(info.model, 3, size=32), info)
    recipe = TINY.replace(stage="finetune", policy="none", size=48, device="cpu")
    with pytest.raises(UsageError, match="the heated vit_tiny_patch16_224 cannot take images of 48 px"):
        finetune(make_split(), tmp_path / "heated", tmp_path / "run", recipe)


def test_looking_leaves_the_model_and_the_random_numbers_alone() -> None:
    model = create_classifier("test_resnet", 3, size=16).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    numbers = torch.get_rng_state()
    check_takes(model, "test_resnet", "--model", size=16)
    assert model.training and torch.equal(numbers, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
