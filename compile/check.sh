#!/usr/bin/env bash
# Builds the wheel and the executable and tries both, away from the source: --version, doctor, a simulated night, a plan; the
# executable's mosaic with a worker process, and its window (with Xvfb and xdotool).
set -euo pipefail
cd "$(dirname "$0")/.."
export PYINSTALLER_ZLIB_COMPRESSION_LEVEL=1 # nobody keeps it
unset PYTHONPATH
compile/build_zemosaic.sh
wheel="$PWD/build/venv/bin" exe="$PWD/dist/zemosaic"
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
export XDG_CACHE_HOME="$place/cache" XDG_CONFIG_HOME="$place/config"
mkdir "$XDG_CACHE_HOME" "$XDG_CONFIG_HOME"
cd "$place"
step() { printf '%-60s %4d s\n' "$1" "$SECONDS"; }

"$wheel/zemosaic" --version
"$wheel/zemosaic" doctor . --json doctor.json >/dev/null
"$wheel/zemosaic" simulate night --subs 4 --width 360 --height 480 --scale 6 --num-processing-workers 1
"$wheel/zemosaic" plan night/lights out >/dev/null
[ -s out/zemosaic_plan.png ]
step "the wheel works"

"$exe" --version
"$exe" doctor . --json frozen.json >/dev/null
"$wheel/python" - <<'END'
import json

wheel, frozen = ({f["subject"]: f for f in json.load(open(name))["findings"]} for name in ("doctor.json", "frozen.json"))
for subject in ("libraries", "catalogue"):
    assert wheel[subject]["state"] == frozen[subject]["state"] == "ok", (wheel[subject], frozen[subject])
assert "/cache/" in frozen["kernels"]["values"]["path"], frozen["kernels"]
END
step "the executable finds what is inside"

"$exe" run night/lights out --num-processing-workers 1 --memory-limit 3 --json run.json
"$wheel/python" -c 'import json; run = json.load(open("run.json")); assert run["mosaics"][0]["used"] == 4, run'
ls out/zemosaic_MT4_R4.fits out/zemosaic_MT4_R4_report.html >/dev/null
step "the executable makes a mosaic"

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
echo "The wheel and the executable work."
