import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.radrefine import app
from tests.radrefine.pictures import scene
from tests.radrefine.refined import write_refined


@pytest.fixture
def refined(tmp_path: Path) -> Path:
    files = [(f"CT/chest/{seed}.png", scene(seed, 48)) for seed in range(30)]
    return write_refined(tmp_path / "refined", [*files, ("CT/chest/again.png", scene(0, 48))])


def test_it_says_what_it_found_and_what_is_next(refined: Path) -> None:
    done = CliRunner().invoke(app, ["audit", str(refined)])

    assert done.exit_code == 0, done.output
    assert re.search(r"surplus copies of images +1\n", done.stdout)
    assert f"next: radrefine split {refined}" in done.stdout


def test_strict_ends_with_4_when_anything_is_found(refined: Path) -> None:
    done = CliRunner().invoke(app, ["audit", str(refined), "--strict", "--json"])

    assert done.exit_code == 4
    assert json.loads(done.stdout)["exact_duplicates"] == 1


def test_strict_is_content_with_a_sound_collection(refined: Path) -> None:
    (refined / "images/CT/chest/again.png").unlink()
    write_refined(refined, [(f"CT/chest/{seed}.png", scene(seed, 48)) for seed in range(30)])

    assert CliRunner().invoke(app, ["audit", str(refined), "--strict", "--quiet"]).exit_code == 0


def test_a_folder_that_is_none_is_one_sentence() -> None:
    done = CliRunner().invoke(app, ["audit", "nowhere"])

    assert done.exit_code == 1
    assert "expected a refined folder" in done.stderr
