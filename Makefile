# The commands of kling_nb. Each sets up what it needs: on a machine with Python 3.11 or
# newer and make, nothing else has to be there.

PY := .venv/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --no-input
VENV := .venv/.installed
FRONT_END := kling_nb/static/job.js
FRONT_END_SOURCES := package.json package-lock.json $(shell find js -type f -not -path 'js/test/*')
JS_TOOLS := node_modules/.package-lock.json
HOST_TOOLS := tests/hosts/node_modules/.package-lock.json
COLLABORATION := build/collaboration/.installed

# Hundreds of processes are started by the tests: they need not compile the package each time.
unexport PYTHONDONTWRITEBYTECODE

# No command here may cost money: they run without a key, on the engine that comes with
# the package, and write to a ledger of their own.
unexport $(filter FAL_KEY%,$(.VARIABLES))
MAKEOVERRIDES := $(filter-out FAL_KEY%,$(MAKEOVERRIDES))
export KLING_NB_BACKEND := local
export KLING_NB_HOME := $(CURDIR)/build/home

.PHONY: help demo lab test test-all check compat bench soak notebooks states pictures pin clean
.DEFAULT_GOAL := help

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV) $(FRONT_END) ## Run notebooks/quickstart.ipynb on the local preview server; videos and notebook go to demo/
	@$(PY) scripts/demo.py

lab: $(VENV) $(FRONT_END) ## Open the quickstart in JupyterLab; your copies of the demos and their videos are in lab/
	@$(PY) scripts/lab.py

test: $(VENV) $(FRONT_END) $(JS_TOOLS) $(HOST_TOOLS) ## Run all checks but the slow ones, real kernels and a real browser included
	@KLING_NB_CHROMIUM="$$($(PY) scripts/find_chromium.py --install)" && export KLING_NB_CHROMIUM \
	  && $(PY) scripts/checks.py all

test-all: $(VENV) $(FRONT_END) $(JS_TOOLS) $(HOST_TOOLS) $(COLLABORATION) ## Run the slow forms too, before a release: every front end, kills at random, long inputs
	@KLING_NB_CHROMIUM="$$($(PY) scripts/find_chromium.py --install)" && export KLING_NB_CHROMIUM \
	  && $(PY) scripts/checks.py every

check: $(VENV) $(FRONT_END) $(JS_TOOLS) ## Run the fast checks: format, lint, types, contracts, unit and protocol tests
	@$(PY) scripts/checks.py fast

bench: $(VENV) $(FRONT_END) ## Measure kling_nb next to fal_client and plain httpx; writes benchmarks/RESULTS.md
	@KLING_NB_CHROMIUM="$$($(PY) scripts/find_chromium.py --install)" && export KLING_NB_CHROMIUM \
	  && $(PY) -m benchmarks.run

compat: $(VENV) $(FRONT_END) ## Try other Pythons, platforms and versions (an hour, network); writes docs/compatibility.md
	@KLING_NB_CHROMIUM="$$($(PY) scripts/find_chromium.py --install)" && export KLING_NB_CHROMIUM \
	  && $(PY) scripts/compat.py

soak: $(VENV) $(FRONT_END) ## Run the long forms (20 minutes at most) and write docs/soak.md: faults, kills, ledger, fuzzing
	@$(PY) scripts/soak.py --write

states: $(VENV) $(FRONT_END) ## Photograph every state of the widgets and cards, for review: build/states/
	@KLING_NB_CHROMIUM="$$($(PY) scripts/find_chromium.py --install)" && export KLING_NB_CHROMIUM \
	  && $(PY) scripts/states.py

pictures: $(VENV) $(FRONT_END) ## Make the README's pictures again from the real page
	@KLING_NB_CHROMIUM="$$($(PY) scripts/find_chromium.py --install)" && export KLING_NB_CHROMIUM \
	  && $(PY) scripts/pictures.py

notebooks: $(VENV) $(FRONT_END) ## Run the demos in notebooks/ and save their outputs and media again
	@$(PY) scripts/notebooks.py --all

catalogue: $(VENV) ## Read the schemas of all endpoints from fal again (needs the network, not a key)
	@$(PY) scripts/catalogue.py

pin: $(VENV) ## Write constraints.txt again from .venv
	@$(PY) scripts/pin.py

clean: ## Remove everything that these commands made, .venv included; lab/ stays, because your own work may be in it
	rm -rf .venv node_modules tests/hosts/node_modules demo build dist kling_nb/static .import_linter_cache
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find kling_nb tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV): pyproject.toml constraints.txt
	@python="$$(sh scripts/find_python.sh)" || exit 1; \
	  echo "Setting up .venv with $$("$$python" --version); once, a minute or two"; \
	  $(PY) -m pip --version >/dev/null 2>&1 || "$$python" -m venv --clear .venv
	@$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

# The installation above builds the front end too; this one is for sources that changed since.
$(FRONT_END): $(FRONT_END_SOURCES) | $(VENV)
	@$(PY) scripts/node.py
	@$(PY) -m hatchling build -t wheel --hooks-only
	@touch $@

$(JS_TOOLS): package.json package-lock.json | $(VENV)
	@$(PY) scripts/node.py ci --silent --ignore-scripts --no-audit --no-fund

# The widget managers of VS Code and others with all that they need: 380 MB, for tests only.
$(HOST_TOOLS): tests/hosts/package.json tests/hosts/package-lock.json | $(VENV)
	@$(PY) scripts/node.py ci --prefix tests/hosts --silent --ignore-scripts --no-audit --no-fund

# Not part of .venv: where jupyter-collaboration is installed, every notebook opens in a room.
$(COLLABORATION): tests/collaboration/requirements.txt | $(VENV)
	@$(PIP) --upgrade --no-deps --target $(@D) -r $<
	@touch $@
