# SPDX-License-Identifier: Apache-2.0
#
# Unit tests and fuzz targets on the host, system tests on the emulators, and their sum.
#
# tests/unit/test_NAME.c is a cmocka program, tests/fuzz/fuzz_NAME.c a libFuzzer target. A line
# `// sources: FILE...` in it names what it is linked with (patterns too), `// libraries: -lX` what else,
# `// flags: -X` further compiler flags.

header_line = $(shell sed -n 's/^.*[/ ][/*] *$(2): *//p' $(1) | sed 's,\*/,,')

UNIT_TESTS := $(patsubst tests/unit/test_%.c,$(B)/unit/%,$(sort $(wildcard tests/unit/test_*.c)))
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,$(B)/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
RESULTS := $(B)/results
SECONDS ?= 60
JOBS_FUZZ ?= 2

# One host object per program and source: the flags of programs differ.
define host_program
$(1)_HOST_SOURCES := $(2) $(sort $(wildcard $(call header_line,$(2),sources)))
$(1)_HOST_OBJECTS := $$(patsubst %,$(1).o/%.o,$$($(1)_HOST_SOURCES))
$(1).o/%.c.o: %.c | $(VERSION_HEADER)
	@mkdir -p $$(@D)
	$$(Q)$(HOST_CC) $(HOST_CFLAGS) $(3) $(call header_line,$(2),flags) -MMD -MP -MF $$@.d -MT $$@ \
		-c -o $$@ $$<
$(1): $$($(1)_HOST_OBJECTS)
	$$(call say,HOSTLD)
	$$(Q)$(HOST_CC) $(HOST_CFLAGS) $(3) -o $$@ $$^ $(call header_line,$(2),libraries) $(4)
-include $$(addsuffix .d,$$($(1)_HOST_OBJECTS))
endef
$(foreach test,$(UNIT_TESTS),$(eval $(call host_program,$(test),tests/unit/test_$(notdir $(test)).c,,-lcmocka)))
$(foreach test,$(FUZZERS),$(eval $(call host_program,$(test),tests/fuzz/fuzz_$(notdir $(test)).c,-fsanitize=fuzzer,)))

.PHONY: check-unit check-qemu check-bochs check check-long check-parts fuzz fuzzers unit bench bench-gate bench-peers

unit: $(UNIT_TESTS)
fuzzers: $(FUZZERS)

check-unit: $(UNIT_TESTS) $(FUZZERS)
	@rm -rf $(RESULTS)/unit && mkdir -p $(RESULTS)/unit
	$(Q)$(PYTHON) scripts/check-unit $(RESULTS)/unit $(UNIT_TESTS) --fuzzers $(FUZZERS)
	@$(PYTHON) scripts/summary $(RESULTS)/unit

fuzz: $(FUZZERS)
	$(Q)$(PYTHON) scripts/fuzz --seconds $(SECONDS) --jobs $(JOBS_FUZZ) $(FUZZERS)

# What the system tests boot: all programs, the guests and the demo's files.
BOOTABLE := $(PROGRAMS) $(GUESTS) $(DEMO_FILES)

# Without root, or a package archive in reach, there is no Debian disk: the tests that need it are skipped and say so.
check-qemu check-bochs: check-%: $(BOOTABLE)
	@rm -rf $(RESULTS)/$* && mkdir -p $(RESULTS)/$*
	@[ $* != qemu ] || $(MAKE) debian-disk || echo "check: there is no Debian disk"
	$(Q)$(PYTHON) scripts/check-system $* $(RESULTS)/$* $(PYTEST_ARGS) tests/system; \
		status=$$?; $(PYTHON) scripts/summary $(RESULTS)/$*; exit $$status

# Those that take minutes, too: on both emulators, one after the other.
check-long:
	@scripts/setup
	$(Q)$(MAKE) check-qemu PYTEST_ARGS=--all
	$(Q)$(MAKE) check-bochs PYTEST_ARGS=--all

# Every part runs, also after one failed; the last line is the sum of all. Bochs is slow and has one
# thread, so it runs beside all the others, as does the Debian disk, which waits for the package archive.
check:
	@scripts/setup
	@rm -rf $(RESULTS); mkdir -p $(RESULTS); status=0; \
	$(MAKE) debian-disk >$(RESULTS)/debian.log 2>&1 & disk=$$!; \
	$(MAKE) $(JOBS_FLAG) all demo || status=1; \
	$(MAKE) check-bochs >$(RESULTS)/bochs.log 2>&1 & bochs=$$!; \
	for part in lint check-unit bench-gate check-qemu; do \
		echo "== $$part"; [ $$part != check-qemu ] || wait $$disk || cat $(RESULTS)/debian.log; \
		$(MAKE) $(JOBS_FLAG) $$part || status=1; \
	done; \
	wait $$bochs || status=1; \
	echo "== check-bochs"; cat $(RESULTS)/bochs.log; \
	$(PYTHON) scripts/summary $(RESULTS) || status=1; exit $$status

bench: $(BOOTABLE)
	@$(MAKE) debian-disk || echo "bench: there is no Debian disk"
	$(Q)scripts/bench

# The same guest and Linux under KVM and Xen, with packages of the archive; adds columns to build/bench.json.
bench-peers:
	@scripts/setup build run test
	$(Q)$(MAKE) $(JOBS_FLAG) all demo
	@$(MAKE) debian-disk || echo "bench-peers: there is no Debian disk: no compile and no fio"
	$(Q)scripts/bench-peers

# Exits alone, against docs/bench-baseline.json; scripts/bench-gate --write makes a new one.
bench-gate: $(PROGRAMS) $(GUESTS)
	@rm -rf $(RESULTS)/bench-gate
	$(Q)scripts/check-vmreads
	$(Q)scripts/bench-gate --results $(RESULTS)/bench-gate
