# Needs CPython 3.11 or newer, pip and make. Everything else is installed into .venv, in pinned versions.
# The first that is new enough.
PYTHON ?= $(shell for one in python3 python3.13 python3.12 python3.11; do \
  $$one -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$one && exit; done; echo python3)
VENV ?= .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints/constraints.txt

.PHONY: help quickstart test lint check ascend tiny constraints wheel

help:
	@echo "make quickstart    train LoRA and QLoRA on the built-in base and compare them"
	@echo "make test          the tests"
	@echo "make check         formatting, types, import layers, the tests"
	@echo "make ascend        install for an Ascend host: torch without CUDA, and torch-npu"
	@echo "make tiny          make the built-in base again"
	@echo "make constraints   choose the pinned versions anew"
	@echo "make wheel         a wheel in dist/"

quickstart: $(VENV)/.installed
	$(BIN)/harness sweep quickstart

test: $(VENV)/.installed
	$(BIN)/pytest

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

# torch-npu wants the CPU build of its own version of torch; which CANN it wants is in docs/ascend.md. What is pinned for
# another torch (torchvision, torchaudio) is left to pip.
ASCEND_TORCH ?= 2.12.0
TORCH_NPU ?= $(ASCEND_TORCH)
ascend:
	$(PYTHON) -m venv $(VENV)
	grep -Ev '^torch(vision|audio)?==' $(CONSTRAINTS) > $(VENV)/constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --extra-index-url https://download.pytorch.org/whl/cpu \
	  torch==$(ASCEND_TORCH)+cpu torch-npu==$(TORCH_NPU) --editable '.[dev]' --constraint $(VENV)/constraints.txt
	@touch $(VENV)/.installed

tiny: $(VENV)/.installed
	$(BIN)/python tools/make_tiny.py

wheel: $(VENV)/.installed
	$(BIN)/python -m build --wheel

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; make PYTHON=python3.11 ...")'
	@echo "installing the pinned set into $(VENV): 3.3 GB, some minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint $(CONSTRAINTS)
	@touch $@

# The newest versions that pyproject.toml allows beside this torch. torch itself is pinned here, since it decides which
# accelerator libraries come along; those are left out of the file, so that it serves machines with and without one.
TORCH := 2.13.0
constraints:
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/pip install --quiet torch==$(TORCH) '.[dev]'
	build/constraints/bin/pip check
	build/constraints/bin/pip freeze --exclude qlora-harness \
	  | sed 's/+cpu$$//' | grep -Ev '^(nvidia-|cuda-|triton)' > $(CONSTRAINTS)
	rm -rf build/constraints
