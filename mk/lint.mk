# SPDX-License-Identifier: Apache-2.0
#
# Checks of the source text. scripts/lint reads which file is compiled with which flags from
# a list written here, and keeps what passed under build/lint.

ALL_C := $(sort $(shell find arch boot drivers guests include kernel lib mgmt root tests vmm \
	-name '*.[ch]' 2>/dev/null))

.PHONY: lint format
lint: $(VERSION_HEADER) $(OFFSETS_HEADER) | $(NEWLIB)/.stamp $(LWIP)/.fetched
	@rm -rf $(RESULTS)/lint && mkdir -p $(RESULTS)/lint $(B)/lint
	@: >$(B)/lint/units
	@for f in $(filter %.c,$(KERNEL_SOURCES)); do printf 'kernel\t%s\t%s\n' "$$f" '$(KERNEL_CFLAGS)'; done >>$(B)/lint/units
	@for f in $(sort $(filter %.c,$(ROOT_SOURCES) $(MGMT_SOURCES) $(VMM_SOURCES))); do \
		printf 'domain\t%s\t%s\n' "$$f" '$(DOMAIN_CFLAGS)'; done >>$(B)/lint/units
	@for f in $(filter %.c,$(EFI_SOURCES)); do printf 'efi\t%s\t%s\n' "$$f" '$(EFI_CFLAGS)'; done >>$(B)/lint/units
	@for f in $(wildcard guests/*/*.c); do printf 'guest\t%s\t%s\n' "$$f" '-m64 $(GUEST_CFLAGS)'; done >>$(B)/lint/units
	$(Q)$(PYTHON) scripts/lint --units $(B)/lint/units --cache $(B)/lint/cache \
		--results $(RESULTS)/lint --formatted $(ALL_C)

format:
	$(Q)clang-format -i $(ALL_C)
