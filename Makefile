# Every target sets up what it needs: on a bare machine with Python 3.11 or newer, `make up` or `make test` is all.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
WEB := services/web
# Programs that check what is deployed.
TOOLS := .tools
HOST ?= 127.0.0.1
PORT ?= 8000
# Processes that share the tests, which wait as often as they work; and the checks.
WORKERS ?= 3
# Responses in the database before the bench begins.
HISTORY ?= 0
EXTRAS := gateway command-service vehicle-connector odx vehicle-simulator vehicle-agent cli embedded
CORE := services/command_service/domain/*,services/command_service/use_cases/*

.PHONY: help up test test-web test-deploy check check-types check-python check-web check-deploy tools format web-client protos requirements services bench bench-web screenshots images compose-up compose-down venv clean

help: ## What there is
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

up: $(VENV)/embedded.stamp $(WEB)/dist/index.html ## Run everything in one process with demo data (HOST=, PORT=)
	@exec $(BIN)/sovd up --host $(HOST) --port $(PORT)

test: $(VENV)/dev.stamp $(TOOLS)/stamp ## All tests, on real servers, with coverage (ARGS= goes to pytest, WORKERS=)
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered --cov-fail-under=85 $(ARGS)
	@echo -n "coverage of the domain and the use cases, which must be 95 or more: "
	@$(BIN)/coverage report --include='$(CORE)' --fail-under=95 --format=total
	@$(MAKE) --no-print-directory test-web

test-web: $(VENV)/dev.stamp $(WEB)/dist/index.html ## The web interface's tests: units, then a real browser on real services and servers
	cd $(WEB) && npm test
	export CHROMIUM=$$(scripts/find_browser.sh) PYTHON=$(abspath $(BIN)/python) && cd $(WEB) && npm run e2e

test-deploy: $(VENV)/dev.stamp ## Build the images and run them, with compose and under systemd; needs a Docker engine, and says what else
	docker compose version > /dev/null 2>&1 || scripts/install_tools.sh $(TOOLS)/bin $(BIN)/python docker-compose
	$(BIN)/pytest tests/deploy/check_*.py $(ARGS)

check: ## Lint, types, layers, generated code, pins, what must not be committed (WORKERS=)
	@$(MAKE) --no-print-directory --jobs $(WORKERS) --output-sync=target check-types check-deploy check-python check-web

check-types: $(VENV)/dev.stamp
	$(BIN)/mypy

check-python: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	PYTHON=$(BIN)/python scripts/check_protos.sh
	$(BIN)/python scripts/check_requirements.py
	scripts/check_tracked_files.sh
	$(BIN)/shellcheck -x $$(git ls-files '*.sh' .ci/run)

check-web: $(VENV)/dev.stamp $(WEB)/dist/index.html
	cd $(WEB) && npm run lint && npm run check:size
	PYTHON=$(BIN)/python scripts/check_web_client.sh

check-deploy: $(VENV)/dev.stamp $(TOOLS)/stamp $(TOOLS)/checkov/stamp ## The chart's README, Terraform, the pipeline (their tests are in make test)
	$(BIN)/python scripts/chart_readme.py --check
	scripts/check_terraform.sh $(TOOLS)/bin $(TOOLS)/checkov/bin/checkov
	$(TOOLS)/bin/actionlint

tools: $(TOOLS)/stamp ## Only install what tests and checks of the deployment need (Helm, kubeconform, actionlint), where it is missing

format: $(VENV)/dev.stamp ## Format the code and put right what ruff can
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .
	$(BIN)/python scripts/chart_readme.py

web-client: $(VENV)/dev.stamp $(WEB)/node_modules/.stamp ## Generate the web interface's API types from the gateway's OpenAPI document
	PYTHON=$(BIN)/python scripts/generate_web_client.sh

protos: $(VENV)/dev.stamp ## Generate services/sovd_protos from protos/
	PYTHON=$(BIN)/python scripts/generate_protos.sh

requirements: $(VENV)/dev.stamp ## Pin the newest dependencies that pyproject.toml allows, with hashes
	UV=$(BIN)/uv scripts/pin_requirements.sh $(EXTRAS)

services: $(VENV)/embedded.stamp ## Migrate, then run the three services as processes on the servers of the environment
	@PATH="$(abspath $(BIN)):$$PATH" scripts/run_services.sh

bench: $(VENV)/dev.stamp ## Speed and memory on real servers, as a table and as JSON (HISTORY=10000000)
	$(BIN)/python -m tests.bench --history $(HISTORY) $(ARGS)

bench-web: $(VENV)/dev.stamp $(WEB)/dist/index.html $(WEB)/tools/node_modules/.stamp ## Speed of the web interface in a real browser, as text and as JSON
	export CHROMIUM=$$(scripts/find_browser.sh) && $(BIN)/python -m tests.web.bench

screenshots: $(VENV)/dev.stamp $(WEB)/dist/index.html $(WEB)/tools/node_modules/.stamp ## A picture of each page of the web interface, into docs/images/
	export CHROMIUM=$$(scripts/find_browser.sh) && $(BIN)/python -m tests.web.screenshots

images: ## Build all images (scripts/build_images.sh tells how with other bases, a proxy, an index of one's own)
	scripts/build_images.sh

compose-up: images ## Run the whole system in containers, with dashboards and traces: http://localhost:3000
	scripts/create_compose_env.sh
	docker compose --file deploy/compose/compose.yaml up --detach --wait

compose-down: ## Stop it; its data stays (ARGS=--volumes removes it)
	docker compose --file deploy/compose/compose.yaml down $(ARGS)

venv: $(VENV)/dev.stamp ## Only set up the development environment in $(VENV)

clean: ## Remove the environment, caches and reports (not var/, the data of `make up`)
	rm -rf $(VENV) $(TOOLS) $(WEB)/node_modules $(WEB)/tools/node_modules $(WEB)/dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis htmlcov .coverage .coverage.*
	find services tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(WEB)/dist/index.html: $(WEB)/node_modules/.stamp $(shell find $(WEB)/src $(WEB)/public -type f) $(WEB)/index.html $(WEB)/vite.config.ts
	cd $(WEB) && npm run build

$(WEB)/node_modules/.stamp $(WEB)/tools/node_modules/.stamp: %/node_modules/.stamp: %/package.json %/package-lock.json
	@command -v npm > /dev/null || { echo "set-up: the web interface needs Node.js 20 with npm" >&2; exit 1; }
	cd $* && npm ci --no-fund --no-audit --loglevel=error
	@touch $@

$(TOOLS)/stamp: scripts/install_tools.sh requirements/go.txt | $(VENV)/dev.stamp
	scripts/install_tools.sh $(TOOLS)/bin $(BIN)/python
	@touch $@

# An environment of its own: checkov pins what others need in other versions.
$(TOOLS)/checkov/stamp: requirements/checkov.txt | $(VENV)/dev.stamp
	$(BIN)/python -m venv --without-pip $(TOOLS)/checkov
	$(BIN)/python -m pip --python $(TOOLS)/checkov/bin/python install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes -r $<
	@touch $@

$(VENV)/%.stamp: requirements/%.txt requirements/build.txt pyproject.toml scripts/set_up.sh
	scripts/set_up.sh $(VENV) $*
	@touch $@
