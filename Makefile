# Two commands do everything on a fresh machine: `make demo` and `make test`.
#
# TORCH names your own torch: `make demo TORCH=torch==2.14.1`, `TORCH=./some.whl`, any pip
# requirement; or `TORCH=system` for the one that your Python already has. Without it, the
# version in constraints.txt is installed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
TORCH ?=
DEMO := aimatrix-demo
NATIVE := src/aimatrix/monitoring/native

.PHONY: demo test lint bench fuzz tables validation fidelity coverage reference clean FORCE

demo: $(VENV)/native.stamp
	$(BIN)/aimatrix demo -o $(DEMO)

test: lint $(VENV)/native.stamp
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(DEMO)/profile.json
	$(BIN)/python benchmarks/search_speed.py
	$(BIN)/python benchmarks/monitor_overhead.py --quick
	$(BIN)/python benchmarks/store_speed.py
	$(BIN)/python benchmarks/store_size.py

# what the readers of files make of 10,000 damaged ones; under two minutes
fuzz: $(VENV)/dev.stamp
	$(BIN)/python tests/fuzzing/fuzz_readers.py --files 10000

# the poster's two tables, ours beside the published ones (README)
tables: $(VENV)/demo.stamp
	$(BIN)/python benchmarks/poster_tables.py

# the demo's benchmark against the real models on every kind of CPU platform; some ten minutes
validation: $(DEMO)/profile.json
	$(BIN)/aimatrix validate $(DEMO)/benchmark --suite $(DEMO)/suite.toml \
	  --platform torch::1 --platform torch::2 --platform onnxruntime::1 --platform onnxruntime::2 \
	  --platform torch-compile::2 --platform torch:bfloat16:2 --time-limit 30s \
	  -o $(DEMO)/results/validation.json
	$(BIN)/aimatrix report $(DEMO) --published -o $(DEMO)/report.html

# benchmarks of a mix against 21 real applications on eleven CPU platforms, with what others do beside
# it; more than an hour. benchmarks/results/fidelity.json and .html
fidelity: $(VENV)/dev.stamp $(VENV)/native.stamp
	$(BIN)/python benchmarks/fidelity.py

# how much of real architectures the families know, into the docs; some minutes
coverage: $(VENV)/dev.stamp
	$(BIN)/python benchmarks/coverage.py --page docs/coverage.md --summary docs/operators.md

$(DEMO)/profile.json:
	$(MAKE) demo

# docs/command-line.md from the help texts, the tables of docs/operators.md from families and rules
reference: $(VENV)/dev.stamp
	$(BIN)/python -m aimatrix.cli.reference > docs/command-line.md
	$(BIN)/python -m aimatrix.dialects.operators_page docs/operators.md

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "AI Matrix needs Python 3.11 or newer; name one with PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(if $(filter system,$(TORCH)),--system-site-packages) $(VENV)

# changes when another torch is asked for than the one that is there
$(VENV)/torch.choice: FORCE | $(BIN)/python
	@printf '%s\n' '$(TORCH)' | cmp -s - $@ || printf '%s\n' '$(TORCH)' > $@

# holds the exact torch as a constraint: what is installed after it may not replace it
$(VENV)/torch.txt: $(VENV)/torch.choice constraints.txt
ifeq ($(TORCH),)
	$(PIP) --constraint constraints.txt torch numpy
else ifneq ($(TORCH),system)
	$(PIP) '$(TORCH)' numpy
endif
	@$(BIN)/python -c 'import torch; print("torch==" + torch.__version__)' > $@.tmp \
	  || { echo "there is no torch; name one with TORCH= (after make clean, if it was system)" >&2; exit 2; }
	@mv $@.tmp $@

$(VENV)/demo.stamp: $(VENV)/torch.txt pyproject.toml
	$(PIP) --constraint $< --editable .
	@touch $@

# on top of the other, so that the two are never installed at the same time
$(VENV)/dev.stamp: $(VENV)/demo.stamp
	$(PIP) --constraint $(VENV)/torch.txt --editable '.[dev]'
	@touch $@

# the capture for this torch; where it cannot be built, the monitor counts in another way
$(VENV)/native.stamp: $(VENV)/demo.stamp $(wildcard $(NATIVE)/*.cpp $(NATIVE)/*.h)
	@$(BIN)/aimatrix doctor --build || true
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info $(DEMO)
