"""Recipes: every option of training by one name, in YAML, in the environment, on the command line and in the library.

`pgnm.recipe_files` reads them.
"""

import dataclasses
import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pgnm.errors import UsageError

POLICIES: Final = ("beta", "gaussian", "uniform", "none", "apga")
OBJECTIVES: Final = ("paper", "reinforce", "pathwise")
IMAGE_AUGMENTS: Final = ("autoaugment", "randaugment", "augmix")
BATCH_AUGMENTS: Final = ("cutmix", "mixup")
JUDGED_SHARE: Final = 224 / 256
"""Share of the shorter side that evaluation sees: the paper takes the central 224 px of 256 (section 1.4)."""

PRETRAIN_ONLY: Final = frozenset(
    {
        "policy",
        "objective",
        "grid",
        "kernel",
        "sigma",
        "policy_model",
        "policy_size",
        "policy_lr",
        "policy_opt",
        "policy_sched",
        "prior_weight",
        "prior_momentum",
        "initial_shapes",
        "direction",
        "baseline",
        "reduction",
        "masks_per_image",
        "policy_scale",
        "agent_model",
        "agent_width",
        "agent_cell",
        "agent_start",
        "agent_loss",
        "agent_reward",
        "agent_pay",
        "agent_area",
        "agent_bound",
        "agent_action",
        "agent_actions",
        "agent_price",
        "alone_epochs",
        "aid",
    }
)
"""Keys that mean nothing in finetuning."""


def _option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """Describe one key of a recipe; `low` and `high` are allowed values."""
    return field(default=default, metadata={"help": help, "choices": choices, "low": low, "high": high})


@dataclass(frozen=True, slots=True)
class Recipe:
    """All options of one training stage; the help of each key is in its field's metadata.

    Raises:
        UsageError: A value is of the wrong type or outside its range; the message names the flag.
    """

    stage: str = _option("pretrain", "Stage that the recipe is for.", choices=("pretrain", "finetune"))

    model: str = _option("resnet10t", "Classifier: any image model of timm. Finetuning takes the heated model's.")
    pretrained: bool = _option(False, "Start the classifier from timm's published weights (needs the network).")
    size: int = _option(64, "Side of the square input images, px; 0 in finetuning: as the heated model.", low=0)

    epochs: int = _option(5, "Passes over the training images.", low=1)
    batch_size: int = _option(64, "Images per step and device.", low=2)
    accumulate: int = _option(1, "Batches whose gradients are summed before one update.", low=1)
    lr: float = _option(0.1, "Learning rate of the classifier.", low=0)
    opt: str = _option("sgd", "Optimiser of the classifier.", choices=("sgd", "adamw", "adam"))
    momentum: float = _option(0.9, "Momentum of SGD, for classifier and policy.", low=0, high=1)
    weight_decay: float = _option(1e-4, "Weight decay, for classifier and policy.", low=0)
    clip_grad: float = _option(0.0, "Largest norm of the gradient of each network; 0: no clipping.", low=0)
    sched: str = _option("cosine", "Course of the learning rate.", choices=("constant", "step", "cosine"))
    sched_on: str = _option("step", "How often the learning rate moves.", choices=("step", "epoch"))
    step_epochs: int = _option(30, "Epochs between two falls of the schedule `step`.", low=1)
    step_factor: float = _option(0.1, "Factor of each fall of the schedule `step`.", low=0, high=1)
    warmup_epochs: int = _option(0, "Epochs of linear warm-up.", low=0)
    warmup_factor: float = _option(0.01, "Share of the learning rate at which the warm-up starts.", low=0, high=1)

    augment: str = _option("autoaugment", "Training technique besides crop and flip: none, autoaugment, randaugment, "
                           "augmix, cutmix, mixup, or one image and one batch technique joined by +.")  # fmt: skip
    crop_min: float = _option(0.08, "Smallest share of the image's area that a random crop keeps; 1: no crop.",
                              low=0.01, high=1)  # fmt: skip
    flip: float = _option(0.5, "Share of training images that are mirrored left to right.", low=0, high=1)
    mix_alpha: float = _option(1.0, "Parameter of the Beta distribution of cutmix and mixup.", low=0.01)
    mean: float = _option(0.3162, "Mean of the intensities of all channels, in [0, 1].", low=0, high=1)
    std: float = _option(0.3213, "Standard deviation of the intensities of all channels.", low=1e-3)
    label_smoothing: float = _option(0.0, "Share of the target spread over all classes.", low=0, high=0.99)
    class_balance: str = _option("none", "Answer to unequal classes: weights in the loss, or a weighted sampler.",
                                 choices=("none", "loss", "sampler"))  # fmt: skip

    policy: str = _option("beta", "What draws the noise masks; apga: adversarial policy-gradient augmentation, whose "
                          "agent learns with the options of the policy.", choices=POLICIES)  # fmt: skip
    objective: str = _option("paper", "How the policy learns; pathwise is the reparameterised variant.",
                             choices=OBJECTIVES)  # fmt: skip
    grid: int = _option(16, "Side of the grid on which masks are drawn; at most the image side.", low=1)
    kernel: int = _option(5, "Side of the Gaussian blur of the masks, odd, px; 0: no blur.", low=0)
    sigma: float = _option(1.5, "Standard deviation of the Gaussian blur of the masks, px.", low=0)
    policy_model: str = _option("resnet10t", "Feature extractor of the policy.")
    policy_size: int = _option(0, "Side of the images that the policy sees, px, where smaller than --size; 0: as the "
                               "classifier, as published. A quarter of the pixels costs a quarter.", low=0)  # fmt: skip
    policy_lr: float = _option(0.01, "Learning rate of the policy.", low=0)
    policy_opt: str = _option("sgd", "Optimiser of the policy.", choices=("sgd", "adamw", "adam"))
    policy_sched: str = _option("cosine", "Course of the policy's learning rate.",
                                choices=("constant", "step", "cosine"))  # fmt: skip
    prior_weight: float = _option(0.9, "Weight of the dataset-level shapes in each image's shapes (lambda, Eq 2).",
                                  low=0, high=1)  # fmt: skip
    prior_momentum: float = _option(0.99, "Momentum of the dataset-level shapes (mu, Eq 10-11).", low=0, high=1)

    initial_shapes: str = _option("normal", "First dataset-level log-shapes: as the paper, or uniform as released.",
                                  choices=("normal", "uniform"))  # fmt: skip
    direction: str = _option("cooperate", "Whether masks that lower (cooperate) or raise (oppose) the loss become "
                             "likelier; not for the objective paper.", choices=("cooperate", "oppose"))  # fmt: skip
    baseline: str = _option("batch", "What reinforce compares each image's loss with: the batch's other images, a "
                            "running mean, or the other masks of the same image.",
                            choices=("batch", "running", "leave_one_out"))  # fmt: skip
    reduction: str = _option("sqrt", "Scale of reinforce's joint log-probability over K entries: 1, 1/sqrt(K), 1/K.",
                             choices=("sum", "sqrt", "mean"))  # fmt: skip
    masks_per_image: int = _option(1, "Masks drawn for each image; the baseline leave_one_out needs at least 2.", low=1)
    policy_scale: float = _option(1.0, "Weight of the policy's gradient with the objective pathwise.", low=0)

    agent_model: str = _option("vgg11", "Encoder of the apga agent: a timm model with features at several scales.")
    agent_width: int = _option(32, "Channels of the agent's decoder at the finest scale.", low=1)
    agent_cell: int = _option(1, "Side of the squares that share one mask value, px.", low=1)
    agent_start: str = _option("otsu", "First weights of the agent: otsu (learns the foreground while the classifier "
                               "learns alone), random, or a policy.safetensors of an earlier run.")  # fmt: skip
    agent_loss: str = _option("released", "The agent's loss: as in the paper's text, in its released code, or with a "
                              "price that holds the mask at an area.",
                              choices=("paper", "released", "area"))  # fmt: skip
    agent_reward: str = _option("batch", "One reward for the batch, as published, or one per image.",
                                choices=("batch", "image"))  # fmt: skip
    agent_pay: str = _option("erased", "What the loss without the marked part is compared with: the whole image's, as "
                             "published, or the marked part's alone.", choices=("erased", "contrast"))  # fmt: skip
    agent_area: float = _option(0.1, "Share of an image to mark, for the agent's loss area.", low=0, high=1)
    agent_bound: float = _option(0.0, "Largest absolute logit of the agent in training, so that it goes on exploring; "
                                 "0: none, as published.", low=0)  # fmt: skip
    agent_action: str = _option("threshold", "The agent's mask: P > 0.5, as published, or drawn with probability P.",
                                choices=("threshold", "bernoulli"))  # fmt: skip
    agent_actions: int = _option(1, "Masks tried for each image; above 1 with bernoulli and reward image only.", low=1)
    agent_price: float = _option(
        1e-3, "Weight of the price of marking in the agent's losses paper and area (lambda).", low=0
    )
    alone_epochs: int = _option(1, "Epochs in which the classifier of apga learns alone, before the agent.", low=0)
    aid: str = _option("agent", "What marks the aiding image of apga: the agent, or for comparison cutout, or gradcam "
                       "of the classifier as it was after learning alone.",
                       choices=("agent", "cutout", "gradcam"))  # fmt: skip

    keep: str = _option("best", "Which weights are kept: best by validation macro F1, or last.",
                        choices=("best", "last"))  # fmt: skip
    ema: float = _option(0.0, "Decay of an average of the weights that is validated and kept; 0: none.",
                         low=0, high=0.99999)  # fmt: skip
    early_stop: int = _option(0, "Stop after so many epochs without a better validation F1; 0: never.", low=0)

    workers: int = _option(-1, "Processes that load images; -1: chosen from the processors at hand.", low=-1)
    cache: str = _option("auto", "Keep decoded images in memory; auto: where they fit.", choices=("auto", "on", "off"))
    device: str = _option("auto", "Device: auto, cpu, cuda, cuda:1, mps.")
    precision: str = _option("auto", "Arithmetic; auto: bf16 where the device gains by it.",
                             choices=("auto", "fp32", "bf16", "fp16"))  # fmt: skip
    compile: bool = _option(False, "Compile the classifier with torch.compile.")
    seed: int = _option(0, "Seed of everything random.", low=0, high=2**31 - 1)
    save_every: int = _option(0, "Steps between two saved states within an epoch; 0: only after each epoch.", low=0)
    limit_train: int = _option(0, "Use at most so many training images; 0: all.", low=0)
    limit_val: int = _option(0, "Use at most so many validation images; 0: all.", low=0)
    track: str = _option("none", "Where to log curves besides metrics.csv.", choices=("none", "tensorboard", "wandb"))

    def __post_init__(self) -> None:
        for key in dataclasses.fields(self):
            object.__setattr__(self, key.name, _checked(key, getattr(self, key.name)))
        _check_augment(self.augment)
        if self.kernel and self.kernel % 2 == 0:
            raise UsageError(f"--kernel must be odd or 0, got {self.kernel}; take {self.kernel + 1}")
        if self.kernel and self.sigma == 0:
            raise UsageError("--sigma must be above 0 where --kernel blurs, got 0; give a sigma or --kernel 0")
        if self.stage == "pretrain":
            self._check_pretrain()

    def _check_pretrain(self) -> None:
        if not self.size:
            raise UsageError("--size must be at least 1 in pretraining, got 0; 64 suits a laptop, 224 is the paper's")
        if self.policy == "apga" and self.accumulate > 1:
            raise UsageError(f"--accumulate must be 1 with --policy apga, got {self.accumulate}; raise --batch-size")
        if self.policy not in ("none", "apga"):
            if self.grid > self.size:
                raise UsageError(f"--grid must be at most --size {self.size}, got {self.grid}; take {self.size // 4}")
            # Reflection at the border needs half a kernel of mask beyond each edge.
            if self.kernel // 2 >= self.size:
                raise UsageError(f"--kernel must be below twice --size {self.size}, got {self.kernel}")

        if self.baseline == "leave_one_out" and self.masks_per_image < 2:
            raise UsageError(
                f"--baseline leave_one_out needs --masks-per-image of at least 2, got {self.masks_per_image}"
            )
        if self.masks_per_image > 1 and (self.policy, self.objective) != ("beta", "reinforce"):
            raise UsageError(
                "--masks-per-image above 1 is for --policy beta with --objective reinforce only; leave it at 1"
            )

    @property
    def image_augment(self) -> str | None:
        """The technique applied to single images, None for none."""
        return next((part for part in self.augment.split("+") if part in IMAGE_AUGMENTS), None)

    @property
    def batch_augment(self) -> str | None:
        """The technique that mixes the images of a batch, None for none."""
        return next((part for part in self.augment.split("+") if part in BATCH_AUGMENTS), None)

    @property
    def policy_side(self) -> int:
        """Side of the images that the policy sees, px."""
        return min(self.size, self.policy_size or self.size)

    def replace(self, **changes: Any) -> "Recipe":
        """Return a copy with some keys changed, checked anew."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return all keys and values, in the order of the fields."""
        return dataclasses.asdict(self)


def _checked(key: "dataclasses.Field[Any]", value: Any) -> Any:
    """Return `value` in the type of its field; YAML reads 1e-4 as a string and 1 as an integer."""
    flag = "--" + key.name.replace("_", "-")
    kind: type = type(key.default)
    if kind is str and isinstance(value, bool):  # YAML reads on and off as true and false
        value = "on" if value else "off"
    try:
        if kind is bool and not isinstance(value, bool):
            raise ValueError
        if kind is int and (isinstance(value, bool) or float(value) != int(value)):
            raise ValueError
        value = kind(value)
        if kind is float and not math.isfinite(value):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{flag} must be {_KIND_NAMES[kind]}, got {value!r}") from None
    choices, low, high = (key.metadata[name] for name in ("choices", "low", "high"))
    if choices and value not in choices:
        raise UsageError(f"{flag} must be one of {', '.join(choices)}; got {value!r}{nearest(str(value), choices)}")
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        bounds = f"at least {low}" if high is None else f"between {low} and {high}"
        raise UsageError(f"{flag} must be {bounds}, got {value}")
    return value


_KIND_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}


def _check_augment(augment: str) -> None:
    parts = augment.split("+")
    known = ("none", *IMAGE_AUGMENTS, *BATCH_AUGMENTS)
    for part in parts:
        if part not in known:
            raise UsageError(f"--augment must be made of {', '.join(known)}; got {part!r}{nearest(part, known)}")
    for group in (IMAGE_AUGMENTS, BATCH_AUGMENTS):
        if sum(part in group for part in parts) > 1:
            raise UsageError(f"--augment takes at most one of {', '.join(group)}; got {augment!r}")


def nearest(word: str, known: Sequence[str]) -> str:
    """Return a question after the known words most like a wrong one; empty where none is like it."""
    matches = difflib.get_close_matches(word, known, n=3)
    return f"; did you mean {' or '.join(matches)}?" if matches else ""
