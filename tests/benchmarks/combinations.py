"""Every noise, objective and augmentation, each trained briefly to the end: one table.

python tests/benchmarks/combinations.py SPLIT [--images 300] [--epochs 1] [--size 64] [--out TABLE.md]

A row says whether all numbers stayed finite, and gives the last loss, validation macro F1, images per second and the
mean of the masks. After one epoch the F1 only shows that a combination learns at all; it ranks nothing.
"""

import argparse
import logging
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pgnm.config import Recipe
from pgnm.errors import PgnmError
from pgnm.pretrain import pretrain
from pgnm.recipe_files import load_recipe

AUGMENTS = ("none", "autoaugment", "randaugment", "augmix", "cutmix", "mixup", "cutmix+autoaugment")
NOISES: dict[str, dict[str, object]] = {
    "none": {"policy": "none"},
    "gaussian": {"policy": "gaussian"},
    "gaussian, pure": {"policy": "gaussian", "grid": 0, "kernel": 0},
    "uniform": {"policy": "uniform"},
    "uniform, pure": {"policy": "uniform", "grid": 0, "kernel": 0},
    "beta, paper": {},
    "beta, reinforce": {"objective": "reinforce"},
    "beta, reinforce, 2 masks": {"objective": "reinforce", "baseline": "leave_one_out", "masks_per_image": 2},
    "beta, reinforce, oppose": {"objective": "reinforce", "direction": "oppose"},
    "beta, pathwise": {"objective": "pathwise"},
}
HEADER = "| noise | augmentation | finite | loss | val F1 | images/s | mask mean |\n|---|---|---|---|---|---|---|"


def combinations(base: Recipe) -> Iterator[tuple[str, Recipe]]:
    """Yield the name of every noise with its recipe, for every augmentation; pure noise has a grid of image size."""
    for name, changes in NOISES.items():
        given = changes | ({"grid": base.size} if changes.get("grid") == 0 else {})
        for augment in AUGMENTS:
            yield name, base.replace(augment=augment, **given)


def row(name: str, recipe: Recipe, split: Path, out: Path) -> str:
    """Train one combination and return its line of the table."""
    try:
        found = pretrain(split, out, recipe).metrics
    except PgnmError as error:
        return f"| {name} | {recipe.augment} | failed: {error} | | | | |"
    finite = "yes" if all(math.isfinite(value) for value in found.values()) else "no"
    mask = f"{found['mask_mean']:.3f}" if "mask_mean" in found else ""
    return (
        f"| {name} | {recipe.augment} | {finite} | {found['loss']:.3f} | {found['val_f1']:.3f} | "
        f"{found['images_per_second']:.0f} | {mask} |"
    )


def main() -> None:
    """Train all combinations and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", type=Path)
    parser.add_argument("--images", type=int, default=300, help="training images of each run")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--out", type=Path, help="also write the table here")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    given = {"epochs": options.epochs, "size": options.size, "grid": options.size // 4, "batch_size": 32}
    limits = {"limit_train": options.images, "limit_val": options.images, "workers": 0}
    lines = [HEADER]
    print(HEADER)
    for name, recipe in combinations(load_recipe("laptop", given | limits, {})):
        with tempfile.TemporaryDirectory() as folder:
            lines.append(row(name, recipe, options.split, Path(folder) / "run"))
        print(lines[-1], flush=True)
        if options.out:
            options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
