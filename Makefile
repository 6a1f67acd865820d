# 归仓 Guicang. `make demo` shows it, `make test` proves it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_FLAGS := --quiet --disable-pip-version-check

# Tests start our programs hundreds of times: without bytecode on disk each start would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup check test crash fuzz demo bench format clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml requirements/dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(PIP_FLAGS) --require-hashes -r requirements/dev.lock
	$(BIN)/pip install $(PIP_FLAGS) --no-deps -e .
	@touch $@

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Whole files go to three workers, in the order of the tree: the long tests of tests/crash begin early, and wait much.
test: setup
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# make crash MINUTES=5 lives through random histories for 5 minutes; non-zero if a promise was broken.
crash: setup
	$(BIN)/python -m tests.simulation $(if $(MINUTES),--minutes $(MINUTES))

# make fuzz MINUTES=5 feeds the decoders random bytes for 5 minutes; non-zero if one did what it must not.
fuzz: setup
	$(BIN)/python -m tests.fuzz $(if $(MINUTES),--minutes $(MINUTES))

# make demo SECONDS=20 lives for 20 seconds; non-zero if source and lake differ.
demo: setup
	$(BIN)/python -m demo $(if $(SECONDS),--seconds $(SECONDS))

# make bench ROWS=200000 measures with fewer rows; WRITE=docs/performance.md puts the tables into that page.
bench: setup
	$(BIN)/python -m bench $(if $(ROWS),--rows $(ROWS)) $(if $(WRITE),--write $(WRITE))

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .venv-bench demo-run .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
