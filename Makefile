# The two commands of the README are `make demo` and `make test`; both set up what they need by themselves.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
WORKERS ?= auto

.PHONY: help setup packages demo test test-fast lint soak bench clean

help: ## what there is to type
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/.ready ## uv, .venv and the locked dependencies

.venv/.ready: pyproject.toml uv.lock scripts/setup.sh
	@scripts/setup.sh
	@touch $@

packages:
	@scripts/packages.sh

demo: setup ## the whole workflow on this machine, then the refusals
	@$(BIN)/keystead demo

lint: setup ## ruff, mypy strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup packages lint ## everything but the soak; installs what the tests need
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not soak"

test-fast: setup ## the pure core and what needs no other program: under a minute
	$(BIN)/pytest -n $(WORKERS) -m "not slow and not soak"

soak: setup packages ## the counts in the thousands: minutes to hours
	$(BIN)/pytest -m soak

bench: setup ## side by side with other people's programs
	@scripts/packages.sh bench
	$(BIN)/python -m bench

clean: ## remove what setup made
	rm -rf .venv .tools
