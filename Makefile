# Every target sets up what it needs in .venv; `make help` lists them.
VENV := .venv
PY := $(VENV)/bin/python
PYTHON ?= python3
RUN_STAMP := $(VENV)/.run-installed
ALL_STAMP := $(VENV)/.all-installed
DATA ?=
CONFIG ?= train/configs/needle.toml
CHECKPOINT ?= runs/nerveseg/best.ckpt
MODEL ?= weights/nerveseg.onnx

.DEFAULT_GOAL := help
.PHONY: help run test check train evaluate export bench bench-live data clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(RUN_STAMP) ## Open the app on a moving demo clip with overlays
	$(PY) app.py

test: $(ALL_STAMP) ## Run every test
	$(PY) -m pytest

check: $(ALL_STAMP) ## Format, lint, types and the rules of the house
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

train: $(ALL_STAMP) ## Train from CONFIG (default: the needle, on the shipped network)
	$(PY) -m train fit $(CONFIG) $(if $(DATA),--data $(DATA))

evaluate: $(ALL_STAMP) ## Measure MODEL on the held-out clusters
	$(PY) -m train evaluate $(MODEL) --data usgra-seg,femoral-nerve-block,dl-track $(if $(DATA),--root $(DATA))

export: $(ALL_STAMP) ## Export CHECKPOINT to MODEL, an ONNX file, checked against torch
	$(PY) -m train export $(CHECKPOINT) $(MODEL) $(if $(DATA),--data $(DATA))

bench: $(ALL_STAMP) ## Time every stage, and our model against the others
	$(PY) -m train bench

bench-live: $(ALL_STAMP) ## Measure what live scanning promises, in a browser (about an hour)
	$(PY) -m tests.live_bench

data: $(RUN_STAMP) ## List the datasets; fetch one with `.venv/bin/nerveseg data fetch NAME`
	$(VENV)/bin/nerveseg data list

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(PY):
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"Python 3.11 or newer is needed, this is {v.major}.{v.minor}; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip

$(RUN_STAMP): pyproject.toml | $(PY)
	$(PY) -m pip install --quiet -e '.[openvino,video,igtl]'
	@touch $@

# torch is pinned and installed first, so that pip settles for the build that it finds for it.
$(ALL_STAMP): pyproject.toml | $(PY)
	$(PY) -m pip install --quiet torch==2.13.0
	$(PY) -m pip install --quiet -e '.[openvino,video,igtl,train,dev]'
	@touch $@ $(RUN_STAMP)
