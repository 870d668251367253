# What a person does with this repository. `make help` lists it.
#
# Environments, each made when something first needs it:
#   .venv        Blender 4.5 as the Python module bpy, and what tests and builds need; not the project itself, which
#                pytest finds in this folder, and Blender in the wheel inside the extension that is installed into it
#   .venv-fuzz   atheris, which fuzzes the codec and the protocol
#   .venv-types  the type stubs of bpy, mypy, ruff; apart from .venv because both own the import name bpy
#   .venv-bench  the other codecs that `make bench` measures beside ours
#   .venv-audit  pip-audit, which looks at all of them

PYTHON ?= python3.11
VENV := .venv
TYPES := .venv-types
FUZZ := .venv-fuzz
FUZZ_SECONDS ?= 600
FUZZ_SEED ?= 0
CHAOS_SECONDS ?= 60
SOAK_CALLS ?= 1000000
HOSTILE_INPUTS ?= 100000
BENCH := .venv-bench
AUDIT := .venv-audit
PY := $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help run test unit unit-windows interop blender test-blender test-gui test-otp27 bench chaos hostile soak fuzz audit zip lint types check format clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/ready zip ## An Elixir script drives a real Blender and saves the picture as out/demo.png
	@tools/need elixir || echo "Without Elixir, a Python program does the same."
	$(PY) tools/run_demo.py

test: $(VENV)/ready ## All tests: unit, against real Erlang and Elixir, in real Blender
	@tools/need elixir erlang
	$(PY) -m pytest tests/unit
	$(PY) -m pytest tests/interop
	$(PY) -m pytest tests/chaos
	$(PY) -m pytest tests/blender

unit: $(VENV)/ready ## Only the unit tests
	$(PY) -m pytest tests/unit

unit-windows: $(VENV)/ready ## The unit tests with a standard library that looks as on Windows; without the tests marked posix
	PYTHONPATH=tests $(PY) -m pytest -p windows_like tests/unit

interop: $(VENV)/ready ## Only the tests against real Erlang and Elixir
	@tools/need elixir erlang
	$(PY) -m pytest tests/interop

blender: $(VENV)/ready ## Only the tests in real Blender
	@tools/need elixir erlang
	$(PY) -m pytest tests/blender

# BLENDER=path names a Blender of this system; without it, root builds a Debian 13 with Blender 4.3 beside this system.
BLENDER_HERE = $(if $(BLENDER),BLENDER="$(BLENDER)",BLENDER_ROOT="$$(tools/debian13 gui)")

test-blender: $(VENV)/ready ## The tests in a Blender program, BLENDER=path, by default Blender 4.3 of a Debian 13
	@tools/need elixir erlang
	$(BLENDER_HERE) $(PY) -m pytest tests/blender

test-gui: $(VENV)/ready zip ## The tests in a Blender with a window, BLENDER=path, by default Blender 4.3 of a Debian 13
	@tools/need elixir erlang $(if $(BLENDER),screen)
	$(BLENDER_HERE) $(PY) -m pytest tests/gui

test-otp27: $(VENV)/ready ## The tests against Erlang 27 and Elixir 1.18, from a Debian 13 that root builds beside this system
	@tools/need elixir erlang
	BEAM_ROOT="$$(tools/debian13 beam)" $(PY) -m pytest tests/interop

bench: $(VENV)/ready $(BENCH)/ready zip ## Measure what the documents claim, BLENDER=path, by default Blender 4.3 of a Debian 13
	@tools/need erlang compiler $(if $(BLENDER),screen)
	PYTHONPATH=. $(PY) bench/atom_cache.py
	PYTHONPATH=. $(BENCH)/bin/python bench/codec_bench.py
	$(BLENDER_HERE) PYTHONPATH=. $(PY) bench/calls_report.py

chaos: $(VENV)/ready ## Peers that die, stand still and are cut off, each fault for CHAOS_SECONDS (60); figures in out/chaos.json
	@tools/need elixir erlang
	CHAOS_SECONDS=$(CHAOS_SECONDS) $(PY) -m pytest -s tests/chaos/test_chaos.py

hostile: $(VENV)/ready ## HOSTILE_INPUTS (100000) mutated handshakes and as many frames, with an honest node beside them
	@tools/need elixir erlang
	HOSTILE_INPUTS=$(HOSTILE_INPUTS) $(PY) -m pytest tests/interop/test_hostile.py

soak: $(VENV)/ready ## SOAK_CALLS (1000000) calls while callers, connections and nodes are killed; figures in out/soak.json
	@tools/need elixir erlang
	SOAK_CALLS=$(SOAK_CALLS) $(PY) -m pytest -s tests/chaos/test_soak.py

fuzz: $(FUZZ)/ready ## Feed hostile bytes to the codec and the protocol for FUZZ_SECONDS (600) each; FUZZ_SEED repeats a run
	PYTHONPATH=. FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_SEED=$(FUZZ_SEED) $(FUZZ)/bin/python fuzz/run.py

# Strict: what the advisories cannot be asked about is an error too, and so is a service that gives no answer.
audit: $(AUDIT)/ready ## Ask for known vulnerabilities of all that is installed in the environments; needs the public advisories
	$(AUDIT)/bin/pip-audit --strict --progress-spinner off \
		$(foreach packages,$(wildcard .venv*/lib/python*/site-packages),--path $(packages))

zip: $(VENV)/ready ## Build dist/*.zip, the extension and the example extension, validate them, and list what is in them
	$(PY) tools/build_zip.py

check: lint types ## lint and types

lint: $(TYPES)/ready ## Check style with ruff
	$(TYPES)/bin/ruff check .
	$(TYPES)/bin/ruff format --check .

types: $(TYPES)/ready ## Check types with mypy and the stubs of Blender 4.5
	$(TYPES)/bin/mypy

format: $(TYPES)/ready ## Format the code with ruff
	$(TYPES)/bin/ruff check --fix .
	$(TYPES)/bin/ruff format .

clean: ## Remove what the other commands have made
	rm -rf build dist out $(VENV) $(TYPES) $(FUZZ) $(BENCH) $(AUDIT)

$(VENV)/ready: pyproject.toml Makefile tools/need
	@tools/need venv blender-libraries
	$(PYTHON) -m venv --upgrade-deps $(VENV)
	$(PY) -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['dev'], sep='\n')" >$(VENV)/dev.txt
	$(PY) -m pip install --quiet --group blender --requirement $(VENV)/dev.txt
	$(PY) -c "import bpy; print('Blender', bpy.app.version_string, 'is ready')"
	touch $@

$(TYPES)/ready: pyproject.toml Makefile
	@tools/need venv
	$(PYTHON) -m venv --upgrade-deps $(TYPES)
	$(TYPES)/bin/pip install --quiet mypy ruff fake-bpy-module-4.5 numpy pytest hypothesis
	touch $@

$(BENCH)/ready: Makefile tools/need
	@PYTHON=$(PYTHON) tools/need venv compiler
	$(PYTHON) -m venv --upgrade-deps $(BENCH)
	$(BENCH)/bin/pip install --quiet numpy erlang_py==2.0.7 erlastic==2.0.0 earl-etf==2.1.2 erlpack==1.0.1
	touch $@

$(FUZZ)/ready: Makefile
	@tools/need venv
	$(PYTHON) -m venv --upgrade-deps $(FUZZ)
	$(FUZZ)/bin/pip install --quiet --only-binary :all: atheris numpy
	touch $@

$(AUDIT)/ready: Makefile
	@tools/need venv
	$(PYTHON) -m venv --upgrade-deps $(AUDIT)
	$(AUDIT)/bin/pip install --quiet pip-audit
	touch $@
