"""The README.md of a run folder: what the model is, what it was trained on, how well it does, what it is not."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pgnm.checkpoints import RunInfo
from pgnm.config import Recipe
from pgnm.data import Split

_NOISE = {
    "beta": "masks drawn from learned Beta distributions (policy-gradient-driven noise mask, arXiv 2406.14568)",
    "gaussian": "masks of fixed Gaussian noise",
    "uniform": "masks of fixed uniform noise",
    "none": "plain images",
    "apga": "plain images and on what an agent or a given mask keeps of them (APGA, arXiv 1909.04108)",
}


def model_card(recipe: Recipe, info: RunInfo, split: Split, best: Mapping[str, Any]) -> str:
    """Return the model card in Markdown.

    Args:
        recipe: The resolved recipe.
        info: What the run folder says of the classifier.
        split: The images.
        best: Row of metrics.csv of the weights that were kept.
    """
    counts = pd.DataFrame({part: split.class_counts(part) for part in ("train", "val", "test")})
    rows = "\n".join(
        f"| {index} | {name} | {row.train} | {row.val} | {row.test} |"
        for index, (name, row) in enumerate(zip(info.class_names, counts.itertuples(), strict=True))
    )
    kind = "Heated model: pretrained" if info.stage == "pretrain" else "Finetuned"
    scores = "\n".join(
        f"| {title} | {best[key]:.4f} |"
        for key, title in (
            ("val_f1", "macro F1"),
            ("val_balanced_accuracy", "balanced accuracy"),
            ("val_accuracy", "accuracy"),
            ("val_loss", "cross-entropy, nats"),
        )
    )
    return f"""---
library_name: timm
pipeline_tag: image-classification
tags: [timm, image-classification, medical, radiology]
---
# {info.model}, {len(info.class_names)} classes, {info.size} px

{kind} on {_NOISE[info.policy]}; {int(best["epoch"]) + 1} epochs to these weights, seed {info.seed}.

```python
import timm
model = timm.create_model("local-dir:PATH_OF_THIS_FOLDER", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_data_config({{}}, model=model))
```

Input: {info.size} x {info.size} px, three channels, mean {info.mean}, standard deviation {info.std}.

## Validation, plain images

| | |
|---|---|
{scores}

## Images

| class | label | train | val | test |
|---|---|---|---|---|
{rows}

Training technique: {recipe.augment}. All options, versions and hashes of the split are in `recipe.yaml`.

## Limits

Not a medical device and not for diagnosis. The scores above chose the weights, so they flatter them; judge on the test
part with `pgnm eval`. Other scanners, populations and preparations than those of the training images may do worse.
"""
