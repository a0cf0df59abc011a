# Each target makes .venv from plain python3 and installs what it needs; the second time is quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
TESTED := $(VENV)/.dev,models,interop.stamp

.DEFAULT_GOAL := help
.PHONY: help demo test lint types bench clean

help:
	@echo "make demo   tile the bundled slide and write a report page"
	@echo "make test   lint, import arrows, types, tests"
	@echo "make lint   lint, import arrows, types"
	@echo "make bench  measure against the loops and libraries that people use today"

# A stamp per set of extras: pyproject.toml is the only thing that changes what is installed.
$(VENV)/.%.stamp: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	@touch $@

$(VENV)/.core.stamp: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

demo: $(VENV)/.core.stamp
	$(BIN)/microtome tile tests/data/CMU-1-Small-Region.svs --out demo/archive.zarr \
		--mpp native --patch-size 240
	$(BIN)/microtome verify demo/archive.zarr --source
	@echo "open demo/archive.zarr.report.html in a browser"

lint: $(TESTED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# An older version of a tool that reads what we write, as both must; and a library that a loss is checked
# against, without what it needs for training.
CONSUMERS := $(VENV)/consumers/torchmil-1.0.1 $(VENV)/consumers/lightly-1.6.0
$(CONSUMERS): $(TESTED)
	$(BIN)/python -m pip install --quiet --no-deps --target $@ $(subst -,==,$(notdir $@))
	@touch $@

test: lint $(CONSUMERS)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: $(VENV)/.dev,models,interop,bench.stamp
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf $(VENV) demo .bench
