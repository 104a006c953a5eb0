# make demo   environment, phantom collection, and the whole line from raw images to a judged model
# make test   environment, checks and the whole test suite
# make check  the checks alone: format, lint, types, direction of imports
# Nothing but Python >= 3.11, make and the package registries is needed; running a target twice is safe.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo

.DEFAULT_GOAL := help
.PHONY: help install demo test check format clean

help:
	@sed -n 's/^# //p' Makefile

# The stamp holds the checksum of pyproject.toml, so that the environment is renewed when it changes and only then.
install:
	@sh tests/setup.sh "$(PYTHON)" "$(VENV)"

demo: install
	@sh tests/demo.sh "$(BIN)" "$(DEMO)"

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# One thread a process: two processes with two threads each would fight over the cores.
test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -q --durations=10

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis
