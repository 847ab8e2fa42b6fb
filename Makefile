# Everything a person types here. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV ?= .venv
CORES ?= all
CONFIG ?= config.yaml
RESULTS ?= results
PORT ?= 5000
# A file of tests stays on one worker, so tests of the DAG do not run side by side.
PYTEST_ARGS ?= -n 2 --dist loadfile
# docutils: public domain and BSD; the GPL is that of an editor's mode, which nothing here loads.
LICENCES_LOOKED_AT := docutils
UV_VERSION := 0.13.9

export VENV
ACTIVATE := . '$(VENV)/bin/activate'
# Snakemake answers a file that it cannot read with a traceback.
READABLE = $(ACTIVATE); python -m workflow.config '$(CONFIG)'
SHELL_SCRIPTS := requirements/install containers/build containers/install tests/container/run tests/container/apptainer .ci/run

.PHONY: help setup config-there demo smoke test test-fast test-cluster test-faults test-container test-gpu audit plan lint format mlflow report docs container lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s  %s\n", $$1, $$2 }' Makefile

setup: ## Make .venv from the pinned lock (about 7 GB; does nothing when it is up to date)
	@requirements/install

# Before the environment is made, which takes minutes.
config-there:
	@[ -r '$(CONFIG)' ] || { echo "error: CONFIG=$(CONFIG): no such file, or it cannot be read" >&2; exit 2; }

demo: config-there setup ## Run the default benchmark from download to report, then say where everything is
	@$(READABLE)
	@$(ACTIVATE); snakemake --cores $(CORES) --configfile '$(CONFIG)'

smoke: setup ## Run the same DAG in miniature, results below results/smoke/
	@$(ACTIVATE); snakemake --cores $(CORES) --configfile configs/smoke.yaml

lint: setup ## Linters, formatters and type checks
	@$(ACTIVATE); ruff check .
	@$(ACTIVATE); ruff format --check .
	@$(ACTIVATE); mypy
	@$(ACTIVATE); snakefmt --check Snakefile workflow/rules
	@$(ACTIVATE); snakemake --lint
	@$(ACTIVATE); shellcheck $(SHELL_SCRIPTS)

format: setup ## Format Python and Snakemake files
	@$(ACTIVATE); ruff check --fix .; ruff format .; snakefmt Snakefile workflow/rules

test: lint ## All checks and all tests, a whole smoke DAG among them
	@$(ACTIVATE); pytest $(PYTEST_ARGS)

test-fast: setup ## The quick tests alone
	@$(ACTIVATE); pytest $(PYTEST_ARGS) -m 'not slow and not network'

test-cluster: setup ## The DAG on a SLURM cluster of two nodes on this machine; as root, with Debian's slurm-wlm and munge
	@$(ACTIVATE); GLOFND_TEST_CLUSTER=1 pytest tests/cluster --durations 5

test-faults: setup ## Kills, full disks, damaged files and other faults
	@$(ACTIVATE); GLOFND_TEST_FAULTS=1 pytest tests/faults $(PYTEST_ARGS) --durations 10

test-gpu: setup ## What only a GPU can show: numbers, speed, memory; without this environment: python tests/gpu/check.py
	@$(ACTIVATE); python tests/gpu/check.py

audit: setup ## Known vulnerabilities (pip-audit) and licences (pip-licenses) of what is installed
	@$(ACTIVATE); pip-audit --local --progress-spinner off
	@$(ACTIVATE); pip-licenses --from=mixed --partial-match --summary --ignore-packages $(LICENCES_LOOKED_AT) \
	    --fail-on='GNU General Public;GPLv;Affero;AGPL;NonCommercial;Non-Commercial'

plan: config-there setup ## Jobs, hours, storage and memory of CONFIG=... before it is started
	@$(ACTIVATE); python -m workflow.plan '$(CONFIG)'

test-container: setup ## Build the image and run the whole DAG in it; as root, Debian's podman and others (containers/README.md)
	@$(ACTIVATE); tests/container/run

mlflow: ## Browse the runs on http://127.0.0.1:5000 (other port: PORT=...)
	@if [ ! -f '$(RESULTS)/mlflow.db' ]; then \
	    echo "error: there is no $(RESULTS)/mlflow.db yet; run make demo first, or name the results: make mlflow RESULTS=results/smoke" >&2; exit 2; fi
	@requirements/install
	@reached() { exec 3<>/dev/tcp/127.0.0.1/$(PORT); }; \
	if (reached) 2>/dev/null; then echo 'error: port $(PORT) is in use; choose another: make mlflow PORT=...' >&2; exit 2; fi; \
	answers() { (reached; printf 'GET /health HTTP/1.0\r\n\r\n' >&3; read -r -t 9 <&3) 2>/dev/null; }; \
	(until answers; do kill -0 $$$$ || exit; sleep 0.5; done; \
	    echo 'MLflow is ready on http://127.0.0.1:$(PORT)/#/experiments/1/runs?workflowType=machine_learning, Ctrl-C stops it') & \
	$(ACTIVATE); exec mlflow server --host 127.0.0.1 --port $(PORT) --workers 1 --backend-store-uri 'sqlite:///$(RESULTS)/mlflow.db'

report: config-there setup ## Make the report again, and Snakemake's own report of the run beside it
	@$(READABLE)
	@$(ACTIVATE); snakemake --cores $(CORES) --configfile '$(CONFIG)' '$(RESULTS)/report.html'
	@$(ACTIVATE); snakemake --configfile '$(CONFIG)' --report '$(RESULTS)/workflow.html'
	@echo 'Report:    $(CURDIR)/$(RESULTS)/report.html'
	@echo 'Workflow:  $(CURDIR)/$(RESULTS)/workflow.html'

docs: setup ## Build the documentation as a site, below site/; a broken link fails
	@$(ACTIVATE); NO_MKDOCS_2_WARNING=1 python -m mkdocs --quiet build --strict
	@echo 'Documentation:  $(CURDIR)/site/index.html  (to search in it: python -m http.server --directory site)'

container: ## Build the image with docker, podman or apptainer (containers/README.md)
	@containers/build

lock: setup ## Pin requirements/*.in anew (newest versions: make lock UPGRADE=--upgrade)
	@$(ACTIVATE); python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(ACTIVATE); uv pip compile --universal --fork-strategy fewest --generate-hashes --python-version 3.11 --quiet \
	    --custom-compile-command 'make lock' $(UPGRADE) --output-file requirements/lock.txt requirements/runtime.in requirements/dev.in
	@git --no-pager diff --stat -- requirements/lock.txt

clean: ## Remove caches; results, data and .venv stay (the command to remove them is printed)
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	@rm -rf site
	@find glofnd evaluation workflow tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo 'Caches removed. Kept, as they are expensive to make again:'
	@for kept in '$(VENV)' data '$(RESULTS)' .snakemake; do \
	    if [ -e "$$kept" ]; then printf '  %-6s %s   (rm -r %q)\n' "$$(du -sh "$$kept" | cut -f 1)" "$$kept" "$$kept"; fi; done
