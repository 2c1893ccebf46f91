# Every target sets up what it needs: a virtual environment in .venv, packages locked by hash,
# front-end files from package-lock.json and, for the tests, a browser. ARGS='…' goes to the
# command behind the target. Set-up talks on stderr, so that stdout is the command's alone.

VENV := .venv
PY := $(VENV)/bin/python
ARGS ?=
JOBS ?= 3
VENDOR := broadcaster/web/assets/vendor
# Without compiled files every process of a test compiles the whole program: seconds each.
unexport PYTHONDONTWRITEBYTECODE

key = $(shell cat $(1) | cksum | tr ' ' -)
PACKAGES := $(VENV)/packages-$(call key,requirements-dev.txt)
MODULES := node_modules/installed-$(call key,package-lock.json .npmrc)
ASSETS := $(VENDOR)/built-$(call key,package-lock.json broadcaster/web/assets/icons.txt broadcaster/web/build_assets.py)

.PHONY: help setup demo test test-long bench chaos screens lint lock browser

help:
	@echo "make demo | test | bench | chaos | screens | test-long | lint | setup | lock     (ARGS='…' is passed on)"

setup: $(PACKAGES) $(ASSETS)

demo: setup
	@$(PY) run.py demo $(ARGS)

# Unit tests share the cores, in runs of neighbours, so that what a file starts is started once; what
# measures seconds or kills processes runs alone after them.
test: lint browser
	@$(PY) -m pytest tests/unit tests/architecture -m "not slow" -n $(JOBS) --dist worksteal $(ARGS)
	@$(PY) -m pytest tests/flow tests/chaos tests/browser -m "not slow" $(ARGS)

test-long: setup browser
	@HYPOTHESIS_PROFILE=thorough $(PY) -m pytest tests/unit tests/architecture -n $(JOBS) $(ARGS)
	@$(PY) -m pytest tests/flow tests/chaos tests/browser -m slow $(ARGS)

# The table in docs/chaos.md is written anew.
chaos: setup
	@CHAOS=full $(PY) -m pytest tests/chaos -s $(ARGS)

# Pictures of every screen, and docs/screens.md that shows them.
screens: setup browser
	@SCREENS=docs/screens $(PY) -m pytest tests/browser/test_every_screen.py -m slow -k overflows -q $(ARGS)

bench: setup
	@$(PY) run.py bench $(ARGS)

lint: setup
	@echo "lint: ruff, mypy, import-linter" >&2
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/ruff format --quiet --check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports --no-logo

# Resolved anew for Python 3.11 and later on every system; needs the package registry.
lock: $(PACKAGES)
	@$(PY) -m pip install --quiet --upgrade --target $(VENV)/lock-tool uv
	$(VENV)/lock-tool/bin/uv pip compile --universal --python-version 3.11 --generate-hashes \
		--no-header --quiet pyproject.toml -o requirements.txt
	$(VENV)/lock-tool/bin/uv pip compile --universal --python-version 3.11 --generate-hashes \
		--no-header --quiet --group dev pyproject.toml -o requirements-dev.txt

$(PACKAGES): | $(VENV)/bin/python
	@echo "setup: Python packages from requirements-dev.txt (a minute or two the first time)" >&2
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-input \
		--require-hashes -r requirements-dev.txt >&2
	@rm -f $(VENV)/packages-* && touch $@

$(VENV)/bin/python:
	@.ci/find-python >/dev/null
	@echo "setup: virtual environment in $(VENV)" >&2
	@$$(.ci/find-python) -m venv --clear $(VENV) >&2

# The system's npm where there is one, otherwise the one that came with the Python packages.
$(MODULES): | $(PACKAGES)
	@echo "setup: front-end packages from package-lock.json" >&2
	@npm=$$(command -v npm || echo $(VENV)/bin/npm); \
		$$npm ci --loglevel=error --no-progress >&2
	@touch $@

$(ASSETS): $(MODULES) | $(PACKAGES)
	@$(PY) -m broadcaster.web.build_assets
	@touch $@

browser: | $(PACKAGES)
	@.ci/find-browser $(PY)
