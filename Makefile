# Paths are relative and console scripts are called as `python -m`, so that folders with spaces or long names work.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install run demo deploy-files protos wheels test test-backup test-node test-pgbouncer test-prometheus test-tls test-vectors test-wheels bench bench-long lint-deploy sbom mutants check generate verify contract baseline lock fmt schema clean

PY := .venv/bin/python
PIP := $(PY) -m pip --no-input --disable-pip-version-check -q install
PROTOS = $$(cd protos && find . -name '*.proto' | sed 's,^\./,,' | LC_ALL=C sort)
# The second folder holds google/rpc/*.proto, from googleapis-common-protos.
PROTOC := $(PY) -m grpc_tools.protoc -I protos -I .venv/lib/python3.*/site-packages
STUBS := --plugin=protoc-gen-mypy=.venv/bin/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=.venv/bin/protoc-gen-mypy_grpc
LOCK := $(PY) -m uv pip compile pyproject.toml --extra embedded --universal --python-version 3.11 --generate-hashes --no-header -q \
  --no-emit-package blotter-client --no-emit-package blotter-verifier
BUF := .venv/bin/buf
PEERS := benchmarks/peers
# Extra arguments of pytest (ARGS="-k sequence") and the number of its workers; each worker has a Postgres of its own.
ARGS ?=
JOBS ?= logical

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

install: .venv/.runtime ## install the pinned packages into .venv, as 'make run' does at its first start

run: .venv/.runtime ## start Postgres and the service (the first run installs the pinned packages into .venv)
	@exec $(PY) -m service serve

demo: .venv/.runtime ## while 'make run' runs: play plausible order flow against it, and check every record
	@exec $(PY) -m service demo

test: .venv/.dev ## run the tests; PG_BIN=<folder> takes the Postgres found there, ARGS="-k name" goes to pytest
	$(PY) -m pytest -n $(JOBS) --maxprocesses=4 $(ARGS)

VECTORS ?= ../shared/vectors
ORDER_FLOW ?= ../shared/data/nasdaq-aapl-2012-06-21-messages.csv

test-vectors: .venv/.dev ## check against published data: the folder VECTORS, and ORDER_FLOW, a file of LOBSTER messages
	VECTORS=$(VECTORS) ORDER_FLOW=$(ORDER_FLOW) $(PY) -m pytest -q -p no:cacheprovider tests_vectors

test-node: .venv/.dev ## run the example for Node against a real server (needs node, npm and the network)
	$(PY) -m pytest -q -p no:cacheprovider tests_node

test-backup: .venv/.dev ## back up, destroy and restore a database with pgBackRest, which must be installed, and Debian's PostgreSQL 15
	$(PY) -m pytest -q -p no:cacheprovider tests_backup

test-pgbouncer: .venv/.dev ## run the service behind a real PgBouncer, which must be installed
	$(PY) -m pytest -q -p no:cacheprovider tests_pgbouncer

test-tls: .venv/.dev ## run the service with TLS to PostgreSQL: Debian's PostgreSQL 15 must be installed
	$(PY) -m pytest -q -p no:cacheprovider tests_tls

test-wheels: .venv/.dev ## build the three distributions and try each from its wheel in an environment of its own (needs the network)
	$(PY) -m pytest -q -p no:cacheprovider tests_wheels

test-prometheus: .venv/.dev ## let a real Prometheus, which must be installed, scrape a service and raise the alerts
	$(PY) -m pytest -q -p no:cacheprovider tests_prometheus

# What runs where no container engine, no cluster and no systemd is: the field's own checkers, read-only.
UNIT := deploy/systemd/blotter.service
MANIFESTS = $$(ls deploy/kubernetes/*.yaml | grep -v kustomization)
lint-deploy: .venv/.dev ## check deploy/ with hadolint, yamllint, kubernetes-validate, promtool and systemd-analyze
	.venv/bin/hadolint deploy/Containerfile deploy/pgbouncer/Containerfile
	.venv/bin/yamllint --strict .yamllint.yaml deploy examples/identity
	for script in deploy/*.sh deploy/*/*.sh; do sh -n "$$script" || exit 1; done
	.venv/bin/kubernetes-validate --strict --quiet $(MANIFESTS)
	promtool check config deploy/prometheus/prometheus.yml examples/identity/prometheus.yml
	promtool check rules deploy/prometheus/alerts.yml
	promtool test rules deploy/prometheus/alerts_test.yml
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && \
	sed 's,^ExecStart=[^ ]*,ExecStart=/bin/true,' $(UNIT) > "$$tmp/blotter.service" && \
	{ systemd-analyze verify "$$tmp/blotter.service" 2>&1 | grep blotter.service && exit 1 || true; } && \
	{ systemd-analyze security --offline=true --threshold=20 --no-pager $(UNIT) > "$$tmp/report" || exit=1; \
	  tail -1 "$$tmp/report"; exit $${exit:-0}; }
	@! docker compose version > /dev/null 2>&1 || BLOTTER_UID=1 BLOTTER_GID=1 docker compose -f deploy/compose.yaml config --quiet

check: .venv/.dev ## everything that must hold before a change lands
	$(PY) -m ruff format --check
	$(PY) -m ruff check
	$(PY) -m mypy
	$(PY) -c 'from importlinter.cli import lint_imports_command as lint; lint()' --no-logo
	$(MAKE) --no-print-directory contract verify test

fmt: .venv/.dev ## format the code and correct what ruff can correct
	$(PY) -m ruff format
	$(PY) -m ruff check --fix

mutants: .venv/.dev ## put each known fault into a copy of the code and see whether a test fails (an hour; ARGS="proofs" takes some)
	$(PY) -m tests.mutants $(ARGS)

generate: .venv/.dev ## write generated/ anew from protos/, and the synchronous client from the asyncio one
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && $(call emit,"$$tmp") && rm -rf generated && cp -R "$$tmp" generated
	@chmod 755 generated
	@$(PY) packages/client/generate_sync.py

verify: .venv/.dev ## fail unless what is generated is what `make generate` writes
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && $(call emit,"$$tmp") && \
	diff -r -x __pycache__ generated "$$tmp" || { echo 'generated/ is stale: run make generate' >&2; exit 1; }
	@$(PY) packages/client/generate_sync.py --check

emit = $(PROTOC) $(STUBS) --python_out=$(1) --grpc_python_out=$(1) --mypy_out=quiet:$(1) --mypy_grpc_out=quiet:$(1) $(PROTOS)

contract: .venv/.dev ## lint protos/ and compare them with the released contract, protos/baseline.binpb
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && $(call image,"$$tmp"/now.binpb) && \
	$(BUF) lint "$$tmp"/now.binpb --config protos/buf.yaml && \
	$(BUF) breaking "$$tmp"/now.binpb --against protos/baseline.binpb --config protos/buf.yaml

# The released contract is a file, not a tag or a branch, so that the comparison works in a shallow clone, in a tarball
# and without git. It moves only here, at a release, and only to a contract that keeps the promises of the last one.
baseline: contract ## at a release: make today's protos the contract that later changes may not break
	@$(call image,protos/baseline.binpb)
	@cd protos && ../$(PY) -c "import hashlib; print(hashlib.sha256(open('baseline.binpb', 'rb').read()).hexdigest(), ' baseline.binpb', sep='')" > baseline.sha256

image = $(PROTOC) --include_imports --include_source_info --descriptor_set_out=$(1) $(PROTOS)

bench: .venv/.runtime $(PEERS)/.venv/.installed $(PEERS)/node/node_modules/.installed ## measure against other services and print one table, in under ten minutes (Linux; ARGS="--groups calls" measures some)
	@$(PY) -m benchmarks --write bench $(ARGS)

bench-long: .venv/.runtime ## the same among 10 million orders, and with 1 million logs, an hour (ARGS="--orders 100000 --logs 50000" for a trial)
	@$(PY) -m benchmarks.long --write bench-long $(ARGS)

$(PEERS)/.venv/.installed: $(PEERS)/requirements.lock | .venv/bin/python
	@echo 'Installing the pinned packages of the peers into $(PEERS)/.venv (once) ...'
	@$(PY) -m venv $(PEERS)/.venv
	@$(PEERS)/.venv/bin/python -m pip --no-input --disable-pip-version-check -q install --only-binary :all: --require-hashes -r $<
	@touch $@

# Without npm the peers in Node are left out, and the table says so.
$(PEERS)/node/node_modules/.installed: $(PEERS)/node/package-lock.json
	@if command -v npm > /dev/null; then cd $(PEERS)/node && npm ci --ignore-scripts --no-audit --no-fund --silent && touch node_modules/.installed; fi

schema: .venv/.dev ## write sql/schema.sql anew from the revisions
	$(PY) -m tests.schema_snapshot

lock: .venv/.dev ## choose the newest versions that pyproject.toml allows and pin them (needs the network)
	$(LOCK) --upgrade --group build -o requirements.lock
	$(LOCK) --upgrade --group dev -c requirements.lock -o requirements-dev.lock
	$(PY) -m uv pip compile $(PEERS)/requirements.in --universal --python-version 3.11 --generate-hashes --no-header -q \
	  --upgrade -o $(PEERS)/requirements.lock

protos: .venv/.runtime ## write the contract into the folder DIR, for clients in other languages (ARGS=--force overwrites)
	@test -n "$(DIR)" || { echo 'Name a folder: make protos DIR=<folder>' >&2; exit 1; }
	@$(PY) -m service protos $(ARGS) "$(DIR)"

wheels: .venv/.dev ## build the three distributions into dist/
	@rm -rf dist && root=$$PWD && for folder in packages/client packages/verifier .; do \
	  (cd "$$folder" && "$$root/$(PY)" -m hatchling build -t wheel -d "$$root/dist") || exit 1; \
	done

sbom: .venv/.dev ## write the bill of materials of the server's packages, CycloneDX, into dist/blotter.cdx.json
	@mkdir -p dist
	@$(PY) -W ignore::UserWarning -m cyclonedx_py requirements --output-reproducible $(SBOM_FLAGS) --pyproject pyproject.toml \
	  -o $(or $(SBOM),dist/blotter.cdx.json) requirements.lock

deploy-files: .venv/.runtime ## make the passwords, certificates and keys of deploy/compose.yaml, in deploy/local
	@deploy/files.sh

clean: ## remove what was built, the packages, and .blotter: the local database, the keys that sign its ledger, the checkpoints
	rm -rf .venv .blotter dist examples/node/node_modules examples/node/protos $(PEERS)/.venv $(PEERS)/node/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The first Python that can serve; a name on the PATH may be a shim that runs nothing, so each is asked. The upper bound
# is that of the wheels in the locks, because nothing is compiled here; the distributions themselves have none.
.venv/bin/python:
	@for python in $(PYTHON) python3 python3.15 python3.14 python3.13 python3.12 python3.11; do \
	  if $$python -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 16))' 2>/dev/null; then \
	    if [ -e .venv ] && [ ! -w .venv ]; then echo '.venv belongs to another user: it is left alone.' >&2; exit 1; fi; \
	    rm -rf .venv && exec $$python -m venv .venv; \
	  fi; \
	done; echo 'Blotter needs Python 3.11 to 3.15 with its venv module on the PATH (or PYTHON=<path>).' >&2; exit 1

# Every package comes from a lock, by hash, as a wheel; the project itself is linked, built by the locked hatchling.
.venv/.runtime: requirements.lock pyproject.toml packages/client/pyproject.toml packages/verifier/pyproject.toml | .venv/bin/python
	@echo 'Installing the pinned packages into .venv (once) ...'
	@$(PIP) --only-binary :all: --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e packages/client -e packages/verifier -e .
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.runtime
	@echo 'Installing the pinned development tools into .venv (once) ...'
	@$(PIP) --only-binary :all: --require-hashes -r requirements-dev.lock
	@touch $@
