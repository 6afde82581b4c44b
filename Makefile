# Two commands matter: `make demo` and `make test`. Both set the machine up first.
PYTHON_FILES := handguard tests benchmarks run_monitor.py .ci
BIN := .venv/bin
JOBS ?= 2
# Two workers' networks have two threads each: on few cores, threads that wait awake keep the others from working.
PYTEST := OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest --numprocesses $(JOBS) --max-worker-restart 0 --dist loadfile
CORE_TESTS := tests/safety tests/test_permission_machine.py $(wildcard tests/test_pipeline*.py tests/relay/test_keeper.py tests/relay/test_keeper_[ms]*.py)

.DEFAULT_GOAL := help
.PHONY: help venv tools numbers bench peers audit demo lint types unit test mutation faults soak soak-calm clean

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

venv: ## create .venv and install everything (quick when up to date)
	@.ci/setup

demo: venv ## run the monitor for 30 s on the simulated shredder scene
	$(BIN)/python run_monitor.py --config configs/demo.yaml --duration 30

lint: venv ## style and imports
	$(BIN)/ruff check $(PYTHON_FILES)

types: venv ## type hints; strict on the safety core
	$(BIN)/mypy handguard run_monitor.py

tools: venv ## programs that only the tests need
	@.ci/test-tools

numbers: venv ## judge the recordings in FOOTAGE=folder and rewrite the README's numbers
	$(BIN)/python benchmarks/footage.py $(FOOTAGE)

audit: venv ## hold the recordings in FOOTAGE=folder to benchmarks/audit.yaml; rewrites docs/audit.md
	$(BIN)/python benchmarks/audit.py $(FOOTAGE)

# Without a peer the rest is measured all the same, and then make fails.
bench: venv ## time the stop path and its peers on FOOTAGE=folder; rewrites the README's section on speed
	$(BIN)/python -m benchmarks.peers $(FOOTAGE)/cups.mp4; peers=$$?; \
	$(BIN)/python benchmarks/speed.py --source $(FOOTAGE)/cups.mp4 && exit $$peers

peers: venv ## make the environments of the peers that `make bench` times
	for peer in torchvision mediapipe; do \
		$(BIN)/python -m venv .cache/peers/$$peer && \
		.cache/peers/$$peer/bin/python -m pip install --quiet --requirement benchmarks/peers/$$peer.txt || exit 1; \
	done

# Counting lines takes longer than most tests; so only those that must cover the core completely are counted.
unit: tools ## the tests, with complete coverage of the safety core
	$(PYTEST) $(CORE_TESTS) --cov --cov-report=json:.cache/coverage.json --cov-report=
	$(BIN)/python .ci/coverage_gate.py .cache/coverage.json
	$(PYTEST) $(addprefix --ignore=,$(CORE_TESTS))

faults: tools ## try each fault ROUNDS=20 times and rewrite docs/fault-catalogue.md
	$(BIN)/python -m tests.faults --measure $(or $(ROUNDS),20)

mutation: tools ## make the safety core wrong in every small way; rewrites docs/mutation.md
	nice -n 10 $(BIN)/python -m tests.mutation

soak: venv ## the whole system for HOURS=2 with faults by chance; rewrites docs/soak.md
	$(BIN)/python -m benchmarks.soak --hours $(or $(HOURS),2)

soak-calm: venv ## HOURS=1 of one life with nothing wrong, for its memory; rewrites docs/soak.md
	$(BIN)/python -m benchmarks.soak --calm --hours $(or $(HOURS),1) --out out/soak-calm

test: lint types unit ## everything that must pass before a change is kept

clean: ## remove .venv, caches and runs
	rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage runs out
