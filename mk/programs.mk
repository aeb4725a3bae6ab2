# SPDX-License-Identifier: Apache-2.0
#
# kernel.elf, root.bin, mgmt.elf, vmm.elf, bulkhead.mb (for `qemu -kernel`) and
# bulkhead.efi. Sources are found by folder; what does not exist is left out.

sources = $(sort $(foreach pattern,$(1),$(wildcard $(pattern))))
objects = $(addprefix $(B)/obj/$(1)/,$(addsuffix .o,$(2)))

KERNEL_SOURCES := $(filter-out boot/uefi% %_offsets.c %/offsets.c,$(call sources,boot/*.c boot/*.S \
	arch/x86/*.[cS] arch/x86/*/*.[cS] kernel/*.[cS] kernel/*/*.[cS]))
LIB_SOURCES := $(call sources,lib/*.[cS] lib/*/*.[cS])
ROOT_SOURCES := $(call sources,root/*.[cS]) $(LIB_SOURCES)
MGMT_SOURCES := $(call sources,mgmt/*.[cS] mgmt/*/*.[cS] drivers/*.[cS]) $(LIB_SOURCES)
VMM_SOURCES := $(call sources,vmm/*.[cS] vmm/*/*.[cS]) $(LIB_SOURCES)
EFI_SOURCES := $(call sources,boot/uefi*.[cS]) lib/sha256.c

# lwIP's, which are there only after scripts/fetch: listed, not found.
LWIP_SOURCES := $(addprefix $(LWIP)/src/, \
	$(addprefix core/,def.c dns.c inet_chksum.c init.c ip.c mem.c memp.c netif.c pbuf.c raw.c stats.c \
		sys.c tcp.c tcp_in.c tcp_out.c timeouts.c udp.c) \
	$(addprefix core/ipv4/,dhcp.c etharp.c icmp.c ip4.c ip4_addr.c ip4_frag.c) \
	$(addprefix core/ipv6/,ethip6.c icmp6.c inet6.c ip6.c ip6_addr.c ip6_frag.c mld6.c nd6.c) \
	netif/ethernet.c)
OFFSETS_SOURCES := $(call sources,arch/x86/*offsets.c arch/x86/*/*offsets.c)

KERNEL_OBJECTS := $(call objects,kernel,$(KERNEL_SOURCES))
ROOT_OBJECTS := $(call objects,domain,$(ROOT_SOURCES))
LWIP_OBJECTS := $(LWIP_SOURCES:$(LWIP)/src/%=$(B)/obj/lwip/%.o)
MGMT_OBJECTS := $(call objects,domain,$(MGMT_SOURCES)) $(LWIP_OBJECTS)
VMM_OBJECTS := $(call objects,domain,$(VMM_SOURCES))
EFI_OBJECTS := $(call objects,efi,$(EFI_SOURCES))
OFFSETS_HEADER := $(if $(OFFSETS_SOURCES),$(B)/gen/asm_offsets.h)
VERSION_HEADER := $(B)/gen/build_version.h

PROGRAMS := $(if $(wildcard arch/x86/kernel.ld),$(B)/kernel.elf $(B)/bulkhead.mb) \
	$(if $(wildcard root/*.c),$(B)/root.bin) $(if $(wildcard mgmt/main.c),$(B)/mgmt.elf) \
	$(if $(wildcard vmm/main.c),$(B)/vmm.elf)
PROGRAMS += $(patsubst $(B)/%,$(B)/boot-files/%,$(filter-out %.mb,$(PROGRAMS)))
PROGRAMS += $(if $(and $(EFI_SOURCES),$(wildcard arch/x86/kernel.ld)),$(B)/bulkhead.efi)

# --- generated headers ---------------------------------------------------------------

.PHONY: force
force:

# Rewritten only when it changes, so that a build without changes does nothing. `make check` has several makes at a time.
$(VERSION_HEADER): force
	@mkdir -p $(@D); new=$@.$$$$; \
	commit=$$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown); \
	printf '#pragma once\n#define BUILD_VERSION "%s"\n#define BUILD_COMMIT "%s"\n' \
		'$(VERSION)' "$$commit" >$$new; \
	cmp -s $$new $@ && rm $$new || mv $$new $@

# `asm volatile("\n->NAME %0" :: "i"(value))` in an offsets.c becomes `#define NAME value`.
$(B)/gen/%.s: %.c | $(VERSION_HEADER)
	@mkdir -p $(@D)
	$(Q)$(CC) $(KERNEL_CFLAGS) -MMD -MP -MF $@.d -MT $@ -S -o $@ $<
$(B)/gen/asm_offsets.h: $(addprefix $(B)/gen/,$(OFFSETS_SOURCES:.c=.s))
	$(call say,GEN)
	$(Q){ echo '#pragma once'; sed -n 's/^[^-]*->\([A-Za-z0-9_]*\) \$$\{0,1\}\(-\{0,1\}[0-9]*\).*/#define \1 \2/p' $^; } >$@.new
	$(Q)cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# --- compiling ------------------------------------------------------------------------

# How other parts are fetched does not concern it: that takes minutes.
$(NEWLIB)/.stamp: scripts/build-newlib | scripts/fetch scripts/pins
	$(Q)scripts/build-newlib && touch $@

$(LWIP)/.fetched: scripts/fetch scripts/pins
	$(Q)scripts/fetch lwip && touch $@
$(LWIP_SOURCES): | $(LWIP)/.fetched ;

# The VMM touches no FPU or SSE register: the guest's stay loaded while it works.
$(B)/obj/domain/vmm/%.c.o: DOMAIN_CFLAGS += -mgeneral-regs-only

# Records of a few words are stored as words: gathering them in a vector register takes longer.
$(B)/obj/domain/mgmt/%.c.o: DOMAIN_CFLAGS += -fno-tree-slp-vectorize

DEPS_FLAGS = -MMD -MP -MF $@.d -MT $@

$(B)/obj/kernel/%.c.o: %.c | $(VERSION_HEADER) $(OFFSETS_HEADER)
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(KERNEL_CFLAGS) $(DEPS_FLAGS) -c -o $@ $<

$(B)/obj/kernel/%.S.o: %.S | $(VERSION_HEADER) $(OFFSETS_HEADER)
	$(call say,AS)
	@mkdir -p $(@D)
	$(Q)$(CC) $(KERNEL_CFLAGS) -D__ASSEMBLER__=1 $(DEPS_FLAGS) -c -o $@ $<

$(B)/obj/domain/%.c.o: %.c | $(VERSION_HEADER) $(NEWLIB)/.stamp $(LWIP)/.fetched
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(DOMAIN_CFLAGS) $(DEPS_FLAGS) -c -o $@ $<

# Seen through a system header, so that -MMD does not name it.
$(LWIP_OBJECTS) $(call objects,domain,$(wildcard mgmt/net/*.c)): mgmt/net/port/lwipopts.h
$(B)/obj/lwip/%.c.o: $(LWIP)/src/%.c | $(NEWLIB)/.stamp
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LWIP_CFLAGS) $(DEPS_FLAGS) -c -o $@ $<

$(B)/obj/domain/%.S.o: %.S | $(VERSION_HEADER) $(NEWLIB)/.stamp
	$(call say,AS)
	@mkdir -p $(@D)
	$(Q)$(CC) $(DOMAIN_CFLAGS) -D__ASSEMBLER__=1 $(DEPS_FLAGS) -c -o $@ $<

$(B)/obj/efi/%.c.o: %.c | $(VERSION_HEADER)
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(EFI_CFLAGS) $(DEPS_FLAGS) -c -o $@ $<

$(B)/obj/efi/%.S.o: %.S | $(VERSION_HEADER)
	$(call say,AS)
	@mkdir -p $(@D)
	$(Q)$(CC) $(EFI_CFLAGS) -D__ASSEMBLER__=1 $(DEPS_FLAGS) -c -o $@ $<

-include $(addsuffix .d,$(sort $(KERNEL_OBJECTS) $(ROOT_OBJECTS) $(MGMT_OBJECTS) $(VMM_OBJECTS) \
	$(EFI_OBJECTS)) $(addprefix $(B)/gen/,$(OFFSETS_SOURCES:.c=.s)))

# --- linking --------------------------------------------------------------------------

# The list of objects is a prerequisite too: a removed source must not stay linked.
$(B)/obj/%.list: force
	@mkdir -p $(@D); echo '$($*_OBJECTS)' | cmp -s - $@ || echo '$($*_OBJECTS)' >$@

$(B)/kernel.elf: $(KERNEL_OBJECTS) $(B)/obj/KERNEL.list arch/x86/kernel.ld
	$(call say,LD)
	$(Q)$(LD) $(KERNEL_LDFLAGS) -T arch/x86/kernel.ld -Map $@.map -o $@ $(KERNEL_OBJECTS) \
		$(shell $(CC) -print-libgcc-file-name)

# QEMU's -kernel refuses 64-bit ELF; the multiboot 1 header's address fields describe this flat copy.
$(B)/bulkhead.mb: $(B)/kernel.elf
	$(call say,OBJCOPY)
	$(Q)$(OBJCOPY) -O binary $< $@

ROOT_LDS := $(or $(wildcard root/root.ld),lib/domain.ld)
$(B)/root.elf: $(ROOT_OBJECTS) $(B)/obj/ROOT.list $(ROOT_LDS) | $(NEWLIB)/.stamp
	$(call say,LD)
	$(Q)$(LD) $(DOMAIN_LDFLAGS) -T $(ROOT_LDS) -Map $@.map -o $@ $(ROOT_OBJECTS) \
		--start-group $(DOMAIN_LIBS) --end-group

# A flat image; bss is not in it (bulkhead/root_image.h says how long it is).
$(B)/root.bin: $(B)/root.elf
	$(call say,OBJCOPY)
	$(Q)$(OBJCOPY) -O binary $< $@

$(B)/mgmt.elf: $(MGMT_OBJECTS) $(B)/obj/MGMT.list lib/domain.ld | $(NEWLIB)/.stamp
	$(call say,LD)
	$(Q)$(LD) $(DOMAIN_LDFLAGS) -T lib/domain.ld -Map $@.map -o $@ $(MGMT_OBJECTS) \
		--start-group $(DOMAIN_LIBS) --end-group

$(B)/vmm.elf: $(VMM_OBJECTS) $(B)/obj/VMM.list lib/domain.ld | $(NEWLIB)/.stamp
	$(call say,LD)
	$(Q)$(LD) $(DOMAIN_LDFLAGS) -T lib/domain.ld -Map $@.map -o $@ $(VMM_OBJECTS) \
		--start-group $(DOMAIN_LIBS) --end-group

# Domains of the system tests, which root starts in place of mgmt or a VMM (`scripts/boot --program`).
TEST_DOMAINS := $(patsubst tests/domains/%/main.c,$(B)/domains/%.elf,$(wildcard tests/domains/*/main.c))
TEST_DOMAIN_LIB := $(call objects,domain,$(LIB_SOURCES))
TEST_DOMAIN_MAINS := $(TEST_DOMAINS:$(B)/domains/%.elf=$(B)/obj/domain/tests/domains/%/main.c.o)
.SECONDARY: $(TEST_DOMAIN_MAINS)
-include $(addsuffix .d,$(TEST_DOMAIN_MAINS))
$(B)/domains/%.elf: $(B)/obj/domain/tests/domains/%/main.c.o $(TEST_DOMAIN_LIB) lib/domain.ld
	$(call say,LD)
	@mkdir -p $(@D)
	$(Q)$(LD) $(DOMAIN_LDFLAGS) -T lib/domain.ld -o $@ $< $(TEST_DOMAIN_LIB) \
		--start-group $(DOMAIN_LIBS) --end-group
	$(Q)$(OBJCOPY) -S $@

# Copies without symbols, as they are booted.
$(B)/boot-files/%: $(B)/%
	@mkdir -p $(@D)
	$(Q)$(OBJCOPY) -S $< $@
$(B)/boot-files/root.bin: $(B)/root.bin
	@mkdir -p $(@D)
	$(Q)cp --remove-destination $< $@

# --- bulkhead.efi ---------------------------------------------------------------------

PAYLOAD := kernel=$(B)/boot-files/kernel.elf root=$(B)/boot-files/root.bin \
	mgmt=$(B)/boot-files/mgmt.elf vmm=$(B)/boot-files/vmm.elf config=boot/default.cfg
PAYLOAD_FILES := $(foreach item,$(PAYLOAD),$(word 2,$(subst =, ,$(item))))

$(B)/payload.bin: scripts/pack-payload $(PAYLOAD_FILES)
	$(call say,PACK)
	$(Q)$(PYTHON) scripts/pack-payload $@ $(PAYLOAD)

$(B)/payload.o: $(B)/payload.bin
	$(Q)printf '%s\n' '.section .data.payload, "aw"' '.balign 4096' \
		'.global payload_start' 'payload_start:' '.incbin "$<"' \
		'.global payload_end' 'payload_end:' '.section .note.GNU-stack, "", @progbits' \
		| $(CC) -x assembler -c -o $@ -

$(B)/bulkhead.efi: $(EFI_OBJECTS) $(B)/payload.o $(EFI_LDS)
	$(call say,EFI)
	$(Q)$(LD) $(EFI_LDFLAGS) -o $@.so /usr/lib/crt0-efi-x86_64.o $(EFI_OBJECTS) $(B)/payload.o \
		-lefi -lgnuefi
	$(Q)! nm -u $@.so | grep . || { echo 'undefined symbols in $@' >&2; exit 1; }
	$(Q)$(OBJCOPY) -j .text -j .sdata -j .data -j .dynamic -j .rodata -j .rel -j .rela -j '.rel.*' \
		-j '.rela.*' -j .reloc --target=efi-app-x86_64 --subsystem=10 $@.so $@
	@rm -f $@.so
