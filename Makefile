# SPDX-License-Identifier: GPL-2.0-or-later
#
# Bifocal: `make help` lists the targets. Everything built goes to $(O), nothing into the tree.
# Each room's sources are found by wildcard; the rooms and their arrows: docs/ARCHITECTURE.md.

O ?= build
CC ?= gcc
CLANG ?= clang
PREFIX ?= /usr/local
DESTDIR ?=
OPT ?= -O2
V ?= 0

ifeq ($(origin CC),default)
CC := gcc
endif
Q := $(if $(filter 1,$(V)),,@)
say = @$(if $(filter 1,$(V)),:,printf '  %-8s %s\n' $(1) $(2))

# make cannot tell a blank inside a name from one between two.
ifneq ($(words $(CURDIR)) $(words $(O)),1 1)
$(error make cannot work with blanks in paths, nor without one: "$(CURDIR)", O="$(O)")
endif

.DEFAULT_GOAL := all
# A recipe that fails must not leave half a file that looks made.
.DELETE_ON_ERROR:

# `make run` and `make test` install what is missing first, then call make again, so that
# pkg-config below sees what was installed. deps-% is a no-op of some milliseconds once all is there.
ifneq ($(filter run test bench test-kvm asan tsan fuzz,$(MAKECMDGOALS)),)
ifndef BIFOCAL_DEPS_DONE
NEEDS_DEPS := 1
endif
endif

ifdef NEEDS_DEPS
.PHONY: run test bench test-kvm asan tsan fuzz
run test bench test-kvm asan tsan fuzz:
	$(Q)scripts/install-deps $@
	$(Q)BIFOCAL_DEPS_DONE=1 $(MAKE) --no-print-directory -j$$(nproc) $@
else

include scripts/build.mk

endif

.PHONY: help
help:
	@sed -n 's/^## //p' Makefile scripts/build.mk vmimage/image.mk tests/tests.mk | sort

## make run        install what is missing, build, bake the image, run the default study, leave two reports
## make test       install what is missing, run every test; closes with `N passed, N failed, N skipped`
## make bench      every figure of README and docs, as ratios within one run
