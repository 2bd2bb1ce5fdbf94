# Everything here sets itself up: a virtual environment in .venv, with Python 3.11 or newer and nothing else installed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LITERT := $(VENV)-litert
FROZEN_PREFIX := $(BIN)/python benchmarks/frozen_prefix.py
EXAMPLES := $(wildcard examples/*/pyproject.toml)

# Nothing is compiled when it is installed, so whoever imports torch first keeps it for all others.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test quick faults trackers exporters bench docs pictures lint types browser clean

# The main job: real ImageNet weights, real photographs of solar cells, the backbone frozen.
demo: $(VENV)/.ready
	$(BIN)/ft run --backbone efficientnet-lite:lite0 --data elpv --val-fraction 0.25 --freeze all \
		--epochs 12 --lr 0.003

# As many processes as cores, so a thread in each. Types are checked beside the tests, and told after them.
test: lint browser
	@mkdir -p build
	$(BIN)/mypy > build/types.txt & OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal; tests=$$?; \
		wait $$!; types=$$?; cat build/types.txt; exit $$((tests + types))

# While you work: lint, types, and the tests that need no training, in less than a minute.
quick: lint types
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "not trains and not slow and not faults"

# What breaks in the field, many times over, and more networks; `make test` does a few of each.
faults: $(VENV)/.ready
	FT_FAULTS=full $(BIN)/python -m pytest -m faults -s

# All measurements, on a machine that does nothing else: about 5 hours on 2 cores. Results also go to build/bench.
# Starting (a minute), fitting a head (10 minutes), the feature pass (10), what features know (5), whole runs beside
# other loops: the head of Lite0 (70) and of ResNet-18 (25), its last stage (55), all of it (2 hours).
bench: $(VENV)/.bench
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/linear_head.py
	$(BIN)/python benchmarks/head_sweep.py
	$(BIN)/python benchmarks/feature_pass.py
	$(BIN)/python benchmarks/prediction.py
	$(BIN)/python benchmarks/label_noise.py
	$(FROZEN_PREFIX) --peer-epochs 3 --out build/bench/head-lite0.json
	$(FROZEN_PREFIX) --peer-epochs 3 --model torchvision:resnet18 --out build/bench/head-resnet18.json
	$(FROZEN_PREFIX) --peer-epochs 3 --model torchvision:resnet18 --train last-stage --out build/bench/last-stage.json
	$(FROZEN_PREFIX) --model torchvision:resnet18 --train all --seeds 0,1,2 --peers plain --ft fast \
		--out build/bench/all.json

# Trackers, with the programs that they hand runs to; `make test` has TensorBoard alone.
trackers: $(VENV)/.trackers
	$(BIN)/python -m pytest tests/plugins/trackers tests/core/testing/test_built_ins_conform.py \
		-k "trackers or MetricsCsv or TensorBoard or MLflow or Wandb or Trackio"

# Exporters, with the programs that compute what they write; `make test` has onnxruntime and torch.
exporters: $(VENV)/.exporters
	$(BIN)/python -m pytest tests/plugins/export tests/core/exporting tests/core/testing/test_built_ins_conform.py \
		-k "export or exporting or Onnx or TorchExport or Safetensors or OpenVino"
	$(LITERT)/bin/python -m pytest -p no:anyio tests/core/testing/test_built_ins_conform.py \
		tests/plugins/export/test_litert.py -k "LiteRt or litert"

# docs/ as a site, site/index.html; a broken link is an error.
docs: $(VENV)/.ready
	$(BIN)/zensical build --strict

# The pictures of docs/report.md, made anew of the demo's run: a few minutes.
pictures: $(VENV)/.ready browser
	rm -rf build/pictures
	$(BIN)/ft run --backbone efficientnet-lite:lite0 --data elpv --val-fraction 0.25 --freeze all \
		--epochs 12 --lr 0.003 --run-dir build/pictures
	$(BIN)/python tests/report_pictures.py build/pictures

lint: $(VENV)/.ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.ready
	$(BIN)/mypy

# Chromium, in which tests look at pages: about 0.4 GB, from Debian, where it is not there yet and may be installed.
# Where it may not, those tests are skipped, but on a machine that says by CI=1 that it is one of CI, where they fail.
browser:
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing Chromium, in which tests look at pages: once, about a minute"; \
		export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && apt-get install -y -qq --no-install-recommends \
			chromium chromium-driver fonts-liberation >/dev/null; \
	else echo "no Chromium here: tests that look at pages are skipped; apt-get install chromium chromium-driver"; fi

clean:
	rm -rf $(VENV) $(LITERT) build dist site .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Again whenever a pyproject.toml changes, because entry points are read when a distribution is installed.
$(VENV)/.ready: pyproject.toml $(EXAMPLES)
	$(PYTHON) -c 'import sys; sys.exit("ft needs Python 3.11 or newer: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	@echo "setting up $(VENV): about two minutes and 5 GB, once"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet hatchling editables # once, not once for each of what follows
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-compile --editable '.[dev]' \
		$(addprefix --editable ./,$(dir $(EXAMPLES)))
	touch $@

# What the benchmarks compare ft with: about 0.8 GB more, which nothing else needs.
$(VENV)/.bench: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@

# The libraries of the trackers: about 0.6 GB more, which nothing else needs.
$(VENV)/.trackers: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --editable '.[mlflow,trackio,wandb]'
	touch $@

# OpenVINO: about 0.2 GB more, which nothing else needs.
$(VENV)/.exporters: $(VENV)/.ready $(LITERT)/.ready
	$(BIN)/python -m pip install --quiet --editable '.[openvino]'
	touch $@

# LiteRT's converter, which wants an older typing_extensions than the browser's driver does: an environment of its own.
$(LITERT)/.ready: pyproject.toml
	$(PYTHON) -m venv $(LITERT)
	$(LITERT)/bin/python -m pip install --quiet hatchling editables
	$(LITERT)/bin/python -m pip install --quiet --no-build-isolation --no-compile --editable '.[litert]' 'pytest>=8.2' 'hypothesis>=6.100'
	touch $@
