"""The page of a published model: what it is, how it was trained, how it was judged, what it is not for."""

import re
from typing import Any

import yaml

from pgnm import __version__

# Metrics of `eval.json` under the names that the Hub gives them.
_HUB_METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "f1": "f1",
    "precision": "precision",
    "recall": "recall",
    "auroc_ovr": "roc_auc",
}
# Licences that the Hub knows by a short name; any other is given as "other" with its name.
_KNOWN_LICENSE = re.compile(r"cc-by(-nc)?(-nd|-sa)?-[234]\.\d|cc0-1\.0|apache-2\.0|mit|bsd-3-clause|gpl-3\.0|unknown")


def make_card(
    repo_id: str, license_name: str | None, config: dict[str, Any], recipe: dict[str, Any], evaluation: dict[str, Any]
) -> str:
    """Return the model card as Markdown with its YAML head.

    Args:
        repo_id: USER/NAME.
        license_name: Licence of the weights, None to leave it open.
        config: `config.json` in timm's hub format.
        recipe: `recipe.yaml`, empty where there is none.
        evaluation: `eval.json`, empty where the model was not judged.
    """
    head = yaml.safe_dump(_metadata(repo_id, license_name, evaluation), sort_keys=False, allow_unicode=True, width=1000)
    sections = [
        f"# {repo_id.split('/')[1]}",
        _summary(config, recipe),
        "## Use\n\n" + _use(repo_id, config),
        "## Results\n\n" + _results(evaluation),
        "## Training\n\n" + _training(recipe),
        "## Classes\n\n" + _classes(config),
        "## Limits\n\n" + _LIMITS,
    ]
    return f"---\n{head}---\n\n" + "\n\n".join(sections) + "\n"


def _metadata(repo_id: str, license_name: str | None, evaluation: dict[str, Any]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"library_name": "timm", "pipeline_tag": "image-classification"}
    if license_name:
        known = _KNOWN_LICENSE.fullmatch(license_name.lower()) is not None
        metadata["license"] = license_name.lower() if known else "other"
        if not known:
            metadata["license_name"] = license_name
    metadata["tags"] = ["timm", "image-classification", "medical", "radiology", "pgnm"]
    results = _model_index(evaluation)
    if results:
        metadata["model-index"] = [{"name": repo_id.split("/")[1], "results": results}]
    return metadata


def _model_index(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for name, entry in _evaluations(evaluation).items():
        metrics = [
            {"type": hub_name, "value": round(float(entry["metrics"][key]), 6), "name": key}
            for key, hub_name in _HUB_METRICS.items()
            if isinstance(entry["metrics"].get(key), int | float)
        ]
        dataset = {"name": f"own data, {entry.get('part') or 'test'} part, {name}", "type": "image-classification"}
        if metrics:
            found.append({"task": {"type": "image-classification"}, "dataset": dataset, "metrics": metrics})
    return found


def _evaluations(evaluation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return every evaluation that was kept, by name; the latest alone where no others are listed."""
    kept = evaluation.get("evaluations")
    if not isinstance(kept, dict) or not kept:
        kept = {f"{evaluation.get('protocol')}, {evaluation.get('input')}": evaluation} if evaluation else {}
    return {
        name: entry
        for name, entry in kept.items()
        if isinstance(entry, dict) and isinstance(entry.get("metrics"), dict)
    }


def _summary(config: dict[str, Any], recipe: dict[str, Any]) -> str:
    size = config["pretrained_cfg"].get("input_size", ["?", "?", "?"])
    stage = {"pretrain": "pretrained", "finetune": "finetuned"}.get(str(recipe.get("stage")), "trained")
    return (
        f"A {config['architecture']} that tells {config.get('num_classes', '?')} classes of medical images of "
        f"{size[1]} x {size[2]} px apart, {stage} with "
        f"pgnm {__version__}, where a policy learns noise masks on the input."
    )


def _use(repo_id: str, config: dict[str, Any]) -> str:
    cfg = config["pretrained_cfg"]
    return (
        "```python\nimport timm\n\n"
        f'model = timm.create_model("hf_hub:{repo_id}", pretrained=True).eval()\n'
        "transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))\n```\n\n"
        f"The input is RGB, normalised with mean {cfg.get('mean')} and standard deviation {cfg.get('std')}."
    )


def _results(evaluation: dict[str, Any]) -> str:
    kept = _evaluations(evaluation)
    if not kept:
        return "The model was not judged before it was published."
    names = list(dict.fromkeys(key for entry in kept.values() for key in entry["metrics"]))
    lines = ["| metric | " + " | ".join(kept) + " |", "|---|" + "---:|" * len(kept)]
    for name in names:
        cells = " | ".join(_number(entry["metrics"].get(name)) for entry in kept.values())
        lines.append(f"| {name} | {cells} |")
    count = evaluation.get("n_images")
    told = f"On {count:,} images of the part `{evaluation.get('part')}`." if isinstance(count, int) else ""
    return "\n".join([told, "", *lines]) if told else "\n".join(lines)


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)


def _training(recipe: dict[str, Any]) -> str:
    if not recipe:
        return "The recipe was not recorded."
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
    return f"The resolved recipe, with versions and the hashes of the split it was trained on:\n\n```yaml\n{text}```"


def _classes(config: dict[str, Any]) -> str:
    names = config.get("label_names") or []
    return ", ".join(f"`{name}`" for name in names) if names else "The names of the classes were not recorded."


_LIMITS = """\
- Not a medical device and not for diagnosis.
- The metrics hold for images like those it was judged on; scanners, sites and patients elsewhere differ.
- Terms of the images it was trained on may also hold for the weights."""
