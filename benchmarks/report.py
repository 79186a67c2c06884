"""The report of many frames: what it takes to write, and how quickly its table answers in a browser.

    python benchmarks/report.py WORK_FOLDER [--frames 20000]

Made-up frames, no run. The browser is Chromium without a screen; times are means over some tries, drawing included.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "report"))

from reports import GRID, clouded, line, made_up

from browser import CHROMIUM, FLAGS
from zemosaic.report.files import as_csv, as_json
from zemosaic.report.page import page
from zemosaic.report.words import Words

PROBE = """<script>
(() => {
  const grid = document.getElementById("grid"), find = document.getElementById("find"), head = document.getElementById("head");
  const out = [];
  function tried(name, times, act) {
    const began = performance.now();
    for (let k = 0; k < times; k++) { act(k); void grid.offsetHeight; }
    out.push(`${name} ${((performance.now() - began) / times).toFixed(1)} ms`);
  }
  function search(text) { find.value = text; find.dispatchEvent(new Event("input")); }
  tried("sort by FWHM", 6, () => head.children[7].firstChild.click());
  tried("sort by name", 6, () => head.children[0].firstChild.click());
  tried("search", 6, (k) => search(`light_0${k}`));
  search("");
  tried("scroll", 100, (k) => { grid.scrollTop = 30 * 150 * k; window.dispatchEvent(new Event("resize")); });
  document.title = `PROBE ${out.join(", ")}, rows on the page ${document.querySelectorAll(".row").length}`;
})();
</script></body>"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=20_000)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    frames = tuple(clouded(k, reason="thick cloud") if k % 100 == 7 else line(k) for k in range(given.frames))
    report, texts = made_up(given.folder, frames), dict[str, str]()
    makers = {
        "page": lambda: page(report, GRID, Words()),
        "csv": lambda: as_csv(report),
        "json": lambda: as_json(report),
    }
    for name, make in makers.items():
        began = time.process_time()
        texts[name] = make()
        print(f"{name}: {time.process_time() - began:.2f} s of CPU, {len(texts[name].encode()) / 1e6:.1f} MB")
    path = given.folder.resolve() / "report.html"
    path.write_text(texts["page"].replace("</body>", PROBE), encoding="utf-8")
    if CHROMIUM is None:
        raise SystemExit("no chromium here")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={given.folder / 'profile'}", "--dump-dom", path.as_uri()]
    html = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    print(next(iter(re.findall(r"<title>PROBE (.*?)</title>", html)), "the probe did not end"))


if __name__ == "__main__":
    main()
