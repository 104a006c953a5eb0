"""Run folders: a classifier that plain timm loads, the policy beside it, and all that resuming needs.

```
model.safetensors, config.json   loads with timm.create_model("local-dir:<run>", pretrained=True)
policy.safetensors               pretraining only
state/last.pt                    everything to go on exactly; tensors and plain values only
metrics.csv                      a row per epoch
recipe.yaml                      the resolved recipe, versions, hashes of the input
README.md                        model card
```
"""

import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from pgnm.config import JUDGED_SHARE, Recipe
from pgnm.errors import RunError
from pgnm.files import atomic_path, write_bytes, write_json
from pgnm.models import create_classifier
from pgnm.policy import NoisePolicy

_log = logging.getLogger(__name__)

MODEL_FILE: Final = "model.safetensors"
CONFIG_FILE: Final = "config.json"
POLICY_FILE: Final = "policy.safetensors"
METRICS_FILE: Final = "metrics.csv"
RECIPE_FILE: Final = "recipe.yaml"
PREDICTIONS_FILE: Final = "predictions.parquet"
STATE_FILE: Final = "state/last.pt"


@dataclass(frozen=True)
class RunInfo:
    """What a run folder says of its classifier.

    Attributes:
        model: Name of the timm architecture.
        class_names: Label of each output.
        size: Side of the input, px.
        mean: Mean of the intensities, in [0, 1].
        std: Standard deviation of the intensities.
        crop_min: Smallest share of an image that training cropped to; where it is 1, the whole image is judged too.
        stage: pretrain or finetune.
        policy: What drew the noise masks in pretraining; `none` otherwise.
        grid: Side of the mask grid; 0 without a policy.
        kernel: Side of the blur, px.
        sigma: Standard deviation of the blur, px.
        policy_model: Feature extractor of the policy.
        prior_weight: Weight of the dataset-level shapes (lambda).
        prior_momentum: Momentum of the dataset-level shapes (mu).
        seed: Seed of the run.
    """

    model: str
    class_names: tuple[str, ...]
    size: int
    mean: float
    std: float
    crop_min: float = 0.08
    stage: str = "finetune"
    policy: str = "none"
    grid: int = 0
    kernel: int = 0
    sigma: float = 0.0
    policy_model: str = "resnet10t"
    prior_weight: float = 0.9
    prior_momentum: float = 0.99
    seed: int = 0

    @classmethod
    def from_recipe(cls, recipe: Recipe, class_names: Sequence[str]) -> "RunInfo":
        """Describe the run of a resolved recipe."""
        masked = recipe.stage == "pretrain" and recipe.policy not in ("none", "apga")
        own = {key.name for key in fields(cls)} & set(recipe.to_dict())
        values = {key: value for key, value in recipe.to_dict().items() if key in own}
        if not masked:
            policy = recipe.policy if recipe.stage == "pretrain" else "none"
            values |= {"policy": policy, "grid": 0, "kernel": 0, "sigma": 0.0}
        return cls(class_names=tuple(class_names), **values)


def save_classifier(run: Path, model: nn.Module, info: RunInfo) -> None:
    """Write the classifier in timm's hub format: weights and config.json, each whole or not at all."""
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    with atomic_path(run / MODEL_FILE) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    write_json(run / CONFIG_FILE, _timm_config(model, info))


def load_classifier(run: str | Path) -> tuple[nn.Module, RunInfo]:
    """Load the classifier of a run folder on the CPU, in evaluation mode.

    Raises:
        RunError: Not a run folder, or one that is incomplete or damaged.
    """
    folder = Path(run)
    config = read_config(folder)
    info = _info_from(folder, config)
    model = create_classifier(info.model, len(info.class_names), size=info.size)
    _load_weights(folder / MODEL_FILE, model)
    return model.eval(), info


def read_info(run: str | Path) -> RunInfo:
    """Read what a run folder says of its classifier, without its weights.

    Raises:
        RunError: Not a run folder, or one whose configuration is damaged.
    """
    folder = Path(run)
    return _info_from(folder, read_config(folder))


def save_policy(run: Path, policy: nn.Module) -> None:
    """Write the policy's weights and dataset-level shapes."""
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in policy.state_dict().items()}
    with atomic_path(run / POLICY_FILE) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})


def save_state(run: Path, state: Mapping[str, Any]) -> None:
    """Write all that resuming needs: tensors, numbers, strings, lists and dictionaries only."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_bytes(run / STATE_FILE, buffer.getvalue())


def load_state(run: Path) -> dict[str, Any] | None:
    """Read what `save_state` wrote; None where the run has no state yet.

    Raises:
        RunError: The file is damaged or holds anything but tensors and plain values.
    """
    path = run / STATE_FILE
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        raise RunError(f"{path} cannot be read ({error}); remove {run} and start anew") from None
    return dict(state)


def load_policy(run: str | Path) -> NoisePolicy | None:
    """Load the policy of a pretrained run on the CPU, in evaluation mode; None where nothing was learned.

    Raises:
        RunError: Not a run folder, or one whose policy is damaged.
    """
    folder = Path(run)
    info = read_info(folder)
    if info.policy != "beta":
        return None
    policy = NoisePolicy(info.grid, info.policy_model, lam=info.prior_weight, mu=info.prior_momentum)
    _load_weights(folder / POLICY_FILE, policy)
    return policy.eval()


def _timm_config(model: nn.Module, info: RunInfo) -> dict[str, Any]:
    shape = [3, info.size, info.size]
    defaults: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    preprocessing = {
        "tag": "pgnm",
        "custom_load": False,
        "input_size": shape,
        "fixed_input_size": bool(defaults.get("fixed_input_size", False)),
        "interpolation": "bilinear",
        "crop_pct": JUDGED_SHARE if info.crop_min < 1 else 1.0,
        "crop_mode": "center" if info.crop_min < 1 else "squash",
        "mean": [info.mean] * 3,
        "std": [info.std] * 3,
        "num_classes": len(info.class_names),
        "first_conv": defaults.get("first_conv"),
        "classifier": defaults.get("classifier"),
    }
    config: dict[str, Any] = {
        "architecture": info.model.split(".")[0],
        "num_classes": len(info.class_names),
        "num_features": int(model.num_features),  # type: ignore[arg-type]
        "label_names": list(info.class_names),
        "pretrained_cfg": preprocessing,
        "pgnm": {key: value for key, value in asdict(info).items() if key != "class_names"},
    }
    if preprocessing["fixed_input_size"]:
        config["model_args"] = {"img_size": info.size}
    return config


def read_config(folder: Path) -> dict[str, Any]:
    """Return what config.json of a run folder holds; raise RunError where it is missing or damaged."""
    path = folder / CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{folder} is not a run folder (no {CONFIG_FILE}); make one with: pgnm pretrain") from None
    except ValueError as error:
        raise RunError(f"{path} is not valid JSON: {error}; train again") from None
    if not isinstance(config, dict):
        raise RunError(f"{path} must hold keys and values, got a {type(config).__name__}; train again")
    return config


def _info_from(folder: Path, config: Mapping[str, Any]) -> RunInfo:
    """Read pgnm's own record, or what timm's format tells of a model that was trained elsewhere."""
    try:
        own = config.get("pgnm", {})
        if not isinstance(own, dict):
            raise TypeError("keys and values under pgnm")
        own = dict(own)
        cfg = config["pretrained_cfg"]
        names = config.get("label_names") or [str(index) for index in range(config["num_classes"])]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise TypeError("a list of texts under label_names")
        if not {"mean", "std"} <= own.keys():
            _refuse_channels(folder, cfg)
        if "crop_min" not in own:
            own["crop_min"] = _crop_min_from(folder, cfg)
        own.setdefault("model", config["architecture"])
        own.setdefault("size", cfg["input_size"][1])
        own.setdefault("mean", cfg["mean"][0])
        own.setdefault("std", cfg["std"][0])
        if not isinstance(own["model"], str):
            raise TypeError("the name of a model")
        known = {key.name for key in fields(RunInfo)}
        return RunInfo(class_names=tuple(names), **{key: value for key, value in own.items() if key in known})
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise RunError(
            f"{folder / CONFIG_FILE} lacks {error}; expected a config.json as pgnm or timm writes it"
        ) from None


def _crop_min_from(folder: Path, cfg: Mapping[str, Any]) -> float:
    """Return the `crop_min` of images as timm's settings show them: squashed whole, or the centre."""
    how, share = cfg.get("crop_mode") or "center", cfg.get("crop_pct", JUDGED_SHARE)
    if how == "squash":
        return 1.0
    if (how, share) != ("center", JUDGED_SHARE):
        told = f"{folder} shows images by crop_mode {how}, crop_pct {share}"
        _log.warning("%s; judged here is the central %g of their sides", told, JUDGED_SHARE)
    return RunInfo.crop_min


def _refuse_channels(folder: Path, cfg: Mapping[str, Any]) -> None:
    """Raise RunError where weights of timm want each channel normalised in its own way; here one mean serves all."""
    if len(set(cfg["mean"])) == len(set(cfg["std"])) == 1:
        return
    raise RunError(
        f"{folder} normalises each channel by its own mean and standard deviation ({cfg['mean']}, {cfg['std']}), a "
        f"run of pgnm all by one; compare it in probes as --backbone imagenet:{folder}"
    )


def _load_weights(path: Path, module: nn.Module) -> None:
    try:
        module.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise RunError(f"{path} is missing; train again") from None
    except (SafetensorError, RuntimeError) as error:
        raise RunError(f"{path} does not fit its configuration or is damaged ({error}); train again") from None
