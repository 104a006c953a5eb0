"""Split a refined folder: group, assign, write, prove."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radrefine.audit.collection import IMAGES, load_manifest
from radrefine.audit.duplicates import Duplicates, find_duplicates
from radrefine.errors import SplitError
from radrefine.files import write_json
from radrefine.progress import ProgressCallback, ignore_progress
from radrefine.schema import SCHEMA, SPLITS
from radrefine.split.assign import UNASSIGNED, GroupCounts, assign_groups, count_groups
from radrefine.split.grouping import find_key, group_images, match_paths, name_groups, read_table
from radrefine.split.options import SplitOptions
from radrefine.split.proof import SplitProof, prove_split
from radrefine.split.rare import find_rare, give_one_each, keep_in_train, refuse_rare
from radrefine.split.write import describe_ratios, relative_root, write_left_out, write_tables

_DEFAULTS = SplitOptions()
TRAIN = SPLITS.index("train")


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


@dataclass(frozen=True, slots=True)
class _Work:
    """The images that take part, grouped.

    Attributes:
        images: path, label, class_index, group (its name), group_index.
        left_out: path, reason.
        class_names: Label of each class index.
        table: Images per group and class.
        unverified: Sentences on what cannot be known.
    """

    images: pd.DataFrame
    left_out: pd.DataFrame
    class_names: list[str]
    table: GroupCounts
    unverified: list[str]


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
        options: See `SplitOptions`.
        progress: Told while images are decoded for their fingerprints.

    Returns:
        The facts of `split.json` and the proof, computed from the files as written. A proof that finds leakage is
        returned, not raised.

    Raises:
        RefinedFolderError: `refined` is not a refined folder.
        SplitError: There is nothing to split, or the classes are too small and `rare` is "error".
        UsageError: A column to group by does not exist.
    """
    manifest = load_manifest(refined)
    duplicates = find_duplicates(
        refined,
        manifest,
        max_distance=options.max_distance,
        min_correlation=options.min_correlation,
        jobs=options.jobs,
        progress=progress,
    )
    work = _prepare(manifest, duplicates, options)
    shares = options.shares()
    parts = _assign(work, shares, options)
    images = work.images.assign(part=parts[work.images["group_index"].to_numpy()])
    return _write(refined, out, images, work, duplicates, options)


def _prepare(manifest: pd.DataFrame, duplicates: Duplicates, options: SplitOptions) -> _Work:
    """Leave out what cannot take part, join the metadata and put the rest into groups."""
    table = manifest.assign(failure=duplicates.images["failure"], blank=duplicates.images["blank"])
    table, unverified = _join_metadata(table, options)
    reason = table["failure"].where(table["failure"].notna(), "")
    if not options.keep_blank:
        reason = reason.where((reason != "") | ~table["blank"], "blank")
    left_out = table.assign(reason=reason)[reason != ""]
    images = table[reason == ""].reset_index(drop=True)
    if images.empty:
        raise SplitError(f"there are no images to split: all {len(manifest)} are unreadable or blank")
    components = duplicates.components[(reason == "").to_numpy()] if options.duplicates else None
    groups = group_images(images, components=components, columns=options.columns, sequence=options.sequence)
    class_names = sorted(images["label"].unique())
    images["class_index"] = pd.Index(class_names).get_indexer(images["label"]).astype(np.int64)
    images["group_index"] = groups
    images["group"] = name_groups(images["path"], groups)
    kinds = images["class_index"].to_numpy() if options.stratify else np.zeros(len(images), np.int64)
    return _Work(images, left_out, class_names, count_groups(groups, kinds, len(class_names)), unverified)


def _join_metadata(table: pd.DataFrame, options: SplitOptions) -> tuple[pd.DataFrame, list[str]]:
    unverified = []
    if options.metadata is not None:
        extra = read_table(options.metadata)
        position = match_paths(table["path"], extra[find_key(extra, options.metadata)])
        if not (position >= 0).any():
            raise SplitError(
                f"{options.metadata} names none of the {len(table)} images, such as {table['path'].iloc[0]}; "
                f"its first name is {extra[find_key(extra, options.metadata)].iloc[0] if len(extra) else 'missing'}"
            )
        extra = extra[position >= 0].set_index(position[position >= 0])
        extra = extra[~extra.index.duplicated()].reindex(range(len(table)))
        # Only what is asked for: a column of the same name in the table wins over that of the manifest.
        wanted = [name for name in options.columns if name in extra]
        table = table.drop(columns=[name for name in wanted if name in table]).join(extra[wanted])
    if not options.columns:
        unverified.append(
            "patients: no column names them, so images of one patient may lie in several parts unless they are "
            "near-duplicates"
        )
    for name in options.columns:
        if name in table:
            empty = int((table[name].isna() | (table[name].astype(str).str.strip() == "")).sum())
            if empty:
                unverified.append(f"{name}: {empty} of {len(table)} images have no value, so theirs is unknown")
    return table, unverified


def _assign(work: _Work, shares: tuple[float, float, float], options: SplitOptions) -> NDArray[np.int64]:
    fixed = np.full(len(work.table), UNASSIGNED, np.int64)
    if options.keep_blank:
        # Blank images are alike and belong to no group: in one part they leak nothing.
        fixed[work.images.loc[work.images["blank"], "group_index"].unique()] = TRAIN
    rare = find_rare(work.table, shares)
    if options.rare == "error":
        refuse_rare(work.table, rare, work.class_names)
    if options.rare == "train":
        fixed = keep_in_train(work.table, rare, fixed)
    used = [part for part, share in enumerate(shares) if share > 0]
    dense = np.where(fixed >= 0, np.searchsorted(used, fixed), UNASSIGNED)
    parts = np.array(used)[assign_groups(work.table, [shares[part] for part in used], seed=options.seed, fixed=dense)]
    return give_one_each(work.table, parts, shares, fixed) if options.rare == "one-each" else parts


def _write(
    refined: Path,
    out: Path,
    images: pd.DataFrame,
    work: _Work,
    duplicates: Duplicates,
    options: SplitOptions,
) -> SplitSummary:
    out.mkdir(parents=True, exist_ok=True)
    write_tables(out, images, work.class_names)
    write_left_out(out, work.left_out)
    proof = prove_split(out, duplicates, work.unverified)
    facts = {
        "schema": SCHEMA,
        "radrefine": version("radrefine"),
        "root": relative_root(refined / IMAGES, out),
        "seed": options.seed,
        "stratify": options.stratify,
        "group_by": ["duplicates"] * options.duplicates + list(options.columns),
        "sequence": options.sequence,
        "rare": options.rare,
        "max_distance": duplicates.max_distance,
        "min_correlation": options.min_correlation,
        "images": len(images),
        "classes": len(work.class_names),
        "groups": len(work.table),
        "largest_group": int(images["group_index"].value_counts().iloc[0]),
        "counts": {part: int((images["part"] == index).sum()) for index, part in enumerate(SPLITS)},
        **describe_ratios(images, work.class_names, options.shares()),
        "left_out": work.left_out["reason"].map(_short).value_counts().to_dict(),
        "proof": proof.as_dict(),
    }
    write_json(out / "split.json", facts)
    return SplitSummary(out, facts, proof)


def _short(reason: str) -> str:
    return reason if reason == "blank" else "unreadable"
