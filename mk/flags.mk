# SPDX-License-Identifier: Apache-2.0
#
# Compiler and linker flags of every kind of program. One list of warnings for all.

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wundef -Wvla -Wstrict-prototypes -Wmissing-prototypes \
	-Wconversion -Wsign-conversion -Wcast-qual -Wpointer-arith -Wformat=2 \
	-Wimplicit-fallthrough -Wswitch-enum -Wframe-larger-than=1024

GCC_INCLUDE := $(shell $(CC) -print-file-name=include 2>/dev/null)
INCLUDES := -I. -Iinclude -I$(B)/gen

# What all code for the machine (not for the host) shares. Nothing of the host's headers is seen.
TARGET_FLAGS := -std=gnu11 -O2 -g $(WARNINGS) -fno-pie -fcf-protection=none -fno-common \
	-fno-asynchronous-unwind-tables -fstack-protector-strong -mstack-protector-guard=global \
	-ffile-prefix-map=$(CURDIR)=. -U__linux__ -U__linux -Ulinux -U__gnu_linux__ -Uunix -nostdinc

KERNEL_CFLAGS := $(TARGET_FLAGS) -isystem $(GCC_INCLUDE) $(INCLUDES) -ffreestanding \
	-mno-red-zone -mgeneral-regs-only -mcmodel=kernel -D__KERNEL__=1
KERNEL_LDFLAGS := -nostdlib -static -z max-page-size=0x1000 -z noexecstack --build-id=none

# The ring-3 programs: newlib, SSE2 at most (the kernel keeps their FPU state).
NEWLIB := $(B)/newlib
LWIP := $(B)/third_party/lwip
DOMAIN_CFLAGS := $(TARGET_FLAGS) -isystem $(NEWLIB)/include -isystem $(GCC_INCLUDE) $(INCLUDES) \
	-isystem $(LWIP)/src/include -Imgmt/net/port -mno-avx -ffunction-sections -fdata-sections
# Not our code, so not our warnings.
LWIP_CFLAGS = $(filter-out -W%,$(DOMAIN_CFLAGS)) -ffile-prefix-map=$(abspath $(LWIP))=lwip \
	-ffile-prefix-map=$(LWIP)=lwip
DOMAIN_LDFLAGS := -nostdlib -static -z max-page-size=0x1000 -z noexecstack --build-id=none \
	--gc-sections
DOMAIN_LIBS := $(NEWLIB)/lib/libc.a $(NEWLIB)/lib/libm.a $(shell $(CC) -print-libgcc-file-name 2>/dev/null)

# The UEFI loader (gnu-efi, position-independent, 16-bit wide characters).
EFI_CFLAGS := -std=gnu11 -O2 -g $(WARNINGS) -ffile-prefix-map=$(CURDIR)=. -ffreestanding -fpic \
	-fshort-wchar -fno-stack-protector -fno-strict-aliasing -mno-red-zone -mgeneral-regs-only \
	-fcf-protection=none -maccumulate-outgoing-args -DGNU_EFI_USE_MS_ABI -DEFI_FUNCTION_WRAPPER \
	-fno-asynchronous-unwind-tables $(INCLUDES) -isystem /usr/include/efi \
	-isystem /usr/include/efi/x86_64
EFI_LDS := /usr/lib/elf_x86_64_efi.lds
EFI_LDFLAGS := -nostdlib -znocombreloc -znoexecstack -shared -Bsymbolic --build-id=none \
	--no-warn-rwx-segments -L/usr/lib -T $(EFI_LDS)

# Guests of our own: freestanding, no FPU, in 32 or 64 bit.
GUEST_CFLAGS := -std=gnu11 -O2 -g $(WARNINGS) -ffreestanding -fno-pie -fno-stack-protector \
	-fcf-protection=none -fno-common -fno-asynchronous-unwind-tables -mno-red-zone \
	-mgeneral-regs-only -ffile-prefix-map=$(CURDIR)=. -nostdinc -isystem $(GCC_INCLUDE) \
	-I. -Iinclude -Iguests/lib

# Unit tests and fuzz targets run on the host, under sanitizers.
HOST_CC := clang
HOST_CFLAGS := -std=gnu11 -O1 -g -Wall -Wextra -Werror -Wno-unused-parameter -I. -Iinclude \
	-I$(B)/gen -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=undefined
