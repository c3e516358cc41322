# Everything a newcomer types. `make demo` and `make test` each do all the set-up they need.
SWIFT_BUILD = swift build -c release
SHELL := /bin/bash

.PHONY: setup build demo test bench clean
build:
	$(SWIFT_BUILD)
test:
	$(SWIFT_BUILD) --build-tests
	swift test -c release --skip-build
clean:
	swift package clean
