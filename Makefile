# Every command of the project; CI runs the same ones.

PYTHON ?= python3
PORT ?= 8000
WORKERS ?= 2
# For every server that is measured: the distribution's own Python, if it will do. Others are
# often built without profile-guided optimisation, and take up to twice the time.
BENCH_PYTHON ?= $(shell /usr/bin/python3 -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo /usr/bin/python3)
BIN := .venv/bin

.PHONY: help demo test quick check format matrix bench clean

help: ## Show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

demo: .venv/.installed ## Serve the example chat on http://127.0.0.1:8000 (PORT=, WORKERS=)
	@# With job control the terminal's Ctrl-C goes to the demo alone: it stops cleanly, and so does make.
	@if [ -t 0 ]; then set -m; fi; $(BIN)/python examples/chat/manage.py demo --port $(PORT) --workers $(WORKERS)

test: .venv/.test-tools .venvs/upstream/.installed ## Install what the tests need, check, and run all of them
	@PYTHON=$(BIN)/python scripts/system-packages
	@$(MAKE) --no-print-directory check
	$(BIN)/pytest

quick: ## Run the tests that need no browser and no other server (no installs)
	@test -x $(BIN)/pytest || { echo "Run 'make test' once: it installs what the tests need." >&2; exit 1; }
	$(BIN)/pytest -m "not slow" -q

check: .venv/.test-tools ## Formatting, lint, types, and who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_imports.py

format: .venv/.test-tools ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

matrix: ## Run `make quick`'s tests on every supported Python and Django found here
	@scripts/matrix

bench: .venv/.test-tools ## Compare with other servers and the machine's limit (installs them)
	$(BIN)/python -m benchmarks $(if $(BENCH_PYTHON),--python $(BENCH_PYTHON)) $(ARGS)

clean: ## Remove what the other commands made
	rm -rf .venv .venvs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis examples/chat/data

.venv/.installed: pyproject.toml requirements/lock.txt scripts/make-venv
	@PYTHON=$(PYTHON) scripts/make-venv .venv
	@echo "Installing the package into .venv ..."
	@$(BIN)/pip install -qq --disable-pip-version-check -c requirements/lock.txt -e .
	@touch $@

.venv/.test-tools: .venv/.installed requirements/check.txt requirements/compat.txt
	@echo "Installing the test tools into .venv ..."
	@$(BIN)/pip install -qq --disable-pip-version-check -c requirements/lock.txt -r requirements/check.txt -r requirements/compat.txt -e '.[test]'
	@touch $@

# With the same Python, and so the same Django, as the environment that it is compared with.
.venvs/upstream/.installed: requirements/upstream.txt requirements/compat.txt requirements/lock.txt scripts/make-venv | .venv/.installed
	@PYTHON=$(BIN)/python scripts/make-venv .venvs/upstream
	@echo "Installing the Django project's channels into .venvs/upstream, to compare with ..."
	@.venvs/upstream/bin/pip install -qq --disable-pip-version-check -c requirements/lock.txt -r requirements/upstream.txt
	@touch $@
