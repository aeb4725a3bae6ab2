# SPDX-License-Identifier: Apache-2.0
#
# Builds Bulkhead out of tree in build/: the kernel, the ring-3 programs, the UEFI
# file, boot images and test guests, and runs the checks.
#
#   make              all programs and build/bulkhead.efi
#   make run          from a fresh machine to the demo in QEMU
#   make image        build/bulkhead.{efi,img,iso} and build/pxe/
#   make debian-disk  build/debian/debian.img, a small Debian for guests (as root)
#   make check        lint, unit tests, and both emulators; check-unit, check-qemu,
#                     check-bochs and lint for the parts; check-long runs both emulators with all
#                     that takes minutes, too
#   make bench        measures; bench-gate compares with docs/bench-baseline.json
#   make fuzz SECONDS=60, make format, make clean
#
# Variables: V=1 shows commands, BUILD_DIR=folder, CC, SECONDS.

MAKEFLAGS += -rR --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
SHELL := /bin/bash
export LC_ALL := C
export SOURCE_DATE_EPOCH ?= 1767225600

BUILD_DIR ?= build
B := $(BUILD_DIR)
export BUILD_DIR := $(abspath $(BUILD_DIR))
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(patsubst $(B)/%,%,$@)')

CC := gcc
LD := ld
OBJCOPY := objcopy
PYTHON := /usr/bin/python3

VERSION := 0.1.0

# One job per processor where we call ourselves, unless the user has said how many.
JOBS_FLAG = $(if $(filter --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))

ifeq ($(shell command -v $(CC)),)
ifneq ($(filter-out run check fetch clean distclean,$(or $(MAKECMDGOALS),all)),)
$(error there is no $(CC): scripts/setup installs what is missing, or says what it is)
endif
endif

.PHONY: all
all:

include mk/flags.mk
include mk/programs.mk
include mk/guests.mk
include mk/images.mk
include mk/tests.mk
include mk/lint.mk

all: $(PROGRAMS) $(GUESTS) $(TEST_DOMAINS)

.PHONY: clean distclean
clean:
	$(Q)rm -rf $(B)/obj $(B)/gen $(B)/domains $(B)/guests $(B)/unit $(B)/fuzz $(B)/lint \
		$(B)/results $(B)/pxe $(B)/esp $(B)/demo $(B)/*.elf $(B)/*.bin $(B)/*.mb $(B)/*.efi \
		$(B)/*.img $(B)/*.iso $(B)/*.sha256 $(B)/*.map $(B)/payload* $(B)/boot-files
distclean:
	$(Q)rm -rf $(B)
