// SPDX-License-Identifier: Apache-2.0
/*
 * Power-off and reset out of the ACPI tables (see acpi.h). Every offset is checked against the
 * length that was read, every length against a limit; a table that lies is ignored.
 */
#include "mgmt/acpi.h"

#include <string.h>

/* ACPI 6.4, 5.2.6 */
#define HEADER_BYTES  36u
#define HEADER_LENGTH 4u

/* ACPI 6.4, table 5.9 */
#define FADT_DSDT                40u
#define FADT_SMI_COMMAND         48u
#define FADT_ACPI_ENABLE         52u
#define FADT_PM1A_CONTROL        64u
#define FADT_PM1B_CONTROL        68u
#define FADT_FLAGS               112u
#define FADT_FLAG_RESET_REGISTER (1u << 10)
#define FADT_RESET_REGISTER      116u
#define FADT_RESET_VALUE         128u
#define FADT_X_DSDT              140u
#define FADT_X_PM1A_CONTROL      172u
#define FADT_X_PM1B_CONTROL      184u
#define FADT_BYTES_MAX           276u
#define GAS_ADDRESS              4u

/* AML, ACPI 6.4, 20.2 */
#define AML_ZERO       0x00u
#define AML_ONE        0x01u
#define AML_NAME       0x08u
#define AML_BYTE       0x0au
#define AML_WORD       0x0bu
#define AML_DWORD      0x0cu
#define AML_PACKAGE    0x12u
#define AML_ROOT       0x5cu

#define TABLES_MAX     128u
#define AML_BYTES_MAX  (4u * 1024 * 1024)
#define WINDOW_BYTES   4096u
#define WINDOW_OVERLAP 32u /* longer than \_S5's package as far as it is read */

struct reader {
	acpi_read_fn *read;
	void *context;
};

static uint32_t load32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static uint64_t load64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

/* One element of a package that must be a small integer; returns the bytes it takes, 0 if it is
 * none. */
static size_t read_element(const uint8_t *aml, size_t size, uint8_t *value)
{
	if (size < 1) {
		return 0;
	}
	switch (aml[0]) {
	case AML_ZERO:
	case AML_ONE:
		*value = aml[0];
		return 1;
	case AML_BYTE:
		*value = size >= 2 ? aml[1] : 0;
		return size >= 2 ? 2 : 0;
	case AML_WORD:
		*value = size >= 3 ? aml[1] : 0;
		return size >= 3 ? 3 : 0;
	case AML_DWORD:
		*value = size >= 5 ? aml[1] : 0;
		return size >= 5 ? 5 : 0;
	default:
		return 0;
	}
}

/* Reads what follows the name _S5_: PackageOp PkgLength NumElements, then the types. */
static bool read_s5(const uint8_t *aml, size_t size, uint8_t *type_a, uint8_t *type_b)
{
	size_t at;
	size_t taken;

	if (size < 4 || aml[0] != AML_PACKAGE) {
		return false;
	}
	/* The top two bits of PkgLength's first byte count the bytes that follow it. */
	at = 2 + (size_t)(aml[1] >> 6);
	if (at >= size || aml[at] < 1) {
		return false;
	}
	at++;
	taken = read_element(aml + at, size - at, type_a);
	if (taken == 0) {
		return false;
	}
	*type_b = *type_a;
	if (aml[at - 1] >= 2 && read_element(aml + at + taken, size - at - taken, type_b) == 0) {
		return false;
	}
	return *type_a <= 7 && *type_b <= 7;
}

bool acpi_find_s5(const uint8_t *aml, size_t size, uint8_t *type_a, uint8_t *type_b)
{
	size_t at;

	for (at = 1; at + 4 <= size; at++) {
		bool is_named = aml[at - 1] == AML_NAME ||
		                (at >= 2 && aml[at - 1] == AML_ROOT && aml[at - 2] == AML_NAME);

		if (is_named && memcmp(aml + at, "_S5_", 4) == 0 &&
		    read_s5(aml + at + 4, size - at - 4, type_a, type_b)) {
			return true;
		}
	}
	return false;
}

/* Looks through the AML of a table, a window at a time. */
static bool scan_table(const struct reader *reader, uint64_t address, struct acpi_power *out)
{
	static uint8_t window[WINDOW_BYTES];
	uint8_t header[HEADER_BYTES];
	uint32_t length;
	uint32_t at;

	if (address == 0 || !reader->read(reader->context, address, header, sizeof(header))) {
		return false;
	}
	length = load32(header + HEADER_LENGTH);
	if (length < HEADER_BYTES || length > AML_BYTES_MAX) {
		return false;
	}
	for (at = HEADER_BYTES; at < length; at += WINDOW_BYTES - WINDOW_OVERLAP) {
		uint32_t size = length - at < WINDOW_BYTES ? length - at : WINDOW_BYTES;

		if (!reader->read(reader->context, address + at, window, size)) {
			return false;
		}
		if (acpi_find_s5(window, size, &out->sleep_type_a, &out->sleep_type_b)) {
			return true;
		}
	}
	return false;
}

static void read_reset(const uint8_t *fadt, uint32_t length, struct acpi_power *out)
{
	const uint8_t *gas = fadt + FADT_RESET_REGISTER;

	if (length <= FADT_RESET_VALUE ||
	    (load32(fadt + FADT_FLAGS) & FADT_FLAG_RESET_REGISTER) == 0) {
		return;
	}
	out->reset_space = gas[0];
	out->reset_address = load64(gas + GAS_ADDRESS);
	out->reset_value = fadt[FADT_RESET_VALUE];
	out->has_reset = out->reset_address != 0 && out->reset_space <= ACPI_SPACE_PCI;
}

/* A PM1 control port: the extended field if it is there and names a port, else the old one. */
static uint16_t read_port(const uint8_t *fadt, uint32_t length, uint32_t old_field,
                          uint32_t new_field)
{
	uint64_t port = load32(fadt + old_field);

	if (length >= new_field + 12 && fadt[new_field] == ACPI_SPACE_IO &&
	    load64(fadt + new_field + GAS_ADDRESS) != 0) {
		port = load64(fadt + new_field + GAS_ADDRESS);
	}
	return port <= 0xffff ? (uint16_t)port : 0;
}

/* Reads the FADT; returns the DSDT's address, 0 if there is none. */
static uint64_t read_fadt(const struct reader *reader, uint64_t address, struct acpi_power *out)
{
	uint8_t fadt[FADT_BYTES_MAX] = { 0 };
	uint32_t length;
	uint64_t dsdt;

	if (!reader->read(reader->context, address, fadt, HEADER_BYTES)) {
		return 0;
	}
	length = load32(fadt + HEADER_LENGTH);
	length = length < FADT_BYTES_MAX ? length : FADT_BYTES_MAX;
	if (length < FADT_FLAGS + 4 || !reader->read(reader->context, address, fadt, length)) {
		return 0;
	}
	out->pm1a_control_port = read_port(fadt, length, FADT_PM1A_CONTROL, FADT_X_PM1A_CONTROL);
	out->pm1b_control_port = read_port(fadt, length, FADT_PM1B_CONTROL, FADT_X_PM1B_CONTROL);
	out->smi_command_port = (uint16_t)load32(fadt + FADT_SMI_COMMAND);
	out->acpi_enable = fadt[FADT_ACPI_ENABLE];
	read_reset(fadt, length, out);
	dsdt = length >= FADT_X_DSDT + 8 ? load64(fadt + FADT_X_DSDT) : 0;
	return dsdt != 0 ? dsdt : load32(fadt + FADT_DSDT);
}

/* Entry `idx` of the root table, which some firmware leaves 0; false at the table's end. */
static bool read_root_entry(const struct reader *reader, uint64_t root, uint32_t idx,
                            uint64_t *address)
{
	uint8_t header[HEADER_BYTES];
	uint8_t entry[8] = { 0 };
	uint32_t entry_bytes;
	uint32_t offset;

	if (root == 0 || !reader->read(reader->context, root, header, sizeof(header))) {
		return false;
	}
	entry_bytes = memcmp(header, "XSDT", 4) == 0 ? 8 : 4;
	offset = HEADER_BYTES + idx * entry_bytes;
	if ((entry_bytes == 4 && memcmp(header, "RSDT", 4) != 0) ||
	    load32(header + HEADER_LENGTH) < offset + entry_bytes ||
	    !reader->read(reader->context, root + offset, entry, entry_bytes)) {
		return false;
	}
	*address = load64(entry);
	return true;
}

uint32_t acpi_find_table(uint64_t root, const char *signature, uint32_t nth, acpi_read_fn *read,
                         void *context, uint64_t *address)
{
	struct reader reader = { .read = read, .context = context };
	uint8_t header[HEADER_BYTES];
	uint32_t i;

	for (i = 0; i < TABLES_MAX && read_root_entry(&reader, root, i, address); i++) {
		if (*address != 0 && read(context, *address, header, sizeof(header)) &&
		    memcmp(header, signature, 4) == 0 && nth-- == 0) {
			return load32(header + HEADER_LENGTH);
		}
	}
	*address = 0;
	return 0;
}

bool acpi_find_power(uint64_t root, acpi_read_fn *read, void *context, struct acpi_power *out)
{
	struct reader reader = { .read = read, .context = context };
	uint64_t table;
	bool has_s5;
	uint32_t i;

	memset(out, 0, sizeof(*out));
	acpi_find_table(root, "FACP", 0, read, context, &table);
	if (table == 0) {
		return false;
	}
	has_s5 = scan_table(&reader, read_fadt(&reader, table, out), out);
	for (i = 0; i < TABLES_MAX && table != 0 && !has_s5; i++) {
		acpi_find_table(root, "SSDT", i, read, context, &table);
		has_s5 = scan_table(&reader, table, out);
	}
	out->has_sleep = has_s5 && out->pm1a_control_port != 0;
	return true;
}
