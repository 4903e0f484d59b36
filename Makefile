# Everything that a newcomer types. Each target makes its own .venv from the lock files; nothing else is needed than python3
# with venv, make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check parity bundle deb fuzz lock clean help

help:
	@echo "make demo [ARGS='--seconds 30 --json']  a simulated cash machine, the agent, an outage, an attack"
	@echo "make test [ARGS='-k store']             all tests, against real servers"
	@echo "make check                              lint, types, layers"
	@echo "make parity [OTHER_RUNTIME=1.20.1]      every model on another onnxruntime, in a scratch environment"
	@echo "make bundle [KEY=release.key]           a tarball that installs the agent without internet, signed if wanted"
	@echo "make deb [KEY=release.key]              the same as a Debian package"
	@echo "make fuzz [FUZZ_SECONDS=30]             every codec, with what a line may bring: about eight minutes, then it ends"

demo: $(VENV)/run.done
	@$(BIN)/atm-agent demo $(ARGS)

test: $(VENV)/dev.done
	@$(PYTHON) tests/servers_installed.py
	$(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

check: $(VENV)/dev.done
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# The models answer the same on another runtime of the supported range. Its environment is no part of the lock file.
OTHER_RUNTIME ?= 1.20.1
OTHER := build/onnxruntime-$(OTHER_RUNTIME)
parity: $(VENV)/dev.done $(OTHER)/done
	OTHER_PYTHON=$(CURDIR)/$(OTHER)/bin/python $(BIN)/python -m pytest tests/models/test_other_runtime.py -rP --no-header $(ARGS)

$(OTHER)/done:
	$(PYTHON) -m venv $(OTHER)
	$(OTHER)/bin/pip install --quiet --only-binary :all: onnxruntime==$(OTHER_RUNTIME)
	@touch $@

bundle: $(VENV)/run.done
	$(BIN)/python systemd/bundle.py $(if $(KEY),--key $(KEY))

deb: bundle
	systemd/deb.sh "$$(ls -t dist/atm-agent-*.tar.gz | head -1)"  # the one that was made just now

# Every codec for a while, each as long as FUZZ_SECONDS and a few to begin: fourteen are about eight minutes. Atheris is no part of the lock file: only this needs it.
FUZZ_SECONDS ?= 30
FUZZ := board cobs id003 ccnet ebds megatec modbus cctalk lcdm nmea mdb text pins xfs4iot
fuzz: $(VENV)/dev.done
	$(BIN)/pip install --quiet --require-hashes --only-binary :all: -r tests/fuzz/requirements.txt
	@for target in $(FUZZ); do \
	  echo "fuzz: $$target for $(FUZZ_SECONDS) s"; \
	  $(BIN)/python -m tests.fuzz $$target -max_total_time=$(FUZZ_SECONDS) -verbosity=0 || exit 1; \
	done

$(VENV)/run.done: requirements.lock pyproject.toml | $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.done: requirements-dev.lock pyproject.toml | $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/run.done

$(VENV):
	$(PYTHON) -m venv $(VENV)

# The same versions install tomorrow: run this to take newer ones, then look at the difference.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-config --extra build \
	  --output-file requirements.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-config --extra build --extra dev --extra train --extra plot --extra postgres \
	  --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
