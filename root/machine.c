/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel is told of the machine at root's start, once: where the console is, which other pCPUs there are, which I/O APICs. It runs on
 * one pCPU and takes no device's interrupt until then.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/cmdline.h"
#include "root/acpi.h"
#include "root/root.h"

#define IOAPIC_USUAL_BASE 0xfec00000u
#define COM1_PORT         0x3f8u
#define COM2_PORT         0x2f8u
#define HALT_POLL_NS      50000u
#define HALT_POLL_MAX_NS  1000000000u

static struct acpi_tables tables;
static struct owned windows; /* of the tables, while they are read */
static uint64_t window_next = ROOT_VA_TABLES;

const void *acpi_window(uint64_t pa, uint64_t size)
{
	uint64_t first = pa & ~(BH_PAGE_SIZE - 1);
	struct bh_map map = { .size = (pa + size - first + BH_PAGE_SIZE - 1) & ~(BH_PAGE_SIZE - 1),
		              .flags = BH_MAP_READ };
	uint64_t va = window_next;
	int64_t region = owned_keep(&windows, bh_region_device(BH_HANDLE_HOST, first, map.size));

	if (region < 0 || bh_region_map((bh_handle_t)region, BH_HANDLE_SELF, va, &map) < 0) {
		return NULL;
	}
	window_next += map.size;
	return (const void *)(va + (pa - first));
}

/* `console=` of the command line, else what SPCR names. The kernel has COM1 until then, or nothing for `none`. */
static void console_move(const char *cmdline)
{
	const char *word = cmdline_find(cmdline, "console=");
	uint64_t port = tables.serial_port, baud = tables.serial_baud;
	struct bh_host_info host;
	char *end = NULL;

	if (word != NULL && strncmp(word, "none", 4) == 0) {
		return;
	}
	if (word != NULL && strncmp(word, "com", 3) == 0) {
		port = strtoul(word + 3, &end, 10) == 2 ? COM2_PORT : COM1_PORT;
	} else if (word != NULL) {
		port = strtoul(word, &end, 0);
	}
	if (word != NULL) {
		baud = *end == ',' ? strtoul(end + 1, NULL, 10) : 0;
	}
	if (port != 0 && bh_host_info(BH_HANDLE_HOST, &host) == BH_OK &&
	    (host.console_port != port || (baud != 0 && host.console_baud != baud))) {
		root_log("console: the 16550 at port %x, by %s", (unsigned)port,
		         word != NULL ? "the command line" : "SPCR");
		bh_host_set(BH_HANDLE_HOST, BH_HOST_CONSOLE, port, baud);
	}
}

static void cpus_start(const char *cmdline)
{
	const struct bh_info *info = (const struct bh_info *)BH_VA_INFO;
	const char *word = cmdline_find(cmdline, "cpus=");
	uint64_t limit = word != NULL ? strtoul(word, NULL, 0) : BH_MAX_CPUS;
	uint32_t listed = tables.cpus_count + tables.cpus_ignored;

	/* The one that this runs on is among them. */
	for (uint32_t i = 0; i < tables.cpus_count && info->cpus_count < limit; i++) {
		if (bh_host_set(BH_HANDLE_HOST, BH_HOST_START_CPU, tables.apic_ids[i], 0) ==
		    BH_ERR_TIMEOUT) {
			root_log("cpu with APIC id %u does not start: left out",
			         (unsigned)tables.apic_ids[i]);
		}
	}
	root_log("%u CPUs run, %u left out", (unsigned)info->cpus_count,
	         (unsigned)(listed > info->cpus_count ? listed - info->cpus_count : 0));
}

/* `halt-poll=` in nanoseconds. */
static void halt_poll_set(const char *cmdline)
{
	const struct bh_info *info = (const struct bh_info *)BH_VA_INFO;
	const char *word = cmdline_find(cmdline, "halt-poll=");
	char *end = NULL;
	uint64_t ns = word != NULL ? strtoul(word, &end, 10) : HALT_POLL_NS;

	if (word != NULL && (*word < '0' || *word > '9' || (*end != ' ' && *end != '\0') ||
	                     ns > HALT_POLL_MAX_NS)) {
		root_log("halt-poll= is not a number of nanoseconds up to %u: it is %u",
		         HALT_POLL_MAX_NS, HALT_POLL_NS);
		ns = HALT_POLL_NS;
	}
	bh_host_set(BH_HANDLE_HOST, BH_HOST_HALT_POLL, ns * (info->tsc_hz / 1000) / 1000000, 0);
}

static void ioapics_add(void)
{
	if (tables.ioapics_count == 0) {
		tables.ioapics[tables.ioapics_count++].base = IOAPIC_USUAL_BASE;
	}
	for (uint32_t i = 0; i < tables.ioapics_count; i++) {
		int error = bh_host_set(BH_HANDLE_HOST, BH_HOST_ADD_IOAPIC, tables.ioapics[i].base,
		                        tables.ioapics[i].gsi_base);

		if (error < 0) {
			root_log("I/O APIC at %x does not answer: its interrupts are not usable",
			         (unsigned)tables.ioapics[i].base);
		}
	}
}

uint64_t machine_start(void)
{
	const struct bh_root_info *info = (const struct bh_root_info *)BH_VA_ROOT_INFO;

	if (!acpi_read(info->rsdp, &tables)) {
		root_log("ACPI: none found; taking this machine for a single CPU with PC devices");
	}
	owned_close(&windows);
	console_move(info->cmdline);
	cpus_start(info->cmdline);
	ioapics_add();
	halt_poll_set(info->cmdline);
	return tables.root;
}
