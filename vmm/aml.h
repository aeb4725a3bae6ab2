// SPDX-License-Identifier: Apache-2.0
/*
 * A small emitter of ACPI tables and AML into a bounded buffer.
 *
 * Owns: the encoding of the few AML terms that the DSDT needs. Must never: write past the buffer;
 * once it is full all further output is dropped and is_full says so. Manual: ACPI 6.4 20.2,
 * resource descriptors 6.4.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct aml {
	uint8_t *bytes;
	uint32_t size;
	uint32_t used;
	bool is_full;
};

void aml_put(struct aml *aml, uint64_t value, uint32_t width_bytes);   /* little-endian */
void aml_put_text(struct aml *aml, const char *text, uint32_t length); /* padded with zeros */

/* Terms. A name is 4 characters (or "\\_S5" style with a leading backslash: root, then 4). */
void aml_put_name(struct aml *aml, const char *name);
void aml_put_integer(struct aml *aml, uint64_t value);
void aml_name_integer(struct aml *aml, const char *name, uint64_t value);
/* Name (name, EisaId (id)): three letters and four hexadecimal digits. */
void aml_name_eisa(struct aml *aml, const char *name, const char *id);

/* Terms with a length in front: begin returns what end needs. */
uint32_t aml_scope_begin(struct aml *aml, const char *name);
uint32_t aml_device_begin(struct aml *aml, const char *name);
uint32_t aml_package_begin(struct aml *aml, uint8_t elements_count);
uint32_t aml_method_begin(struct aml *aml, const char *name, uint8_t arguments_count);
/* If (LocalN & bit) {...}; a dword. */
uint32_t aml_if_bit_begin(struct aml *aml, uint32_t local, uint32_t bit);
void aml_end(struct aml *aml, uint32_t mark);

/* Terms of methods. */
void aml_put_path(struct aml *aml, const char *const *names, uint8_t count); /* \A.B.C */
void aml_put_store_integer(struct aml *aml, uint64_t value, const char *name);
void aml_put_store_local(struct aml *aml, const char *name, uint32_t local); /* LocalN = name */
void aml_put_notify(struct aml *aml, const char *name, uint32_t value);

/* Ports, and `count` fields of 32 bits one after another in them. */
void aml_put_port_region(struct aml *aml, const char *name, uint32_t port, uint32_t length);
void aml_put_fields32(struct aml *aml, const char *region, const char *const *names,
                      uint32_t count);

/* Name (_CRS, ResourceTemplate () {...}). */
uint32_t aml_resources_begin(struct aml *aml);
void aml_resources_end(struct aml *aml, uint32_t mark);
void aml_resource_io(struct aml *aml, uint16_t base, uint8_t length);
void aml_resource_irq(struct aml *aml, uint32_t number);
void aml_resource_memory(struct aml *aml, uint32_t base, uint32_t length);
void aml_resource_bus(struct aml *aml, uint16_t first, uint16_t last);
void aml_resource_io_window(struct aml *aml, uint16_t first, uint16_t last);
void aml_resource_memory_window(struct aml *aml, uint32_t first, uint32_t last);
