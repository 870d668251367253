# The commands for this repository. `make help` lists them.
#
# The commands use these Python environments. Each one is created when a command first needs it:
#   .venv        Blender 4.5 as the Python module bpy, and the packages for tests and builds. The project itself is not
#                installed: pytest finds it in this folder, and Blender finds it in the wheel of the installed extension.
#   .venv-pytest-blender  pytest-blender, which runs pytest inside a Blender. It is not in .venv, because it changes
#                every pytest run of its environment. It has pytest 8, because pytest 9 warns about pytest-blender, and a
#                hypothesis that is pure Python, because run_inside.py copies it to the Python of any Blender.
#   .venv-fuzz   atheris, which fuzzes the codec and the protocol
#   .venv-types  the type stubs of bpy, mypy and ruff. They are not in .venv, because the stubs and the real bpy have the
#                same import name.
#   .venv-bench  the other codecs, with which `make bench` compares
#   .venv-audit  pip-audit, which checks all environments

PYTHON ?= python3.11
VENV := .venv
INSIDE := .venv-pytest-blender
TYPES := .venv-types
FUZZ := .venv-fuzz
FUZZ_SECONDS ?= 600
FUZZ_SEED ?= 0
CHAOS_SECONDS ?= 60
SOAK_CALLS ?= 1000000
HOSTILE_INPUTS ?= 100000
LEAST ?= 0.95
BENCH := .venv-bench
AUDIT := .venv-audit
PY := $(VENV)/bin/python

# First the tests that run inside one Blender, then the tests that start a Blender each.
TEST_BLENDER = $(PY) tests/blender/run_inside.py && $(PY) -m pytest tests/blender/outside

.DEFAULT_GOAL := help
.PHONY: help run test test-beam test-in-blender unit unit-windows interop blender test-blender test-gui test-otp27 test-elixir bench bench-without bench-against chaos hostile soak fuzz audit zip repo lint types check format clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/ready zip ## An Elixir script drives a real Blender and saves the picture as out/demo.png
	@tools/need elixir || echo "Elixir is not installed, so a Python program makes the same calls."
	$(PY) tools/run_demo.py

test: $(VENV)/ready $(INSIDE)/ready zip ## Run all tests: unit tests, tests with real Erlang and Elixir, tests in real Blender
	@tools/need elixir erlang
	$(PY) -m pytest tests/unit
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line test-beam test-in-blender

# The two halves of `make test` that run at the same time. Each waits for other programs most of the time.
test-beam:
	$(PY) -m pytest tests/interop
	$(PY) -m pytest tests/chaos

test-in-blender:
	$(TEST_BLENDER)

unit: $(VENV)/ready ## Run only the unit tests
	$(PY) -m pytest tests/unit

unit-windows: $(VENV)/ready ## Run the unit tests with a standard library as on Windows, without the tests marked posix
	PYTHONPATH=tests $(PY) -m pytest -p windows_like tests/unit

interop: $(VENV)/ready ## Run only the tests with real Erlang and Elixir
	@tools/need elixir erlang
	$(PY) -m pytest tests/interop

blender: $(VENV)/ready $(INSIDE)/ready zip ## Run only the tests in real Blender
	@tools/need elixir erlang
	$(TEST_BLENDER)

# BLENDER=path names a Blender of this system. Without it, root builds a Debian 13 with Blender 4.3 in a folder.
BLENDER_HERE = $(if $(BLENDER),BLENDER="$(BLENDER)",BLENDER_ROOT="$$(tools/debian13 gui)")

test-blender: $(VENV)/ready $(INSIDE)/ready zip ## Run the tests in a Blender program: BLENDER=path, default Blender 4.3 in a Debian 13
	@tools/need elixir erlang
	$(BLENDER_HERE) && export BLENDER BLENDER_ROOT && $(TEST_BLENDER)

test-gui: $(VENV)/ready zip ## Run the tests in a Blender with a window: BLENDER=path, default Blender 4.3 in a Debian 13
	@tools/need elixir erlang $(if $(BLENDER),screen)
	$(BLENDER_HERE) $(PY) -m pytest tests/gui

test-otp27: $(VENV)/ready ## Run the tests with Erlang 27 and Elixir 1.18, in a Debian 13 that root builds in a folder
	@tools/need elixir erlang
	BEAM_ROOT="$$(tools/debian13 beam)" $(PY) -m pytest tests/interop

test-elixir: $(VENV)/ready zip ## Test and check the Elixir package in elixir/, here and in a Debian 13 that root builds in a folder
	@tools/need elixir erlang
	$(PY) tools/test_elixir.py

bench: $(VENV)/ready $(BENCH)/ready zip ## Measure the figures of the documentation: BLENDER=path, default Blender 4.3 in a Debian 13
	@tools/need elixir erlang compiler $(if $(BLENDER),screen)
	PYTHONPATH=. $(PY) bench/atom_cache.py
	PYTHONPATH=. $(BENCH)/bin/python bench/codec_bench.py
	PYTHONPATH=. $(PY) bench/without.py
	PYTHONPATH=. $(PY) bench/elixir_calls.py
	$(BLENDER_HERE) && export BLENDER BLENDER_ROOT && PYTHONPATH=. $(PY) bench/assets.py
	$(BLENDER_HERE) && export BLENDER BLENDER_ROOT && PYTHONPATH=. $(PY) bench/live.py
	$(BLENDER_HERE) PYTHONPATH=. $(PY) bench/calls_report.py

bench-without: $(VENV)/ready ## Measure the value of each optimisation: switch off one at a time
	@tools/need erlang
	PYTHONPATH=. $(PY) bench/without.py

# BLENDER=path, or BLENDER_ROOT=folder, adds calls to a Blender with a window.
bench-against: $(VENV)/ready ## Measure this code beside another revision, REV=commit; fails if a ratio is below LEAST (0.95)
	@tools/need erlang $(if $(BLENDER),screen)
	PYTHONPATH=. $(PY) bench/against.py --least $(LEAST) $(REV)

chaos: $(VENV)/ready ## Kill, stop and disconnect peers, each fault for CHAOS_SECONDS (60), and write out/chaos.json
	@tools/need elixir erlang
	CHAOS_SECONDS=$(CHAOS_SECONDS) $(PY) -m pytest -s tests/chaos/test_chaos.py

hostile: $(VENV)/ready ## Send HOSTILE_INPUTS (100000) mutated handshakes and as many mutated frames, while a real node makes calls
	@tools/need elixir erlang
	HOSTILE_INPUTS=$(HOSTILE_INPUTS) $(PY) -m pytest tests/interop/test_hostile.py

soak: $(VENV)/ready ## Make SOAK_CALLS (1000000) calls, kill callers, connections and nodes, and write out/soak.json
	@tools/need elixir erlang
	SOAK_CALLS=$(SOAK_CALLS) $(PY) -m pytest -s tests/chaos/test_soak.py

fuzz: $(FUZZ)/ready ## Fuzz the codec and the protocol for FUZZ_SECONDS (600) each; FUZZ_SEED repeats a run
	PYTHONPATH=. FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_SEED=$(FUZZ_SEED) $(FUZZ)/bin/python fuzz/run.py

# With --strict, it is also an error if a package cannot be checked, or if the service does not respond.
audit: $(AUDIT)/ready ## Check all packages in the environments for known vulnerabilities; needs access to a public service
	$(AUDIT)/bin/pip-audit --strict --progress-spinner off \
		$(foreach packages,$(wildcard .venv*/lib/python*/site-packages),--path $(packages))

zip: $(VENV)/ready ## Build and validate dist/*.zip, the extension and those with handlers, and write their bills of materials
	$(PY) tools/build_zip.py

repo: $(VENV)/ready ## Build the zips and dist/index.json, an extension repository that any web server can serve
	$(PY) tools/build_zip.py --repository

check: lint types ## Run lint and types

lint: $(TYPES)/ready ## Check the style with ruff
	$(TYPES)/bin/ruff check .
	$(TYPES)/bin/ruff format --check .

types: $(TYPES)/ready ## Check the types with mypy and the stubs of Blender 4.5
	$(TYPES)/bin/mypy

format: $(TYPES)/ready ## Format the code with ruff
	$(TYPES)/bin/ruff check --fix .
	$(TYPES)/bin/ruff format .

clean: ## Remove all environments and all files that the other commands have created
	rm -rf build dist out elixir/_build elixir/doc $(VENV) $(INSIDE) $(TYPES) $(FUZZ) $(BENCH) $(AUDIT)

$(VENV)/ready: pyproject.toml Makefile tools/need
	@tools/need venv blender-libraries
	$(PYTHON) -m venv --upgrade-deps $(VENV)
	$(PY) -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['dev'], sep='\n')" >$(VENV)/dev.txt
	$(PY) -m pip install --quiet --group blender --requirement $(VENV)/dev.txt
	$(PY) -c "import bpy; print('Blender', bpy.app.version_string, 'is ready')"
	touch $@

$(INSIDE)/ready: Makefile
	@tools/need venv
	$(PYTHON) -m venv --upgrade-deps $(INSIDE)
	$(INSIDE)/bin/pip install --quiet "pytest>=8.3,<9" pytest-blender==3.0.8 "hypothesis<6.151"
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
