# Two commands do everything on a fresh machine: `make demo` and `make test`.
#
# TORCH names your own torch: `make demo TORCH=torch==2.12.1`, `TORCH=./some.whl`, any pip
# requirement; or `TORCH=system` for the one that your Python already has. Without it, the
# version in constraints.txt is installed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
TORCH ?=
# one stamp per choice of torch, so that another choice sets up again
CHOICE := $(if $(TORCH),own-$(shell printf '%s' '$(TORCH)' | cksum | cut -d' ' -f1),pinned)
SETUP := pyproject.toml constraints.txt Makefile

.PHONY: demo test lint bench tables validation reference clean

demo: $(VENV)/demo-$(CHOICE).stamp
	$(BIN)/aimatrix demo

test: $(VENV)/dev-$(CHOICE).stamp lint
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/dev-$(CHOICE).stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: aimatrix-demo/benchmark/benchmark.json
	$(BIN)/python benchmarks/search_speed.py
	$(BIN)/python benchmarks/monitoring_overhead.py
	$(BIN)/python benchmarks/store_speed.py

# the demo's benchmark against the real models on every kind of CPU platform; about ten minutes
validation: aimatrix-demo/benchmark/benchmark.json
	$(BIN)/aimatrix validate aimatrix-demo/benchmark --suite aimatrix-demo/suite.toml \
	  --platform torch::1 --platform torch::2 --platform onnxruntime::1 --platform onnxruntime::2 \
	  --platform torch-compile::2 --platform torch:bfloat16:2 --time-limit 30s \
	  -o aimatrix-demo/results/validation.json
	$(BIN)/aimatrix report aimatrix-demo --published -o aimatrix-demo/report.html

aimatrix-demo/benchmark/benchmark.json:
	$(MAKE) demo

# the poster's two tables, ours beside the published ones (README)
tables: $(VENV)/demo-$(CHOICE).stamp
	$(BIN)/python benchmarks/poster_tables.py

# docs/command-line.md from the help texts
reference: $(VENV)/dev-$(CHOICE).stamp
	$(BIN)/python -m aimatrix.cli.reference > docs/command-line.md

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "AI Matrix needs Python 3.11 or newer; name one with PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(if $(filter system,$(TORCH)),--system-site-packages) $(VENV)

$(VENV)/torch-$(CHOICE).stamp: $(VENV)/bin/python
ifeq ($(TORCH),)
	$(PIP) --constraint constraints.txt torch
else ifeq ($(TORCH),system)
	@$(BIN)/python -c 'import torch' \
	  || { echo "TORCH=system: $(PYTHON) has no torch; make clean, then name one with TORCH=" >&2; exit 2; }
else
	$(PIP) $(TORCH)
endif
	@# what follows may not replace it
	@$(BIN)/python -c 'import torch; print("torch==" + torch.__version__)' > $@

$(VENV)/demo-$(CHOICE).stamp: $(VENV)/torch-$(CHOICE).stamp $(SETUP)
	$(PIP) --constraint $< --editable .
	@touch $@

$(VENV)/dev-$(CHOICE).stamp: $(VENV)/torch-$(CHOICE).stamp $(VENV)/demo-$(CHOICE).stamp
	$(PIP) --constraint $< --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info aimatrix-demo
