@echo off
rem Builds dist\zemosaic.exe, one executable with everything inside. Needs Python 3.11 or later from python.org (py).
rem Another Python than the newest:  set PYTHON=py -3.12
setlocal
cd /d "%~dp0.."
if not defined PYTHON set PYTHON=py

if not exist build\venv\Scripts\python.exe (
    %PYTHON% -c "import sys; sys.exit(sys.version_info < (3, 11))" || (
        echo Python 3.11 or later is needed: https://www.python.org/downloads/
        exit /b 1
    )
    %PYTHON% -m venv build\venv || exit /b 1
    build\venv\Scripts\python -m pip install --quiet --disable-pip-version-check -r compile\requirements.txt || exit /b 1
)
if exist build\wheel rmdir /s /q build\wheel
build\venv\Scripts\python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build\wheel . || exit /b 1
for %%w in (build\wheel\zemosaic-*.whl) do (
    build\venv\Scripts\python -m pip install --quiet --disable-pip-version-check "%%w[gui,hips]" || exit /b 1
    build\venv\Scripts\python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall "%%w" || exit /b 1
)
build\venv\Scripts\python -m PyInstaller --clean --noconfirm --log-level WARN --distpath dist --workpath build\pyinstaller compile\zemosaic.spec || exit /b 1
dir dist\zemosaic.exe
