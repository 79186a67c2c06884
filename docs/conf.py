"""How Sphinx makes the site of these pages; `make docs` does it. Nothing in it asks for anything from a network."""

import re
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]

project = "ZeMosaic"
copyright = "the ZeMosaic developers; GPL-3.0-or-later"
release = re.findall(
    r'^__version__ = "(.+)"', (_ROOT / "src" / "zemosaic" / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE
)[0]

extensions = ["myst_parser"]
myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 3  # links to headings, as the forges have them
nitpicky = True
smartquotes = False  # " is an arcsecond here

html_theme = "furo"
html_title = f"ZeMosaic {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "../icon/zemosaic.ico"
html_logo = "../src/zemosaic/gui/icons/zemosaic-128.png"
html_copy_source = False
html_show_sphinx = False
pygments_style = "default"
pygments_dark_style = "github-dark"
html_theme_options = {
    "navigation_with_keys": True,
    "footer_icons": [],
    "light_css_variables": {"color-brand-primary": "#1f5fa8", "color-brand-content": "#1f5fa8"},
    "dark_css_variables": {"color-brand-primary": "#7fb4f0", "color-brand-content": "#7fb4f0"},
}


_PAGES = {
    "README.md": "docs/index.md",
    "README.fr.md": "docs/francais.md",
    "CONTRIBUTING.md": "docs/contributing.md",
    "CHANGELOG.md": "docs/changes.md",
}


def _within_the_site(_app, _path, _page, content):
    """Links of an included page to files of the project's root: to their pages here, or their words alone."""

    def link(match):
        words, target = match.groups()
        if target.startswith(("docs/", "http://", "https://", "#")):
            return match[0]
        return f"[{words}]({_PAGES[target]})" if target in _PAGES else words

    content[0] = re.sub(r"(?<!!)\[([^\]\[]*)\]\(([^)\s]+)\)", link, content[0])


def _titles(_app, _page, source):
    """Links that read `settings.md` on a forge have the title of that page here."""
    source[0] = re.sub(r"\[[\w-]+\.md\]\(([\w/.-]+\.md(?:#[\w-]+)?)\)", r"[](\1)", source[0])


def setup(app):
    """Called by Sphinx."""
    app.connect("include-read", _within_the_site)
    app.connect("source-read", _titles)
