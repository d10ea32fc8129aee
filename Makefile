# Greenroom's commands. Everything lands in .venv; nothing needs root, Node or a GPU.

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# The first Python on PATH that is new enough; `make PYTHON=/path/to/python3 ...` chooses another.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,\
  $(if $(shell $(p) -c 'import sys; print(*["yes"][:sys.version_info >= (3, 11)])' 2>&1 | grep -x yes),$(p))))
# What was installed for: this folder, these declarations. A change of either installs again.
STATE := $(shell (pwd; cat pyproject.toml constraints.txt) | cksum | tr ' ' '-')
RUNTIME := $(VENV)/.runtime-$(STATE)
DEV := $(VENV)/.dev-$(STATE)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --constraint constraints.txt

.PHONY: help setup setup-dev serve test check format bench clean
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  GREENROOM_* variables are passed on: GREENROOM_PORT=9000 make serve"
	@echo "  make test ARGS='-k recipe' passes words on to pytest, make serve ARGS=... to greenroom."

setup: $(RUNTIME) ## Install what the server needs into .venv

setup-dev: $(DEV) ## Install what the tests and checks need, too

serve: $(RUNTIME) ## Install what is missing, then start the server
	@exec $(BIN)/greenroom serve $(ARGS)

test: $(DEV) ## Run all tests that this machine can run
	@exec $(BIN)/python -m pytest $(ARGS)

check: $(DEV) ## Run the linters, the type checker and the fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -m "not slow" $(ARGS)

format: $(DEV) ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV) ## Measure this machine; results in bench/results and docs/benchmarks.md
	@exec $(BIN)/python -m bench $(ARGS)

clean: ## Remove .venv, caches and build output; never models or data
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
	  echo "Greenroom needs Python 3.11 or newer; here is $$(python3 --version 2>&1)." >&2; \
	  echo "Install one (on Debian and Ubuntu: python3 python3-venv), then run make again." >&2; exit 1; fi
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "This Python cannot make a virtual environment." >&2; \
	  echo "On Debian and Ubuntu install python3-venv, then run make again." >&2; exit 1; }

$(RUNTIME): | $(BIN)/python
	@echo "Installing Greenroom into $(VENV). The first time this fetches PyTorch and takes some minutes."
	@$(PIP) --editable .
	@rm -f $(VENV)/.runtime-* $(VENV)/.dev-*
	@touch $@

$(DEV): | $(BIN)/python
	@echo "Installing Greenroom and its tests into $(VENV). The first time this takes some minutes."
	@$(PIP) --editable '.[dev]'
	@rm -f $(VENV)/.runtime-* $(VENV)/.dev-*
	@touch $(RUNTIME) $@
