# The only door. `make help` lists what is behind it.
PYTHON ?= python3
BIN := .venv/bin
SIZES ?= 25000,100000
.DEFAULT_GOAL := help

.PHONY: help setup check test e2e demo up bench bench-local bench-relay bench-queue bench-directory chaos fuzz lock clean

help:  ## List these targets
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / {printf "%-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(BIN)/tubepost  ## Make .venv with everything in it, pinned by hash

$(BIN)/tubepost: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

check: setup  ## ruff, mypy --strict, import-linter, docs and names in step
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/docs

test: setup  ## Every test but the ones of whole platforms; a few minutes
	$(BIN)/pytest -m "not e2e"

e2e: setup  ## Whole platforms as separate processes: kills, restarts, real clients
	$(BIN)/pytest -m e2e

demo: setup  ## A mail in by SMTP, out by POP3, one relayed after the login; then all stops
	$(BIN)/python -m examples.demo

up: setup  ## Run it: SMTP 2525, submission 2587, submissions 2465, POP3 2110, POP3S 2995, admin 8025, ./data
	$(BIN)/tubepost up

bench: setup  ## Beside Postfix on this machine, in the same run (installs Postfix)
	$(BIN)/python -m bench.throughput

bench-local: setup  ## 2,000 queued mails into 1, 100 and 10,000 Maildirs, beside Postfix's virtual
	$(BIN)/python -m bench.local

bench-relay: setup  ## Relaying 5,000 mails to smtp-sink, beside Postfix
	$(BIN)/python -m bench.relay

bench-queue: setup  ## A long queue and floods (SIZES=25000,100000; 1000000 takes 15 minutes)
	$(BIN)/python -m bench.queue --sizes $(SIZES)

bench-directory: setup  ## 10,000 domains and 1,000,000 accounts: start, memory, look-ups (some 6 minutes)
	$(BIN)/python -m bench.directory --mirror

chaos: setup  ## Random kills under load, on one nats-server and on three: no mail may be lost (SECONDS, SEED)
	$(BIN)/python -m tests.chaos --servers 1 --seconds $(or $(SECONDS),90) --seed $(or $(SEED),1)
	$(BIN)/python -m tests.chaos --servers 3 --seconds $(or $(SECONDS),120) --seed $(or $(SEED),1)

fuzz: setup  ## Mutated SMTP sessions, some minutes (RUNS, SEED); what it finds belongs into tests/smtpd/corpus
	FUZZ_RUNS=$(or $(RUNS),50000) FUZZ_SEED=$(or $(SEED),1) $(BIN)/pytest -q tests/smtpd/test_fuzz.py

lock: setup  ## Pin the requirements again
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  pyproject.toml -o requirements/base.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  --extra dev pyproject.toml -o requirements/dev.txt

clean:  ## Remove what make made
	rm -rf .venv build *.egg-info
