# The commands of this repository; `make` lists them. Continuous integration runs the same ones.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-link fuzz soak mutants test-guard limits rfc rfc-prove check deny bench bench-instructions doctor list rules run quick lab document man completions wasm netns-up netns-client netns-server netns-down clean-rules deps build tools static deb dist test-packages image test-containers container-deps schedule differential

# Debian keeps ip, iptables and nginx outside an ordinary user's PATH; rustup's cargo may not be in it yet.
export PATH := $(CURDIR)/target/debug:$(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin
export CMD LONG CASE RECORD
.DELETE_ON_ERROR:

PACKAGES := iptables nftables tshark tcpdump nginx-light curl iproute2 ethtool libcap2-bin jq nodejs procps python3 bats ca-certificates man-db dpkg-dev
LAB := target/debug/tcpx-lab
# Root needs no sudo, and a container has none.
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo )
RUST_HOST = $(shell rustc -vV | sed -n 's/^host: //p')
# What is built for distribution: the static programs, and the packages.
STATIC := target/static
OUT := target/packages
# The programs that make deb packs.
BIN := target/release
# A Debian tree with the packages that the tests can use, for containers; its name depends on the list.
TREE := target/tree-$(shell cksum <<<"$(PACKAGES)" | cut -d ' ' -f 1).tar
# Records runs for the documents' observed columns.
OBSERVE := --on wire,kernel --observe tcpx-lab/observed.jsonl
DENY := target/tools/bin/cargo-deny
FUZZ := target/tools/bin/cargo-fuzz
MUTANTS := target/tools/bin/cargo-mutants
FUZZ_TARGETS := parser engine fault script experiment events capture
VALIDATOR := target/kubernetes-validate/bin/kubernetes-validate
# For an ordinary user cargo runs each test program in its own namespaces; the build itself stays outside.
IN_NAMESPACES = runner=$$(.ci/rootless --check); \
	[ -z "$$runner" ] || export CARGO_TARGET_$$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')_RUNNER="$$runner";

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: build ## draw a handshake and close, then a run without the third ACK and one without TIME-WAIT
	@$(LAB) demo

test: build tools wasm ## run all tests; without root, in a user namespace; REQUIRE=netns,loopback makes a skipped placement a failure
	@$(IN_NAMESPACES) cargo test --workspace --no-fail-fast

test-all: ## run all tests: make test, what it leaves out, every experiment in every world; as root also packages and containers
	@$(MAKE) --no-print-directory test REQUIRE=netns,loopback
	@$(MAKE) --no-print-directory test-link REQUIRE=netns,loopback
	@$(MAKE) --no-print-directory test-guard
	@$(MAKE) --no-print-directory lab ARGS='--require all'
	@[ "$$(id -u)" != 0 ] || $(MAKE) --no-print-directory test-packages container-deps test-containers BIN=target/debug OUT=target/tried

test-link: build ## run the end-to-end tests and the quick experiments over packet sockets (LINK=packet), as make test does over raw ones
	@$(IN_NAMESPACES) LINK=$(or $(LINK),packet) cargo test -p tcpx-tests --test e2e
	@$(LAB) run --tag quick --on wire --require wire --link $(or $(LINK),packet)

fuzz: $(FUZZ) ## search for inputs that break what must hold, with libFuzzer: TARGET=engine DURATION=10m SEED=; SANITIZER=address
	@[ -z "$(SANITIZER)" ] && cargo +nightly --version >/dev/null 2>&1 && echo "SANITIZER=address is possible: nightly is installed" || true
	@printf '%-12s %-20s %12s %12s %9s\n' target seed inputs inputs/min findings
	@.ci/fuzz $(or $(DURATION),1m) $(or $(SEED),$$RANDOM) $(or $(TARGET),$(FUZZ_TARGETS))

soak: $(FUZZ) ## run everything that is random for DURATION=1h, and print a table: fuzz targets, kills of programs, the kernel beside tcpx
	@.ci/soak $(or $(DURATION),1h) $(SEED)

mutants: $(MUTANTS) ## change tcpx-proto in COUNT=200 places, chosen by SEED, and list the changes that no test notices
	@PATH="$(CURDIR)/$(dir $(MUTANTS)):$$PATH" .ci/mutants $(or $(SEED),$$RANDOM) $(or $(COUNT),200)

rfc: ## print which requirements of the RFCs are tagged at code and tests; VERBOSE=1: each place; ID=MUST-13,5961-3: these
	@cargo run -q -p tcpx-tests --example rfc -- coverage

rfc-prove: ## break COUNT=10 tagged places, chosen by SEED=, in a copy, and show that the tests of their requirements fail; ID=, too
	@$(IN_NAMESPACES) cargo run -q -p tcpx-tests --example rfc -- prove

limits: ## measure memory and floods, and update docs/limits.md (minutes); COUNT=100000 connections of each kind (and ten times as many idle ones), SCALE=1 divides the floods
	@cargo build --release --bins
	@$(IN_NAMESPACES) UPDATE=1 COUNT=$(or $(COUNT),100000) cargo test -q --release -p tcpx-tests --test allocation memory -- --nocapture
	@$(IN_NAMESPACES) UPDATE=1 SCALE=$(SCALE) cargo test -q --release -p tcpx-tests --test e2e floods -- --nocapture

test-guard: build ## kill programs at COUNT (100) random moments and look for firewall rules that stay; SEED=N repeats a choice
	@$(IN_NAMESPACES) COUNT=$(or $(COUNT),100) SEED=$(SEED) cargo test -q -p tcpx-tests --test e2e guard::kills -- --nocapture

check: ## check formatting, lints, documentation and forbidden imports
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy -p tcpx-tests --test containers -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	cargo test -p tcpx-tests --test boundary
	.ci/wasm check -p tcpx-proto -p tcpx-experiment

deny: $(DENY) ## check the dependencies: licences, bans, sources; ADVISORIES=1: advisories, too
	PATH="$(CURDIR)/$(dir $(DENY)):$$PATH" cargo deny --workspace check bans licenses sources $(if $(ADVISORIES),advisories)

bench: ## compare the speed with smoltcp's and the kernel's (minutes): WORK=Engine: only these; UPDATE=1: writes docs/performance.md
	@cargo build --release -p tcpx-tests -p tcpx-client --bin bench --bin tcpx-client
	@runner=$$(.ci/rootless --check); $$runner target/release/bench $(WORK)

bench-instructions: ## count instructions for each segment and connection with callgrind, beside smoltcp's and the record
	@command -v valgrind >/dev/null || $(MAKE) --no-print-directory deps PACKAGES=valgrind
	@.ci/instructions

schedule: ## compare the times of tcpx's timers with the kernel's; LONG=1: those that take minutes, too (6 min); CASE=TLP: only these
	@$(IN_NAMESPACES) cargo test -p tcpx-tests --test schedule -- --nocapture

differential: ## play random segments and calls to the kernel and to tcpx: SEED=, COUNT=, DURATION=10m, CASE=file or number; prints what differs
	@cargo build --quiet -p tcpx-tests --bin differential
	@runner=$$(.ci/rootless --check); \
	  $$runner target/debug/differential SEED=$(SEED) COUNT=$(COUNT) DURATION=$(DURATION) CASE=$(CASE) SLOW=$(SLOW)

doctor: build ## report what works on this machine and how to fix what does not
	@$(LAB) doctor

list: build ## list the experiments: name, group, title
	@$(LAB) list

rules: build ## list the rules that can be removed
	@$(LAB) rules

run: build ## run an experiment, without its rule and with it: EXP=last-ack-lost ON=sim,wire,kernel (default: ON=sim); ARGS='--ladder'
	@[ -n "$(EXP)" ] || { echo "no experiment given: make run EXP=last-ack-lost ON=all (make list prints the names)"; exit 2; }
	@$(LAB) run $(EXP) --on $(or $(ON),sim) $(ARGS)

quick: build ## run the experiments that take seconds, on the wire, as continuous integration does
	@$(LAB) run --tag quick --on wire --require wire

lab: build ## run every experiment in every world (ten minutes: Linux's TIME-WAIT lasts 60 s)
	@$(LAB) run --all --on $(or $(ON),all) $(ARGS)

document: build ## update docs/experiments*/ and the README's tables from runs in every world (EXP=NAME: run only this one)
	@# Repeat once the runs that failed on a busy machine, and those that are missing.
	@$(LAB) run $(or $(EXP),--all) $(OBSERVE) $(ARGS) $(if $(EXP),,|| $(LAB) run --stale --jobs 4 $(OBSERVE) $(ARGS))
	@cargo build --workspace --bins
	@$(LAB) document docs/experiments --readme README.md
	@$(LAB) document docs/experiments.zh-CN --language zh

man: build ## write manual pages to target/man
	@for program in tcpx-client tcpx-server tcpx-lab; do target/debug/$$program man target/man || exit; done; ls target/man

completions: build ## write bash, zsh and fish completions to target/completions
	@mkdir -p target/completions; for program in tcpx-client tcpx-server tcpx-lab; do for shell in bash zsh fish; do \
	  target/debug/$$program completions $$shell > target/completions/$$program.$$shell || exit; done; done; ls target/completions

wasm: ## build the experiments as a WebAssembly module: target/wasm32-unknown-unknown/wasm/examples/experiments.wasm
	@.ci/wasm build --quiet --profile wasm -p tcpx-experiment --example experiments

static: ## build static, stripped programs for any Linux of this architecture in target/static
	@RUSTFLAGS="-C target-feature=+crt-static -C strip=symbols --remap-path-prefix=$(CURDIR)=/tcpx --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo" \
	  cargo build --release --bins --target $(RUST_HOST)
	@install -D -t $(STATIC) target/$(RUST_HOST)/release/tcpx-{client,server,lab}

dist: static ## build an archive of the static programs, manual pages and completions, and its checksum, in target/packages
	@packaging/dist $(STATIC) $(OUT)

deb: ## build a Debian package in target/packages
	@[ "$(BIN)" != target/release ] || cargo build --release --bins
	@packaging/deb $(BIN) $(OUT)

test-packages: deb dist ## as root: install and purge the package in a throwaway copy of this system (or BASE=), run the archive in an empty root
	@packaging/test $(OUT) $(BASE)

image: static ## as root: build the images tcpx and tcpx:iptables without a registry (docs/containers.md)
	@deploy/tree target/tree
	@tar -C target --xattrs --xattrs-include=security.capability -c tree | docker import - tcpx-tree >/dev/null
	@sed -n '/^FROM scratch/,$$p' Dockerfile >target/tree/Dockerfile
	@for stage in tcpx:latest iptables:iptables; do docker build -q --target $${stage%:*} -t tcpx:$${stage#*:} target/tree >/dev/null || exit; done
	@docker rmi tcpx-tree >/dev/null; docker images tcpx

test-containers: build $(TREE) $(VALIDATOR) ## as root: test the images in real containers, and run make test in one; starts an engine if none is running
	@.ci/engine .ci/containers $(TREE)

$(TREE):
	@. /etc/os-release; mmdebstrap --variant=minbase --include="make gcc libc6-dev $(PACKAGES)" \
	  $$([ $$ID != ubuntu ] || echo --components=main,universe) $$VERSION_CODENAME $@

$(DENY):
	@cargo install --quiet --locked --root target/tools cargo-deny@0.20.2

$(FUZZ):
	@cargo install --quiet --locked --root target/tools cargo-fuzz@0.13.2

$(MUTANTS):
	@cargo install --quiet --locked --root target/tools cargo-mutants@27.1.0

$(VALIDATOR):
	@python3 -m venv target/kubernetes-validate && target/kubernetes-validate/bin/pip install -q kubernetes-validate==1.37.0

netns-up: build ## create two namespaces, 10.77.0.1 (client) and 10.77.0.2 (server), until netns-down
	@$(LAB) netns up

netns-client: build ## open a shell in the client's namespace, or run CMD='...'
	@$(LAB) netns client -- $(if $(CMD),/bin/bash -c "$$CMD")

netns-server: build ## open a shell in the server's namespace, or run CMD='...'
	@$(LAB) netns server -- $(if $(CMD),/bin/bash -c "$$CMD")

netns-down: build ## remove the two namespaces
	@$(LAB) netns down

clean-rules: build ## remove firewall rules of tcpx processes that no longer run
	@$(LAB) clean-rules

deps: ## install the Debian packages that the tests and the demo can use (as root), or print the command
	@missing=$$(dpkg-query -W -f '$${db:Status-Abbrev} $${Package}\n' $(PACKAGES) gcc libc6-dev 2>/dev/null | sed -n 's/^ii *//p'); \
	missing=$$(comm -13 <(sort <<<"$$missing") <(printf '%s\n' $(PACKAGES) gcc libc6-dev | sort) | xargs); \
	if [ -z "$$missing" ]; then echo "nothing is missing"; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing; \
	else echo "missing: $(AS_ROOT)apt-get update && $(AS_ROOT)apt-get install --no-install-recommends $$missing"; exit 1; fi

container-deps: ## do the same for test-containers
	@packages="mmdebstrap python3-venv"; docker info >/dev/null 2>&1 || packages+=" docker.io"; \
	docker compose version >/dev/null 2>&1 || packages+=" docker-compose"; $(MAKE) --no-print-directory deps PACKAGES="$$packages"

build:
	@command -v cargo >/dev/null || { echo "no cargo: install Rust from https://rustup.rs"; exit 1; }
	@command -v cc >/dev/null || { echo "no C compiler, which Rust needs for linking: $(AS_ROOT)apt-get update && $(AS_ROOT)apt-get install --no-install-recommends gcc libc6-dev"; exit 1; }
	@cargo build --workspace --bins

tools:
	@missing=$$(for tool in ip ss tshark nginx curl jq sysctl python3 bats; do command -v $$tool >/dev/null || echo $$tool; done | xargs); \
	[ -z "$$missing" ] || echo "skipping tests that need one of these: $$missing. To install them: make deps (as root)"
