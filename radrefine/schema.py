"""Names in the files that radrefine writes: kinds of marks, statuses, columns.

These names are the contract with `pgnm` and with other tools; a change of meaning raises `SCHEMA`.
"""

from typing import Final

SCHEMA: Final = 1

KINDS: Final = (
    "caliper",
    "dotted_line",
    "text",
    "body_marker",
    "probe_mark",
    "tick",
    "arrow",
    "colour_overlay",
    "ui_bar",
    "outlier",
)
"""Kinds of burned-in marks, in the order of the `n_<kind>` columns."""

STATUSES: Final = ("refined", "clean", "copied", "failed")
"""refined: marks replaced; clean: nothing to replace; copied: not ultrasound, same bytes; failed: unreadable."""

MODALITIES: Final = ("CT", "MR", "US", "XR")

LABEL_SEPARATOR: Final = "__"

MANIFEST_COLUMNS: Final = (
    "path",
    "label",
    "modality",
    "anatomy",
    "pathology",
    "width",
    "height",
    "channels",
    "source_sha256",
    "pixel_sha256",
    "phash",
    "phash_refined",
    "blank",
    "status",
    "mask_fraction",
    *(f"n_{kind}" for kind in KINDS),
    "residual_score",
    "elapsed_ms",
)

FINDING_COLUMNS: Final = ("path", "kind", "x", "y", "width", "height", "score", "detector", "removed")

FAILURE_COLUMNS: Final = ("path", "stage", "reason")

SPLITS: Final = ("train", "val", "test")

SPLIT_COLUMNS: Final = ("path", "label", "class_index", "group")
