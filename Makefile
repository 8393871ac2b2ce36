# Two commands matter: `make demo` and `make test`. Each makes the environment it needs.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
JOBS ?= 3
EXTRAS = dev,train,formats,events,serve,export,bench,nwb,mqtt,scale,docs,page

.PHONY: demo test page-test cluster-test lint types docs check format clean help weights

help:
	@echo "make demo    set everything up and classify half an hour of simulated video"
	@echo "make test    set everything up and run the tests"
	@echo "make check   lint, types, the docs site and tests: what CI runs"
	@echo "make docs    the documentation as a site, in site/"
	@echo "make page-test  the page in a real browser; needs Chromium (apt-get install chromium)"
	@echo "make cluster-test  cameras on a Ray cluster, in real time"
	@echo "make weights train the demo's models again (about an hour on two cores)"

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Vigilia needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

demo: $(VENV)/.ready
	$(BIN)/vigilia demo --out demo-output

# Test files side by side, each on one thread; many wait for processes of their own, so that three
# keep two cores busy. In the order of their names, the long ones come early.
test: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

# The page in the system's Chromium: `make test` skips these where there is none.
page-test: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/serving/test_page.py tests/serving/test_live_page.py

# Cameras on a cluster of several nodes: real time needs a machine that does nothing else.
cluster-test: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(BIN)/pytest -m cluster

lint: $(VENV)/.ready
	$(BIN)/ruff check src tests scripts benchmarks examples
	$(BIN)/ruff format --check src tests scripts benchmarks examples

types: $(VENV)/.ready
	$(BIN)/mypy

format: $(VENV)/.ready
	$(BIN)/ruff format src tests scripts benchmarks examples
	$(BIN)/ruff check --fix src tests scripts benchmarks examples

# Broken links and pages without a place are errors.
docs: $(VENV)/.ready
	$(BIN)/mkdocs build --strict

check: lint types docs test

weights: $(VENV)/.ready
	$(BIN)/python scripts/train_pen.py

clean:
	rm -rf $(VENV) demo-output build dist site *.egg-info
