"""The page of a published data set: what it holds, how it was made, what it proves, what it is not."""

import re
from dataclasses import dataclass
from typing import Any

import yaml

from radrefine import __version__
from radrefine.hub.content import HUB_NAMES, SplitFolder, without_machine

# Licences that the Hub knows by a short name; any other is given as "other" with its name.
_KNOWN_LICENSE = re.compile(
    r"cc-by(-nc)?(-nd|-sa)?-[234]\.\d|cc0-1\.0|apache-2\.0|mit|bsd-3-clause|gpl-3\.0|odc-by|odbl|pddl|unlicense|unknown"
)
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


@dataclass(frozen=True)
class CardFacts:
    """What the card says beyond the split folder.

    Attributes:
        repo_id: USER/NAME.
        license: Name of the licence, None where only masks and tables are published without one.
        with_images: Whether the images are in the repository.
        n_masks: Masks in the repository.
        manifest: Whether the manifest is in the repository.
        findings: Whether the table of found marks is.
        pictures: Paths of pictures to show, with a caption each.
    """

    repo_id: str
    license: str | None
    with_images: bool
    n_masks: int
    manifest: bool
    findings: bool
    pictures: tuple[tuple[str, str], ...] = ()


def make_card(split: SplitFolder, facts: CardFacts) -> str:
    """Return the card as Markdown with its YAML head."""
    head = yaml.safe_dump(_metadata(split, facts), sort_keys=False, allow_unicode=True, width=1000)
    sections = [
        f"# {facts.repo_id.split('/')[1]}",
        _summary(split, facts),
        "\n\n".join(f"![{caption}]({path})" for path, caption in facts.pictures),
        "## Use\n\n" + _use(facts),
        "## Images per class and split\n\n" + _counts(split),
        "## Splits and leakage\n\n" + _proof(split),
        "## Refinement\n\n" + _settings(split),
        "## Limits\n\n" + _LIMITS,
        "## Rights and citation\n\n" + _rights(facts),
    ]
    return f"---\n{head}---\n\n" + "\n\n".join(section for section in sections if section) + "\n"


def _metadata(split: SplitFolder, facts: CardFacts) -> dict[str, Any]:
    metadata: dict[str, Any] = {"pretty_name": facts.repo_id.split("/")[1]}
    if facts.license:
        known = _KNOWN_LICENSE.fullmatch(facts.license.lower()) is not None
        metadata["license"] = facts.license.lower() if known else "other"
        if not known:
            metadata["license_name"] = facts.license
    metadata["task_categories"] = ["image-classification"]
    metadata["tags"] = ["medical", "radiology", "radrefine"]
    metadata["size_categories"] = [next((name for limit, name in _SIZES if split.n_images < limit), "1M<n<10M")]
    metadata["configs"] = _configs(split, facts)
    return metadata


def _configs(split: SplitFolder, facts: CardFacts) -> list[dict[str, Any]]:
    parts = [(part, HUB_NAMES[part]) for part in split.frames if len(split.frames[part])]
    tables = [{"split": name, "path": f"splits/{part}.csv"} for part, name in parts]
    shards = [{"split": name, "path": f"data/{name}-*.parquet"} for _, name in parts]
    configs: list[dict[str, Any]] = []
    if facts.with_images:
        configs.append({"config_name": "default", "data_files": shards, "default": True})
        configs.append({"config_name": "splits", "data_files": tables})
    else:
        configs.append({"config_name": "splits", "data_files": tables, "default": True})
    if facts.n_masks:
        configs.append({"config_name": "masks", "data_files": [{"split": "train", "path": "masks/masks-*.parquet"}]})
    for there, name in ((facts.manifest, "manifest"), (facts.findings, "findings")):
        if there:
            configs.append({"config_name": name, "data_files": [{"split": "train", "path": f"{name}.parquet"}]})
    return configs


def _summary(split: SplitFolder, facts: CardFacts) -> str:
    what = "refined images" if facts.with_images else "masks, tables and splits; the images themselves are not included"
    lines = [
        f"A medical image collection of {split.n_images:,} images in {len(split.class_names):,} classes, prepared with "
        f"radrefine {__version__}: burned-in marks found and filled, and split by class and whole groups. This "
        f"repository holds the {what}.",
    ]
    if facts.n_masks:
        lines.append(f"It holds {facts.n_masks:,} masks of replaced pixels (8 bit, 255 = replaced).")
    return " ".join(lines)


def _use(facts: CardFacts) -> str:
    blocks = []
    if facts.with_images:
        blocks.append(
            "```python\nfrom datasets import load_dataset\n\n"
            f'images = load_dataset("{facts.repo_id}")  # image, label, path; train, validation, test\n```'
        )
    blocks.append(
        "To make the same refined collection and splits from your own copy of the source images:\n\n"
        f"```\nradrefine fetch {facts.repo_id} --out published\n"
        "radrefine clean --src SOURCE --out refined --masks published/masks\n"
        "radrefine split refined --out split --given published/splits/train.csv --given published/splits/val.csv "
        "--given published/splits/test.csv\n```"
    )
    return "\n\n".join(blocks)


def _counts(split: SplitFolder) -> str:
    parts = list(split.frames)
    lines = [f"| label | {' | '.join(HUB_NAMES[part] for part in parts)} |", "|---|" + "---:|" * len(parts)]
    counts = {part: split.frames[part]["class_index"].value_counts() for part in parts}
    for index, name in enumerate(split.class_names):
        cells = " | ".join(f"{int(counts[part].get(index, 0)):,}" for part in parts)
        lines.append(f"| {_cell(name)} | {cells} |")
    lines.append("| **all** | " + " | ".join(f"{len(split.frames[part]):,}" for part in parts) + " |")
    return "\n".join(lines)


def _proof(split: SplitFolder) -> str:
    shared = split.shared()
    if shared:
        told = ", ".join(f"{name.replace('_', ' ')}: {count:,}" for name, count in shared.items())
        verdict = f"**The splits are not free of leakage** ({told}): results on the test split are too good."
    else:
        verdict = "Nothing that `radrefine split` could check is shared between the splits."
    facts = {key: value for key, value in without_machine(split.facts).items() if key != "schema"}
    return "\n".join([f"{verdict} What it recorded:", "", *_list(facts)])


def _settings(split: SplitFolder) -> str:
    run = {key: item for key, item in without_machine(split.run()).items() if key != "schema"}
    if not run:
        return "The settings were not recorded with the images."
    return "\n".join(_list(run))


def _list(value: dict[str, Any], depth: int = 0) -> list[str]:
    lines = []
    for key, item in value.items():
        name = f"{'  ' * depth}- {str(key).replace('_', ' ')}"
        if isinstance(item, dict) and item and len(item) <= 40:
            lines += [f"{name}:", *_list(item, depth + 1)]
        elif (isinstance(item, dict | list) and len(item) > 40) or (isinstance(item, list) and _holds_tables(item)):
            lines.append(f"{name}: {len(item):,} entries, see the files of this repository")
        else:
            lines.append(f"{name}: {_plain(item)}")
    return lines


def _holds_tables(items: list[Any]) -> bool:
    return any(isinstance(item, dict | list) for item in items)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "not recorded" if value is None else _cell(str(value))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


_LIMITS = """\
- Not a medical device and not for diagnosis. Filled pixels are an estimate; they show no anatomy that was measured.
- Finding marks reduces what is burned into images; it does not promise that every mark is gone, and it is not
  de-identification. File names are published as they are, groups as numbers only.
- The absence of leakage is proven for equal files, equal pixels and the recorded groups. Where patients are unknown,
  images of one patient may be in two splits."""


def _rights(facts: CardFacts) -> str:
    licence = f"Published under: {facts.license}. " if facts.license else ""
    return (
        f"{licence}The rights in the source images stay with their owners; their terms also hold for what is made from "
        "them. Cite the source of the images; for RadImageNet:\n\n"
        "```bibtex\n@article{mei2022radimagenet,\n"
        "  title = {RadImageNet: An Open Radiologic Deep Learning Research Dataset for Effective Transfer Learning},\n"
        "  author = {Mei, Xueyan and others},\n  journal = {Radiology: Artificial Intelligence},\n"
        "  volume = {4},\n  number = {5},\n  year = {2022},\n  doi = {10.1148/ryai.210315}\n}\n```"
    )
