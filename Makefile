# Everything a newcomer needs: "make test" and "make demo".

PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.ready

.PHONY: help venv test demo demo-down faults history tempest

help:
	@echo 'make test       unit and functional tests, style, documentation, installation'
	@echo 'make demo       a real OpenStack with this driver, and what it is for (root)'
	@echo 'make demo OPS=live-migrate,evacuate  only these operations'
	@echo 'make faults     break something at every step of every operation (root, hours)'
	@echo 'make faults OPS=resize,shelve FAULTS=qemu-killed STEPS=3  a part of it'
	@echo 'make history    guests that write while everything happens to them (root)'
	@echo 'make history SEED=1 STEPS=36 GUESTS=2  the same walk again'
	@echo 'make tempest    the tests for Tempest, and its own smoke tests of Nova (root)'
	@echo 'make tempest TESTS=test_moves  only the tests whose name matches'
	@echo 'make demo-down  end every process that the demo started'

$(STAMP): requirements.txt test-requirements.txt nova-requirements.txt doc/requirements.txt tools/make_venv.sh setup.cfg
	tools/make_venv.sh $(VENV)
	touch $@

venv: $(STAMP)

test: $(STAMP)
	$(VENV)/bin/python tools/run_tests.py

demo:
	$(PYTHON) -m tools.sandbox demo --ops '$(OPS)'

faults:
	$(PYTHON) -m tools.sandbox faults --ops '$(OPS)' --faults '$(FAULTS)' \
		--steps $(or $(STEPS),0) --volume-type $(or $(VOLUME_TYPE),armvm-nvram)

history:
	$(PYTHON) -m tools.sandbox history --seed $(or $(SEED),1) \
		--steps $(or $(STEPS),36) --guests $(or $(GUESTS),2) \
		--volume-type $(or $(VOLUME_TYPE),armvm-nvram)

tempest:
	$(PYTHON) -m tools.sandbox tempest --tests '$(TESTS)'

demo-down:
	$(PYTHON) -m tools.sandbox down
