import pandas as pd

from data_manifests import load
from radrefine.audit.taxonomy import compare_taxonomy


def copy_of_radimagenet() -> pd.Series:
    """Return labels with a hundredth of the images of each region but the hip, spread over its classes."""
    labels = []
    for region in load("radimagenet")["regions"]:
        folder = region["folders"][0]
        for kind in range(region["classes"]):
            organ = f"organ{kind}" if folder == "*" else folder
            label = f"{region['modality']}__{organ}" + ("" if region["modality"] == "US" else f"__kind{kind}")
            labels += [label] * (region["images"] // region["classes"] // 100)
    return pd.Series([label for label in labels if "hip" not in label])


def test_a_small_collection_is_not_taken_for_radimagenet() -> None:
    assert compare_taxonomy(pd.Series(["CT__lung__normal", "US__thyroid", "XR__chest"])).empty


def test_regions_are_compared_and_what_is_missing_is_named() -> None:
    table = compare_taxonomy(copy_of_radimagenet()).set_index(["modality", "anatomy"])

    assert len(table) == 11
    assert table.loc[("MR", "hip"), "verdict"] == "missing"
    assert table.loc[("MR", "knee"), ["classes_stated", "classes", "verdict"]].tolist() == [18, 18, "differs"]
    assert table.loc[("US", "abdomen-pelvis"), "classes"] == 13


def test_labels_of_no_region_are_unknown() -> None:
    labels = pd.concat([copy_of_radimagenet(), pd.Series(["XR__hand__normal", "MR__toe__normal"])])

    table = compare_taxonomy(labels)

    assert table[table["verdict"] == "unknown"]["anatomy"].tolist() == ["MR__toe__normal", "XR__hand__normal"]
