# Every target sets up what it needs: on a bare machine with Python 3.11 or newer, `make up` or `make test` is all.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
HOST ?= 127.0.0.1
PORT ?= 8000
# Responses in the database before the bench begins.
HISTORY ?= 0
EXTRAS := gateway command-service vehicle-connector simulator cli embedded
CORE := services/command_service/domain/*,services/command_service/use_cases/*

.PHONY: help up test check format protos requirements services bench venv clean

help: ## What there is
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

up: $(VENV)/embedded.stamp ## Run everything in one process with demo data (HOST=, PORT=)
	@exec $(BIN)/sovd up --host $(HOST) --port $(PORT)

test: $(VENV)/dev.stamp ## All tests, on real servers, with coverage (ARGS= goes to pytest)
	$(BIN)/pytest --cov --cov-report=term:skip-covered --cov-fail-under=85 $(ARGS)
	@echo -n "coverage of the domain and the use cases, which must be 95 or more: "
	@$(BIN)/coverage report --include='$(CORE)' --fail-under=95 --format=total

check: $(VENV)/dev.stamp ## Lint, types, layers, generated code, pins, what must not be committed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	PYTHON=$(BIN)/python scripts/check_protos.sh
	$(BIN)/python scripts/check_requirements.py
	scripts/check_tracked_files.sh

format: $(VENV)/dev.stamp ## Format the code and put right what ruff can
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

protos: $(VENV)/dev.stamp ## Generate services/sovd_protos from protos/
	PYTHON=$(BIN)/python scripts/generate_protos.sh

requirements: $(VENV)/dev.stamp ## Pin the newest dependencies that pyproject.toml allows, with hashes
	UV=$(BIN)/uv scripts/pin_requirements.sh $(EXTRAS)

services: $(VENV)/embedded.stamp ## Migrate, then run the three services as processes on the servers of the environment
	@PATH="$(abspath $(BIN)):$$PATH" scripts/run_services.sh

bench: $(VENV)/dev.stamp ## Speed and memory on real servers, as a table and as JSON (HISTORY=10000000)
	$(BIN)/python -m tests.bench --history $(HISTORY) $(ARGS)

venv: $(VENV)/dev.stamp ## Only set up the development environment in $(VENV)

clean: ## Remove the environment, caches and reports (not var/, the data of `make up`)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis htmlcov .coverage .coverage.*
	find services tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/%.stamp: requirements/%.txt requirements/build.txt pyproject.toml scripts/set_up.sh
	scripts/set_up.sh $(VENV) $*
	@touch $@
