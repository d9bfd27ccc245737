# Every habit of this project has a target here; `make help` lists them.

PYTHON ?= python3
UV ?= uv
BIN := .venv/bin
LOCK = $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet pyproject.toml
STAMP := .venv/.setup-is-done
CLIPPY := PYO3_PYTHON=$(abspath $(BIN))/python cargo clippy --release --locked --quiet --manifest-path native/Cargo.toml

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## Make .venv from the lock file, build the compiled core, fetch Kafka and Debezium; on Debian as root also install what is missing.

# What is done is not done again until one of these changes; the second time needs no network.
$(STAMP): requirements.lock pyproject.toml connectors/pom.xml scripts/setup $(wildcard native/*.* native/src/*.rs)
	@PYTHON="$(PYTHON)" scripts/setup
	@touch $@

.PHONY: test
test: setup ## Run all tests, those on the real stack included. ARGS="-k word" chooses, ARGS="-n 0" takes one process.
	$(BIN)/pytest -n 3 $(ARGS)

.PHONY: lint
lint: setup ## Check style, types and the direction of imports.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if cargo fmt --version >/dev/null 2>&1; then set -x; cargo fmt --check --manifest-path native/Cargo.toml; fi
	@if cargo clippy --version >/dev/null 2>&1; then set -x; $(CLIPPY) -- --deny warnings; fi

.PHONY: format
format: setup ## Format the code and mend what ruff can mend.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	@if cargo fmt --version >/dev/null 2>&1; then set -x; cargo fmt --manifest-path native/Cargo.toml; fi

.PHONY: fuzz
fuzz: setup ## Look for inputs that break the masker, 10 minutes or SECONDS; .fuzz keeps what was found.
	$(BIN)/python -m tests.fuzz.target .fuzz -max_len=8192 -max_total_time=$(or $(SECONDS),600)

.PHONY: chaos
chaos: setup ## Kill, stop and cut off workers on the real stack, an hour or MINUTES; SEED repeats a run, .chaos keeps its report.
	$(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),60) $(if $(SEED),--seed $(SEED))

.PHONY: bench
bench: setup ## Compare with what people would use instead, on the real stack, 20 minutes at most. ARGS="--help" tells what can be chosen.
	$(BIN)/python -m benchmarks.compare $(ARGS)

.PHONY: bench-page
bench-page: setup ## Put the last comparison into benchmarks/README.md.
	$(BIN)/python -m benchmarks.page

.PHONY: bench-full
bench-full: setup ## Measure what the cost depends on, scaling, latency and memory, about an hour. ARGS="columns latency" chooses.
	$(BIN)/python -m benchmarks.full $(ARGS)

.PHONY: bench-core
bench-core: setup ## Measure the core in memory; with Valgrind also in instructions.
	$(BIN)/python -m benchmarks.core
	$(BIN)/python -m benchmarks.methods
	$(BIN)/python -m benchmarks.audit
	$(BIN)/python -m benchmarks.instructions

.PHONY: pressure
pressure: setup ## Measure memory and fairness under poison and pressure, on the real stack. ARGS="large hot" chooses.
	$(BIN)/python -m benchmarks.pressure $(ARGS)

.PHONY: mutate
mutate: setup ## Change engine and envelope in small ways, and show which changes no test notices.
	rm -rf mutants
	$(BIN)/mutmut run --max-children 2
	$(BIN)/mutmut results

.PHONY: demo
demo: setup ## Show the whole way on the real stack. KEEP=1 leaves it running.
	KEEP="$(KEEP)" $(BIN)/python -m demo

.PHONY: lock
lock: ## Resolve the dependencies anew into the lock files (needs uv).
	@command -v $(UV) >/dev/null || { echo "no uv on PATH; install it (pip install uv) or name it with UV=…" >&2; exit 1; }
	$(LOCK) --upgrade --group dev --output-file requirements.lock
	$(LOCK) --constraints requirements.lock --output-file requirements.runtime.lock

.PHONY: clean
clean: ## Remove .venv and what the tools left here; the cache of jars stays.
	rm -rf .venv native/target .chaos .fuzz mutants dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
