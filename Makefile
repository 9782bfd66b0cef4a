# Everything a fresh clone needs: Python 3.11 with venv, and make. Each target sets up its own .venv.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The versions in constraints.txt were tested together; CONSTRAINTS= installs the newest instead.
CONSTRAINTS ?= constraints.txt
TPU_TABLE := article_224,article
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check $(if $(CONSTRAINTS),-c $(CONSTRAINTS))

.PHONY: help demo demo-quick test lint docs coverage torture fuzz mutation benchmarks matrix tpu-table preflight-all clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

$(VENV)/.installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	@echo "Installing Orchard and TensorFlow into $(VENV) (about a minute on a fast line)"
	$(PIP_INSTALL) -e '.[tensorflow]'
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP_INSTALL) -e '.[tensorflow,dev]'
	touch $@

demo: $(VENV)/.installed ## CSV + JPEGs -> shards -> three networks -> ensemble, on real images
	PYTHON=$(BIN)/python examples/demo.sh

demo-quick: $(VENV)/.installed ## the same in a minute, with two networks that learn little: does it work here?
	PYTHON=$(BIN)/python examples/demo.sh --quick

test: $(VENV)/.installed-test ## the test suite
	$(BIN)/python -m pytest -n 2 --dist=loadfile

lint: $(VENV)/.installed-test ## what CI checks besides the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

docs: $(VENV)/.installed-test ## the documentation as a site in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "open site/index.html"

coverage: $(VENV)/.installed-test ## the test suite with pytest-cov: which lines no test runs
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest -n 2 --dist=loadfile --cov --cov-report=term-missing:skip-covered

torture: $(VENV)/.installed-test ## kills, full disks, two writers, wrong clocks; then the slow tests: hours, resumable
	$(BIN)/python -m tests.torture --minutes=180 --seed=0 --state=.torture/state.json
	$(BIN)/python -m pytest -m slow -n 0 --timeout=7200 -rP

fuzz: $(VENV)/.installed-test ## a million damaged inputs for all that is parsed: a quarter of an hour
	$(BIN)/python -m tests.fuzz --cases=1000000

$(VENV)/.installed-mutation: $(VENV)/.installed-test
	$(PIP_INSTALL) -e '.[tensorflow,dev,mutation]'
	touch $@

mutation: $(VENV)/.installed-mutation ## code that says something else: would its tests notice? an hour of one core, resumable
	$(BIN)/python -m tests.mutation

benchmarks: $(VENV)/.installed-test ## the table and plot of all ratios in docs/benchmarks.md: half an hour
	$(BIN)/python -m benchmarks --write

matrix: ## the suite on every supported TensorFlow, in environments of their own: hours
	.ci/matrix

tpu-table: $(VENV)/.installed-test ## docs/benchmarks.md's table of the article's networks on TPUs: two hours, resumable
	$(BIN)/python -m benchmarks.tpu_table --groups=$(TPU_TABLE) --effort=quick --write_to=docs/benchmarks.md

preflight-all: $(VENV)/.installed-test ## that table at full effort, then every network of the registry: a day, resumable
	$(BIN)/python -m benchmarks.tpu_table --groups=$(TPU_TABLE),article_768,article_largest --write_to=docs/benchmarks.md
	$(BIN)/python -m benchmarks.tpu_table --groups=popular,registry

clean: ## the demo's output, the site and the virtual environment
	rm -rf demo_output demo_quick_output site .torture $(VENV)
