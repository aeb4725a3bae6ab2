// SPDX-License-Identifier: Apache-2.0
/*
 * Config space of the machine through ports CF8h and CFCh (see pci.h). Only mgmt's one thread does
 * this, so address and data always belong together.
 */
#include "mgmt/pci.h"

#include "bulkhead/protocol.h"
#include "lib/call.h"

#define ADDRESS_PORT   0xcf8u
#define ADDRESS_ENABLE 0x80000000u
#define DATA_PORT      0xcfcu

static void select_offset(uint16_t bdf, uint32_t offset)
{
	bh_port_write(MGMT_HANDLE_HOST, ADDRESS_PORT, 4,
	              ADDRESS_ENABLE | (uint32_t)bdf << 8 | (offset & 0xfcu));
}

static uint32_t ports_read(void *context, uint16_t bdf, uint32_t offset, uint32_t width)
{
	(void)context;
	select_offset(bdf, offset);
	return (uint32_t)bh_port_read(MGMT_HANDLE_HOST, (uint16_t)(DATA_PORT + (offset & 3u)),
	                              width);
}

static void ports_write(void *context, uint16_t bdf, uint32_t offset, uint32_t width,
                        uint32_t value)
{
	(void)context;
	select_offset(bdf, offset);
	bh_port_write(MGMT_HANDLE_HOST, (uint16_t)(DATA_PORT + (offset & 3u)), width, value);
}

const struct pci_access pci_ports = { .read = ports_read, .write = ports_write };
