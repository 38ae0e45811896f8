# `make demo` and `make test` set up all they need in $(VENV); only Python 3.11 to 3.13, git and make must be there.
# Choose another interpreter with `make PYTHON=python3.12 ...`, more test processes with `make JOBS=8 test`.

VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
SOURCES := dataflow runners cluster benchmarks tests examples hatch_build.py

supported := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c '$(supported)' 2>/dev/null && { echo $$name; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench clean

help:
	@echo 'make demo    install, then run the example on the flights of 2013'
	@echo 'make test    install, then lint and run every test, in random order'
	@echo 'make lint    ruff, mypy and the import contract'
	@echo 'make format  let ruff rewrite what it can'
	@echo 'make bench   a short form of every benchmark, in a few minutes'
	@echo 'make clean   remove the environment and every cache'

demo: $(VENV)/.demo-installed
	$(BIN)/python -m examples.flights

# Thousands of tests with processes and clusters of their own get in each other's way now and then. What has failed
# (status 1) is shown, and tried once more with nothing beside it: then it counts.
test: lint
	$(BIN)/pytest -n $(JOBS) --dist worksteal || \
		{ [ $$? = 1 ] && echo 'Once more, alone:' && $(BIN)/pytest --last-failed --last-failed-no-failures none; }

lint: $(VENV)/.test-installed
	$(BIN)/ruff check $(wildcard $(SOURCES))
	$(BIN)/ruff format --check $(wildcard $(SOURCES))
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

format: $(VENV)/.test-installed
	$(BIN)/ruff check --fix $(wildcard $(SOURCES))
	$(BIN)/ruff format $(wildcard $(SOURCES))

bench: $(VENV)/.test-installed
	$(BIN)/python -m benchmarks all --quick --rounds 1 --scale 0.1 --peers pool,dask

clean:
	rm -rf $(VENV) build dist *.egg-info runners/processes/*.so
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find $(wildcard $(SOURCES)) -name __pycache__ -type d -prune -exec rm -rf {} +

# What `pip install` compiles (hatch_build.py); the tests are given a compiler where there is none.
COMPILED := hatch_build.py runners/processes/array_places.c

$(VENV)/.demo-installed: pyproject.toml $(COMPILED) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[examples]'
	@touch $@

$(VENV)/.test-installed: pyproject.toml $(COMPILED) | $(BIN)/python
	@command -v "$${CC:-cc}" >/dev/null || $(BIN)/python -m pip install --quiet ziglang
	CC="$${CC:-$$(command -v cc || echo $(abspath $(VENV))/lib/python3*/site-packages/ziglang/zig cc)}" \
		$(BIN)/python -m pip install --quiet --editable '.[dev,examples]'
	@touch $@ $(VENV)/.demo-installed

$(BIN)/python:
	@test -n '$(PYTHON)' || { \
		echo 'No Python 3.11, 3.12 or 3.13 was found. Install one, or name it: make PYTHON=/path/to/python3.11 ...' >&2; \
		exit 1; }
	@$(PYTHON) -c '$(supported)' 2>/dev/null || { \
		echo '$(PYTHON) is not Python 3.11, 3.12 or 3.13. Name another: make PYTHON=python3.11 ...' >&2; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '$(PYTHON) comes without venv or ensurepip. On Debian and Ubuntu: apt-get install python3-venv' >&2; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)
