"""What several test modules share."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
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


class _NotSynchronised(sqlite3.Connection):
    """A database that leaves it to the system when what it writes comes onto the disk."""

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:
        result = super().execute(sql, parameters)
        if sql.startswith("PRAGMA journal_mode"):
            super().execute("PRAGMA synchronous = OFF")
        return result


@pytest.fixture(scope="session", autouse=True)
def _nobody_waits_for_the_disk() -> Iterator[None]:
    """What is synchronised is there after a power cut, which no test can make; a run of six small subs waits 1.7 s for it."""
    connect = sqlite3.connect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        patch.setattr("sqlite3.connect", lambda *args, **more: connect(*args, factory=_NotSynchronised, **more))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share what their module makes once (a night, a finished mosaic) run in one worker, which makes it once.

    With `--dist loadgroup` these groups are handed out first, single tests fill up at the end.
    """
    for item in items:
        fixtures = item._fixtureinfo.name2fixturedefs.values()
        if any(each[-1].scope == "module" for each in fixtures):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))
