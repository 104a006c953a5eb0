"""Fixtures that several rooms share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images for development; tests that need it are skipped where it is absent."""
    root = Path(os.environ.get("RADREFINE_SHARED") or Path(__file__).parents[2] / "shared")
    data = root / "data"
    if not data.is_dir():
        pytest.skip(f"the real images are not at {data}; set RADREFINE_SHARED to the folder that holds data/")
    return data
