# Everything here sets itself up: a virtual environment in .venv, with Python 3.11 or newer and nothing else installed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXAMPLES := $(wildcard examples/*/pyproject.toml)

.PHONY: demo test faults bench docs lint types clean

# The main job: real ImageNet weights, real photographs of solar cells, the backbone frozen.
demo: $(VENV)/.ready
	$(BIN)/ft run --backbone efficientnet-lite:lite0 --data elpv --val-fraction 0.25 --freeze all \
		--epochs 12 --lr 0.003

test: lint types
	$(BIN)/python -m pytest -n auto

# What breaks in the field, many times over; `make test` does a few of each.
faults: $(VENV)/.ready
	FT_FAULTS=full $(BIN)/python -m pytest tests/faults -s

# What starting costs with many plugins installed (a minute), what computing the frozen prefix once is worth (20 minutes).
bench: $(VENV)/.ready
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/frozen_prefix.py

# docs/ as a site, site/index.html; a broken link is an error.
docs: $(VENV)/.ready
	$(BIN)/zensical build --strict

lint: $(VENV)/.ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.ready
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist site .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Again whenever a pyproject.toml changes, because entry points are read when a distribution is installed.
$(VENV)/.ready: pyproject.toml $(EXAMPLES)
	$(PYTHON) -c 'import sys; sys.exit("ft needs Python 3.11 or newer: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	@echo "setting up $(VENV): about two minutes and 5 GB, once"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	$(BIN)/python -m pip install --quiet $(addprefix --editable ./,$(dir $(EXAMPLES)))
	touch $@
