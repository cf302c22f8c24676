# Each target sets up .venv by itself: Python 3.11+, make and a network to PyPI are all that a machine needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KIND ?= crema_d
DATA ?= data/avatars
RUN ?= runs/avatars
CONFIGS ?= training/configs/avatars
BASE ?= checkpoints/avatars
OUT ?= checkpoints/avatars

.PHONY: setup demo test lint train bench clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed; name it with make PYTHON=python3.12'; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r pyproject.toml --all-extras
	@touch $@

demo: setup
	$(BIN)/python app.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest

# Every network of OUT, in order; an interrupted run resumes. Without CORPUS nothing is set up.
train: $(if $(CORPUS),setup)
	@$(if $(CORPUS),,$(error name the corpus to train on: make train CORPUS=path/to/CREMA-D, with KIND=voxceleb2 or KIND=grid for another kind))
	$(BIN)/python -m training.prepare --corpus "$(KIND)" --root "$(CORPUS)" --out "$(DATA)" $(PREPARE)
	$(BIN)/python -m training.train_all --data "$(DATA)" --run "$(RUN)" --configs "$(CONFIGS)" --out "$(OUT)" --base "$(BASE)"

# Tables of speed on this machine, generation and training; BENCH=--long adds a minute and ten minutes of speech.
bench: setup
	$(BIN)/python -m s2v_core.bench $(BENCH)
	$(BIN)/python -m training.bench

clean:
	rm -rf $(VENV)
