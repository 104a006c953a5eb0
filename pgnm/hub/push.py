"""Publish a run folder as a model repository that plain timm loads by name."""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml

from pgnm.errors import HubError, RunError, UsageError
from pgnm.hub.card import make_card
from pgnm.hub.patience import patiently, require_hub

_log = logging.getLogger(__name__)

_NEEDED = ("model.safetensors", "config.json")
_LARGE = ("model.safetensors", "policy.safetensors")


@dataclass(frozen=True)
class ModelPushOptions:
    """How to publish a model.

    Attributes:
        repo_id: USER/NAME.
        license: Name of the licence of the weights, None to leave it open.
        public: Make the repository public; private otherwise.
        revision: Branch to push to, made where it is missing; None for main.
    """

    repo_id: str = field(metadata={"help": "Repository to publish to, as USER/NAME."})
    license: str | None = field(default=None, metadata={"help": "Licence of the weights, such as cc-by-4.0."})
    public: bool = field(default=False, metadata={"help": "Make the repository public; it is private otherwise."})
    revision: str | None = field(default=None, metadata={"help": "Branch to publish to; made where it is missing."})


@dataclass(frozen=True)
class ModelPush:
    """What was published, or would be.

    Attributes:
        url: Page of the repository.
        files: (path, bytes) of each file.
    """

    url: str
    files: list[tuple[str, int]]

    @property
    def n_bytes(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size in self.files)


def push_model(
    run: Path,
    options: ModelPushOptions,
    *,
    dry_run: bool = False,
    on_wait: Callable[[str], None] = _log.warning,
) -> ModelPush:
    """Publish weights, configuration, recipe, metrics and card of a run folder in one commit.

    Afterwards `timm.create_model("hf_hub:USER/NAME", pretrained=True)` builds the model. Weights that are on the Hub
    already are not uploaded again, so a failed push is finished by running it again. Predictions and the state for
    resuming stay here.

    Args:
        run: Run folder, as written by `pgnm pretrain` or `pgnm finetune`.
        options: How to publish it.
        dry_run: Only say what would be done; needs no token and no network.
        on_wait: Receives a sentence when the Hub asks to wait.

    Raises:
        RunError: It is not a run folder.
        HubError: The Hub refused, or could not be reached.
        MissingExtraError: The extra `hub` is not installed.
    """
    hub = require_hub()
    _check_repo_id(hub, options.repo_id)
    texts, large = _contents(run, options)
    url = f"{hub.constants.ENDPOINT}/{options.repo_id}"
    sizes = [(path, len(data)) for path, data in texts.items()]
    sizes += [(path, file.stat().st_size) for path, file in large.items()]
    if not dry_run:
        _upload(hub, texts, large, options, on_wait)
    return ModelPush(url, sizes)


def _contents(run: Path, options: ModelPushOptions) -> tuple[dict[str, bytes], dict[str, Path]]:
    for name in _NEEDED:
        if not (run / name).is_file():
            raise RunError(f"{run} is not a run folder: {name} is missing; make one with: pgnm finetune")
    config, recipe = _read_json(run / "config.json"), _read_recipe(run / "recipe.yaml")
    if "architecture" not in config or "pretrained_cfg" not in config:
        raise RunError(f"{run / 'config.json'} is not in timm's hub format; train again with this version of pgnm")
    evaluation = without_machine(_read_json(run / "eval.json"))
    texts = {"config.json": _as_json(config)}
    if recipe:
        texts["recipe.yaml"] = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True).encode()
    if evaluation:
        texts["eval.json"] = _as_json(evaluation)
    if (run / "metrics.csv").is_file():
        texts["metrics.csv"] = (run / "metrics.csv").read_bytes()
    texts["README.md"] = make_card(options.repo_id, options.license, config, recipe, evaluation).encode()
    return texts, {name: run / name for name in _LARGE if (run / name).is_file()}


def _upload(
    hub: Any,
    texts: dict[str, bytes],
    large: dict[str, Path],
    options: ModelPushOptions,
    on_wait: Callable[[str], None],
) -> None:
    api, repo = hub.HfApi(library_name="pgnm"), options.repo_id

    def do(doing: str, call: Callable[[], Any]) -> Any:
        return patiently(doing, call, repo=repo, on_wait=on_wait)

    do("sign in", api.whoami)
    do(f"create {repo}", lambda: api.create_repo(repo, private=not options.public, exist_ok=True))
    if not options.public and do(f"look at {repo}", lambda: api.model_info(repo)).private is False:
        raise HubError(
            f"{repo} is there already and public, but a private repository was asked for; add --public, or make it "
            "private on its settings page, or choose another name"
        )
    if options.revision is not None:
        do("create the branch", lambda: api.create_branch(repo, branch=options.revision, exist_ok=True))
    additions = [hub.CommitOperationAdd(path, str(file)) for path, file in large.items()]
    additions += [hub.CommitOperationAdd(path, data) for path, data in texts.items()]

    def commit() -> None:
        # Fresh copies: a try whose answer was lost must see what is on the Hub by then, and leave it so.
        operations = [hub.CommitOperationAdd(add.path_in_repo, add.path_or_fileobj) for add in additions]
        api.create_commit(repo, operations, commit_message="Add the model", revision=options.revision)

    do(f"upload the model to {repo}", commit)


def _check_repo_id(hub: Any, repo_id: str) -> None:
    if repo_id.count("/") != 1:
        raise UsageError(
            f"--repo-id must read USER/NAME, got '{repo_id}'; put your user or organisation before the name"
        )
    try:
        hub.utils.validate_repo_id(repo_id)
    except ValueError as error:
        raise UsageError(f"--repo-id '{repo_id}' is not a name the Hub takes: {error}") from None


def without_machine(value: Any) -> Any:
    """Shorten absolute paths in settings to their last part, so that folders of this machine are not published."""
    if isinstance(value, dict):
        return {key: without_machine(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_machine(item) for item in value]
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
        return re.split(r"[\\/]", value.rstrip("\\/"))[-1]
    return value


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is not JSON ({error}); evaluate or train again") from None
    return value if isinstance(value, dict) else {}


def _read_recipe(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"{path} is not YAML ({reason}); restore it, or remove it to publish without a recipe") from None
    return without_machine(value) if isinstance(value, dict) else {}


def _as_json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
