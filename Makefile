# setup: a virtual environment in .venv    mosaic: a simulated night, assembled and scored    test: all checks
# Each target works alone on a machine with Python 3.11 or later.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
NIGHT := demo/night
MOSAIC := demo/mosaic

.PHONY: setup mosaic test docs executable screenshots clean

setup: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target .venv/zarr2 'zarr>=2.18,<3' 'numcodecs<0.16'
	@touch $@

$(NIGHT)/ready: $(READY)
	$(BIN)/zemosaic simulate $(NIGHT) --panels 2x2 --subs 60
	@touch $@

mosaic: $(NIGHT)/ready
	$(BIN)/zemosaic run $(NIGHT)/lights $(MOSAIC)
	@file=$$(ls -t $(MOSAIC)/zemosaic_MT*_R*[0-9].fits | head -n 1); \
		$(BIN)/zemosaic score "$$file" $(NIGHT)/truth.json || echo "Not every goal is met."; \
		echo "The picture: $${file%.fits}_preview.png"

test: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

docs: $(READY)
	$(BIN)/python tools/build_docs.py
	$(BIN)/python -m sphinx -q -W --keep-going -d build/docs-read docs build/docs
	@echo "The site: build/docs/index.html"

executable: # dist/zemosaic; it and the wheel are tried
	PYTHON=$(PYTHON) compile/check.sh

screenshots: $(NIGHT)/ready # of every page of the window, in docs/images; needs Xvfb
	$(BIN)/python tools/make_screenshots.py $(NIGHT)/lights

clean:
	rm -rf .venv demo build dist
