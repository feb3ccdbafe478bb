# Two commands set everything up: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test lint types docs coverage hooks bench clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 10

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "medsyn needs Python 3.11 or newer: make PYTHON=python3.11 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs]'
	@touch $@

demo: $(VENV)/installed  ## ingest, train, augment and evaluate on simulated chest films
	$(BIN)/medsyn demo

# Passive: threads that wait do not take the cores from those that work.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/pytest

test: $(VENV)/installed-dev lint types  ## lint, types and all tests: one process a core, then those that need several cores each
	$(PYTEST) -n auto --dist worksteal -m "not crowded"
	$(PYTEST) -m crowded

lint: $(VENV)/installed-dev  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev  ## mypy: strict on what users import
	$(BIN)/mypy

coverage: $(VENV)/installed-dev  ## all tests, and which lines of the paths without a GPU they run
	$(PYTEST) -n auto --dist worksteal -m "not crowded" --cov --cov-report=
	$(PYTEST) -m crowded --cov --cov-append --cov-report=term --cov-report=html
	@echo "Left out, with the reason beside:"
	@grep -rn "pragma: no cover" medsyn

hooks: $(VENV)/installed-dev  ## style and types before every commit
	$(BIN)/pre-commit install

docs: $(VENV)/installed-dev  ## the documentation as a site, in build/docs; broken links end it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --config-file docs/mkdocs.yml --quiet
	@echo open build/docs/index.html

bench: $(VENV)/installed-dev  ## every number that README and docs claim
	$(BIN)/python benchmarks/run_all.py

clean:  ## remove the virtual environment and caches; workspaces stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .coverage .coverage.* htmlcov build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
