"""What several test modules share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REAL = Path(os.environ.get("ZEMOSAIC_REALDATA", Path(__file__).parents[2] / "shared" / "realdata"))


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Folder of real subs: $ZEMOSAIC_REALDATA, else `shared/realdata` beside the checkout."""
    if not REAL.is_dir():
        pytest.skip(f"no folder of real subs at {REAL}; set ZEMOSAIC_REALDATA")
    return REAL


@pytest.fixture(autouse=True)
def _nobody_s_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the configuration file of whoever runs it."""
    nowhere = tmp_path_factory.getbasetemp() / "no-settings"
    monkeypatch.setattr("zemosaic.settings_files.user_file", lambda: nowhere / "zemosaic_config.json")
