# Everything a user or maintainer does, from a fresh machine on: `make run`, `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WEB := src/kanad_server/static/manifest.json
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: bench-stream bench-dask bench-sqd help run web docs test test-browser test-docs test-slow test-dask test-faults test-faults-all reliability check format bench bench-solvers bench-cost accuracy clean
.PHONY: test-fuzz test-deploy lock test-wheel

help:
	@echo "make run    set everything up and serve on http://127.0.0.1:8000"
	@echo "make test   set everything up and run the tests (at most 10 minutes on 2 cores)"
	@echo "make web    build the web pages (make run does it too)"
	@echo "make test-slow   the tests that take longer"
	@echo "make test-browser   the pages in Chromium (Debian's; it is installed where there is none)"
	@echo "make test-docs   the Python and the commands in the docs, run as they stand"
	@echo "make test-wheel  the built wheel in an empty environment"
	@echo "make docs   build the site of the docs into build/site"
	@echo "make test-dask   experiments on a Dask cluster of real processes, and its faults"
	@echo "make test-faults       a server under faults, in short; make test-faults-all: in full"
	@echo "make test-fuzz   generated and hostile input; make test-deploy: the files of deploy/"
	@echo "make lock   pin what the server depends on, by hash, in requirements.lock"
	@echo "make reliability       run it in full and write what it measured into docs/reliability.md"
	@echo "make check  ruff, mypy and bandit"
	@echo "make bench  print the benchmark table of the server"
	@echo "make bench-stream, bench-solvers, bench-cost   those of the stream, the solvers and their price"
	@echo "make bench-sqd   SQD against qiskit-addon-sqd, which gets an environment of its own"
	@echo "make bench-browser   how fast the pages are"
	@echo "make screenshots   take the pictures of the docs anew"
	@echo "make accuracy   print the table of docs/accuracy.md"

run: $(VENV)/installed
	@$(MAKE) --no-print-directory web || echo "the web pages could not be built; serving without them"
	@exec $(BIN)/kanad serve

web: $(WEB)

test: $(VENV)/installed-dev
	$(BIN)/pytest -q -n auto --maxprocesses 4 --dist loadfile -m "not slow and not faults and not dask and not fuzz and not deploy and not browser and not docs and not wheel"

test-browser: $(VENV)/installed-browser $(WEB) chromium
	cd frontend && PATH="$$PATH:$(CURDIR)/$(BIN)" npm test --silent
	$(BIN)/pytest -q -n 2 --dist worksteal -m browser tests/browser

bench-browser: $(VENV)/installed-browser $(WEB) chromium
	$(BIN)/python -m tests.browser.figures

screenshots: $(VENV)/installed-browser $(WEB) chromium
	$(BIN)/python -m tests.browser.screenshots

test-slow: $(VENV)/installed-dev
	$(BIN)/pytest -q -m slow

test-docs: $(VENV)/installed-dev
	$(BIN)/pytest -q -m docs tests/acceptance/test_examples.py

test-wheel: $(VENV)/installed-dev
	$(BIN)/pytest -q -m wheel tests/acceptance/test_wheel.py

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

test-faults: $(VENV)/installed-dev
	$(BIN)/pytest -q -m "faults and not slow" tests/faults

test-dask: $(VENV)/installed-dev
	$(BIN)/pytest -q -n 3 --dist loadfile -m dask tests/engines

test-faults-all: $(VENV)/installed-dev
	KANAD_FAULT_SCALE=1 KANAD_FAULT_PATIENCE=1 $(BIN)/pytest -q tests/faults

test-fuzz: $(VENV)/installed-fuzz
	$(BIN)/pytest -q -rP -n 2 --dist loadfile -m fuzz tests/fuzz

test-deploy: $(VENV)/installed-lint
	$(BIN)/pytest -q -rs -m deploy tests/deploy

# Every dependency of a server with its hashes, and no address: any index, mirror or folder of wheels serves it.
lock: | $(BIN)/python
	$(BIN)/pip install --quiet "uv>=0.9"
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --generate-hashes --no-header \
	  --no-annotate --no-emit-index-url --no-emit-find-links --output-file requirements.lock pyproject.toml

reliability:
	-$(MAKE) --no-print-directory test-faults-all
	$(BIN)/python -m tests.faults.figures

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive src solvers hatch_build.py

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/installed-dev
	$(BIN)/python bench/server.py
	$(BIN)/python bench/listing.py
	$(BIN)/python bench/line.py

bench-solvers: $(VENV)/installed-dev
	$(BIN)/python bench/solvers.py

bench-sqd: $(VENV)/installed-dev $(VENV)/rival/bin/python
	$(BIN)/python bench/sqd.py $(VENV)/rival/bin/python

$(VENV)/rival/bin/python: | $(BIN)/python
	$(PYTHON) -m venv $(VENV)/rival
	$(VENV)/rival/bin/pip install --quiet "qiskit-addon-sqd==0.14.*" || { rm -rf $(VENV)/rival; exit 1; }

bench-dask: $(VENV)/installed-dev
	$(BIN)/python -m bench.dask
	$(BIN)/python bench/scale.py

bench-stream: $(VENV)/installed-dev
	$(BIN)/python bench/stream.py

bench-cost: $(VENV)/installed-dev
	$(BIN)/python bench/cost.py

accuracy: $(VENV)/installed-dev
	$(BIN)/python bench/accuracy.py --slow

clean:
	rm -rf $(VENV)

# The stamps make a second run instant; they are older than pyproject.toml when dependencies changed.
$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --editable ".[dev]"
	@touch $@ $(VENV)/installed

$(VENV)/installed-docs: pyproject.toml | $(VENV)/installed-dev
	$(BIN)/pip install --quiet --editable ".[dev,docs]"
	@touch $@ $(VENV)/installed-dev $(VENV)/installed

$(VENV)/installed-fuzz: pyproject.toml | $(VENV)/installed-dev
	$(BIN)/pip install --quiet --editable ".[dev,fuzz]"
	@touch $@

$(VENV)/installed-lint: pyproject.toml | $(VENV)/installed-dev
	$(BIN)/pip install --quiet --editable ".[dev,lint]"
	$(BIN)/pip install --quiet --no-deps "dask-kubernetes>=2026.3,<2027"  # for its definition of a cluster alone
	@touch $@

# playwright-core, which drives the browser; the browser itself is the system's.
$(VENV)/installed-browser: pyproject.toml | $(VENV)/installed-dev
	$(BIN)/pip install --quiet --editable ".[dev,browser]"
	@touch $@

AS_ROOT := $(shell test "$$(id -u)" = 0 || echo sudo)
.PHONY: chromium bench-browser screenshots
chromium:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null \
	  || { $(AS_ROOT) apt-get -qq update && $(AS_ROOT) apt-get -qq install --no-install-recommends chromium fonts-dejavu-core >/dev/null; } \
	  || { echo "these tests need Chromium or Chrome on the path"; exit 1; }

$(WEB): hatch_build.py $(shell find frontend -type f -not -path '*/node_modules/*') | $(BIN)/python
	$(BIN)/python hatch_build.py

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "kanad-server needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "Python's venv module is missing; on Debian or Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
