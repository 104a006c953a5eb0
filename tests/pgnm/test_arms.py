"""Arms of a study: planned from recipes, changes and sweeps."""

import pytest

from pgnm.arms import plan_arms
from pgnm.errors import UsageError


def test_arms_are_planned_from_recipes_changes_and_sweeps():
    arms = plan_arms(
        ["base=laptop:policy=none,lr=0.05", "laptop"],
        changes={"size": 32, "epochs": 3, "lr": 0.2, "batch_size": 8},
        sweeps=["grid=4,8", "kernel=0,3"],
    )
    assert [arm.name for arm in arms] == [
        "base",
        "laptop-grid4-kernel0",
        "laptop-grid4-kernel3",
        "laptop-grid8-kernel0",
        "laptop-grid8-kernel3",
    ]
    assert (arms[0].pretrain.policy, arms[0].pretrain.lr, arms[0].pretrain.size) == ("none", 0.05, 32)
    assert (arms[2].pretrain.grid, arms[2].pretrain.kernel, arms[2].pretrain.lr) == (4, 3, 0.2)
    assert arms[0].finetune.batch_size == 8
    assert arms[0].epochs == 3 + arms[0].finetune.epochs
    assert [kind for _, kind in arms[1].stages()] == ["normalized", "noisy", "normalized"]
    assert arms[0].stages() == [("heated", "normalized"), ("finetuned", "normalized")]


def test_what_an_arm_shares_with_its_second_stage_reaches_it():
    arms = plan_arms(
        ["one=laptop:limit_train=40,batch_size=4,precision=fp32,lr=0.5", "two=laptop"],
        changes={"batch_size": 8},
        finetune_changes={"epochs": 2, "batch_size": 6},
    )
    plain = plan_arms(["laptop"])[0].finetune
    assert arms[0].finetune == plain.replace(limit_train=40, batch_size=6, precision="fp32", epochs=2)
    assert arms[1].finetune == plain.replace(batch_size=6, epochs=2)
    own = plan_arms(["laptop:batch_size=4"], changes={"batch_size": 8, "limit_val": 9})[0].finetune
    assert own == plain.replace(batch_size=4, limit_val=9)


@pytest.mark.parametrize(
    ("specs", "sweeps", "message"),
    [
        (["laptop", "laptop"], [], "different names, got laptop, laptop"),
        (["laptop:policy"], [], "expected key=value after the colon, got 'policy'"),
        (["laptop:polcy=none"], [], "unknown key 'polcy'"),
        (["laptop_finetune"], [], "stage pretrain"),
        (["laptop"], ["lr=1,2"], "--sweep is KEY=VALUE"),
    ],
)
def test_wrong_specs_say_what_is_expected(specs, sweeps, message):
    with pytest.raises(UsageError, match=message):
        plan_arms(specs, sweeps=sweeps)


def test_an_arm_has_no_seed_of_its_own():
    with pytest.raises(UsageError, match="all arms have the same seeds"):
        plan_arms(["laptop:seed=5"])
