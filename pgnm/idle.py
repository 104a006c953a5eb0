"""Which options of a recipe do nothing beside its others, so that whoever gave one can be told before the training."""

from collections.abc import Container
from typing import Final

from pgnm.config import PRETRAIN_ONLY, Recipe

_MASK: Final = ("grid", "kernel", "sigma")
_OPTIMISER: Final = ("policy_lr", "policy_opt", "policy_sched")
_AGENT: Final = frozenset(key for key in PRETRAIN_ONLY if key.startswith("agent_"))
_APGA: Final = _AGENT | {"alone_epochs", "aid"}
_HEATED: Final = ("model", "pretrained", "mean", "std")

# What each policy uses of the options that finetuning has not.
_USED: Final = {
    "none": frozenset[str](),
    "gaussian": frozenset(_MASK),
    "uniform": frozenset(_MASK),
    "beta": PRETRAIN_ONLY - _APGA,
    "apga": _APGA | set(_OPTIMISER),
}
# What each objective of the policy beta does not use.
_IDLE_BY_OBJECTIVE: Final = {
    "paper": ("direction", "baseline", "reduction", "masks_per_image", "policy_scale"),
    "reinforce": ("policy_scale",),
    "pathwise": ("baseline", "reduction", "masks_per_image"),
}


def idle_keys(recipe: Recipe) -> dict[str, str]:
    """Return the keys of a recipe whose values change nothing, and beside what, in the words of the flags.

    A recipe of the stage `finetune` is taken to start from a heated model.
    """
    learned = recipe.stage == "pretrain" and recipe.policy in ("beta", "apga")
    idle: dict[str, str] = {}
    if recipe.stage == "pretrain":
        idle |= dict.fromkeys(PRETRAIN_ONLY - _USED[recipe.policy] - {"policy"}, f"--policy {recipe.policy}")
        if recipe.policy == "beta":
            idle |= dict.fromkeys(_IDLE_BY_OBJECTIVE[recipe.objective], f"--objective {recipe.objective}")
        if recipe.policy == "apga" and recipe.aid != "agent":
            idle |= dict.fromkeys((*_AGENT, *_OPTIMISER), f"--aid {recipe.aid}")
            learned = False
    else:
        idle |= dict.fromkeys(_HEATED, "--from, whose model is taken,")
    idle |= _idle_within(recipe, idle)
    if recipe.warmup_epochs == 0:
        idle["warmup_factor"] = "--warmup-epochs 0"
    if recipe.batch_augment is None:
        idle["mix_alpha"] = f"--augment {recipe.augment}"
    if recipe.sched != "step" and not (learned and recipe.policy_sched == "step"):
        idle |= dict.fromkeys(("step_epochs", "step_factor"), f"--sched {recipe.sched}")
    if recipe.opt != "sgd" and not (learned and recipe.policy_opt == "sgd"):
        idle["momentum"] = f"--opt {recipe.opt}"
    return idle


def _idle_within(recipe: Recipe, idle: Container[str]) -> dict[str, str]:
    """Return the keys that another key of the same policy makes idle, where that one is not idle itself."""
    within = {}
    if recipe.kernel <= 1 and "kernel" not in idle:
        within["sigma"] = f"--kernel {recipe.kernel}"
    if recipe.agent_start not in ("otsu", "random") and "agent_start" not in idle:
        within |= dict.fromkeys(
            ("agent_model", "agent_width", "agent_cell"), "--agent-start FILE, whose agent is taken,"
        )
    if "agent_loss" not in idle:
        if recipe.agent_loss != "area":
            within["agent_area"] = f"--agent-loss {recipe.agent_loss}"
        if recipe.agent_loss == "released":
            within["agent_price"] = "--agent-loss released"
    return within
