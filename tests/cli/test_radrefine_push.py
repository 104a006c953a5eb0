import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.radrefine import app
from tests.loopback import LoopbackHub
from tests.loopback.fixtures import hub, no_waiting
from tests.radrefine.hub.conftest import make_split

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
__all__ = ["hub", "no_waiting"]

IMAGES = ["--with-images", "--license", "cc-by-4.0"]


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_push_and_fetch_through_the_environment_alone(hub: LoopbackHub, tmp_path: Path) -> None:
    split = make_split(tmp_path)
    program = "import sys; from cli.radrefine import main; sys.argv[0] = 'radrefine'; main()"
    for arguments in (["push", str(split), "--repo-id", "ada/images"], ["fetch", "ada/images", "--out", "published"]):
        done = subprocess.run([sys.executable, "-c", program, *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "hf_write" not in done.stdout + done.stderr
    assert len(list((tmp_path / "published" / "masks").rglob("*.png"))) == 10


def test_json_says_what_was_uploaded_and_nothing_else(hub: LoopbackHub, tmp_path: Path) -> None:
    done = run("push", str(make_split(tmp_path)), "--repo-id", "ada/images", *IMAGES, "--json")
    result = json.loads(done.stdout)
    assert done.exit_code == 0 and result["commits"] == 1
    assert "data/train-00000-of-00001.parquet" in result["uploaded"]


def test_a_dry_run_sends_nothing(hub: LoopbackHub, tmp_path: Path) -> None:
    done = run("push", str(make_split(tmp_path)), "--repo-id", "ada/images", "--dry-run")
    assert "would publish" in done.stdout and hub.calls == []


def test_images_without_a_licence_are_wrong_usage(tmp_path: Path) -> None:
    done = run("push", str(make_split(tmp_path)), "--repo-id", "ada/images", "--with-images")
    assert done.exit_code == 2 and "--license" in done.stderr


def test_a_refused_token_is_one_line(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrongwrong")
    done = run("push", str(make_split(tmp_path)), "--repo-id", "ada/images")
    assert done.exit_code == 1 and done.stderr.startswith("error: could not sign in") and done.stderr.count("\n") == 1
