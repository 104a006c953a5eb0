import pytest

from data_manifests import load, names


@pytest.mark.parametrize("name", ["radimagenet", "enhanced_medmnist"])
def test_manifests_name_their_sources(name: str) -> None:
    facts = load(name)

    assert name in names()
    assert facts["name"]
    assert facts["sources"]


def test_regions_of_radimagenet_add_up() -> None:
    facts = load("radimagenet")

    assert len(facts["regions"]) == 11
    assert sum(region["classes"] for region in facts["regions"]) == facts["classes"] == 165
    assert sum(region["images"] for region in facts["regions"]) == facts["images"]
    assert abs(sum(facts["paper_split"].values()) - facts["images"]) == 1
    assert len(facts["names"]["MR"]) == 89
    assert sum(facts["names"]["MR"].values()) == 604_775


def test_enhanced_medmnist_has_thirteen_sets_with_trials_by_size() -> None:
    sets = load("enhanced_medmnist")["sets"]

    assert len({item["name"] for item in sets}) == 13
    trials = {"below 10,000": (0, 10_000, 7), "10,000 to 30,000": (10_000, 30_000, 3), "above 100,000": (1e5, 1e9, 1)}
    for item in sets:
        if item["size_group"]:
            least, most, runs = trials[item["size_group"]]
            assert least <= sum(item["samples"].values()) < most
            assert item["trials"] == runs


def test_an_unknown_manifest_is_told_with_those_there_are() -> None:
    with pytest.raises(KeyError, match="radimagenet"):
        load("imagenet")
