# Everything a fresh machine needs: `make run` shows the pipeline on real data, `make test` proves it.
# The environment lives in .venv; a stamp says what was installed into it, so that a warm start installs nothing.

VENV := .venv
BIN := $(VENV)/bin
RUN_READY := $(VENV)/.installed-run
DEV_READY := $(VENV)/.installed-dev
DOCS_READY := $(VENV)/.installed-docs
SERVERS_READY := $(VENV)/.installed-servers
PARTS_READY := $(VENV)/.installed-real-parts
# What is imported is compiled to bytecode then: that of all 8,000 modules would take half a minute.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

CORE_TESTS := tests/tlv tests/ringbuf
TWO := --no-print-directory --jobs=2 --output-sync=target

# The tests start hundreds of processes: without bytecode, each compiles all the sources that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test check parts warm branches bounds bytecode lint bench docs pictures metadata soak mutants clean
.DEFAULT_GOAL := help

help:
	@echo "make run     the whole pipeline on a bundled recording of Polygon, live in this terminal (Ctrl-C ends it)"
	@echo "make test    install the test tools, run every test, and hold tlv and ringbuf to full branch coverage"
	@echo "make check   ruff, mypy --strict and all of make test"
	@echo "make bench   every benchmark, with its baseline; writes docs/performance (ten minutes)"
	@echo "make docs    the documentation as a site, in site/index.html; a broken link fails"
	@echo "make soak    the long campaigns"
	@echo "make pictures  the pictures of docs and README, from the pipeline as it runs"
	@echo "make metadata  what the recording node knows of tokens and pools, from the token lists of npm"
	@echo "make mutants  200 small changes to the code, drawn at random: do the tests notice them? (an hour)"
	@echo "make clean   remove .venv, caches and build products"

run: $(RUN_READY)
	@$(BIN)/alphapulse demo

# Four at a time: most tests wait for something most of the time.  What comes before them waits for nothing: the longest
# first, so that two processors end at the same time.
test: parts
	@$(MAKE) $(TWO) warm branches bounds bytecode
	@$(BIN)/python -m pytest -n 4

check: parts
	@$(MAKE) $(TWO) warm branches bounds lint bytecode
	@$(BIN)/python -m pytest -n 4

# Two at a time: pip and apt-get, which wait for other things.
parts:
	@$(MAKE) --no-print-directory --jobs=2 $(PARTS_READY)

# Every kernel once: four processes of pytest, and what they start, would each compile those that they come to first.
warm: $(DEV_READY)
	@$(BIN)/alphapulse warm

# Every branch of the packages that everything rests on, as plain Python.
branches: $(DEV_READY)
	@NUMBA_DISABLE_JIT=1 $(BIN)/coverage run --branch --source=tlv,ringbuf -m pytest -q $(CORE_TESTS)
	@$(BIN)/coverage report --skip-covered --show-missing --fail-under=100

# The same tests with bounds checks compiled in; those of the kernel cache start processes that have none.
bounds: $(DEV_READY)
	@NUMBA_BOUNDSCHECK=1 $(BIN)/python -m pytest -q $(CORE_TESTS) --ignore=tests/tlv/test_jit.py

# Bytecode of all tests and what they import: four processes of pytest would each compile all of it.  They also say what
# cannot be imported, so that it is not said here.
bytecode: $(DEV_READY)
	@$(BIN)/python -m pytest --collect-only -qq >/dev/null 2>&1 || true

lint: $(DEV_READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# Ten minutes.  RESUME=--resume goes on with a run that was interrupted; the page is written when all of it is there.
bench: parts
	@$(BIN)/alphapulse bench --seconds 0.2 --output docs/performance/bench.json --page docs/performance $(RESUME)

# Not with --quiet, which hides warnings from --strict.  The variable silences an advertisement for what follows mkdocs.
docs: $(DOCS_READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "open site/index.html"

pictures: parts
	@$(BIN)/python -m tools.pictures
	@$(BIN)/python -m tests.docs.run_page docs/tutorials/notebook.md --pictures docs/pictures

metadata: parts
	@$(BIN)/python -m tools.rig.bundled_metadata

soak: parts
	@$(BIN)/python -m pytest -m soak

# cosmic-ray brings twenty packages that nothing else needs, so it is no test tool that everybody installs.
mutants: $(DEV_READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check cosmic-ray==8.7.0
	@$(BIN)/python -m tools.prove.mutation.command

clean:
	@rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip is the last thing that venv writes: where it is missing, the environment is none.
$(BIN)/pip:
	@echo "creating $(VENV) ..."
	@./.ci/make-venv $(VENV)

$(RUN_READY): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing alphapulse into $(VENV) (about a minute the first time) ..."
	@$(INSTALL) -e '.[up,obs]'
	@touch $@

$(DEV_READY): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing alphapulse and its test tools into $(VENV) (a minute or two the first time) ..."
	@$(INSTALL) -e '.[dev]'
	@touch $(RUN_READY) $(DOCS_READY) $@

# The pages of the commands are made from the commands, so what these import is needed, too.
$(DOCS_READY): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing alphapulse and what its documentation is built with into $(VENV) (a minute the first time) ..."
	@$(INSTALL) -e '.[docs,nats,up]'
	@touch $(RUN_READY) $@

# Real NATS and PostgreSQL servers, a real browser, real EVM nodes with real contracts, Node.js: a test that lacks one
# fails, so they are fetched first.
$(SERVERS_READY): .ci/servers | $(BIN)/pip
	@./.ci/servers $(BIN)
	@touch $@

$(PARTS_READY): .ci/real-parts tools/rig/evm/packages.py tools/rig/token_lists.py $(wildcard tools/rig/evm/npm/*) $(DEV_READY) $(SERVERS_READY)
	@./.ci/real-parts $(BIN)
	@touch $@
