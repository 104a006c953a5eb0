"""Split a refined folder: group, assign, write, prove."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radrefine.audit.collection import IMAGES, load_manifest
from radrefine.audit.duplicates import Duplicates, find_duplicates
from radrefine.audit.figures import draw_histogram
from radrefine.errors import SplitError
from radrefine.progress import ProgressCallback, ignore_progress
from radrefine.schema import SCHEMA, SPLITS
from radrefine.split.assign import UNASSIGNED, assign_groups
from radrefine.split.given import read_given
from radrefine.split.layout import IMAGEFOLDER, link_images, remove_links
from radrefine.split.options import SplitOptions
from radrefine.split.prepare import BRIDGE, Work, prepare
from radrefine.split.proof import SplitProof, prove_split
from radrefine.split.rare import find_rare, give_one_each, keep_in_train, refuse_rare
from radrefine.split.write import (
    begin_split,
    count_classes,
    describe_ratios,
    finish_split,
    refuse_foreign,
    refuse_more_folds,
    refuse_out,
    relative_root,
    write_left_out,
    write_tables,
)
from radrefine.wording import counted

_DEFAULTS = SplitOptions()
_UNNAMED = "named by none of the given files"
_TRAIN = SPLITS.index("train")


@dataclass(frozen=True, slots=True)
class SplitSummary:
    """What a split came to.

    Attributes:
        out: The split folder.
        facts: `split.json` as written.
        proof: What the parts share.
    """

    out: Path
    facts: dict[str, Any]
    proof: SplitProof


def split_collection(
    refined: Path,
    out: Path,
    options: SplitOptions = _DEFAULTS,
    *,
    progress: ProgressCallback = ignore_progress,
) -> SplitSummary:
    """Divide the images of a refined folder into train, val and test, and prove that nothing is shared.

    Args:
        refined: A folder that `radrefine clean` wrote.
        out: The split folder to write.
        options: See `SplitOptions`; its folds are for `fold_collection`.
        progress: Told while images are decoded and compared.

    Returns:
        The facts of `split.json` and the proof, computed from the files as written. A proof that finds leakage is
        returned, not raised.

    Raises:
        RefinedFolderError: `refined` is not a refined folder.
        SplitError: There is nothing to split, or the classes are too small and `rare` is "error".
        UsageError: A column to group by does not exist, or `out` lies among the images.
    """
    refuse_out(refined, out, options)
    refuse_foreign(out)
    work, duplicates = _gather(refined, options, progress)
    shares: Sequence[float] = options.shares()
    if options.given:
        images, work = _take_given(work, options.given)
        shares = (count_classes(images, len(work.class_names)).sum(axis=0) / len(images)).tolist()
    else:
        images = work.images.assign(part=_assign(work, options)[work.images["group_index"]])
        _refuse_empty(images, shares, options)
    return _write(refined, out, images, work, duplicates, options, shares)


def fold_collection(
    refined: Path,
    out: Path,
    options: SplitOptions,
    *,
    progress: ProgressCallback = ignore_progress,
) -> list[SplitSummary]:
    """Divide the images of a refined folder into `options.folds` folds for cross-validation.

    Written are the split folders `fold-0`, `fold-1`, ... in `out`: fold i is its test, fold i + 1 its val, the others
    its train. Arguments and errors are those of `split_collection`.

    Returns:
        A summary per split folder.
    """
    refuse_out(refined, out, options)
    refuse_more_folds(out, options.folds)
    for index in range(options.folds):
        refuse_foreign(out / f"fold-{index}")
    work, duplicates = _gather(refined, options, progress)
    if options.rare == "error":
        rare = find_rare(work.table, [1 / options.folds] * options.folds)
        refuse_rare(work.table, rare, work.class_names, folds=options.folds)
    folds = assign_groups(work.table, [1.0] * options.folds, seed=options.seed)[work.images["group_index"]]
    groups = work.images["group"].nunique()
    if len(np.unique(folds)) < options.folds:
        raise SplitError(
            f"--folds {options.folds} are too many: {counted(len(work.images), 'image')} form "
            f"{counted(groups, 'group')}, and every fold needs one; name fewer"
        )
    shares = ((options.folds - 2) / options.folds, 1 / options.folds, 1 / options.folds)
    summaries = []
    for index in range(options.folds):
        part = np.full(len(folds), _TRAIN)
        part[folds == index] = SPLITS.index("test")
        part[folds == (index + 1) % options.folds] = SPLITS.index("val")
        images = work.images.assign(part=part)
        summaries.append(_write(refined, out / f"fold-{index}", images, work, duplicates, options, shares, fold=index))
    return summaries


def _gather(refined: Path, options: SplitOptions, progress: ProgressCallback) -> tuple[Work, Duplicates]:
    manifest = load_manifest(refined)
    duplicates = find_duplicates(
        refined,
        manifest,
        max_distance=options.max_distance,
        min_correlation=options.min_correlation,
        jobs=options.jobs,
        progress=progress,
    )
    return prepare(manifest, duplicates, options), duplicates


def _take_given(work: Work, files: tuple[Path, ...]) -> tuple[pd.DataFrame, Work]:
    """Return the images in the parts that the given files name, an image in two files twice."""
    rows, told = read_given(files, work.images["path"])
    unnamed = work.images.loc[~work.images.index.isin(rows["position"]), ["path"]]
    left_out = pd.concat([work.left_out, unnamed.assign(reason=_UNNAMED)])
    images = work.images.iloc[rows["position"]].assign(part=rows["part"].to_numpy()).reset_index(drop=True)
    return images, replace(work, left_out=left_out, unverified=[*work.unverified, *told])


def _assign(work: Work, options: SplitOptions) -> NDArray[np.int64]:
    shares = options.shares()
    fixed = work.fixed.copy()
    if options.keep_blank:
        # Blank images are alike and belong to no group: in one part they leak nothing.
        blank = work.images.loc[work.images["blank"], "group_index"].unique()
        fixed[blank[fixed[blank] == UNASSIGNED]] = _TRAIN
    rare = find_rare(work.table, shares)
    if options.rare == "error":
        refuse_rare(work.table, rare, work.class_names)
    if options.rare == "train":
        fixed = keep_in_train(work.table, rare, fixed)
    # Parts of share 0 take nothing new; what an earlier split has there stays.
    used = [part for part, share in enumerate(shares) if share > 0 or (fixed == part).any()]
    small = np.where(fixed == UNASSIGNED, UNASSIGNED, np.searchsorted(used, fixed))
    floor = min(share for share in shares if share > 0) * 1e-6
    parts = assign_groups(work.table, [max(shares[part], floor) for part in used], seed=options.seed, fixed=small)
    parts = np.array(used)[parts]
    return give_one_each(work.table, parts, shares, fixed) if options.rare == "one-each" else parts


def _refuse_empty(images: pd.DataFrame, shares: Sequence[float], options: SplitOptions) -> None:
    """Raise SplitError where a part that has a share got no image, since the groups are too few or too large."""
    empty = [part for index, part in enumerate(SPLITS) if shares[index] > 0 and not (images["part"] == index).any()]
    if not empty:
        return
    sizes, parts = images["group"].value_counts(), " and ".join(empty)
    ways = [] if options.rare == "one-each" else ["take --rare one-each"]
    if sizes.iloc[0] > 1:
        ways += ["lower --sequence"] * bool(options.sequence) + ["group by less"] * bool(options.columns)
    elif options.stratify:
        ways += ["name --no-stratify"]
    ways += ["add images", f"give {parts} the ratio 0"]
    raise SplitError(
        f"nothing is left for {parts}: {counted(len(images), 'image')} form {counted(len(sizes), 'group')}, the "
        f"largest of {sizes.iloc[0]:,}; {', '.join(ways[:-1])} or {ways[-1]}"
    )


def _write(
    refined: Path,
    out: Path,
    images: pd.DataFrame,
    work: Work,
    duplicates: Duplicates,
    options: SplitOptions,
    shares: Sequence[float],
    **more: int,
) -> SplitSummary:
    begin_split(out)
    write_tables(out, images, work.class_names)
    write_left_out(out, work.left_out)
    if options.layout == IMAGEFOLDER:
        link_images(out, refined / IMAGES, images)
    else:
        remove_links(out)
    counts = dict(zip(SPLITS, count_classes(images, len(work.class_names)).T, strict=True))
    draw_histogram(out / "classes.png", pd.Series(work.class_names), counts, "Images per class and part")
    proof = prove_split(out, duplicates, work.unverified)
    facts = {
        "schema": SCHEMA,
        "radrefine": version("radrefine"),
        "root": relative_root(refined / IMAGES, out),
        "seed": options.seed,
        "stratify": None if options.given else options.stratify,
        "group_by": ["duplicates"] * options.duplicates + list(options.columns),
        "sequence": options.sequence,
        "rare": options.rare if options.uses_rare else None,
        "given": [place.name for place in options.given],
        "max_distance": duplicates.max_distance,
        "min_correlation": options.min_correlation,
        **more,
        "images": len(images),
        "classes": len(work.class_names),
        "groups": int(images["group"].nunique()),
        "largest_group": int(images["group"].value_counts().iloc[0]),
        "counts": {part: int(of_part.sum()) for part, of_part in counts.items()},
        **describe_ratios(images, work.class_names, shares),
        **({"ratios_asked": None} if options.given else {}),
        "left_out": work.left_out["reason"].map(_short).value_counts().to_dict(),
        "proof": proof.as_dict(),
    }
    finish_split(out, facts)
    return SplitSummary(out, facts, proof)


def _short(reason: str) -> str:
    return reason if reason in ("blank", BRIDGE, _UNNAMED) else "unreadable"
