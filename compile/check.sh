#!/usr/bin/env bash
# Builds the wheel, the source archive and the executable and tries all of them, away from the source: the wheel in an empty
# environment (--version, doctor, a simulated night, a plan, a mosaic, the same from Python), what the archive builds, whether the
# extras go together; the executable's mosaic with a worker process, and its window (with Xvfb and xdotool).
set -euo pipefail
cd "$(dirname "$0")/.."
export PYINSTALLER_ZLIB_COMPRESSION_LEVEL=1 # nobody keeps it
export PIP_QUIET=1 PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONPATH
compile/build_zemosaic.sh
tools="$PWD/build/venv/bin" exe="$PWD/dist/zemosaic" wheel="$(echo "$PWD"/build/wheel/zemosaic-*.whl)"
place=$(mktemp -d) alone=""
trap 'kill $alone 2>/dev/null || true; rm -rf "$place"' EXIT
step() { printf '%-60s %4d s\n' "$1" "$SECONDS"; }

rm -rf build/sdist
"$tools/python" -m hatchling build -t sdist -d build/sdist >/dev/null
"$tools/python" -m pip wheel --no-deps --wheel-dir "$place/again" build/sdist/zemosaic-*.tar.gz
"$tools/python" - "$wheel" "$place"/again/zemosaic-*.whl <<'END'
import sys, zipfile

first, second = ({each.filename: each.CRC for each in zipfile.ZipFile(path).infolist()} for path in sys.argv[1:])
assert first == second, sorted({name for name, _ in first.items() ^ second.items()})
END
step "the source archive builds the same wheel"

"$tools/python" -m venv "$place/venv"
empty="$place/venv/bin"
"$empty/python" -m pip install "$wheel"
"$empty/python" -m pip check >/dev/null
extras=$("$empty/python" -c 'import importlib.metadata as m; print(*m.metadata("zemosaic").get_all("Provides-Extra"), sep=",")')
"$empty/python" -m pip install --dry-run "zemosaic[$extras]" # as the program advises, without a word of where from
step "the wheel installs, with $extras"

export XDG_CACHE_HOME="$place/cache" XDG_CONFIG_HOME="$place/config"
mkdir "$XDG_CACHE_HOME" "$XDG_CONFIG_HOME" "$place/work"
cd "$place/work"
"$empty/zemosaic" --version
"$empty/zemosaic" doctor . --json doctor.json >/dev/null
"$empty/zemosaic" simulate night --subs 4 --width 360 --height 480 --scale 6 --num-processing-workers 1
"$empty/zemosaic" plan night/lights out >/dev/null
[ -s out/zemosaic_plan.png ]
code=0
"$empty/zemosaic" gui 2>/dev/null || code=$?
[ $code -eq 5 ] # the extra is not there, and it says so
step "the wheel works"

mosaic() { # of the wheel, while the executable is tried
    "$empty/python" -m zemosaic run night/lights whole --num-processing-workers 1 --memory-limit 3
    for end in .fits _preview.png _report.html; do [ -s "whole/zemosaic_MT4_R4$end" ]; done
    "$empty/python" - <<'END'
from zemosaic import Settings, make_mosaic

(made,) = make_mosaic("night/lights", "whole", Settings(num_processing_workers=1, memory_limit=3))
assert made.used == 4 and made.preview.is_file() and made.report.is_file(), made
END
}
mosaic >mosaic.log 2>&1 &
alone=$!

"$exe" --version
"$exe" doctor . --json frozen.json >/dev/null
"$empty/python" - <<'END'
import json

wheel, frozen = ({f["subject"]: f for f in json.load(open(name))["findings"]} for name in ("doctor.json", "frozen.json"))
for subject in ("libraries", "catalogue"):
    assert wheel[subject]["state"] == frozen[subject]["state"] == "ok", (wheel[subject], frozen[subject])
assert "/cache/" in frozen["kernels"]["values"]["path"], frozen["kernels"]
END
step "the executable finds what is inside"

"$exe" run night/lights out --num-processing-workers 1 --memory-limit 3 --picture-hips jpeg --json run.json
"$empty/python" -c 'import json; run = json.load(open("run.json")); assert run["mosaics"][0]["used"] == 4, run'
ls out/zemosaic_MT4_R4.fits out/zemosaic_MT4_R4_report.html out/zemosaic_MT4_R4_hips/properties >/dev/null
step "the executable makes a mosaic"

wait $alone || { cat mosaic.log; exit 1; }
alone=""
step "the wheel makes a mosaic"

if command -v Xvfb >/dev/null && command -v xdotool >/dev/null; then
    xvfb-run -a -s "-screen 0 1280x720x24" bash -c '
        set -e
        "$0" & window=$!
        timeout 120 xdotool search --sync --onlyvisible --name "^ZeMosaic$" >/dev/null
        sleep 2
        kill $window # fails where it has ended by itself
        wait $window || true' "$exe"
    step "the executable opens its window"
fi
echo "The wheel, the source archive and the executable work."
