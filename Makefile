# Everything a newcomer types. `make demo` and `make test` each do all the set-up they need.
#
#   make setup              Debian packages and hugepages (needs root)
#   make build              batond, baton-agent, batonctl in .build/release
#   make demo               real downloads through a real hand-over; SCENARIO=cached,late  KEEP=1  DOWN=1
#   make test               everything CI runs: unit, property, golden, model, fuzz and end-to-end tests
#   make bench              side by side with peers; QUICK=1  FULL=1  ROWS=forward-io,table-1k
#   make pktgen             the highest loss-free rate through batond; FULL=1  PKTGEN="--sizes 64 --client-port …"
#   make clean
SHELL := /bin/bash
SWIFT := swift
BUILD := $(SWIFT) build -c release

# build: dpdk-dev … pkg-config; run: dpdk … iproute2; test: nginx-light … prometheus
PACKAGES := dpdk dpdk-dev libdpdk-dev libnuma-dev pkg-config build-essential \
	iproute2 nftables ethtool procps curl openssl python3 \
	nginx-light tcpdump tshark spin binutils valgrind iputils-ping python3-cryptography python3-jsonschema python3-yaml \
	chromium fonts-lato prometheus tmux python3-venv dnsmasq-base bind9-dnsutils

# QUIC's clients and servers, for demo and tests.
PYTHON_READY := .build/python/ready

.PHONY: setup build demo test test-unit test-python test-guard test-model test-fuzz test-endtoend bench pktgen clean

setup:
	@missing=$$(dpkg-query -W -f '$${Package} $${db:Status-Status}\n' $(PACKAGES) 2>/dev/null | \
		awk '$$2 == "installed" {have[$$1] = 1} END {split("$(PACKAGES)", all, " "); for (i in all) if (!(all[i] in have)) printf "%s ", all[i]}'); \
	if [ -n "$$missing" ]; then \
		echo "setup: installing $$missing"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing > /dev/null; \
	fi
	@command -v $(SWIFT) > /dev/null || { echo "setup: no '$(SWIFT)' found. Install Swift 6.2 or later from https://www.swift.org/install/linux and put it on PATH."; exit 1; }
	@hugepages/reserve.sh --size 2M --pages 256 || echo "setup: no hugepages; going on without (slower)"

build: setup
	$(BUILD)

$(PYTHON_READY): demo/requirements.txt | setup
	python3 -m venv .build/python
	.build/python/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

demo: build $(PYTHON_READY)
	python3 demo/run.py $(if $(KEEP),--keep) $(if $(DOWN),--down) $(subst $(comma), ,$(SCENARIO))
comma := ,

# One after another, but for what needs a CPU alone and looks at no clock.
test: test-unit
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-python test-guard test-model test-fuzz
	$(MAKE) --no-print-directory test-endtoend

test-unit: setup
	$(BUILD) --build-tests
	@# What failed stands at the end as well, where a reader of the log looks first.
	set -o pipefail; $(SWIFT) test -c release --skip-build 2>&1 | tee .build/tests.log || \
		{ echo; grep -aE '^✘|recorded an issue' .build/tests.log; exit 1; }

test-python: build
	python3 -m unittest discover --start-directory Tests/Bench --top-level-directory .
	python3 -m unittest discover --start-directory Tests/Dissector --top-level-directory .
	python3 -m unittest discover --start-directory Tests/Agent --top-level-directory .
	python3 -m unittest discover --start-directory Tests/Schema --top-level-directory .

test-guard: build
	python3 Tests/Guard/instructions.py

test-model: setup
	Sources/Control/Core/Model/check.sh

test-fuzz: setup
	Tests/Fuzz/run.sh

test-endtoend: build $(PYTHON_READY)
	python3 -m unittest discover --start-directory Tests/EndToEnd --top-level-directory . --verbose

# dpdk-doc: the sources of l3fwd.
bench: PACKAGES += dpdk-doc
bench: setup
	$(BUILD) --product baton-bench
	$(BUILD) --product baton-bench-transfers
	for program in batond baton-agent batonctl; do $(BUILD) --product $$program || exit 1; done
	python3 bench/run.py $(if $(QUICK),--quick) $(if $(FULL),--full) $(if $(ROWS),--rows $(ROWS))

pktgen: build
	python3 bench/pktgen/run.py $(if $(FULL),--full) $(PKTGEN)

clean:
	$(SWIFT) package clean
