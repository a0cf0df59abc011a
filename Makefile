# Each target makes .venv from plain python3 and installs what it needs; the second time is quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two processes, with one thread of arithmetic each; whole files, as their fixtures are dear.
PYTEST_ARGS ?= -n 2 --dist loadfile
PORT ?= 8000
TESTED := $(VENV)/.dev,models,service,interop.stamp

.DEFAULT_GOAL := help
.PHONY: help demo serve-demo stop-demo test lint types bench clean

help:
	@echo "make demo   cut, map, embed and serve the bundled slide; prints the viewer's address"
	@echo "make test   lint, import arrows, types, tests"
	@echo "make lint   lint, import arrows, types"
	@echo "make bench  measure against the loops and libraries that people use today"

# A stamp per set of extras: pyproject.toml is the only thing that changes what is installed.
$(VENV)/.%.stamp: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	@touch $@

# Cuts the bundled slide, learns its tissues from labels of 90 small patches, maps them, embeds the patches, and
# serves all of it. What is done already is not done again.
SKIN := tests/data/skin
demo: $(VENV)/.models,service.stamp
	$(BIN)/microtome tile tests/data/CMU-1-Small-Region.svs --out demo/archive.zarr \
		--mpp native --patch-size 240
	$(BIN)/microtome verify demo/archive.zarr --source
	$(BIN)/microtome import patches $(SKIN)/patches.csv --out demo/skin.zarr --labels column:dermis,epidermis,keratin
	$(BIN)/microtome segment classify demo/skin.zarr --out demo/classifier --config $(SKIN)/classify.toml
	$(BIN)/microtome segment pseudo-masks demo/skin.zarr --model demo/classifier
	$(BIN)/microtome segment train demo/skin.zarr --out demo/segmenter --config $(SKIN)/segment.toml
	$(BIN)/microtome map demo/archive.zarr --model demo/segmenter --classifier demo/classifier --name tissue
	$(BIN)/microtome embed demo/archive.zarr --encoder resnet18 --weights random:0 --input-px 240
	@echo "open demo/archive.zarr.report.html in a browser, or look around in the viewer:"
	@$(MAKE) --no-print-directory serve-demo

serve-demo: stop-demo
	@nohup $(BIN)/microtome serve --slides tests/data --work demo --port $(PORT) >demo/serving.txt 2>demo/serving.log & \
		echo $$! >demo/serving.pid
	@until grep -s serving demo/serving.txt; do kill -0 $$(cat demo/serving.pid) || { cat demo/serving.log; exit 1; }; sleep 0.2; done
	@echo "make stop-demo ends it"

stop-demo:
	@test ! -f demo/serving.pid || ! kill $$(cat demo/serving.pid) 2>/dev/null || \
		for _ in $$(seq 100); do kill -0 $$(cat demo/serving.pid) 2>/dev/null || break; sleep 0.2; done
	@rm -f demo/serving.pid

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

# What needs Flower, and the routes of the service on those versions.
WITH_FLOWER := tests/workflows/federating/test_apps.py tests/workflows/federating/test_flower.py \
	tests/workflows/federating/test_server.py tests/service/test_routes.py \
	-W ignore::DeprecationWarning

# Flower asks for older versions of what the service is built on: an environment that has these, and all else from ours.
FLOWER := $(VENV)/flower
SITE := -c "import sysconfig; print(sysconfig.get_path('purelib'))"
$(FLOWER)/.stamp: $(TESTED)
	@$(BIN)/python -m venv $(FLOWER)
	@$(BIN)/python $(SITE) >"$$($(FLOWER)/bin/python $(SITE))/ours.pth"
	$(FLOWER)/bin/python -m pip install --quiet --editable ".[federated]"
	@touch $@

test: lint $(CONSUMERS) $(FLOWER)/.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)
	OMP_NUM_THREADS=1 $(FLOWER)/bin/python -m pytest $(PYTEST_ARGS) $(WITH_FLOWER)

bench: $(VENV)/.dev,models,service,interop,bench.stamp
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf $(VENV) demo .bench
