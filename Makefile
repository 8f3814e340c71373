# Needs make and python3 (3.11 or newer); everything else goes into .venv, from the lock file.
# Another Python: make run PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
# Processes that run tests, each with servers of its own: one more than cores, as many tests wait for something.
TESTERS ?= 3
# -qq: errors only.
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test soak simulate lint types declarations format schema bench bench-growth bench-feed lock venv clean clean-all
.DELETE_ON_ERROR:

help: ## what you are reading
	@echo "First time? 'make run' installs everything into .venv, starts the databases and the API, and says where it is."
	@echo "Its data stays in .crmgql; Ctrl-C stops it all. Settings are CRMGQL_* variables: CRMGQL_PORT=8001 make run"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

# On a terminal the server gets a process group of its own (set -m), so that Ctrl-C reaches it and not make, which
# would report it as a failure. Without a terminal there is no Ctrl-C, and exec lets a signal to make reach the server.
run: .venv/.stamp ## the whole back end on this machine, with embedded databases
	@if [ -t 0 ] && [ -t 1 ]; then set -m; $(BIN)/crmgql dev; exit $$?; else exec $(BIN)/crmgql dev; fi

test: lint ## everything that CI checks: lint, types, import rules, schema.graphql, tests
	$(BIN)/pytest -n $(TESTERS)

soak: .venv/.stamp ## minutes of kills, with leases as they are: workers and their jobs; payments; a minute of everything with 20 subscribers
	$(BIN)/pytest -m soak

# STEPS of each seed; further seeds for so many MINUTES, from FIRST on.
simulate: .venv/.stamp ## histories by chance, with connections cut anywhere; SEED=n plays one again
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED)) --first $(or $(FIRST),0) --steps $(or $(STEPS),100) --minutes $(or $(MINUTES),1)

lint: .venv/.stamp ## what CI checks, without the tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@$(MAKE) --no-print-directory -j types declarations

types:
	$(BIN)/mypy

declarations:
	$(BIN)/lint-imports
	$(BIN)/crmgql schema --check
	$(BIN)/crmgql permissions --check

format: .venv/.stamp ## put the code into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

schema: .venv/.stamp ## write schema.graphql and what docs/reference says of events and permissions anew
	$(BIN)/crmgql schema
	$(BIN)/crmgql events
	$(BIN)/crmgql permissions

bench: .venv/.stamp ## requests per second, side by side with other servers
	$(BIN)/crmgql bench

bench-growth: .venv/.stamp ## the same query while the database grows
	$(BIN)/crmgql bench growth

bench-feed: .venv/.stamp ## subscribers, webhooks and polls: how fast, and what they cost
	$(BIN)/crmgql bench feed

lock: ## write requirements.lock anew (needs uv)
	@command -v uv >/dev/null || { echo "uv is missing: pip install uv" >&2; exit 1; }
	uv pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-annotate --no-header \
		--extra dev pyproject.toml -o requirements.lock

venv: .venv/.stamp ## install the dependencies, and do nothing else
	@:

clean: ## remove .venv and caches; the data in .crmgql stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
	find . -name node_modules -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# A user that a running server needs, or that a user of ours may not remove, stays: that is told and no failure.
clean-all: clean ## remove all that 'make' ever made, WITHOUT ASKING: also the data in .crmgql and the system user
	rm -rf .crmgql
	@id crmgql-postgres >/dev/null 2>&1 || exit 0; PATH="$$PATH:/usr/sbin:/sbin" userdel crmgql-postgres 2>/dev/null || \
		echo "The system user crmgql-postgres stays: stop what runs as it, then, as root: userdel crmgql-postgres" >&2

# A venv is kept if it works, lies where it was made and is of this Python; else it is made anew.
.venv/.stamp: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "crmgql needs Python 3.11 or newer and '$(PYTHON)' is not: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' has no venv module: install it (Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@[ ! -L .venv ] || { \
		echo ".venv is a link to $$(readlink .venv), which is not ours to make anew: remove the link, or run make there." >&2; \
		exit 1; }
	@{ grep -qsF '$(CURDIR)/.venv' .venv/pyvenv.cfg && $(BIN)/python -m pip --version >/dev/null 2>&1 \
		&& [ "$$($(BIN)/python --version)" = "$$($(PYTHON) --version)" ]; } || { \
		echo "Making .venv with $$($(PYTHON) --version) ..."; $(PYTHON) -m venv --clear .venv; }
	@echo "Installing requirements.lock into .venv (about a minute the first time) ..."
	@$(PIP_INSTALL) --require-hashes -r requirements.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@
