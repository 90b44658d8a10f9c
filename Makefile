# SPDX-License-Identifier: Apache-2.0
#
# Two commands for a fresh machine: `make run` writes a story, `make test` proves the build. The build itself
# is CMake's (CMakePresets.json); nothing is decided here.

CMAKE_GENERATOR ?= $(if $(shell command -v ninja),Ninja,Unix Makefiles)
CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell nproc)
PROMPT ?= Tell me a story about a dog named Max.
PREFIX ?= /usr/local
CMAKE_OPTIONS ?=
export CMAKE_GENERATOR CMAKE_BUILD_PARALLEL_LEVEL

.PHONY: all run test install clean needs

all: build/release/.configured
	@cmake --build --preset release

# Writes a story with the bundled model, then the memory report.
run: all
	@build/release/llm-tool generate --prompt "$(PROMPT)"

test: all
	@tools/run-tests release

install: all
	@cmake --install build/release --prefix "$(PREFIX)"

clean:
	rm -rf build

needs:
	@tools/install-deps

# Touched only when configuring went well. `needs` comes first, but does not by itself make it old.
build/release/.configured: CMakePresets.json | needs
	@cmake --preset release $(CMAKE_OPTIONS)
	@touch $@
