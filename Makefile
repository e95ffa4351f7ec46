# Every target installs what it needs: a fresh Debian machine with node, npm and root (or sudo) is enough.
SHELL := /bin/bash
# Root without a login shell (su) lacks the folders of losetup and mkfs.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH):/usr/sbin:/sbin

.DEFAULT_GOAL := help
.PHONY: help setup system rootfs build release man check fmt test fuzz soak peers bench growth demo clean-machine-test recordings image vm-test clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 20

setup: node_modules/.installed ## install the pinned toolchain and libraries (npm only)

node_modules/.installed: package.json package-lock.json build/setup.sh
	@build/setup.sh
	@touch $@

system: ## install the Debian packages that tests and demo use (needs root or sudo)
	@build/system-packages.sh

rootfs: system ## make the Debian root filesystems that tests unpack and boot (a minute, kept in .cache)
	@build/rootfs.sh

build: setup ## compile dist/fly-vault and its symlinks
	@bun build/compile.ts

release: setup ## everything of a release in dist/release, signed with FLY_VAULT_RELEASE_KEY_FILE
	@bun build/release.ts

man: setup ## write the man pages to dist/man
	@bun build/man.ts

check: setup ## formatting, types, lint, dead code
	@build/check.sh

fmt: setup ## format every file
	@bun fmt .

test: setup system rootfs build ## all tests, a quarter of an hour
	@build/test.sh

fuzz: setup ## mutated bytes, lost power, GNU tar: make fuzz SECONDS=600 SEED=1
	@FV_FUZZ_SECONDS=$(or $(SECONDS),60) FV_SEED=$(SEED) bun test test/fuzz crash-images gnu-tar-agreement

soak: setup system rootfs build ## what make test does a part of, whole: 1 GiB transfers, every fault at every call (an hour)
	@FV_SOAK=1 build/test.sh test/roles/init-provision/crash.test.ts test/attacks/link-kills.test.ts test/roles/init/session-bulk.test.ts test/e2e/bulk.test.ts test/e2e/proxy.test.ts test/roles/admin/killed.test.ts test/roles/admin/api-faults.test.ts test/build/cross-compile.test.ts test/examples/vmimage.test.ts

peers: system ## install the Debian packages that benchmarks stand beside (mosh, socat, nginx, iperf3)
	@build/system-packages.sh bench || echo "what is missing is skipped"

bench: setup peers build ## performance beside the peers, as a table: make bench ROWS="stream copy" ROUNDS=9
	@bun bench/suite.ts $(ROWS)

growth: setup system build ## how cost grows with streams, sessions, flows and entries
	@for file in bench/growth/{streams,sessions,flows,entries}.ts; do bun $$file || exit 1; done

recordings: setup system build ## draw docs/media anew, from real terminals
	@bun build/recordings.ts

clean-machine-test: system ## both commands of the README in a fresh Debian machine (half an hour)
	@build/clean-machine.sh $(TARGETS)

demo: setup system build ## the main job from an empty machine to a shell inside a provisioned one
	@mkdir -p .cache
	@build/as-root.sh bun build/demo.ts

image: setup system build ## both images of the Containerfile to dist/image, each with its SBOM: make image BASE=IMAGE
	@build/contained.sh bun build/image.ts

vm-test: rootfs build ## boot the image as a virtual machine: power cuts, suspension, loss (up to half an hour)
	@build/system-packages.sh vm
	@build/vm-test/boot-files.sh
	@build/contained.sh bun build/vm-test.ts

clean: ## remove what was built (not node_modules)
	@rm -rf dist .cache 2>/dev/null || build/as-root.sh rm -rf dist .cache
