# SPDX-License-Identifier: Apache-2.0
#
# The demo's files, boot images with the demo on them, and the two commands that boot it.

DEMO_INITRAMFS := $(B)/demo/demo.cpio.gz
DEMO_FILES := $(DEMO_INITRAMFS) $(B)/third_party/linux-cloud/vmlinuz \
	$(B)/third_party/linux-generic/vmlinuz

IMAGES := $(B)/bulkhead.efi $(B)/bulkhead.img $(B)/bulkhead.iso $(B)/pxe

$(B)/third_party/.fetched: scripts/fetch scripts/pins
	$(Q)scripts/fetch
	@touch $@
$(B)/third_party/linux-cloud/vmlinuz $(B)/third_party/linux-generic/vmlinuz \
$(B)/third_party/busybox/busybox: $(B)/third_party/.fetched ;

$(DEMO_INITRAMFS): scripts/make-initramfs scripts/cpio.py $(B)/third_party/.fetched \
		$(shell find guests/linux-demo -type f 2>/dev/null)
	$(call say,CPIO)
	$(Q)$(PYTHON) scripts/make-initramfs $@ $(B)/third_party/busybox/busybox guests/linux-demo \
		$(wildcard $(B)/third_party/linux-cloud/modules $(B)/third_party/linux-generic/modules)

# A small Debian on a disk of 512 MiB; from the package archive, so as root only, and kept over `make clean`.
DEBIAN_DISK := $(B)/debian/debian.img
$(DEBIAN_DISK): scripts/make-debian-disk scripts/tools/journal.c $(shell find guests/debian -type f 2>/dev/null)
	$(call say,DEBIAN)
	$(Q)scripts/make-debian-disk $@

# Programs of that disk as initramfs, for guests without a disk.
DEBIAN_TOOLS := $(B)/debian/fio.cpio.gz $(B)/debian/iperf.cpio.gz
$(B)/debian/fio.cpio.gz: TOOLS := fio
$(B)/debian/iperf.cpio.gz: TOOLS := iperf iperf3
$(DEBIAN_TOOLS): scripts/make-tools-initramfs scripts/cpio.py $(DEBIAN_DISK)
	$(call say,CPIO)
	$(Q)$(PYTHON) scripts/make-tools-initramfs $@ $(DEBIAN_DISK) $(TOOLS)

.PHONY: demo fetch image run debian-disk
debian-disk: $(DEBIAN_DISK) $(DEBIAN_TOOLS)

fetch: $(B)/third_party/.fetched
demo: $(DEMO_FILES)

image: all demo
	$(Q)$(PYTHON) scripts/make-image

# From a fresh machine to the demo: the packages, the fetched parts, the build, the boot.
run:
	@scripts/setup build run
	@scripts/fetch
	@$(MAKE) $(JOBS_FLAG) all demo
	@scripts/boot --platform qemu --boot uefi --cpus 4 --memory 2G
