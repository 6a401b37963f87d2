# Every target does its own set-up, once: .venv/.installed is its mark. `make` alone lists the targets.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test check bench clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

install: $(STAMP)  ## create .venv and install the package in it, at the pinned versions

# The mark goes first and comes back last, so that a broken install is never taken for a whole one.
# A .venv without a working pip (its making was interrupted) is made anew.
$(STAMP): pyproject.toml constraints.txt
	@rm -f $@
	@command -v $(PYTHON) >/dev/null || { \
		echo "Python 3.11 or newer is needed, and there is no '$(PYTHON)'. Name one: make $(or $(MAKECMDGOALS),install) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Name another: make $(or $(MAKECMDGOALS),install) PYTHON=python3.12" >&2; exit 1; }
	@$(RUN) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(RUN) -m pip install --disable-pip-version-check -c constraints.txt -e '.[bundled,dev]'
	@touch $@

demo: install  ## sweep the quickstart space on the bundled corpus (minutes, on two cores)
	$(RUN) -m sweeps.run search_spaces/quickstart.yaml
	@echo 'These commands want the environment: . $(VENV)/bin/activate'

test: install  ## run every test (about half an hour on two cores); `pytest -m "not slow"` is the inner loop
	HF_HUB_OFFLINE=1 $(RUN) -m pytest -n 2 -m "not alone"
	HF_HUB_OFFLINE=1 $(RUN) -m pytest -m alone

check: install  ## lint, formatting, types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

bench: install  ## run every measurement in benchmarks/
	@names=$$(ls benchmarks 2>/dev/null | sed -n 's/^\([^_].*\)\.py$$/\1/p'); \
	[ -n "$$names" ] || { echo "benchmarks/ holds no measurement yet"; exit 0; }; \
	failed=; \
	for name in $$names; do \
		echo "== $$name"; $(RUN) -m benchmarks.$$name || failed="$$failed $$name"; \
	done; \
	[ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }

clean:  ## remove caches and build leftovers; keeps .venv, runs/ and mlflow.db
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
