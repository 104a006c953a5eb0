"""Compare a copy of RadImageNet with what is publicly stated of it."""

from typing import Any

import pandas as pd

from radrefine.schema import LABEL_SEPARATOR

# A collection with images in fewer regions than this is taken for another one, or for a small part, and not compared.
_FEWEST_REGIONS = 6


def compare_taxonomy(labels: pd.Series, *, fewest_regions: int = _FEWEST_REGIONS) -> pd.DataFrame:
    """Compare classes and images per region with table 5 of arXiv 2406.14568.

    Args:
        labels: Label of each image.
        fewest_regions: Regions with images below which the collection is not taken for RadImageNet.

    Returns:
        A row per region: modality, anatomy, classes_stated, classes, images_stated, images, verdict (`as stated`,
        `differs` or `missing`), and one row per modality for labels of no known region (`unknown`); empty where the
        collection is not RadImageNet.
    """
    from data_manifests import load

    regions: list[dict[str, Any]] = load("radimagenet")["regions"]
    counts = labels.value_counts()
    table = pd.DataFrame({"label": counts.index, "images": counts.to_numpy()})
    table["region"] = [_find_region(label, regions) for label in table["label"]]
    rows = [_describe(region, table[table["region"] == index]) for index, region in enumerate(regions)]
    if sum(row["images"] > 0 for row in rows) < fewest_regions:
        return pd.DataFrame(columns=list(rows[0]))
    unknown = table[table["region"] < 0]
    rows += [
        {
            "modality": modality,
            "anatomy": LABEL_SEPARATOR.join(others["label"]),
            "classes_stated": 0,
            "classes": len(others),
            "images_stated": 0,
            "images": int(others["images"].sum()),
            "verdict": "unknown",
        }
        for modality, others in unknown.groupby(unknown["label"].str.split(LABEL_SEPARATOR).str[0])
    ]
    return pd.DataFrame(rows)


def _find_region(label: str, regions: list[dict[str, Any]]) -> int:
    modality, _, rest = label.partition(LABEL_SEPARATOR)
    folder = rest.partition(LABEL_SEPARATOR)[0]
    of_modality = [index for index, region in enumerate(regions) if region["modality"] == modality]
    named = (index for index in of_modality if folder.lower() in regions[index]["folders"])
    other = (index for index in of_modality if "*" in regions[index]["folders"])
    return next(named, next(other, -1))


def _describe(region: dict[str, Any], found: pd.DataFrame) -> dict[str, Any]:
    images, classes = int(found["images"].sum()), len(found)
    same = (classes, images) == (region["classes"], region["images"])
    return {
        "modality": region["modality"],
        "anatomy": region["anatomy"],
        "classes_stated": region["classes"],
        "classes": classes,
        "images_stated": region["images"],
        "images": images,
        "verdict": "as stated" if same else "differs" if images else "missing",
    }
