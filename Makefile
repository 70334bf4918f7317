SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
UV_VERSION := $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements.txt)
COMPILE := uv pip compile --no-config --quiet --generate-hashes --custom-compile-command "make requirements"
REQUIREMENTS := requirements.txt tools/requirements-checkov.txt functions/requirements.txt
COMPILE_DEV := $(COMPILE) pyproject.toml --group dev --universal --python-version 3.11
COMPILE_CHECKOV := $(COMPILE) --group checkov --universal --python-version 3.11
COMPILE_FUNCTION := $(COMPILE) --group function --python-version 3.13 --no-emit-package jmespath
# Not from here: tools/sam/pyproject.toml says what is for `sam build` alone.
SAM_BUILD := cd tools/sam && sam build --template-file "$(CURDIR)/template.yaml" --config-file "$(CURDIR)/samconfig.toml" --build-dir "$(CURDIR)/.aws-sam/build"

# On two cores, since those that share a deployed stack mostly wait for it: two groups, and a third for all else.
WITH_STACKS := 3

# sam and the uv that it calls are those of requirements.txt.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# What Python compiles is kept, but not beside the sources.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.venv/pycache
unexport PYTHONDONTWRITEBYTECODE
export SAM_CLI_TELEMETRY := 0
# To lint and build needs no account; only `sam deploy` by hand does.
export AWS_DEFAULT_REGION ?= us-east-1

# What is given to make reaches a command as it is, in the environment: it is text, not shell or make.
$(foreach name,EVENT PORT SECONDS_IN_PROGRESS SECRETS SEED WORLD WORLDS,$(eval override export $(name) := $$(value $(name))))

.PHONY: help setup demo drill local invoke test-fast test test-all check-quick check check-packaged check-template check-requirements backfill chaos mutate build bench package preview requirements clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(BIN)/.ready ## make .venv, with everything in requirements.txt

$(BIN)/.ready: requirements.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is missing or older than 3.11: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Making .venv (once, less than a minute)"
	@$(PYTHON) -m venv --clear .venv \
	  || { echo "$(PYTHON) -m venv failed: on Debian and Ubuntu, install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@VIRTUAL_ENV=.venv uv pip sync --quiet --require-hashes requirements.txt
	@VIRTUAL_ENV=.venv uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## deploy to a local AWS and watch secrets appear in other Regions
	@python -m local demo

drill: setup ## fail over and come back, with a stack in each of two Regions: make drill [WORLDS="old_primary_shows=stale"]
	@python -m local drill $${WORLDS:+--worlds "$$WORLDS"}

local: setup ## the same stack, staying up: make local [PORT=4566] [SECONDS_IN_PROGRESS=3] [WORLDS="repeat=refused"]
	@python -m local up $${PORT:+--port "$$PORT"} \
	  --worlds "seconds_in_progress=$${SECONDS_IN_PROGRESS:-3} $${WORLDS:-}" \
	  || test $$? -eq 130 # Ctrl-C

invoke: setup build ## run the built function on a file: make invoke EVENT=events/create-secret.json
	@test -n "$$EVENT" || { echo "Name a file: make invoke EVENT=events/create-secret.json" >&2; exit 2; }
	@python -m local invoke -- "$$EVENT"

# Four on two cores: many of them wait.
test-fast: setup build ## what you run while you work: no stack
	@pytest -m "not slow" --numprocesses 4 tests/unit tests/function tests/replicas tests/template tests/docs

test: setup build ## the same, and the deployed stack on a local AWS
	@pytest -m "not slow" --numprocesses $(WITH_STACKS) --dist loadgroup

test-all: setup build ## every test: also chaos, containers, full scale, coverage
	@pytest --cov --numprocesses $(WITH_STACKS) --dist loadgroup

# checkov's own packages contradict ours, so it lives apart.
.checkov/.ready: tools/requirements-checkov.txt $(BIN)/.ready
	@uv venv --quiet --clear --python $(BIN)/python .checkov
	@VIRTUAL_ENV=.checkov uv pip sync --quiet --require-hashes --compile-bytecode tools/requirements-checkov.txt
	@touch $@

check-quick: setup ## the quick half of the checks
	@ruff format --quiet --check . || { echo "Not formatted: run ruff format" >&2; exit 1; }
	@ruff check --quiet .
	@mypy --no-error-summary
	@log=$$(lint-imports 2>&1) || { echo "$$log" >&2; exit 1; }
	@python -m tools.checks

check: check-quick .checkov/.ready ## format, lint, types, import contracts, template, policy, requirements, docs
	@$(MAKE) --no-print-directory --jobs 2 check-packaged check-template check-requirements
	@echo "All checks passed"

# These three are for `check` alone, which runs them side by side.
check-packaged:
	@plain=$$(mktemp -d); trap 'rm -r "$$plain"' EXIT; python -m tools.package $$plain/plain.yaml; \
	  cfn-lint --include-checks I -- $$plain/plain.yaml; \
	  log=$$(.checkov/bin/checkov --file template.yaml --file $$plain/plain.yaml --framework cloudformation \
	  --skip-download --quiet --compact 2>&1) || { echo "$$log" >&2; exit 1; }

check-template:
	@cfn-lint --include-checks I -- template.yaml docs/how-to/auditor-role.yaml
	@log=$$(sam validate --lint 2>&1) || { echo "$$log" >&2; exit 1; }

check-requirements:
	@old=$$(mktemp -d); trap 'rm -r "$$old"' EXIT; mkdir $$old/functions $$old/tools; \
	  for file in $(REQUIREMENTS); do cp $$file $$old/$$file; done; \
	  $(COMPILE_DEV) -o $$old/requirements.txt; $(COMPILE_CHECKOV) -o $$old/tools/requirements-checkov.txt; \
	  $(COMPILE_FUNCTION) -o $$old/functions/requirements.txt; \
	  for file in $(REQUIREMENTS); do diff $$file $$old/$$file \
	  || { echo "$$file is not what pyproject.toml compiles to: run make requirements" >&2; exit 1; }; done

backfill: setup build ## sweep 100,000 secrets on the strict model, and 2,000 on the local AWS (minutes)
	@SWEEP_SCALE=100000 SWEEP_SECRETS=2000 pytest --numprocesses 0 tests/function/test_sweep_at_scale.py tests/e2e/test_sweep.py

chaos: setup ## many secrets under every fault at once: make chaos [SECRETS=500] [SEED=1] [WORLD=both]
	@python -m tools.chaos $${SECRETS:+--secrets "$$SECRETS"} $${SEED:+--seed "$$SEED"} $${WORLD:+--world "$$WORLD"}

mutate: setup build ## break every promise once, and expect a red test (minutes)
	@python -m tools.mutate

bench: setup build ## measure everything side by side, and write docs/explanation/benchmarks.md (minutes)
	@python -m tools.bench $(if $(SHORT),--short)

build: setup ## sam build, into .aws-sam/build
	@log=$$($(SAM_BUILD) 2>&1) || { echo "$$log" >&2; exit 1; }

package: setup build ## a plain CloudFormation template and a code archive, into dist
	@python -m tools.package

preview: setup ## draw .aws-sam/dashboard.png from a run on the local AWS
	@VIRTUAL_ENV=.venv uv pip install --no-config --quiet --target .preview "matplotlib==3.10.*"
	@PYTHONPATH=.preview:. python -m tools.draw_dashboard

requirements: setup ## compile the three requirements files from pyproject.toml
	@$(COMPILE_DEV) -o requirements.txt
	@$(COMPILE_CHECKOV) -o tools/requirements-checkov.txt
	@$(COMPILE_FUNCTION) -o functions/requirements.txt

clean: ## remove all that these commands have made
	@rm -rf .venv .checkov .preview .aws-sam dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -r {} +
