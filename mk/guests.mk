# SPDX-License-Identifier: Apache-2.0
#
# Our own guests: every folder guests/NAME with sources becomes build/guests/NAME.elf,
# a multiboot 1 image in 32-bit ELF, together with guests/lib. The file guests/NAME/flags
# holds m32 (default) or m64 and further compiler flags; m64 code is linked as 64-bit ELF
# and carried in a 32-bit one. Linker script: guests/NAME/guest.ld, else guests/lib/guest.ld.

GUEST_NAMES := $(filter-out lib,$(sort $(foreach file,$(wildcard guests/*/*.c guests/*/*.S),$(word 2,$(subst /, ,$(file))))))
GUESTS := $(GUEST_NAMES:%=$(B)/guests/%.elf)
GUEST_LIB := $(sort $(wildcard guests/lib/*.[cS]))

guest_words = $(if $(wildcard guests/$(1)/flags),$(shell grep -v '^\#' guests/$(1)/flags),m32)
guest_mode = $(firstword $(filter m32 m64,$(call guest_words,$(1))) m32)
guest_extra = $(filter-out m32 m64,$(call guest_words,$(1)))
guest_script = $(or $(wildcard guests/$(1)/guest.ld),guests/lib/guest.ld)

define guest_rules
$(1)_GUEST_OBJECTS := $(addprefix $(B)/obj/guest-$(1)/,$(addsuffix .o,$(sort $(wildcard guests/$(1)/*.[cS])) $(GUEST_LIB)))

$$($(1)_GUEST_OBJECTS): $(B)/obj/guest-$(1)/%.o: % $(wildcard guests/$(1)/flags)
	@mkdir -p $$(@D)
	$$(Q)$(CC) -$(call guest_mode,$(1)) $(GUEST_CFLAGS) $(call guest_extra,$(1)) \
		$$(if $$(filter %.S,$$<),-D__ASSEMBLER__=1) -MMD -MP -MF $$@.d -MT $$@ -c -o $$@ $$<

$(B)/guests/$(1).elf: $$($(1)_GUEST_OBJECTS) $(call guest_script,$(1))
	$$(call say,GUEST)
	@mkdir -p $$(@D)
	$$(Q)$(LD) -m $(if $(filter m64,$(call guest_mode,$(1))),elf_x86_64,elf_i386) -nostdlib -static \
		-z max-page-size=0x1000 -z noexecstack --build-id=none --no-warn-rwx-segments \
		-T $(call guest_script,$(1)) -o $$@.full $$($(1)_GUEST_OBJECTS) \
		$$(wildcard $$(shell $(CC) -$(call guest_mode,$(1)) -print-libgcc-file-name))
	$$(Q)$(OBJCOPY) -S -O elf32-i386 $$@.full $$@

-include $$(addsuffix .d,$$($(1)_GUEST_OBJECTS))
endef
$(foreach name,$(GUEST_NAMES),$(eval $(call guest_rules,$(name))))

.PHONY: guests
guests: $(GUESTS)
