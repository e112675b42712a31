# The README says the same in plain pip terms.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export DAGSTER_HOME ?= $(CURDIR)/data/dagster_home
export DAGSTER_CLI_ASSET_MATERIALIZE_MODULE_NAME ?= claas_assets.definitions

# A file's tests stay together: they share what was made once. The longest files first (tests/conftest.py). Three at
# once for two cores: a quarter of their time they wait, for processes that start and for deployments.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# Where it is set, each of a hundred processes compiles Dagster or torch anew: twice its time.
unexport PYTHONDONTWRITEBYTECODE

MAKEFLAGS += --jobs=2  # mypy, whose first run is a minute, beside the tests

.PHONY: install eval check test lint style types tests quick-tests dev

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -e '.[embedded,dev]' -c constraints.txt
	@touch $@

$(DAGSTER_HOME):
	@mkdir -p $@ && printf 'telemetry:\n  enabled: false\n' > $@/dagster.yaml

eval: install | $(DAGSTER_HOME)  ## evaluate `identity` on SmolLM2-135M for 6 steps
	$(BIN)/python -m claas_assets.stack.weights
	$(BIN)/claas-eval 'preferences=[identity]' num_steps=6 snapshot_size=quick

lint: style types

style: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: style
	$(BIN)/mypy

check: lint quick-tests  ## what one runs all day: without weights, browser, Postgres, whole evaluations and the commands

test: lint tests  ## everything

quick-tests: style
	$(PYTEST) -m 'not slow' $(addprefix --ignore=tests/,graph faults cli deploy stack/test_supervise.py test_reality.py test_continual_study.py)

tests: style
	$(BIN)/python -m claas_assets.stack.weights
	$(PYTEST)

dev: install | $(DAGSTER_HOME)  ## the UI, with the history of the command line
	$(BIN)/dagster dev
