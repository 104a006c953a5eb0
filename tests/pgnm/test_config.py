"""Settings of a recipe: help, checks, and the published ones."""

import dataclasses

import pytest

from pgnm.config import Recipe
from pgnm.errors import UsageError
from pgnm.recipe_files import load_recipe


def test_every_key_has_help() -> None:
    assert all(key.metadata["help"].endswith((".", ")")) for key in dataclasses.fields(Recipe))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"grid": 65}, "--grid must be at most --size 64, got 65"),
        ({"kernel": 4}, "--kernel must be odd or 0, got 4"),
        ({"epochs": 0}, "--epochs must be at least 1, got 0"),
        ({"epochs": "many"}, "--epochs must be a whole number, got 'many'"),
        ({"policy": "betta"}, "did you mean beta"),
        ({"augment": "cutmix+mixup"}, "at most one of cutmix, mixup"),
        ({"augment": "autoagument"}, "did you mean autoaugment"),
        ({"batchsize": 3}, "did you mean batch_size"),
        ({"prior_weight": 1.5}, "--prior-weight must be between 0 and 1, got 1.5"),
    ],
)
def test_a_wrong_value_names_its_flag(change: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told.replace("(", r"\(")):
        load_recipe("laptop", change, {})


def test_a_combined_augment_splits_into_its_techniques() -> None:
    recipe = load_recipe("laptop", {"augment": "cutmix+autoaugment"}, {})
    assert (recipe.image_augment, recipe.batch_augment) == ("autoaugment", "cutmix")


def test_the_paper_recipe_holds_the_published_settings() -> None:
    recipe = load_recipe("paper_resnet50", environ={})
    published = {"epochs": 90, "lr": 0.1, "grid": 64, "kernel": 13, "sigma": 6.0, "policy_lr": 0.01, "size": 224}
    assert {key: recipe.to_dict()[key] for key in published} == published
    assert (recipe.mean, recipe.std, recipe.prior_weight, recipe.prior_momentum) == (0.3162, 0.3213, 0.9, 0.99)
