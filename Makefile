# Each target sets up what it needs: `make demo` on a fresh machine is enough.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install
SQL    := $(wildcard sql/setup sql/tables sql/migrations sql/engine sql/api sql/views)
DOCKER := $(wildcard docker/Dockerfile.*)
TESTS  ?=

export PIP_ROOT_USER_ACTION := ignore

.DEFAULT_GOAL := help
.PHONY: help venv lint format test coverage functions test-docker demo bench torture torture-mutants clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/.demo  ## Make .venv with pyworker in it

$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'make: pyworker needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...' >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo 'make: this Python cannot make virtual environments; install the package python3-venv' >&2; exit 2; }
	@echo 'making $(VENV)'
	@test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.demo: pyproject.toml | $(VENV)/.venv
	$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/.bench: pyproject.toml | $(VENV)/.venv
	$(PIP) --editable '.[demo,bench]'
	@touch $@ $(VENV)/.demo

$(VENV)/.dev: pyproject.toml | $(VENV)/.venv
	$(PIP) --editable '.[demo,dev]'
	@touch $@ $(VENV)/.demo

lint: $(VENV)/.dev  ## Check style, types, what could be attacked in Python and SQL, SQL layout and docker/
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml --exclude '*/test_*' pyworker bench tests/torture
	$(if $(SQL),$(BIN)/sqlfluff lint --disable-progress-bar --processes 0 $(SQL))
	$(if $(SQL),$(BIN)/python tests/spot_sql.py)
	$(BIN)/python tests/lint_words.py
	$(if $(DOCKER),$(BIN)/hadolint $(DOCKER))
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml

format: $(VENV)/.dev  ## Lay out the Python code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(VENV)/.dev  ## Run all tests (TESTS=tests/unit for some, WORKERS=n processes)
	$(BIN)/python tests/kit/run.py $(TESTS)

coverage: $(VENV)/.dev  ## Run tests (TESTS=...) and show the lines and branches of pyworker/ that none of them ran
	rm -f .coverage
	$(BIN)/python tests/kit/run.py --cov --cov-append --cov-report=term-missing:skip-covered $(TESTS)

functions: $(VENV)/.dev  ## Run tests (TESTS=...) and list the SQL functions that none of them called
	rm -rf .functions && mkdir .functions
	PYWORKER_TESTS_FUNCTIONS=$(CURDIR)/.functions $(BIN)/python tests/kit/run.py $(TESTS); \
	  $(BIN)/python tests/kit/functions.py .functions

test-docker: $(VENV)/.dev  ## Build docker/ and run it on an engine of its own (root on Debian; else skipped)
	$(BIN)/pytest tests/docker

demo: $(VENV)/.demo  ## See it work, on a private server with real flights
	$(BIN)/pyworker demo

bench: $(VENV)/.bench $(if $(PEERS),peers)  ## Measure every goal (QUICK=1, PEERS=1 beside other systems, ONLY=name, PLOTS=dir)
	$(BIN)/pyworker bench $(if $(QUICK),--quick) $(if $(PEERS),--peers) $(foreach name,$(ONLY),--only $(name)) \
	  $(if $(PLOTS),--plots $(PLOTS)) $(if $(MARKDOWN),--markdown $(MARKDOWN))

# The peers of `make bench PEERS=1`, each in its own place: nothing of them gets into .venv or a wheel.
.PHONY: peers
peers:
	@$(MAKE) --no-print-directory .peers/python/.installed || \
	  echo 'make: pip could not install pgmq and PgQueuer: they are left out' >&2
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory .peers/node/.installed || \
	  echo 'make: npm could not install graphile-worker and pg-boss: they are left out' >&2; else \
	  echo 'make: no npm, so graphile-worker and pg-boss are left out; it comes with Node.js' >&2; fi

.peers/python/.installed: bench/peers/requirements.txt
	@echo 'installing pgmq and PgQueuer into .peers/python'
	@$(PYTHON) -m venv --clear .peers/python
	@.peers/python/bin/python -m pip --disable-pip-version-check install --quiet \
	  --requirement bench/peers/requirements.txt
	@touch $@

.peers/node/.installed: bench/peers/package.json
	@echo 'installing graphile-worker, pg-boss and a Node.js for them into .peers/node'
	@rm -rf .peers/node && mkdir -p .peers/node && cp bench/peers/package.json .peers/node/
	@npm install --prefix .peers/node --no-audit --no-fund --no-package-lock --loglevel=error
	@touch $@

torture: $(VENV)/.demo  ## Break things under load (SEED=n SECONDS=s SCENARIO=name), and prove that nothing is lost
	$(BIN)/pyworker torture $(if $(SEED),--seed $(SEED)) $(if $(SECONDS),--seconds $(SECONDS)) \
	  $(foreach name,$(SCENARIO),--scenario $(name))

torture-mutants: $(VENV)/.demo  ## Plant bugs one at a time (MUTANT=name for one), and show that the torture catches each
	$(BIN)/pyworker torture --mutants $(foreach name,$(MUTANT),--mutant $(name))

clean:  ## Remove .venv and caches
	rm -rf $(VENV) .peers .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
