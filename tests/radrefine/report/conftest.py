"""The refined folder that the tests of the pages show."""

from pathlib import Path

import pytest

from tests.radrefine.report.made import write_refined


@pytest.fixture
def refined(tmp_path: Path) -> Path:
    """A refined folder with its source beside it."""
    write_refined(tmp_path / "refined", tmp_path / "raw")
    return tmp_path / "refined"
