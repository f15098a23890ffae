# make up: run the whole system. make test: run the tests. make check: everything that CI checks.
# make fuzz: feed every provider's adapter what nobody would send, FUZZ_SECONDS=60 each.
# make chaos: kill, stop and cut off what carries calls, and count what it costs; CALLS=50 ROUNDS=20,
# ARGS="F1 F4" chooses, ARGS=--help lists.
# All of them install into .venv first, when pyproject.toml is newer than the installation.
# ARGS goes to the command: make up ARGS="--workers 2", make test ARGS="-k pacer".

PYTHON ?= python3
ARGS ?=
FUZZ_SECONDS ?= 60
CALLS ?= 50
ROUNDS ?= 20

# Tests wait more than they compute; those of a file stay together. Under a debugger: SPREAD=
SPREAD ?= --numprocesses auto --dist loadfile

BIN := .venv/bin
STAMP := .venv/installed

.PHONY: help install up test check fuzz chaos format clean
.DEFAULT_GOAL := help

help:
	@sed -n "s/^# //p" Makefile

install: $(STAMP)
	@:

$(STAMP): pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
		{ echo "Trunkline needs Python 3.11 or newer; name one with: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c "import ensurepip, venv" 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into .venv; this takes a minute the first time."
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[embedded,test,dev]"
	@touch $(STAMP)

up: install
	@exec $(BIN)/trunkline up $(ARGS)

test: install
	@$(BIN)/pytest $(SPREAD) $(ARGS)

check: install
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest $(SPREAD) $(ARGS)

fuzz: install
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[fuzz]"
	@$(BIN)/python -c "from edge.providers import providers; print(*providers(), sep='\n')" | \
		xargs -I NAME -P 2 $(BIN)/python tests/fuzz/fuzz_adapters.py NAME $(FUZZ_SECONDS)

chaos: install
	@$(BIN)/python -m tests.system.chaos --calls $(CALLS) --rounds $(ROUNDS) $(ARGS)

format: install
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
