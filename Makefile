# Each target is a line or two around the real tools. Without make: . .venv/bin/activate && ansible-playbook site.yml
SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

# Where: `local` (the local cloud on this machine) or `aws`; the name of a directory in inventory/.
ENV ?= local
# More arguments for ansible-playbook or pytest, such as ARGS='-e asg_max_size=4' or ARGS='-k health'.
ARGS ?=

# What is installed here is found first, by Ansible's own subprocesses too.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# On AWS the machine that runs the playbook needs no Docker.
ready := tools $(if $(filter local,$(ENV)),images)

.PHONY: help
help: ## List what can be typed
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo; echo "  ENV=aws does it on AWS, which costs money: docs/aws.md"

##### Deploy

.PHONY: deploy
deploy: known-env $(ready) ## Install what is missing and deploy: from nothing to a served application
	@ansible-playbook -i inventory/$(ENV) site.yml $(ARGS)

.PHONY: teardown
teardown: known-env tools ## Remove all that deploy made
	@ansible-playbook -i inventory/$(ENV) teardown.yml $(ARGS)

.PHONY: status
status: known-env tools ## Say what runs where
	@ansible-playbook -i inventory/$(ENV) playbooks/summary.yml $(ARGS)

.PHONY: url
url: known-env ## Print the load balancer's URL
	@cat .deploy/$(ENV)/url 2>/dev/null || { $(call fail,nothing is deployed in `$(ENV)`,.deploy/$(ENV)/url,make deploy$(if $(filter-out local,$(ENV)), ENV=$(ENV))); }

##### Test

.PHONY: test
test: tools .venv/.installed-dev ## Run all checks and tests
	@python -m bootstrap.run_tests $(ARGS)

.PHONY: loadtest
loadtest: known-env tools ## Load what is deployed, judge it by the SLO, write a report
	@ansible-playbook -i inventory/$(ENV) playbooks/loadtest.yml $(ARGS)

.PHONY: lint
lint: tools .venv/.installed-dev ## Run the checks that need no Docker
	@python -m pytest tests/lint $(ARGS)

.PHONY: unit
unit: tools .venv/.installed-dev ## Run the unit tests
	@python -m pytest tests/unit $(ARGS)

.PHONY: format
format: .venv/.installed-dev ## Format Python and Terraform in place
	@ruff check --fix --quiet .; ruff format --quiet .; terraform fmt -recursive terraform

##### Install

.PHONY: tools
tools: .collections/.installed ## Install Ansible, the collections and Terraform
	@python -m bootstrap.terraform

.PHONY: docker
docker: .venv/.installed ## Install and start a Docker engine where none answers
	@python -m bootstrap.docker_engine

.PHONY: images
images: docker ## Build the local cloud's machine images that are missing
	@python -m localcloud images

.venv/.installed: requirements.txt
	@bootstrap/venv.sh requirements.txt
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	@bootstrap/venv.sh requirements.txt requirements-dev.txt
	@touch $@

.collections/.installed: .venv/.installed requirements.yml
	@bootstrap/collections.sh
	@touch $@

.PHONY: requirements
requirements: .venv/.installed ## Pin the newest versions that requirements*.in allow
	@python -m pip install --quiet uv
	@for name in requirements requirements-dev; do uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate $$name.in --output-file $$name.txt; done

.PHONY: clean
clean: ## Remove what was installed here (after teardown)
	@test ! -e .localcloud || { $(call fail,the local cloud is still there,make status,make teardown); }
	@rm -rf .venv .collections .cache .ansible

##### Helpers

# A failure message has three parts: $(call fail,what failed,where to look,what to type)
fail = printf '\nERROR: %s\n  Look at: %s\n  Type:    %s\n' '$(1)' '$(2)' '$(3)' >&2; exit 1

.PHONY: known-env
known-env:
	@test -d 'inventory/$(ENV)' || { $(call fail,there is no environment `$(ENV)`,inventory/,make deploy ENV=local   (or ENV=aws)); }
