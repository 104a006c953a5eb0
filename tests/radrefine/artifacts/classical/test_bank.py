"""Templates: the crosses that are built in, and a folder of the user's."""

from pathlib import Path

import numpy as np
import pytest

from radrefine.artifacts.classical.bank import cross_bank, find_centre, load_templates, match_templates, templates_hash
from radrefine.artifacts.classical.response import measure_response
from radrefine.errors import UsageError
from radrefine.images import encode_png
from radrefine.refine import RefineOptions, refine_image
from radrefine.work import refine_recipe

from .pictures import speckle, with_plus

_KEY = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1], [1, 1, 1, 0, 1], [0, 0, 1, 0, 1], [0, 0, 1, 1, 1]], bool)


def _folder(path: Path, ink: np.ndarray = _KEY, name: str = "arrow_key.png") -> Path:
    path.mkdir(exist_ok=True)
    (path / name).write_bytes(encode_png(np.kron(ink, np.ones((3, 3), bool)).astype(np.uint8) * 255))
    return path


def _with_key(image: np.ndarray, x: int, y: int) -> np.ndarray:
    marked = image.copy()
    ink = np.kron(_KEY, np.ones((3, 3), bool))
    marked[y : y + 15, x : x + 15][ink] = 225
    return marked


def test_the_bank_holds_every_shape_in_every_size() -> None:
    bank = {template.name: template.ink for template in cross_bank()}

    assert bank["plus_7"].sum() == 13 and bank["cross_7"].sum() == 13
    assert not bank["gapped_plus_13"][6, 6] and bank["gapped_plus_13"][6, 0]
    assert bank["star_13"].sum() > bank["plus_13"].sum()


def test_the_centre_of_a_cross_is_found_to_the_pixel() -> None:
    thin = measure_response(with_plus(speckle(), 60, 44, half=7)).thin
    centre = find_centre(thin, (50, 34, 20, 20), cross_bank())

    assert centre is not None and (centre.x, centre.y) == (60, 44)
    assert cross_bank()[centre.template].name in ("plus_13", "plus_15", "plus_17")


def test_speckle_has_no_centre() -> None:
    assert find_centre(measure_response(speckle(3)).thin, (50, 34, 20, 20), cross_bank()[4:5]) is None


def test_a_shape_of_the_users_is_found_and_nothing_else(tmp_path: Path) -> None:
    templates = load_templates(_folder(tmp_path / "a"))
    matches = match_templates(measure_response(_with_key(speckle(1), 40, 70)), templates)

    assert [(found.kind, found.x, found.y) for found, _ in matches] == [("arrow", 40, 70)]
    assert match_templates(measure_response(speckle(1)), templates) == []


def test_templates_add_to_what_is_removed(tmp_path: Path) -> None:
    image = _with_key(speckle(2), 50, 50)
    folder = _folder(tmp_path / "a")
    result = refine_image(image, RefineOptions(remove=("arrow",), templates=str(folder)))

    assert result.mask[50, 50:59].all()
    assert any(found.kind == "arrow" and found.removed for found in result.findings)


def test_other_templates_make_another_resume_key(tmp_path: Path) -> None:
    first, second = _folder(tmp_path / "a"), _folder(tmp_path / "b", ~_KEY)
    keys = {refine_recipe(RefineOptions(templates=str(folder))) for folder in (first, second)}

    assert len(keys | {refine_recipe(RefineOptions())}) == 3
    assert templates_hash(first) == templates_hash(_folder(tmp_path / "c"))


@pytest.mark.parametrize(
    ("name", "ink", "reason"),
    [
        ("cursor.png", _KEY, "named after no kind"),
        ("arrow.png", np.zeros((5, 5), bool), "white strokes on black"),
        ("arrow.png", np.ones((50, 50), bool), "expected sides of"),
    ],
)
def test_what_is_no_template_is_refused_with_its_name(tmp_path: Path, name: str, ink: np.ndarray, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        load_templates(_folder(tmp_path / "a", ink, name))


def test_a_folder_without_templates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        load_templates(tmp_path / "missing")
    with pytest.raises(UsageError, match="no PNG"):
        load_templates(tmp_path)


def test_kept_kinds_stay_and_kinds_named_twice_are_refused() -> None:
    image = with_plus(with_plus(speckle(), 40, 50), 90, 80)
    kept = refine_image(image, RefineOptions(keep=("caliper", "dotted_line", "text", "arrow", "probe_mark")))

    assert kept.findings and not kept.mask.any()
    with pytest.raises(UsageError, match="both name text"):
        RefineOptions(remove=("text", "tick"), keep=("text",))
    with pytest.raises(UsageError, match="--keep"):
        RefineOptions(keep=("letters",))
