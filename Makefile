# Two commands: `make deploy`, `make test`. Both install what they need.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
COLLECTION := .build/ansible_collections/tria/production
WORKFLOWS := .github/workflows/ci.yml examples/ci/github-actions.yml
APP_VENV := $(CURDIR)/.build/app-venv
INVENTORY ?= inventories/local
PYTHON ?= python3

export PATH := $(BIN):$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.PHONY: help deploy checklist validate status history rollback backup restore destroy venv lint sanity unit setup app integration integration-slow molecule molecule-hosts test test-all bench faults clean

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

deploy: venv ## Provision Docker, deploy the stack of INVENTORY (default inventories/local), pass all gates
	ansible-playbook playbooks/deploy.yml -i $(INVENTORY) $(ARGS)

checklist: venv ## Is the stack of INVENTORY ready for production? Changes nothing (ARGS="-e api_url=https://..." for its public front)
	ansible-playbook playbooks/checklist.yml -i $(INVENTORY) $(ARGS)

validate: venv ## Prove that the stack of INVENTORY does what it is there for (or any API: ARGS="-e api_url=https://...")
	ansible-playbook playbooks/validate.yml -i $(INVENTORY) $(ARGS)

status: venv ## Show the release, containers and health of the stack
	ansible-playbook playbooks/diagnose.yml -i $(INVENTORY) $(ARGS)

history: venv ## Show the releases of the stack, and which of them can be gone back to
	ansible-playbook playbooks/history.yml -i $(INVENTORY) $(ARGS)

rollback: venv ## Go back to the last good release (ARGS="-e release=<one of history>" for another)
	ansible-playbook playbooks/rollback.yml -i $(INVENTORY) $(ARGS)

backup: venv ## Back up the database of the stack
	ansible-playbook playbooks/backup.yml -i $(INVENTORY) $(ARGS)

restore: venv ## Restore its newest backup, after asking (ARGS="-e backup=<path or name>" for another)
	ansible-playbook playbooks/restore.yml -i $(INVENTORY) $(ARGS)

destroy: venv ## Remove the stack and its data, after asking
	ansible-playbook playbooks/teardown.yml -i $(INVENTORY) $(ARGS)

venv: $(VENV)/.installed $(COLLECTION) ## Install Ansible and the Python libraries

$(VENV)/.installed: requirements.txt
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --quiet --disable-pip-version-check --requirement requirements.txt
	touch $@

# The checkout as the collection tria.production, wherever it was cloned.
$(COLLECTION):
	mkdir -p $(dir $@)
	ln -sfn ../../.. $@

test: lint sanity unit app integration molecule ## Everything that proves it

test-all: test integration-slow molecule-hosts ## The slow suites too

lint: venv ## ansible-lint, profile production; documentation, changelog fragments; workflows and templates for CI
	ansible-lint --offline --profile production
	antsibull-docs lint-collection-docs --plugin-docs .
	antsibull-changelog lint
	check-jsonschema --builtin-schema vendor.github-workflows $(WORKFLOWS)
	check-jsonschema --builtin-schema vendor.gitlab-ci examples/ci/gitlab-ci.yml
	zizmor --offline --quiet $(WORKFLOWS)

sanity: venv ## ansible-test sanity
	tests/sanity/run

unit: venv ## Unit tests
	pytest tests/unit

# An Engine and base images on this machine: what the suites below need.
setup: venv
	ansible-playbook tests/setup.yml -i localhost,

app: setup $(APP_VENV)/.installed ## Tests of the reference stack's backend
	cd examples/tria/backend && set -a && source $(CURDIR)/.build/test-images.env && $(APP_VENV)/bin/python -m pytest

$(APP_VENV)/.installed: examples/tria/backend/requirements.txt examples/tria/backend/requirements-dev.txt
	$(PYTHON) -m venv $(APP_VENV)
	$(APP_VENV)/bin/pip install --quiet --quiet --disable-pip-version-check --requirement examples/tria/backend/requirements-dev.txt
	touch $@

integration: setup ## Tests against real services, and whole deploys with planted faults
	pytest tests/integration -m "not slow"

integration-slow: setup ## Integration tests that take minutes
	pytest tests/integration -m slow

molecule: venv ## A host of its own: deploy, again, verify
	molecule test

molecule-hosts: setup ## Four hosts: deploy, again, a release that fails on one of them, verify
	molecule test --scenario-name hosts

bench: setup ## Benchmarks beside their peers (ONLY=readiness: that suite alone; ROUNDS=10)
	python tests/benchmarks/run.py $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS))

faults: setup ## What is made of planted faults (ONLY=readiness: that suite alone)
	python tests/faults/run.py $(if $(ONLY),--only $(ONLY))

clean: ## Remove what the commands made in this folder
	rm -rf $(VENV) .build .cache reports
