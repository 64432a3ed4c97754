# What a clone needs: python3 (3.11 or newer) and make. Everything else is put into .venv by scripts/setup.py.
#   PYTHON=python3.12   another interpreter
#   TORCH=cpu           PyTorch's CPU build instead of the CUDA build that Linux gets by default
#   TORCH="torch==2.14.1 torchvision==0.29.1"   any other requirement; TORCH_INDEX_URL=… where pip takes it from
# pip's own settings (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, pip.conf, …) are left as they are.

PYTHON ?= python3
BIN := .venv/bin
SETUP = $(PYTHON) scripts/setup.py
PYTEST = $(BIN)/python -m pytest
# Two test processes share the cores, so each gets one thread; it must stand here before torch is imported.
WORKERS ?= 2
ONE_THREAD = OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
# Rooms whose modules import torch: their types and doctests wait for `make test`.
TORCH_ROOMS = nn training deploy
# A tier without tests is not an error (pytest says so with 5).
NONE_IS_FINE = || [ $$? -eq 5 ]

export TORCH TORCH_INDEX_URL

.DEFAULT_GOAL := help
.PHONY: help demo check test lint test-slow test-parity test-browser page-types bench drawings messages dev clean python

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | awk -F'|' '{printf "%-22s%s\n", $$1, $$2}'

python:
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "plusx: there is no $(PYTHON) here, and Python 3.11 or newer is needed. On Debian: apt install python3 python3-venv" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "plusx: $(PYTHON) is `$(PYTHON) -V 2>&1`, but 3.11 or newer is needed. Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }

demo: python  ## set up, look at two networks, then train, save, load and predict (minutes)
	@$(SETUP) base --then train
	@$(BIN)/plusx show resnet18
	@$(BIN)/plusx show resnet50
	@$(SETUP) train
	@$(BIN)/python scripts/demo.py

dev: python  ## set up everything that tests and contributors need
	@$(SETUP) base train check dev

check: python  ## style, types, imports and every test that needs no torch, without installing torch (about a minute)
	@$(SETUP) base check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python $(filter-out $(TORCH_ROOMS:%=src/plusx/%),$(wildcard src/plusx/*)) scripts
	$(BIN)/lint-imports
	$(BIN)/python scripts/messages.py check
	$(ONE_THREAD) $(PYTEST) tests src/plusx $(TORCH_ROOMS:%=--ignore=src/plusx/%) --ignore=src/plusx/weights/loading.py --torch-free -n $(WORKERS) --dist worksteal

messages: dev  ## bring the Chinese catalogues to the texts of the code, and compile them
	$(BIN)/python scripts/messages.py update
	$(BIN)/python scripts/messages.py compile

lint: dev  ## style, types and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

test: lint  ## set up, then style, types, imports and tests (README commands included)
	$(ONE_THREAD) $(PYTEST) -n $(WORKERS) --dist worksteal --durations 5

test-slow: dev  ## tests that take minutes
	$(PYTEST) -m slow $(NONE_IS_FINE)

test-parity: dev  ## other libraries as oracles, at length
	$(ONE_THREAD) $(PYTEST) -m parity -n $(WORKERS) $(NONE_IS_FINE)

test-browser: dev  ## the page of plusx explore in a headless Chromium (Debian: chromium; npm for Pyodide and axe-core)
	$(PYTEST) -m browser $(NONE_IS_FINE)

page-types:  ## the types of the page's scripts, by tsc from npm (development only)
	npx --yes -p typescript@5.9.3 tsc -p src/plusx/explorer/jsconfig.json

bench: python  ## the figures that README claims, beside their peers; wants an idle machine
	@$(SETUP) base train bench
	@failed=0; for script in inspection build; do $(BIN)/python benchmarks/$$script.py || failed=1; done; exit $$failed

drawings: dev  ## draw the documentation's images anew
	$(BIN)/python scripts/drawings.py

clean:  ## remove caches and build products; .venv and runs stay (rm -rf .venv runs)
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage htmlcov
	find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
