"""Both commands start fast: neither imports torch, datasets or anything heavy for --help."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "datasets", "cv2", "pandas", "sklearn", "skimage", "matplotlib", "timm", "huggingface_hub")


@pytest.mark.parametrize("program", ["radrefine", "pgnm"])
def test_help_imports_nothing_heavy(program: str) -> None:
    code = f"""
import sys
from cli.{program} import app
try:
    app(["--help"])
except SystemExit as stop:
    assert not stop.code, stop.code
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("program", ["radrefine", "pgnm"])
def test_version_is_printed(program: str) -> None:
    code = f"from cli.{program} import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=True)

    assert done.stdout.startswith(program)
