#!/usr/bin/env bash
# Builds dist/zemosaic, one executable with everything inside, for the system it runs on (Linux, macOS).
#   compile/build_zemosaic.sh            needs Python 3.11 or later with a shared libpython, and tkinter for the window
#   PYTHON=python3.12 compile/build_zemosaic.sh
# Quicker and larger, to try it: PYINSTALLER_ZLIB_COMPRESSION_LEVEL=1
set -euo pipefail
cd "$(dirname "$0")/.."

python=build/venv/bin/python
if [ ! -x "$python" ]; then
    "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        { echo "Python 3.11 or later is needed; name one: PYTHON=python3.12 $0" >&2; exit 1; }
    "${PYTHON:-python3}" -m venv build/venv
    "$python" -m pip install --quiet --disable-pip-version-check -r compile/requirements.txt
fi
rm -rf build/wheel
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/wheel .
"$python" -m pip install --quiet --disable-pip-version-check "$(echo build/wheel/zemosaic-*.whl)[gui,hips]"
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall build/wheel/zemosaic-*.whl
"$python" -m PyInstaller --clean --noconfirm --log-level WARN --distpath dist --workpath build/pyinstaller compile/zemosaic.spec
ls -l dist/zemosaic
