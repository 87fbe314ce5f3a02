# Every target sets up what it needs; the first one takes minutes. CI (.ci/run) calls these and little else.
SHELL := /bin/bash
# Without it, a program started in this directory would take ./kernels for the package of that name.
export PYTHONSAFEPATH := 1

VENV ?= .venv
DEMO_VENV ?= .venv-demo
# By itself and first: resolved together with the rest it may be a CUDA build of several gigabytes.
TORCH ?= torch==2.13.0
PIP_FLAGS ?= --quiet --disable-pip-version-check
ARGS ?=
BIN := $(VENV)/bin
QDTS ?= $(BIN)/qdts
GPU_PYTHON ?= $(BIN)/python
GPU_RECIPE ?= models/training/recipes/base
GPU_STAGES ?= features pretrain similarity fit distil sft dpo release
# Inside a string of the shell's
THREE_STEPS := --set loop.num_steps=3 --set loop.device=\"cpu\" --set loop.precision=\"auto\" --set loop.compile=false

.DEFAULT_GOAL := help
.PHONY: help setup proto format lint types test coverage demo sizes serve bench train gpu-train gpu-rehearse gpu-kernels gpu-tests gpu-engines gpu-bench gpu-serve wheel load nightly clean

help: ## these lines
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */\1\t/' | expand -t 12

setup: $(VENV)/.stamp ## a virtual environment with everything for development
$(VENV)/.stamp: pyproject.toml
	python3 -m venv $(VENV)
	$(BIN)/pip install $(PIP_FLAGS) --no-compile '$(TORCH)'
	$(BIN)/pip install $(PIP_FLAGS) --no-compile -e '.[cpu,train,dev]'
	touch $@

proto: setup ## generate qdts/v1 from proto/
	PYTHON=$(BIN)/python proto/generate.sh

format: setup ## rewrite the code in the one style
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

lint: setup ## style, and which layer may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup ## pyright, strict on service, models and kernels
	$(BIN)/pyright --pythonpath $(BIN)/python

# Tests of the shared cache start a redis-server of their own. Where there is none and it cannot be installed they are
# skipped, unless QDTS_REQUIRE_REDIS is set.
.PHONY: redis
redis:
	@command -v redis-server > /dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && \
	  apt-get update -qq && apt-get install -qq -y --no-install-recommends redis-server > /dev/null; } || \
	  echo 'no redis-server: tests that need one are skipped'

test: setup redis ## all tests; ARGS='-k client' for some
	$(BIN)/pytest $(ARGS)

coverage: setup redis ## all tests, and what they leave out
	$(BIN)/pytest --cov --cov-report=term-missing:skip-covered $(ARGS)

# The environment that serves: no torch, no tools, the package installed and not linked.
$(DEMO_VENV)/.stamp: pyproject.toml
	python3 -m venv $(DEMO_VENV)
	$(DEMO_VENV)/bin/pip install $(PIP_FLAGS) '.[cpu]'
	touch $@

demo: $(DEMO_VENV)/.stamp ## install what serving needs, start a server, summarise a real document
	rm -rf build
	$(DEMO_VENV)/bin/pip install $(PIP_FLAGS) --no-deps --force-reinstall .
	.ci/demo $(DEMO_VENV)

sizes: $(DEMO_VENV)/.stamp ## megabytes and packages that serving needs
	$(DEMO_VENV)/bin/python loadtest/bench_startup.py --only install

serve: setup ## a server on port 50051; ARGS='--port 8080'
	$(BIN)/qdts serve $(ARGS)

bench: setup ## every measurement, the quick way
	for script in loadtest/bench_*.py; do $(BIN)/python $$script --quick || exit 1; done

# No set-up: a machine with a GPU has a torch of its own. QDTS='python -m qdts.service.cli' where qdts is not installed.
gpu-train: ## the 0.1B recipe on a GPU, stage by stage; run again, it goes on
	for stage in $(GPU_STAGES); do \
	  $(QDTS) train $$stage --config $(GPU_RECIPE)/$$stage.toml || exit 1; \
	done

gpu-rehearse: ## the same commands on a CPU, three steps of each stage
	for stage in $(GPU_STAGES); do \
	  case $$stage in \
	    release) small="--set sample_rows=2";; \
	    features|pretrain) small="$(THREE_STEPS) --set task.rows_per_batch=2";; \
	    dpo) small="$(THREE_STEPS) --set max_prompts=8 --set max_held_out=4 --set preference.tokens_per_batch=2048";; \
	    *) small="$(THREE_STEPS) --set task.tokens_per_batch=2048";; \
	  esac; \
	  $(QDTS) train $$stage --config $(GPU_RECIPE)/$$stage.toml $$small || exit 1; \
	done

# No set-up, as above; needs pytest and pytest-asyncio. GPU_PYTHON=python where there is no environment of this file's.
gpu-kernels: ## the kernels' tests on a GPU, then how near they are to its limits
	env -u TRITON_INTERPRET $(GPU_PYTHON) -m pytest tests/kernels $(ARGS)
	env -u TRITON_INTERPRET $(GPU_PYTHON) loadtest/bench_kernels.py

# Needs hypothesis, tokenizers and onnx beside pytest.
gpu-tests: ## the tests of the runtime cuda and of CUDA graphs on a GPU
	env -u TRITON_INTERPRET $(GPU_PYTHON) -m pytest tests/models/runtimes/cuda tests/models/runtimes/test_step_graphs.py $(ARGS)

gpu-engines: ## TensorRT engines for this machine's GPU: same tokens as eager, requests/s within 55 ms
	$(GPU_PYTHON) loadtest/bench_engines.py $(ARGS)

gpu-bench: ## cuda and TensorRT in under 8 minutes: same tokens as eager, ms and requests/s, with CUDA graphs and without
	$(GPU_PYTHON) loadtest/bench_gpu.py $(ARGS)

GPU_SERVE ?= --set engine.runtime=cuda --set engine.precision=fp16 --set engine.max_batch=64 --fronts 8 --drivers 6 --from 250
gpu-serve: ## a whole server, gRPC and front processes included: requests/s at which p99 stays within 55 ms
	$(GPU_PYTHON) loadtest/bench_serving.py $(GPU_SERVE) $(ARGS)

train: setup ## one training stage; STAGE=fit CONFIG=run.toml
	$(BIN)/qdts train $(STAGE) --config $(CONFIG)

wheel: setup ## dist/*.whl
	$(BIN)/pip wheel $(PIP_FLAGS) --no-deps --wheel-dir dist .

load: setup ## overload and soak against the simulated model, two minutes; exits with 1 if a bar is missed
	$(BIN)/python loadtest/overload.py --quick
	$(BIN)/python loadtest/soak.py --quick

# Each leaves its file in loadtest/results. All are run, whatever the first of them says; the last line says who failed.
nightly: setup redis ## two hours: soak, overload with the real model, all scenarios, faults, an hour of fuzzing, with results
	@failed=; \
	for run in 'soak.py --minutes 30' 'overload.py' 'overload.py --scenario all --simulated' 'faults.py' 'fuzz.py --minutes 60'; do \
	  echo "== $$run"; \
	  $(BIN)/python loadtest/$$run || failed="$$failed $${run// /_}:$$?"; \
	done; \
	echo "missed a bar (1), was asked wrongly (2), or says nothing of the server (3):$${failed:- none}"; \
	[ -z "$$failed" ]

clean: ## what make made
	rm -rf $(VENV) $(DEMO_VENV) build dist *.egg-info
