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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share what their module makes once (a night, a finished mosaic) run in one worker, which makes it once.

    With `--dist loadgroup` these groups are handed out first, single tests fill up at the end.
    """
    for item in items:
        fixtures = item._fixtureinfo.name2fixturedefs.values()
        if any(each[-1].scope == "module" for each in fixtures):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))
