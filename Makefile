# Each target installs what it needs into .venv and touches nothing else.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PORT ?= 8000

.PHONY: help setup demo test quick check lock sbom bench torture clean

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
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations 30

quick: .venv/.installed-dev .venv/.browser  ## while you write: no test over ten seconds, none on PostgreSQL
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile -m "not slow and not postgresql"

check: .venv/.installed-dev  ## ruff, mypy strict, the import contracts, licences, advisories, SBOM
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m torture dependencies --short

# Without torch and what it alone brings: that is chosen by machine (CPU or CUDA), and pinned in constraints.txt.
lock: .venv/.installed-dev  ## requirements.lock: the service's packages with their hashes, for Linux and Python 3.11
	$(BIN)/uv pip compile pyproject.toml -c constraints.txt --python-version 3.11 --generate-hashes --no-annotate -q \
	  --no-emit-index-url --custom-compile-command "make lock" -o requirements.lock \
	  $(foreach p,torch setuptools triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc \
	  nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse \
	  nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx,--no-emit-package $(p))

sbom: .venv/.installed-dev  ## sbom.json: what is installed, as CycloneDX
	$(BIN)/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml -o sbom.json

bench: .venv/.installed-dev  ## the benchmarks; writes docs/benchmarks.md
	$(BIN)/python -m benchmarks

torture: .venv/.installed-dev .venv/.browser  ## hostile files, crashes, outages, in their long form; writes docs/torture.md
	$(BIN)/python -m torture

clean:  ## remove .venv and caches, never a workspace
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
