"""The plan of the phantom collection: classes, counts, and the making of it."""

import json
from dataclasses import asdict
from pathlib import Path

from radrefine.demo.items import COLLECTION, DemoOptions, DemoSummary, Item
from radrefine.demo.twins import add_duplicates, add_faults
from radrefine.demo.writer import Writer
from radrefine.errors import UsageError
from radrefine.files import write_json
from radrefine.progress import Progress, ProgressCallback, ignore_progress
from radrefine.schema import SCHEMA

# Images of each class in a collection of the default size; unequal, as in every clinic.
_CLASSES = {
    "CT/abdomen/normal": 42,
    "CT/abdomen/liver_lesion": 22,
    "CT/chest/normal": 34,
    "CT/chest/nodule": 18,
    "CT/chest/effusion": 12,
    "CT/head/normal": 30,
    "CT/head/haemorrhage": 16,
    "MR/brain/normal": 30,
    "MR/brain/tumour": 22,
    "MR/brain/plaques": 12,
    "MR/knee/normal": 22,
    "MR/knee/effusion": 12,
    "US/breast/normal": 40,
    "US/breast/cyst": 32,
    "US/breast/malignant": 26,
    "US/thyroid/normal": 22,
    "US/thyroid/nodule": 34,
    "US/liver/normal": 26,
    "US/liver/cyst": 14,
    "US/kidney/normal": 20,
    "US/kidney/stone": 12,
    "US/hip": 14,
    "US/heart": 12,
    "XR/chest/normal": 32,
    "XR/chest/pneumonia": 18,
    "XR/chest/effusion": 12,
    "XR/hand/normal": 20,
    "XR/hand/fracture": 12,
}
# A class needs three images to appear in training, validation and test.
_FEWEST = 3


def make_demo(
    out: Path, options: DemoOptions | None = None, progress: ProgressCallback = ignore_progress
) -> DemoSummary:
    """Write a phantom collection and its truth under `out`.

    Every image is made from a seed of its own (`options.seed` and its name), so that it does not depend on the order
    or number of the others.

    Args:
        out: Folder to write `RadImageNet-phantom/` and `truth/` into.
        options: Number of images, seed and size; None for the defaults.
        progress: Called after each image.

    Returns:
        Where the collection is and what it holds.

    Raises:
        UsageError: Too few images, too small a size, or a folder that holds another collection.
    """
    options = DemoOptions() if options is None else options
    items = _plan(options)
    _claim(out, options)
    writer = Writer(out, options)
    for number, item in enumerate(items, 1):
        writer.add(item)
        progress(Progress("phantoms", number, len(items), {"marked": writer.marked}))
    add_duplicates(writer, items)
    add_faults(writer)
    return writer.finish(len({item.phantom for item in items}))


def _plan(options: DemoOptions) -> list[Item]:
    fewest = _FEWEST * len(_CLASSES)
    if options.images < fewest:
        raise UsageError(f"--images must be at least {fewest} ({_FEWEST} for each class), got {options.images}")
    if not 64 <= options.size <= 2048:
        raise UsageError(f"--size must be between 64 and 2048 px, got {options.size}")
    counts = _shared_out(options.images)
    return [
        Item(f"{name}/{name.rsplit('/', 1)[1]}_{number:04d}.png", name, number)
        for name, count in counts.items()
        for number in range(1, count + 1)
    ]


def _shared_out(images: int) -> dict[str, int]:
    """Share `images` out over the classes in their proportions, largest remainders first, a few to each."""
    spare = images - _FEWEST * len(_CLASSES)
    exact = {name: spare * weight / sum(_CLASSES.values()) for name, weight in _CLASSES.items()}
    if images == sum(_CLASSES.values()):
        return dict(_CLASSES)
    counts = {name: _FEWEST + int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: exact[name] - int(exact[name]), reverse=True)
    for name in by_remainder[: images - sum(counts.values())]:
        counts[name] += 1
    return counts


def _claim(out: Path, options: DemoOptions) -> None:
    """Note the options in the output folder; refuse a folder that holds another collection."""
    note = out / "truth" / "demo.json"
    wanted = {"schema": SCHEMA, **asdict(options)}
    if note.is_file():
        try:
            known = json.loads(note.read_text())
        except ValueError:
            known = {}
        if {key: known.get(key) for key in wanted} == wanted:
            return
    if (out / COLLECTION).exists() or (out / "truth").exists():
        raise UsageError(
            f"{out} already holds another collection ({COLLECTION}/ or truth/); delete it or choose another --out"
        )
    write_json(note, wanted)
