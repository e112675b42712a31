# The README says the same in plain pip terms.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export DAGSTER_HOME ?= $(CURDIR)/data/dagster_home
export DAGSTER_CLI_ASSET_MATERIALIZE_MODULE_NAME ?= claas_assets.definitions

# A file's tests stay together: they share what was made once. The longest files first (tests/conftest.py).
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: install eval check test lint dev

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[embedded,dev]' -c constraints.txt
	@touch $@

$(DAGSTER_HOME):
	@mkdir -p $@ && printf 'telemetry:\n  enabled: false\n' > $@/dagster.yaml

eval: install | $(DAGSTER_HOME)  ## evaluate `identity` on SmolLM2-135M for 6 steps
	$(BIN)/python -m claas_assets.stack.weights
	$(BIN)/claas-eval 'preferences=[identity]' num_steps=6 snapshot_size=quick

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint  ## what one runs all day: without the tests that need weights, a browser or Postgres
	$(PYTEST) -m 'not slow'

test: lint  ## everything
	$(BIN)/python -m claas_assets.stack.weights
	$(PYTEST)

dev: install | $(DAGSTER_HOME)  ## the UI, with the history of the command line
	$(BIN)/dagster dev
