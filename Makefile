# Two commands: `make deploy`, `make test`. Both install what they need.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
COLLECTION := .build/ansible_collections/tria/production
INVENTORY ?= inventories/local
PYTHON ?= python3

export PATH := $(BIN):$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.PHONY: help deploy status diagnose destroy venv lint sanity unit integration molecule test test-all bench faults clean

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

deploy: venv ## Provision Docker, deploy the stack of INVENTORY (default inventories/local), pass all gates
	$(BIN)/ansible-playbook playbooks/deploy.yml -i $(INVENTORY) $(ARGS)

status: venv ## Show the release, containers and health of the stack
	$(BIN)/ansible-playbook playbooks/diagnose.yml -i $(INVENTORY) $(ARGS)

diagnose: status

destroy: venv ## Remove the stack and its data, after asking
	$(BIN)/ansible-playbook playbooks/teardown.yml -i $(INVENTORY) $(ARGS)

venv: $(VENV)/.installed $(COLLECTION) ## Install Ansible and the Python libraries

$(VENV)/.installed: requirements.txt
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.txt
	touch $@

# The checkout as the collection tria.production, wherever it was cloned.
$(COLLECTION):
	mkdir -p $(dir $@)
	ln -sfn ../../.. $@

test: venv lint sanity unit integration molecule ## Everything that proves it

test-all: test faults ## The slow suites too

lint: venv ## ansible-lint, profile production
	$(BIN)/ansible-lint --offline --profile production

unit: venv ## Unit tests
	$(BIN)/pytest tests/unit

integration: venv ## Tests against real services and the deployed stack
	$(BIN)/pytest tests/integration

molecule: venv ## A host of its own: deploy, idempotence, verify
	cd molecule/.. && $(BIN)/molecule test

clean: ## Remove what the commands made in this folder
	rm -rf $(VENV) .build .cache reports
