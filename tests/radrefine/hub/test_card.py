import json
from pathlib import Path

import pytest

from radrefine.hub import PushOptions, push_split
from radrefine.hub.card import CardFacts, make_card
from radrefine.hub.content import read_split, without_machine
from tests.loopback import LoopbackHub
from tests.radrefine.hub.conftest import CLASSES

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def card(split_folder: Path, **changes: object) -> str:
    facts = CardFacts("ada/images", "cc-by-4.0", with_images=True, n_masks=10, manifest=True, findings=True)
    return make_card(read_split(split_folder), CardFacts(**{**vars(facts), **changes}))


@pytest.mark.parametrize("with_images", [True, False])
def test_the_card_passes_the_clients_validation(hub: LoopbackHub, split_folder: Path, with_images: bool) -> None:
    from huggingface_hub import DatasetCard

    parsed = DatasetCard(card(split_folder, with_images=with_images))
    parsed.validate(repo_type="dataset")
    assert parsed.data.license == "cc-by-4.0"
    assert parsed.data.task_categories == ["image-classification"]
    assert parsed.data.size_categories == ["n<1K"]


def test_counts_per_class_and_split_are_in_the_card(split_folder: Path) -> None:
    text = card(split_folder)
    assert "| label | train | validation | test |" in text
    assert all(f"| {name} | 6 | 2 | 2 |" in text for name in CLASSES)
    assert "| **all** | 12 | 4 | 4 |" in text


def test_a_licence_of_its_own_is_given_by_name(split_folder: Path) -> None:
    text = card(split_folder, license="RadImageNet terms")
    assert "license: other\nlicense_name: RadImageNet terms\n" in text


def test_leakage_is_said_first(split_folder: Path) -> None:
    assert "Nothing that `radrefine split` could check is shared" in card(split_folder)
    facts = json.loads((split_folder / "split.json").read_text())
    facts["proof"]["shared_groups"] = 3
    facts["proof"]["offending"] = [{"kind": "group", "path_a": "a.png"}]
    (split_folder / "split.json").write_text(json.dumps(facts))
    text = card(split_folder)
    assert "not free of leakage** (shared groups: 3)" in text and "offending: 1 entries" in text


def test_pictures_are_shown_and_show_pixels_only_with_the_images(hub: LoopbackHub, split_folder: Path) -> None:
    push_split(split_folder, PushOptions("ada/masks"))
    assert "counts.png" in hub.files("dataset", "ada/masks")
    assert "samples.png" not in hub.files("dataset", "ada/masks")
    push_split(split_folder, PushOptions("ada/images", with_images=True, license="mit"))
    assert b"](samples.png)" in hub.read("dataset", "ada/images", "README.md")
    assert hub.read("dataset", "ada/images", "samples.png").startswith(b"\x89PNG")


def test_folders_of_the_machine_are_shortened_or_left_out() -> None:
    settings = {"src": "raw", "masks": ["/data/marks", r"C:\marks\a"], "options": {"host": "box", "radius": 3}}
    assert without_machine(settings) == {"masks": ["marks", "a"], "options": {"radius": 3}}


def test_counts_are_kept_whatever_they_are_called() -> None:
    counts = {"counts": {"refined": 3, "clean": 1}, "refined": "../refined"}
    assert without_machine(counts) == {"counts": {"refined": 3, "clean": 1}}
