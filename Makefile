# Muster: `make` lists the targets. Nothing needs to be run before them: each calls what it needs.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CACHE := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/muster
# `target` is a link into a cache that outlives the clone, unless it is a folder already.
$(shell [ -d target ] || { mkdir -p '$(CACHE)/target' && ln -sfn '$(CACHE)/target' target; })
export CARGO_TARGET_DIR := $(realpath target)
# Node from `make setup`, where the machine's own is too old.
export PATH := $(CACHE)/node/bin:$(PATH)

AGENT_TARGET := x86_64-unknown-linux-gnu
AGENT := target/$(AGENT_TARGET)/release/muster-agent
INSTALLER := target/$(AGENT_TARGET)/release/muster-installer
MUSTER := target/release/muster
MEDIA := target/media
DASHBOARD := dashboard/dist/index.html
# Where this clone and its crates lie is nobody's business, and two clones make the same agent.
AGENT_PATHS := --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src=crates \
	--remap-path-prefix=$(CURDIR)=muster --remap-path-prefix=$(CARGO_TARGET_DIR)=target
# The suites weather, network-boot and mesh make networks: who is not root does it inside a user namespace.
AS_ROOT_OF_NETWORKS := $(if $(filter-out 0,$(shell id -u)),unshare --user --map-root-user --)
# Small and static. These flags are for the agent alone, so it is built by itself; initramfs-agent/build.rs has
# those of the linker.
AGENT_FLAGS := RUSTFLAGS='-C target-feature=+crt-static -C force-unwind-tables=no $(AGENT_PATHS)' CARGO_PROFILE_RELEASE_OPT_LEVEL=z \
	CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 CARGO_PROFILE_RELEASE_PANIC=abort

DASHBOARD_SOURCES := $(shell find dashboard -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)
MEDIA_SOURCES := $(shell find image-builder iso initrd -type f -not -name '*.md')

# cargo and the media builder use every core by themselves, and one needs what the other made.
.NOTPARALLEL:
.PHONY: help setup run demo test check media dashboard docs e2e bench bench-report fuzz release FORCE
FORCE:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what Debian and npm have to offer (idempotent)
	@scripts/setup
	@$(MAKE) dashboard/node_modules/.package-lock.json

run: setup media ## boot one virtual machine from this server's ISO, by hand to the end
	@$(MAKE) target/release/demo
	target/release/demo --attended

demo: setup media ## the same unattended: approve, watch, print a timeline
	@$(MAKE) target/release/demo
	target/release/demo

test: ## everything CI runs, with the time of each stage
	@begun=$$SECONDS; \
	for stage in setup dashboard check 'fuzz TIME=10 SEED=1' media 'e2e SUITE=first-light' 'e2e SUITE=weather' 'e2e SUITE=machine-model' 'e2e SUITE=network-boot' 'e2e SUITE=provisioning' 'e2e SUITE=dashboard' 'e2e SUITE=mesh' $(if $(FULL),demo); do \
		since=$$SECONDS; echo "=== $$stage"; \
		$(MAKE) $$stage || { echo "=== $$stage: failed after $$((SECONDS - since)) s"; exit 1; }; \
		echo "=== $$stage: $$((SECONDS - since)) s"; \
	done; echo "=== test: passed in $$((SECONDS - begun)) s"

check: setup dashboard ## format, lints, house rules, unit and API tests; no QEMU
	cargo fmt --all -- --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo test --locked --workspace --exclude tests
	cargo run --locked -q -p xtask -- check
	npm --prefix dashboard run check

media: setup $(MEDIA)/manifest.json ## release binaries, and boot media in target/media

dashboard: $(DASHBOARD) ## the web pages that the server embeds

docs: ## write docs/cli and docs/openapi.json anew
	cargo fetch --locked
	cargo build --locked -p cli
	cargo run --locked -q -p xtask -- docs

e2e: ## boots and browsers: make e2e SUITE=first-light
	@case '$(SUITE)' in \
	first-light) $(MAKE) setup media && cargo test --locked --release -p tests --lib --bins \
		--test harness --test api --test first-light -- --test-threads=2 && \
		cargo test --locked --release -p tests --doc ;; \
	weather) $(MAKE) setup media && $(AS_ROOT_OF_NETWORKS) \
		cargo test --locked --release -p tests --test weather -- --test-threads=2 && \
		$(MAKE) $(if $(FULL),e2e-releases,e2e-releases-not-run) ;; \
	machine-model) $(MAKE) setup media && cargo test --locked --release -p tests --test machine-model -- --test-threads=2 && \
		MUSTER_SEQUENCES=10000 cargo test --locked --release -p server --test model sequences -- --nocapture ;; \
	network-boot) $(MAKE) setup media && $(AS_ROOT_OF_NETWORKS) \
		cargo test --locked --release -p tests --test network-boot -- --test-threads=2 && \
		MUSTER_TRANSFERS=1000 cargo test --locked --release -p pxe --test tftp bad_network -- --nocapture ;; \
	provisioning) $(MAKE) setup media && \
		cargo test --locked --release -p tests --test provisioning -- --test-threads=2 $(if $(FULL),,--skip full::) ;; \
	dashboard) $(MAKE) setup media && npm --prefix dashboard run e2e && cargo test --locked --release -p tests --test dashboard -- --test-threads=2 ;; \
	mesh) $(MAKE) setup media && $(AS_ROOT_OF_NETWORKS) \
		cargo test --locked --release -p tests --test mesh -- --test-threads=1 $(if $(FULL),,--skip full::) ;; \
	*) echo "make e2e: name a suite, as in make e2e SUITE=first-light: first-light, weather, machine-model, network-boot, provisioning, dashboard or mesh" >&2; exit 2 ;; \
	esac

# What docs/ and README.md show of the dashboard, taken anew by the same tests.
.PHONY: pictures
pictures: setup media
	MUSTER_PICTURES=$(CURDIR)/docs/pictures cargo test --locked --release -p tests --test dashboard -- every_page

# Media of the release "First light", built from its commit: minutes, once.
.PHONY: e2e-releases e2e-releases-not-run
e2e-releases:
	@if git cat-file -e 1fd9f7a^{commit} 2>/dev/null; then \
		cargo test --locked --release -p tests --test releases; \
	else echo "make e2e: media of the first release not run: history is missing (a shallow clone)"; fi

e2e-releases-not-run:
	@echo "make e2e: media of the first release not run: FULL=1 builds them from their commit and boots them"

bench: ## measure us beside our peers: make bench [SUITE=size|build|personalise|boot|model|tftp|http|image|dashboard] [ROUNDS=7] [PEERS=a,b]
	@scripts/setup bench
	@$(MAKE) media
	cargo build --locked --release -p bench
	target/release/bench $(or $(SUITE),all) --rounds $(or $(ROUNDS),7) $(if $(PEERS),--peers $(PEERS)) --json $(or $(JSON),target/bench.json)

bench-report: ## write the tables of docs/performance.md from the newest record in bench/results
	cargo run --locked -q --release -p bench -- report $(lastword $(sort $(wildcard bench/results/*.json))) --into docs/performance.md

fuzz: setup ## hand hostile bytes to every reader: make fuzz [TARGET=jwe] [TIME=600], seconds each
	@cargo run --locked -q -p xtask -- fuzz --time $(or $(TIME),60) $(if $(TARGET),--target $(TARGET)) $(if $(SEED),--seed $(SEED))

# Files. cargo decides what is stale; make looks at what it wrote.

$(AGENT) $(INSTALLER) &: FORCE
	$(AGENT_FLAGS) cargo build --locked --release --target $(AGENT_TARGET) -p initramfs-agent

$(MUSTER): FORCE $(DASHBOARD)
	cargo build --locked --release -p cli

target/release/demo: FORCE
	cargo build --locked --release -p tests --bin demo

$(MEDIA)/manifest.json: $(AGENT) $(INSTALLER) $(MEDIA_SOURCES) | $(MUSTER)
	$(MUSTER) media build --out $(MEDIA) --agent $(AGENT) --installer $(INSTALLER)

dashboard/node_modules/.package-lock.json: dashboard/package-lock.json
	npm --prefix dashboard ci --no-audit --no-fund
	@touch $@

$(DASHBOARD): dashboard/node_modules/.package-lock.json $(DASHBOARD_SOURCES)
	npm --prefix dashboard run build
	@touch $@
