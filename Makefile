# `make demo` and `make test` set up everything they need. `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
UNIT := unit-domain unit-server unit-pages unit-operator unit-others unit-requests unit-decisions
# Each has a control plane and a provider of its own. Three keep two cores busy; with four, or with pods beside them, waits ran out.
TEST_WORKERS ?= 3
# Tests start hundreds of Python processes. Where this is set, each of them would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check lint unit $(UNIT) faults node node-shared node-anew smoke-after-anew gitops soak adversary bench \
	release released plugin tools generate recording docs docs-site manifests fixtures lock format clean

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(READY) ## the whole product on this machine; AUTO=1 drives the browser, NODE=1 runs it in pods, SIGN_IN=1 signs in, CLUSTER=local|kind|current
	@$(RUN) -m deploy.local.demo

# Random tests walk a short way at each commit, and the long one here. What is covered is measured here, too, where the tests of the
# measured rooms are: it doubles the cost.
test: export UNIT_WALKS := long
test unit: export MEASURED := --cov --cov-report=
# A third of the CPU goes to control planes and kubectl, and much of that to collecting garbage long before memory is short.
test: export GOGC := 400

test: check tools ## everything: check, then the tests on a real API server, in a real browser, and in pods on a real node
	$(COVERED)
	rm -rf build/tests
	$(VENV)/bin/pytest tests --ignore=tests/unit --ignore=tests/node --ignore=tests/gitops --ignore=tests/released -m "not last" \
	  --numprocesses $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder --junitxml build/tests.xml
	@$(RUN) -m deploy.local.node.needs && $(ABOUT_PODS) && $(SIDE_BY_SIDE) node-shared smoke-after-anew
	@echo "Looking back at what all of them did"
	$(VENV)/bin/pytest tests/cluster -m last
	@$(RUN) -m deploy.local.node.needs conclusion

# Side by side: while tests wait for a timeout, others compute. A make that can keeps together what each says.
SIDE_BY_SIDE := $(MAKE) --no-print-directory --jobs 8 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

check: $(READY) ## lint, types, import rules, unit tests; under a minute
	@$(SIDE_BY_SIDE) $(UNIT) lint

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	@$(RUN) -m generators.words

unit: $(READY) ## unit tests, and whether they go through every branch of the domain and of decisions
	@$(SIDE_BY_SIDE) $(UNIT)
	$(COVERED)

# What is measured is tested in these rooms, so the others need not pay for it.
MEASURED_UNIT := unit-domain unit-requests unit-decisions

# One process for each room: every worker of xdist would collect all tests for itself. A test that hangs is told by its name.
PYTEST_UNIT := $(VENV)/bin/pytest --quiet -p no:xdist -p no:pytest-kind -o faulthandler_timeout=600 -o faulthandler_exit_on_timeout=true
DECISIONS := tests/unit/datasource_operator/decisions
PAGES := tests/unit/callback_server
SERVER := $(PAGES)/test_server.py
OPERATOR := tests/unit/datasource_operator
REQUESTS := $(addprefix tests/unit/datasource/,providers cluster process)
COVERED := $(VENV)/bin/coverage combine --quiet $(MEASURED_UNIT:unit-%=.coverage.%) && $(VENV)/bin/coverage report --fail-under=100

unit-domain: $(READY)
	COVERAGE_FILE=$(@:unit-%=.coverage.%) $(PYTEST_UNIT) $(MEASURED) tests/unit/datasource $(addprefix --ignore=,$(REQUESTS))

unit-requests: $(READY)
	COVERAGE_FILE=$(@:unit-%=.coverage.%) $(PYTEST_UNIT) $(MEASURED) $(REQUESTS)

unit-decisions: $(READY)
	COVERAGE_FILE=$(@:unit-%=.coverage.%) $(PYTEST_UNIT) $(MEASURED) $(DECISIONS)

# It waits for time to pass, more than it computes.
unit-server: $(READY)
	$(PYTEST_UNIT) $(SERVER)

unit-pages: $(READY)
	$(PYTEST_UNIT) $(PAGES) --ignore=$(SERVER)

unit-operator: $(READY)
	$(PYTEST_UNIT) $(OPERATOR) --ignore=$(DECISIONS)

unit-others: $(READY)
	$(PYTEST_UNIT) tests/unit $(addprefix --ignore=,tests/unit/datasource $(OPERATOR) $(PAGES))

faults: tools ## many refreshes on two replicas under one fault after another, 10 minutes, then real kills, 25 more, and a long random walk; FAULTS_SECONDS, FAULTS_SEED
	@$(RUN) -m tests.faults.fault_run
	@$(RUN) -m tests.faults.kill_run
	RANDOM_WALK=long RANDOM_WALK_SEED=$${FAULTS_SEED:-1} $(VENV)/bin/pytest tests/cluster/test_random_walk.py --capture=no

node: tools ## the image from the Containerfile, and pods on a real node; root, apt and cgroups are needed
	@$(IN_PODS)

# The one has the nodes that all tests with the product share, the other builds anew and brings up anew. Both wait a lot.
ABOUT_PODS := echo "Pods on real nodes, in two processes, each of which tells at its end: about 6 minutes"
IN_PODS = $(RUN) -m deploy.local.node.needs && $(ABOUT_PODS) && $(SIDE_BY_SIDE) node-shared node-anew
PYTEST_NODE := $(VENV)/bin/pytest tests/node -p no:xdist --durations=10

node-shared: $(READY)
	TESTS_FOLDER=node-shared $(PYTEST_NODE) -m "not anew"

node-anew: $(READY)
	TESTS_FOLDER=node-anew $(PYTEST_NODE) -m anew

# It counts writes and requests, not time. The other pods take longer.
smoke-after-anew: node-anew
	@$(RUN) -m bench smoke

gitops: tools ## what we make for other people's operators, held against their CRDs, Argo CD's own packages and Flux's controllers; 4 to 6 minutes, and much longer the first time, to build them
	@$(RUN) -m tests.support.go_programs
	$(VENV)/bin/pytest tests/gitops --durations=15

soak: tools ## apps use their tokens while everything around goes wrong, an hour; SOAK_SECONDS, SOAK_DATASOURCES, SOAK_SEED
	@$(RUN) -m tests.soak

adversary: tools ## one tenant attacks with all it may do, the other must notice nothing; twice 5 minutes, ADVERSARY_SECONDS, ADVERSARY_SEED
	@$(RUN) -m tests.adversary

bench: tools ## what the operator costs beside a raw driver, about 35 minutes; BENCH="storm idle" for some of them
	@$(RUN) -m bench $(BENCH)

release: $(READY) ## write everything that a release publishes into dist/; RELEASE_KEY and more, docs/release.md has them
	@$(RUN) -m release

released: tools ## a release made twice, checked with cosign, and installed on a node from dist/ alone; root is needed; about 10 minutes, and 4 to 8 more once
	@$(RUN) -m deploy.local.node.needs
	TESTS_FOLDER=released $(VENV)/bin/pytest tests/released -p no:xdist --durations=10

plugin: $(READY) ## the kubectl plugin as one program for this platform, into build/plugin/
	@$(RUN) -m release.program build/plugin

tools: $(READY) ## fetch and build what the local stack needs, ahead of time
	@$(RUN) -m deploy.local.tools
	@$(RUN) -m deploy.local.build
	@$(RUN) -m deploy.local.provider

format: $(READY) ## format the code
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

generate: docs manifests ## write everything that is generated and kept in the repository

docs: $(READY) ## write what is generated in docs/ and SECURITY.md
	@$(RUN) -m generators.api_reference
	@$(RUN) -m generators.security_map
	@$(RUN) -m generators.providers_page
	@$(RUN) -m generators.chart_readme
	@$(RUN) -m tests.words.page

# Links are as in the repository, so the site is built from a copy of it. Its packages are in a venv of their own. No --quiet: it
# hides warnings, and --strict counts those alone that are shown.
docs-site: ## build the documentation as a site into build/site/html, links checked
	rm -rf build/site/src build/site/html
	mkdir -p build/site/src
	git ls-files -z -- . ':!:.*' ':!:tests/fixtures' | xargs -0 cp --parents -t build/site/src
	test -e build/site/venv/.ready || ($(PYTHON) -m venv --clear build/site/venv && build/site/venv/bin/pip install --quiet \
	  --disable-pip-version-check --no-deps --require-hashes --requirement requirements/site.txt && touch build/site/venv/.ready)
	NO_MKDOCS_2_WARNING=1 build/site/venv/bin/mkdocs build --strict
	@echo "The site is in build/site/html"

manifests: $(READY) ## generate dashboard, argocd-cm, what the chart copies from deploy/, and deploy/install.yaml
	@$(RUN) -m generators.version
	@$(RUN) -m generators.dashboard
	@$(RUN) -m generators.argocd
	@$(RUN) -m generators.manifests

recording: tools ## type the terminal session of README on the local stack, and draw docs/recording.svg of it
	@$(RUN) -m deploy.local.recording

fixtures: tools ## keep what this version stores, for the upgrade tests of later ones; once a release
	@$(RUN) -m tests.upgrade.record

lock: $(READY) ## pin dependencies anew
	requirements/lock.sh

clean: ## remove what was made here; the cache of built tools stays
	rm -rf build $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*

$(READY): requirements/dev.txt pyproject.toml packages/kubectl-datasource/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	@echo "Setting up $(VENV) with the pinned packages, about a minute"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes --requirement requirements/dev.txt
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . --editable packages/kubectl-datasource
	@touch $@
