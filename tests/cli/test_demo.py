import json

from typer.testing import CliRunner

from cli.radrefine import app


def test_demo_says_what_it_wrote_and_what_to_run_next(tmp_path):
    arguments = ["demo", "--out", str(tmp_path / "demo"), "--images", "84", "--size", "64"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert f"radrefine clean --src {tmp_path / 'demo' / 'RadImageNet-phantom'}" in result.output
    made = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert made["classes"] == 28 and made["images"] == 84 + made["duplicates"] + made["faults"]


def test_demo_refuses_too_few_images_in_one_sentence(tmp_path):
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path), "--images", "3"])
    assert result.exit_code == 2
    assert "--images must be at least 84" in result.output
