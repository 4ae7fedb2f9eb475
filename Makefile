# Two commands install all that they need on a fresh Debian or Ubuntu machine: `make demo` and `make test`.
# The three tiers of tests: docs/developers/testing.md.
# PYTHON selects the interpreter (3.10 to 3.12), e.g. `make demo PYTHON=python3.12`.

PYTHON ?= python3
DEMO ?= demo

# `make demo` runs the application in an environment without torch and MONAI core; the tests need both.
RUN := .venv/bin
DEV := .venv-dev/bin
PIP := -m pip --disable-pip-version-check --quiet

.PHONY: demo test check docs oracles other-pythons compare-results container-test locks lint format system clean

demo: .venv/.ready
	$(RUN)/clickseg demo --study-only --output $(DEMO)
	$(RUN)/python -m app --input $(DEMO)/study --output $(DEMO)/result

# Run it before each commit: linters, and tests not marked slow or oracle. `make check` reports the coverage.
test: .venv-dev/.ready lint
	$(DEV)/python -m pytest -n auto -m "not slow and not oracle" --cov --cov-report= --cov-fail-under=0

# The slow tests, the coverage of fast and slow tests, and the tests on the other installed Python versions.
check: .venv-dev/.ready .coverage
	$(DEV)/python -m pytest -n auto -m "slow and not oracle" --cov --cov-append --cov-report=term:skip-covered
	$(MAKE) other-pythons

# The coverage of the fast tests; measured again if a source has changed.
.coverage: $(shell find clickseg app operators tests -name "*.py")
	$(MAKE) test

# Builds the documentation as a site: build/site/docs/index.html.
docs: .venv-dev/.ready
	$(DEV)/python -m sphinx --quiet --fail-on-warning -c docs . build/site

# Comparisons with other tools at full size, and tests that take minutes; started by hand. Tables: benchmarks/results.
oracles: .venv-dev/.ready
	$(DEV)/python -m pytest -n auto -m oracle
	$(DEV)/python -m benchmarks monai_agreement
	$(DEV)/python -m benchmarks foreign_models

# The fast tests that need no torch, on each other supported Python that is installed, with the packages for a CPU.
other-pythons: .venv-dev/.ready
	scripts/test-other-pythons $(DEV)/python

# Compares the results of two versions: docs/developers/testing.md. UIDS=may-differ allows new UIDs.
compare-results: OLD ?= HEAD
compare-results: NEW ?= .
compare-results: UIDS ?= same
compare-results: .venv-dev/.ready
	$(DEV)/python -m scripts.compare_results $(OLD) $(NEW) --uids $(UIDS)

# Builds the container images and tests them: docs/developers/testing.md.
container-test: .venv-dev/.ready
	PYTHON=$(DEV)/python scripts/container-test

# Writes the lock files of the images: versions and hashes of packages. uv is installed in a separate environment.
locks:
	$(PYTHON) -m venv .venv-locks
	.venv-locks/bin/python $(PIP) install uv==0.13.9
	container/lock .venv-locks/bin/uv

lint: .venv-dev/.ready
	$(DEV)/ruff check .
	$(DEV)/ruff format --check .
	$(DEV)/mypy
	$(DEV)/lint-imports

format: .venv-dev/.ready
	$(DEV)/ruff check --fix .
	$(DEV)/ruff format .

clean:
	rm -rf .venv .venv-* $(DEMO) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage build

# Installs, if missing: Python with venv, and dicom3tools (dciodvfy, dcmdump) to validate DICOM output independently.
system:
	scripts/install-system-packages $(PYTHON)

.venv/.ready: requirements-cpu.txt pyproject.toml | system
	$(PYTHON) -m venv .venv
	$(RUN)/python $(PIP) install -r requirements-cpu.txt
	$(RUN)/python $(PIP) install --no-deps --editable .
	touch $@

# The CPU build of torch comes from PyTorch's index if it is reachable; the build on PyPI needs several GB of CUDA.
.venv-dev/.ready: requirements.txt requirements-cpu.txt requirements-dev.txt pyproject.toml | system
	$(PYTHON) -m venv .venv-dev
	$(DEV)/python $(PIP) install --retries 0 --timeout 15 --index-url https://download.pytorch.org/whl/cpu torch==2.13.0 \
	  || $(DEV)/python $(PIP) install torch==2.13.0
	$(DEV)/python $(PIP) install -r requirements.txt -r requirements-dev.txt
	$(DEV)/python $(PIP) install --no-deps --editable .
	touch $@
