# Each target installs what it needs into .venv and touches nothing else.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PORT ?= 8000

.PHONY: help setup demo test check bench torture clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) install -q -c constraints.txt torch==2.13.0
	$(PIP) install -q -c constraints.txt -e .
	touch $@

.venv/.installed-dev: .venv/.installed
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	touch $@

setup: .venv/.installed-dev  ## install into .venv, with the tools for tests

demo: .venv/.installed  ## draw synthetic cases, train, serve http://127.0.0.1:8000
	$(BIN)/clinical-mm demo --port $(PORT)

# Chromium: the one on PATH, else Playwright's own (a download into the user's cache, no root needed).
.venv/.browser: .venv/.installed-dev
	command -v chromium >/dev/null || command -v google-chrome >/dev/null || $(BIN)/playwright install chromium
	touch $@

test: .venv/.installed-dev .venv/.browser  ## every test: units, HTTP, PostgreSQL, a real browser, kill -9
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: .venv/.installed-dev  ## ruff, mypy strict, the import contracts
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.installed-dev  ## the benchmarks; writes docs/benchmarks.md
	$(BIN)/python -m benchmarks

torture: .venv/.installed-dev .venv/.browser  ## hostile files, crashes, outages, in their long form; writes docs/torture.md
	$(BIN)/python -m torture

clean:  ## remove .venv and caches, never a workspace
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
