# The verbs of this project. `make` alone, or `make help`, lists them.
#
# Each verb that needs tools first installs what is missing (scripts/setup, quick when nothing is),
# then leaves the work to scripts/tools, a small Rust program.

# What a run may be told, on the command line of make or in the environment:
export SMP        # pCPUs (2)
export MEM        # RAM of the machine (1G)
export CPU        # CPU model (cortex-a72)
export QEMU       # the emulator (qemu-system-aarch64)
export QEMU_ARGS  # appended to QEMU's command line
export APPEND     # appended to the hypervisor's own command line
export MON        # commands for the operator's monitor, as 'vm list; stat'
export VM         # a VM description, .dts or .dtb, in place of the built-in demo
export PROFILE    # release, or dev
export TIMEOUT    # seconds until a run is ended with status 124
export SEED       # of the random guests (1)
export N          # how many of them (1000)
export FROM       # the number of the first (0)
export GDB        # `make run`: if not empty, gdb may attach to guests (at GDB_PORT)
export OP         # `make bench`: the one operation whose cost is shown by function
export ALL        # `make bench`, if not empty: Linux and the picture (docs/scaling.svg), too
export EL         # 1 or 2: where `make run-bare` enters the guest
export TARGET     # the one fuzzer that `make fuzz` runs (all of them)
export SECONDS    # how long it runs each (60); how long `make trace` lets the VMs run (2)
export FORMAT     # `make trace`: svg, for a sequence diagram too
export FIRST      # how many crossings that shows (40)
export AT         # from which time of the trace on, in microseconds (0)
export LOG        # `make trace`: a console's log with a `trace dump`, in place of a run

# Each user, and each who asks, has a port of their own for gdb.
GDB_PORT ?= $(shell echo $$((20000 + $$(id -u) % 20000)))
export GDB_PORT

# rustup may have been installed a moment ago, in a shell whose PATH does not know it yet.
CARGO_HOME ?= $(HOME)/.cargo
export PATH := $(PATH):$(CARGO_HOME)/bin

TOOLS := cargo run --quiet --package mezzanine-tools --

.DEFAULT_GOAL := help
.PHONY: help run build test test-all bench bench-accept bench-host panics-accept debug gdb doctor vms run-bare \
	guests fmt lint clean setup setup-tests marks hostile chaos fuzz trace

help: ## list the verbs
	@echo 'Mezzanine, a bare-metal hypervisor for AArch64.  make <verb> [VARIABLE=value]'
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r verb what; do \
		printf '  %-14s %s\n' "$$verb" "$$what"; done
	@echo
	@sed -n 's/^export \([A-Z_]*\) *# \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r name what; do \
		printf '  %-14s %s\n' "$$name" "$$what"; done

setup:
	@scripts/setup

setup-tests:
	@scripts/setup --tests

run: setup ## build, and boot Mezzanine with its two demo guests (Ctrl-A x leaves)
	@$(TOOLS) run

build: setup ## leave target/mezzanine.img and target/mezzanine.elf
	@$(TOOLS) build

guests: setup ## leave the guests' images in target/guests
	@$(TOOLS) guests

vms: setup ## compile a VM description: make vms VM=vms/two-benos.dts
	@$(TOOLS) vms

run-bare: setup ## boot the guest benos on QEMU without Mezzanine (EL=2: entered at EL2)
	@$(TOOLS) run-bare

debug: setup ## boot stopped, waiting for gdb (in another terminal: make gdb)
	@$(TOOLS) debug

gdb: setup ## attach gdb to `make debug`, with a breakpoint in the guest-exit path
	@$(TOOLS) build && exec gdb-multiarch -q target/mezzanine.elf \
		-ex 'set architecture aarch64' -ex 'target remote localhost:$(GDB_PORT)' -x scripts/gdbinit

test: setup-tests ## every check that CI makes
	@$(TOOLS) test

test-all: setup-tests ## the same with every CPU model, number of pCPUs and profile
	@$(TOOLS) test --all

hostile: setup ## run the hostile guests on every machine; print what came of each family
	@$(TOOLS) hostile

chaos: setup ## run random guests beside a victim: make chaos SEED=1 N=10000
	@$(TOOLS) chaos

fuzz: setup ## run each fuzzer under libFuzzer for a minute (TARGET=, SECONDS=)
	@$(TOOLS) fuzz

trace: setup ## the timeline of VM's first SECONDS, as target/trace.html and .pftrace (FORMAT=svg, LOG=)
	@$(TOOLS) trace

bench: setup ## count the instructions of each operation, beside other hypervisors' (OP=, ALL=1)
	@$(TOOLS) bench

bench-accept: setup ## take the figures of now for those that `make test` compares with
	@$(TOOLS) bench --accept

bench-host: setup ## time the run queue on this machine, with 1 to 1,000 runnable vCPUs (criterion)
	@cargo bench --quiet --bench pick

marks: setup ## count what real guests take up to a line that they print, with Mezzanine and without
	@$(TOOLS) marks $(GUESTS)

panics-accept: setup ## take the count of reachable panics of now for the one that may not grow
	@$(TOOLS) panics --accept

doctor: ## a table of the tools: found, needed, how to get them
	@scripts/setup --doctor

fmt: setup ## format all sources
	@cargo fmt --all
	@cargo fmt --manifest-path fuzz/Cargo.toml

lint: setup ## rustfmt and clippy, for the host and for the bare machine
	@$(TOOLS) lint

clean: ## remove everything that was built
	@rm -rf target
