# Everything starts here: `make crawl`, `make test`. Works from a clean clone with Python 3.11 or newer and make.
SHELL := /bin/sh
BIN := .venv/bin
# The first interpreter that is new enough; set PYTHON=… to choose another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
# Four test processes for two cores, because half of a test's time is spent waiting for servers, limits and other processes.
# One file stays in one process: fixtures are shared by file. The files come in the order of tests/conftest.py, longest first.
PYTEST := $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup crawl test test-slow soak coverage lint bench bench-distributed sandbox record docs clean

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' Makefile

setup: .venv/ready ## create .venv with the pinned requirements and the package

.venv/ready: requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none found. Set PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "setting up .venv (a minute or two, once)"
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(MAKE) --no-print-directory venv-module
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -e .
# Where PYTHONDONTWRITEBYTECODE is set, each process would compile the package anew: 0.26 s of a command's 1.5.
	@$(BIN)/python -m compileall -q anime_crawler tests
	@touch $@

# Debian and Ubuntu keep Python's own venv module in a package of its own.
.PHONY: venv-module
venv-module:
	@sudo=; [ "$$(id -u)" = 0 ] || sudo='sudo -n'; package=$$($(PYTHON) -c 'import sys; print("python3.%d-venv" % sys.version_info[1])'); \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q $$package || \
	{ echo "Python's venv module is missing: run 'apt-get install $$package' as root, then again" >&2; exit 1; }

# Before anything else: what is crawled. The module below decides, for only it reads .env as all commands do; before
# .venv is there, this says it where there is nothing to read.
.PHONY: announce
announce:
	@if test -f .venv/ready; then $(BIN)/python -m anime_crawler.commands.first_crawl --announce 2>/dev/null || :; \
	elif test -z "$$KODIK_API_TOKEN" && ! test -e .env; then \
	echo "No KODIK_API_TOKEN is set: crawling the built-in sandbox instead of Kodik."; fi

.NOTPARALLEL:
crawl: announce setup ## run the main job (without a Kodik token: against the built-in sandbox)
	@$(BIN)/python -m anime_crawler.commands.first_crawl

test: setup ## run the whole suite, with a private PostgreSQL
	@$(BIN)/python -m tests.services
	@$(PYTEST)

test-slow: setup ## run the long tests, and longer forms, that `test` leaves out (an hour)
	@$(BIN)/python -m tests.services
	@$(PYTEST) -m slow

soak: setup ## kill workers of one crawl for five minutes, and compare what they store with what one stores
	@$(BIN)/python -m tests.services
	@$(BIN)/python -m pytest -m soak

coverage: setup ## run the suite and show which branches it misses; exit 1 where a folder reaches fewer than 95 %
	@$(BIN)/python -m tests.services
	@$(PYTEST) --cov --cov-report=term-missing
	@$(BIN)/python -m tests.branches

lint: setup ## check style, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: setup ## print the measured figures, each beside its baseline
	@$(BIN)/python -m tests.benchmarks

bench-distributed: setup ## the same for several workers, with a private Redis and PostgreSQL (30 minutes)
	@$(BIN)/python -m tests.services
	@$(BIN)/python -m tests.benchmarks.distributed

sandbox: setup ## serve the simulated upstreams and backend on loopback
	@$(BIN)/scrapy sandbox

record: setup ## record the contract tests' cassettes again (real upstreams where tokens are set)
	@ANIME_RECORD=all $(BIN)/python -m pytest tests/contract -q

docs: setup ## write the settings and sources into anime_crawler/docs and .env.example
	@$(BIN)/scrapy docs

clean: ## remove .venv and caches; var/ with your catalogue stays
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .coverage* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
