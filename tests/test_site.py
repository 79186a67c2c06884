"""The site of the docs: built without a warning, complete, asking for nothing from a network, and its search finds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FETCHED = re.compile(r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']([^"']*)|<link[^>]*\shref=["']([^"']*)""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` makes it; what Sphinx warns of is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(folder / "read")]
    done = subprocess.run([*command, str(ROOT / "docs"), str(folder / "html")], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return folder / "html"


def pages() -> list[Path]:
    return sorted(path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md"))


def test_every_page_is_on_the_site_and_within_reach_of_the_first(site: Path) -> None:
    first = (site / "index.html").read_text(encoding="utf-8")
    for page in pages():
        target = page.with_suffix(".html").as_posix()
        assert (site / target).is_file()
        assert target == "index.html" or f'href="{target}"' in first, target


def test_nothing_is_fetched_from_a_network(site: Path) -> None:
    fetched = [
        (page.name, one or other)
        for page in site.rglob("*.html")
        for one, other in FETCHED.findall(page.read_text(encoding="utf-8"))
    ]
    assert len(fetched) > 100  # styles, scripts, pictures
    assert [what for what in fetched if re.match(r"(https?:)?//", what[1])] == []
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert "{" in styles and not re.search(r"@import|url\(\s*[\"']?(https?:)?//", styles)


def test_pictures_are_small() -> None:
    assert [path.name for path in (ROOT / "docs" / "images").iterdir() if path.stat().st_size > 200_000] == []


def test_search_finds(site: Path, tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("no chromium here")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    flags += [
        "--no-first-run",
        "--disable-component-update",
        f"--user-data-dir={tmp_path}",
        "--virtual-time-budget=20000",
    ]
    address = f"{(site / 'search.html').as_uri()}?q=satellite"
    done = subprocess.run(
        [CHROMIUM, *flags, "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"LANG": "C.UTF-8"},
    )
    found = re.findall(r'<li[^>]*>\s*<a href="([\w/-]+\.html)', done.stdout[done.stdout.index("search-results") :])
    assert {"how-it-works.html", "outputs.html", "settings.html"} <= set(found)
    assert len(set(found)) < len(pages())  # not simply all of them
