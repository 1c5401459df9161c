# Each target is a line or two around the real tools. Without make: . .venv/bin/activate && ansible-playbook site.yml
SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

# Where: `local` (the local cloud on this machine) or `aws`; the name of a directory in inventory/.
ENV ?= local

# Tools are found in .venv first; `run` also says so for commands that start other commands.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##### What is installed

.venv/.installed: requirements.txt
	@bootstrap/venv.sh requirements.txt
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	@bootstrap/venv.sh requirements.txt requirements-dev.txt
	@touch $@

.collections/.installed: .venv/.installed requirements.yml
	@bootstrap/collections.sh
	@touch $@
