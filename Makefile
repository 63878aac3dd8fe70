# Everything a person or CI does here; CI calls nothing else. `make` prints this list.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MEMBERS := packages/lanthorn-core packages/lanthorn-dimse packages/lanthorn-embedded \
	services/dimse-gateway services/indexer services/renderer services/rest-api
SOURCES := $(wildcard packages/*/src services/*/src)
PYTEST := $(BIN)/python -m pytest
# Many tests wait for processes: three workers keep two cores busy. A module stays in one worker.
WORKERS ?= 3
SPREAD := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# Marked suites that have a target of their own.
APART := conformance or ui or minio or hostile or crash or faults or compose or k8s or bench
ARGS ?=

.PHONY: help setup setup-dev run test test-minio test-conformance test-ui test-hostile test-crash \
	test-faults test-compose test-k8s images sbom fuzz bench lint fmt types imports lock docs check \
	clean check-python

help: ## print this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 20

run: $(VENV)/.installed ## install what is missing, then run the whole system (ARGS="--data DIR ...")
	@exec $(BIN)/lanthorn up $(ARGS)

test: $(VENV)/.installed-dev ## the whole suite that needs no Debian package
	$(PYTEST) $(SPREAD) -m "not ($(APART))" $(ARGS)

test-minio: $(VENV)/.installed-dev ## the object store suite against MinIO itself (needs Go)
	@command -v go >/dev/null || { echo "Go is missing: apt-get install golang-go"; exit 2; }
	GOBIN=$(CURDIR)/$(VENV)/minio go install github.com/minio/minio@latest
	LANTHORN_TEST_MINIO=$(CURDIR)/$(VENV)/minio/minio $(PYTEST) -m minio $(ARGS)

test-conformance: $(VENV)/.installed-dev ## real DICOM peers (needs Debian's dcmtk libgdcm-tools pixelmed-apps orthanc)
	@for tool in storescu:dcmtk gdcmscu:libgdcm-tools VerificationSOPClassSCU:pixelmed-apps; do command -v $${tool%%:*} >/dev/null || { \
		echo "$${tool%%:*} is missing: apt-get install $${tool##*:}"; exit 2; }; done
	@[ -n "$$LANTHORN_TEST_ORTHANC" ] || PATH="$$PATH:/usr/sbin" command -v Orthanc >/dev/null || { \
		echo "Orthanc is missing: apt-get install orthanc, or name one in LANTHORN_TEST_ORTHANC"; exit 2; }
	$(PYTEST) $(SPREAD) -m conformance $(ARGS)

test-ui: $(VENV)/.installed-dev ## the explorer in a real browser (needs Debian's chromium)
	@command -v chromium >/dev/null || { echo "chromium is missing: apt-get install chromium"; exit 2; }
	$(PYTEST) -m ui $(ARGS)

test-hostile: $(VENV)/.installed-dev ## peers that break the protocol, stall and vanish
	$(PYTEST) $(SPREAD) -m hostile $(ARGS)

test-crash: $(VENV)/.installed-dev ## kill -9 everything at random, two hundred times, and in the middle of retrievals
	LANTHORN_CRASH_KILLS=$${LANTHORN_CRASH_KILLS:-200} $(PYTEST) -m crash $(ARGS)

test-faults: $(VENV)/.installed-dev ## engines and services of a cluster that fail (docs/faults.md); a quarter of an hour
	$(PYTEST) -m faults $(ARGS)

test-compose: $(VENV)/.installed-dev ## deploy/compose.yaml with real containers (needs Docker, or tests/compose/with_daemon.sh says what)
	tests/compose/with_daemon.sh $(PYTEST) -m compose $(ARGS)

test-k8s: $(VENV)/.installed-dev ## the Helm chart on the cluster of kubectl's context (needs helm, kubectl and Go)
	@for tool in helm kubectl go; do command -v $$tool >/dev/null || { echo "$$tool is missing"; exit 2; }; done
	GOBIN=$(CURDIR)/$(VENV)/kubeconform go install github.com/yannh/kubeconform/cmd/kubeconform@latest
	PATH="$(CURDIR)/$(VENV)/kubeconform:$$PATH" $(PYTEST) -m k8s $(ARGS)

images: ## build the container images (ENGINE=podman, BASE=image, EXTRAS=tracing: deploy/docker/build.sh)
	deploy/docker/build.sh

sbom: $(VENV)/.installed ## write what is in each image to build/sbom, as CycloneDX (after `make images`)
	deploy/docker/sbom.sh build/sbom

fuzz: $(VENV)/.installed-dev ## attack the DICOM port for a minute (ARGS="--seconds 3600 --seed 7")
	$(BIN)/python -m tests.fuzz $(ARGS)

bench: $(VENV)/.installed-dev ## measure, beside Orthanc where there is one (docs/performance.md)
	$(BIN)/python -m tests.benchmarks $(ARGS)

lint: $(VENV)/.installed-dev imports types ## formatting, rules, types, imports, module sizes
	$(BIN)/ruff format --check packages services tests
	$(BIN)/ruff check packages services tests
	@long=$$(find $(SOURCES) -name '*.py' -print0 | xargs -0 wc -l | awk '$$2 != "total" && $$1 > 600'); \
		[ -z "$$long" ] || { echo "modules over 600 lines:"; echo "$$long"; exit 1; }

types: $(VENV)/.installed-dev ## mypy --strict
	$(BIN)/mypy $(SOURCES)

imports: $(VENV)/.installed-dev ## what may import what
	$(BIN)/lint-imports

fmt: $(VENV)/.installed-dev ## format and mend what can be mended
	$(BIN)/ruff format packages services tests
	$(BIN)/ruff check --fix packages services tests

docs: $(VENV)/.installed-dev ## renew from the code: docs/reference, the statement's tables, the dashboard
	$(BIN)/python -m lanthorn_core.runtime.errors_reference > docs/reference/errors.md
	$(BIN)/python -m lanthorn_core.runtime.settings_reference > docs/reference/settings.md
	$(BIN)/python -m lanthorn_embedded.metrics_reference > docs/reference/metrics.md
	$(BIN)/python deploy/observability/dashboard.py > deploy/observability/dashboard.json
	install -D -m 644 deploy/observability/dashboard.json k8s/charts/lanthorn/files/dashboards/lanthorn.json
	install -D -m 644 deploy/observability/alerts.yaml k8s/charts/lanthorn/files/alerts/lanthorn.yaml
	$(BIN)/python -m lanthorn_dimse_gateway.conformance_statement docs/conformance/statement.md

check: lint test ## what must pass before a commit

setup: $(VENV)/.installed ## install what running needs

setup-dev: $(VENV)/.installed-dev ## install what developing needs as well

lock: $(VENV)/.installed-dev ## renew requirements*.lock (hashes, no addresses)
	$(BIN)/python -m pip install -q uv
	@compile() { $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
		--no-header $(foreach member,$(MEMBERS),\
		--no-emit-package lanthorn-$(patsubst lanthorn-%,%,$(notdir $(member)))) \
		$(addsuffix /pyproject.toml,$(MEMBERS)) "$$@"; }; \
	compile --group build --upgrade -o requirements.lock && \
	compile --group build --group dev -c requirements.lock -o requirements-dev.lock && \
	compile --group build --extra tracing -c requirements-dev.lock -o requirements-tracing.lock

clean: ## remove the virtual environment and what tools left
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

check-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is missing: apt-get install python3 python3-venv python3-pip"; \
		echo "(or name another one: make PYTHON=/path/to/python3.12 ...)"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "Python's venv is missing: apt-get install python3-venv"; exit 2; }

$(VENV)/pyvenv.cfg: | check-python
	$(PYTHON) -m venv $(VENV)

# --no-build-isolation: the build backend is one of the locked packages.
define install
	$(BIN)/python -m pip install --disable-pip-version-check -q --require-hashes -r $(1)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pip install --disable-pip-version-check -q \
		--no-deps --no-build-isolation $(addprefix -e ,$(MEMBERS))
	@touch $@
endef

MEMBER_PROJECTS := $(addsuffix /pyproject.toml,$(MEMBERS))

$(VENV)/.installed: requirements.lock $(MEMBER_PROJECTS) | $(VENV)/pyvenv.cfg
	$(call install,requirements.lock)

$(VENV)/.installed-dev: requirements-dev.lock $(MEMBER_PROJECTS) | $(VENV)/pyvenv.cfg
	$(call install,requirements-dev.lock)
	@touch $(VENV)/.installed
