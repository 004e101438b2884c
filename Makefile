# `make demo` and `make test` need Python 3.11, make and git, and fetch everything else themselves.

SHELL := /bin/bash
UV := $(shell command -v uv || echo .tools/uv/bin/uv)
BIN := .venv/bin
SYNCED := .venv/.synced
export RAY_ENABLE_UV_RUN_RUNTIME_ENV := 0
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: help demo test test-full bench lint format clean

help: ## Lists the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

.tools/uv/bin/uv:
	python3 tools/get_uv.py

$(SYNCED): uv.lock pyproject.toml $(wildcard */pyproject.toml */*/pyproject.toml) $(shell find proto -name '*.proto') | $(filter .tools/%,$(UV))
	$(UV) sync --frozen --all-packages
	touch $@

demo: $(SYNCED) ## Serves, reads, corrects, retrains and rolls out; writes a report. DATA=DIR runs it on your own documents.
	$(BIN)/python -m examples.ocr.demo $(if $(DATA),--data $(DATA))

test: $(SYNCED) ## The gate: every test that is not slow.
	$(BIN)/pytest -m "not slow and not bench"

test-full: $(SYNCED) ## Every test.
	$(BIN)/pytest -m "not bench"

bench: $(SYNCED) ## Our figures beside the peers', in one run each; writes out/bench.
	$(BIN)/python tests/perf/run_all.py

lint: $(SYNCED) ## ruff, mypy --strict, import-linter, buf.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd proto && ../$(BIN)/buf lint && ../$(BIN)/buf breaking --against baseline.binpb

format: $(SYNCED) ## Formats the code and sorts imports.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## Removes what was installed and written.
	rm -rf .venv .tools out .mypy_cache .ruff_cache .pytest_cache
