"""Recipes: read from files that name a base, the environment and flags; every shipped file."""

from importlib import resources
from pathlib import Path

import pytest

from pgnm.errors import UsageError
from pgnm.recipe_files import load_recipe, recipe_names


def test_a_flag_beats_the_environment_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("epochs: 2\nlr: 0.5\nbatch_size: 8\n")
    recipe = load_recipe(file, {"epochs": 9, "lr": None}, {"PGNM_EPOCHS": "7", "PGNM_LR": "0.25"})
    assert (recipe.epochs, recipe.lr, recipe.batch_size) == (9, 0.25, 8)


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_is_valid_and_explains_itself(name: str) -> None:
    assert load_recipe(name, environ={}).stage in ("pretrain", "finetune")
    text = (resources.files("pgnm") / "recipes" / f"{name}.yaml").read_text()
    assert text.startswith("# ")
    assert all("#" in line for line in text.splitlines() if line.strip())


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="laptop"):
        load_recipe("desktop", environ={})


def test_yaml_words_and_numbers_take_the_type_of_their_key(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("cache: off\nlr: 1e-3\nepochs: 3\nclip_grad: 1\n")
    recipe = load_recipe(file, environ={})
    assert (recipe.cache, recipe.lr, recipe.epochs) == ("off", 0.001, 3)
    assert isinstance(recipe.clip_grad, float)


def test_a_recipe_takes_every_other_key_from_its_base() -> None:
    base, row = load_recipe("paper_resnet10t", environ={}), load_recipe("table4_gaussian_32", environ={})
    assert row == base.replace(policy="gaussian", grid=32, kernel=0)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"lr: [", "is not valid YAML"),
        (b"[" * 5000, "is not valid YAML"),
        (b"lr: \xff", "is not a text in UTF-8"),
        (b"lr: .inf", "--lr must be a number, got inf"),
        (b"epochs: .inf", "--epochs must be a whole number, got inf"),
    ],
)
def test_a_recipe_that_cannot_be_read_is_one_sentence(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_recipe(path)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_recipe_cannot_be_its_own_base(tmp_path: Path) -> None:
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text(f"base: {other}")
    other.write_text(f"base: {one}")
    with pytest.raises(UsageError, match="is its own base"):
        load_recipe(one)


def test_an_odd_value_in_the_environment_names_its_variable() -> None:
    with pytest.raises(UsageError, match="PGNM_LR is not valid YAML"):
        load_recipe("laptop", environ={"PGNM_LR": "["})


def test_a_base_is_sought_beside_the_file_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, epochs in (("mine", 7), (".", 9)):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "common.yaml").write_text(f"base: laptop\nepochs: {epochs}\n")
    (tmp_path / "here.yaml").write_text("lr: 0.5\n")
    (tmp_path / "mine" / "one.yaml").write_text("base: common.yaml\n")
    (tmp_path / "mine" / "other.yaml").write_text("base: here.yaml\n")
    (tmp_path / "mine" / "round.yaml").write_text("base: ../mine/round.yaml\n")
    monkeypatch.chdir(tmp_path)
    assert load_recipe("mine/one.yaml", environ={}).epochs == 7
    assert load_recipe("mine/other.yaml", environ={}).lr == 0.5
    with pytest.raises(UsageError, match="is its own base"):
        load_recipe("mine/round.yaml", environ={})


def test_a_variable_that_sets_nothing_is_told_with_the_nearest_that_does(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"PGNM_BATCHSIZE": "4", "PGNM_EPOCHS": "3", "OTHER_LR": "1"}
    assert load_recipe("laptop", environ=environ).epochs == 3
    load_recipe("laptop", environ=environ)
    (told,) = caplog.messages
    assert told.startswith("PGNM_BATCHSIZE sets no option") and "did you mean PGNM_BATCH_SIZE" in told
