# `make help` lists what can be done here.
PYTHON ?= python3
BIN := .venv/bin
JOBS ?= auto
PYTEST_ARGS ?=
FUZZ_SECONDS ?= 60
BENCH_ARGS ?=
SOAK_MINUTES ?= 30
SOAK_SEED ?=
SOURCES := api workflows workers migrations tests benchmarks tools engine_cpp/python

.DEFAULT_GOAL := help
.PHONY: help setup engine demo demo-crash test test-python test-cpp test-sanitize fuzz lint format types \
	imports bench bench-providers bench-engine soak-engine clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: ## Make .venv with everything in it (compiles llama.cpp: minutes, the first time)
	@$(PYTHON) tools/setup.py

engine: ## Compile the engine again after a change in engine_cpp/
	$(BIN)/pip install --quiet --no-build-isolation ./engine_cpp

demo: .venv ## Three agents on three models on a device too small for all of them
	@$(BIN)/lmx demo

demo-crash: .venv ## The same, killed in the middle and resumed: no completed call is repeated
	@$(BIN)/lmx demo --crash

test: lint test-cpp test-python ## Everything that CI checks

test-python: .venv ## The Python tests, in parallel (PYTEST_ARGS="-k name" narrows them)
	$(BIN)/pytest -n $(JOBS) $(PYTEST_ARGS)

test-cpp: .venv ## The C++ tests of the parts that need no model
	cd engine_cpp && PATH="$(CURDIR)/$(BIN):$$PATH" sh -ec '\
	  cmake --preset tests >/dev/null && cmake --build --preset tests && ctest --preset tests'

test-sanitize: .venv ## The same, and the engine on tiny models, under ASan+UBSan, then under TSan
	$(BIN)/python -m tests.support.tiny engine_cpp/build/models llama gemma3 jamba
	cd engine_cpp && PATH="$(CURDIR)/$(BIN):$$PATH" \
	LMX_TEST_MODELS="$(CURDIR)/engine_cpp/build/models" sh -ec 'for preset in asan tsan; do \
	  cmake --preset $$preset >/dev/null && cmake --build --preset $$preset && \
	  ctest --preset $$preset; done'

fuzz: .venv ## Hostile bytes for what reads files, for FUZZ_SECONDS each (needs clang)
	cd engine_cpp && PATH="$(CURDIR)/$(BIN):$$PATH" sh -ec '\
	  cmake --preset fuzz >/dev/null && cmake --build --preset fuzz && \
	  for fuzzer in build/fuzz/*_fuzz; do \
	    mkdir -p build/fuzz/corpus/$${fuzzer##*/} && \
	    $$fuzzer -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
	      -artifact_prefix=build/fuzz/ build/fuzz/corpus/$${fuzzer##*/}; done'
	$(BIN)/python -m tests.support.fuzz_models --seconds $(FUZZ_SECONDS) --keep engine_cpp/build/fuzz

lint: .venv types imports ## Style, types, import contracts, C++ format
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files 'engine_cpp/*.cpp' 'engine_cpp/*.hpp')

types: .venv
	$(BIN)/mypy -p lmx.workflows -p lmx.workers -p lmx.api
	$(BIN)/mypy tools
	$(BIN)/mypy engine_cpp/python/lmx/engine

imports: .venv
	$(BIN)/lint-imports

format: .venv ## Rewrite the sources in the project's style
	$(BIN)/ruff check --fix-only --quiet $(SOURCES)
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/clang-format -i $$(git ls-files 'engine_cpp/*.cpp' 'engine_cpp/*.hpp')

bench: .venv ## The durable core beside its peers (installs them into .venv-bench)
	@sh benchmarks/setup.sh
	@.venv-bench/bin/python -m benchmarks

bench-providers: .venv ## Limits and a budget beside LiteLLM's, then the claim with limits (installs .venv-litellm)
	@sh benchmarks/providers/setup.sh
	@$(BIN)/python -m benchmarks.providers $(BENCH_ARGS)
	@$(BIN)/python -m benchmarks.claim_limits

bench-engine: .venv ## The engine beside bare llama.cpp, with goals (BENCH_ARGS=--quick for a short look)
	@$(BIN)/python -m benchmarks.engine $(BENCH_ARGS)

soak-engine: .venv ## The engine under everything at once (SOAK_MINUTES=30, SOAK_SEED=number)
	@$(BIN)/python -m tests.soak --minutes $(SOAK_MINUTES) $(if $(SOAK_SEED),--seed $(SOAK_SEED))

clean: ## Remove build output, not .venv
	rm -rf build engine_cpp/build .mypy_cache .ruff_cache .pytest_cache .hypothesis src/*.egg-info

.venv:
	@echo "The environment is missing: run 'make setup' first." >&2; exit 1
