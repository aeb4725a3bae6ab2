// SPDX-License-Identifier: Apache-2.0
/*
 * Which interrupt a PCI pin is (see aml.h): _PRT of the bridges, and the current settings of interrupt link devices (ACPI 6.4,
 * 6.2.13, 6.4.2.1, 6.4.3.6; PCI-to-PCI Bridge 1.2, 9.1).
 */
#include <stdlib.h>
#include <string.h>

#include "mgmt/aml_internal.h"

#define DSDT_PIECE   4096u
#define HEADER_BYTES 36u
#define TABLES_MAX   32u
#define FADT_DSDT    40u
#define FADT_X_DSDT  140u
#define BUS_LEVELS   8u
#define EISA_PCI     0x030ad041ull /* PNP0A03 */
#define EISA_PCIE    0x080ad041ull /* PNP0A08 */
#define SMALL_IRQ    0x20u
#define LARGE_IRQ    0x89u
#define SMALL_EDGE   0x01u
#define SMALL_LOW    0x08u
#define LARGE_LOW    0x04u

/* ---- tables ----------------------------------------------------------------------------------- */

static void make_scopes(struct aml_space *space)
{
	static const char names[] = "_SB__GPE_PR__TZ__SI_";
	struct aml_name name = { .count = 1 };
	uint32_t i;

	for (i = 0; i + 4 < sizeof(names); i += 4) {
		name.segments = (const uint8_t *)names + i;
		(void)aml_make(space, space->nodes, &name);
	}
}

static bool number_of(struct aml_space *space, const struct aml_node *node, const char *name,
                      uint64_t *value)
{
	struct aml_node *child = aml_child(node, name);

	return child != NULL && aml_integer(aml_evaluate(space, child, NULL, 0), value);
}

static bool is_id(struct aml_space *space, const struct aml_node *node, const char *name)
{
	struct aml_node *child = aml_child(node, name);
	const struct aml_object *id = child != NULL ? aml_evaluate(space, child, NULL, 0) : NULL;

	if (id != NULL && id->type == AML_STRING) {
		return strcmp((const char *)id->bytes, "PNP0A03") == 0 ||
		       strcmp((const char *)id->bytes, "PNP0A08") == 0;
	}
	return id != NULL && id->type == AML_INTEGER &&
	       (id->value == EISA_PCI || id->value == EISA_PCIE);
}

static struct aml_node *find_host_bridge(struct aml_space *space)
{
	uint32_t i;

	for (i = 0; i < space->nodes_count; i++) {
		struct aml_node *node = &space->nodes[i];
		uint64_t bus = 0;

		if (node->object != NULL && node->object->type == AML_NODE &&
		    (is_id(space, node, "_HID") || is_id(space, node, "_CID")) &&
		    (aml_child(node, "_BBN") == NULL || number_of(space, node, "_BBN", &bus)) &&
		    bus == 0) {
			return node;
		}
	}
	return NULL;
}

/* \_PIC (1) says that interrupts arrive at I/O APICs. */
static void end_loading(struct aml_space *space)
{
	struct aml_node *node = aml_child(space->nodes, "_PIC");
	struct aml_object *one = aml_new(space, AML_INTEGER, 0, 1);

	space->steps_left = AML_STEPS_MAX;
	space->host_bridge = find_host_bridge(space);
	if (node != NULL && one != NULL) {
		(void)aml_evaluate(space, node, &one, 1);
	}
}

static struct aml_space *make_space(uint32_t bytes, const struct aml_machine *machine)
{
	struct aml_space *space = calloc(1, sizeof(*space));

	if (space == NULL) {
		return NULL;
	}
	space->machine = *machine;
	space->nodes_max = bytes / 8 + 64 < AML_NODES_MAX ? bytes / 8 + 64 : AML_NODES_MAX;
	space->aml = malloc(bytes + 1);
	space->nodes = calloc(space->nodes_max, sizeof(*space->nodes));
	space->arena = malloc(AML_ARENA_BYTES);
	if (space->aml == NULL || space->nodes == NULL || space->arena == NULL) {
		aml_close(space);
		return NULL;
	}
	space->nodes_count = 1;
	space->steps_left = AML_STEPS_MAX;
	make_scopes(space);
	return space;
}

static void load_table(struct aml_space *space, const uint8_t *aml, uint32_t bytes)
{
	aml_load(space, aml, aml + bytes, space->nodes);
}

struct aml_space *aml_open_bytes(const uint8_t *aml, uint32_t bytes,
                                 const struct aml_machine *machine)
{
	struct aml_space *space = make_space(bytes, machine);

	if (space != NULL) {
		memcpy(space->aml, aml, bytes);
		load_table(space, space->aml, bytes);
		end_loading(space);
	}
	return space;
}

void aml_close(struct aml_space *space)
{
	if (space != NULL) {
		free(space->aml);
		free(space->nodes);
		free(space->arena);
		free(space);
	}
}

struct table {
	uint64_t address;
	uint32_t bytes;
};

static uint32_t load32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static bool find_dsdt(uint64_t root, const struct aml_machine *machine, struct table *table)
{
	uint8_t fadt[FADT_X_DSDT + 8] = { 0 };
	uint8_t header[HEADER_BYTES];
	uint64_t at;
	uint32_t bytes = acpi_find_table(root, "FACP", 0, machine->read, machine->context, &at);

	bytes = bytes < sizeof(fadt) ? bytes : (uint32_t)sizeof(fadt);
	if (bytes < FADT_DSDT + 4 || !machine->read(machine->context, at, fadt, bytes)) {
		return false;
	}
	memcpy(&table->address, fadt + FADT_X_DSDT, 8);
	if (table->address == 0) {
		table->address = load32(fadt + FADT_DSDT);
	}
	if (table->address == 0 ||
	    !machine->read(machine->context, table->address, header, sizeof(header)) ||
	    memcmp(header, "DSDT", 4) != 0) {
		return false;
	}
	table->bytes = load32(header + 4);
	return table->bytes > HEADER_BYTES && table->bytes <= AML_BYTES_MAX;
}

/* DSDT first, then SSDTs as long as there is room. Returns the bytes of all. */
static uint32_t find_tables(uint64_t root, const struct aml_machine *machine, struct table *tables,
                            uint32_t *count)
{
	uint32_t total;
	uint32_t i;

	*count = 0;
	if (!find_dsdt(root, machine, &tables[0])) {
		return 0;
	}
	total = tables[(*count)++].bytes;
	for (i = 0; i < TABLES_MAX - 1; i++) {
		struct table *table = &tables[*count];

		table->bytes = acpi_find_table(root, "SSDT", i, machine->read, machine->context,
		                               &table->address);
		if (table->address == 0) {
			break;
		}
		if (table->bytes > HEADER_BYTES && table->bytes <= AML_BYTES_MAX - total) {
			total += table->bytes;
			(*count)++;
		}
	}
	return total;
}

static bool read_table(const struct aml_machine *machine, const struct table *table, uint8_t *out)
{
	uint32_t done;

	for (done = 0; done < table->bytes; done += DSDT_PIECE) {
		uint32_t left = table->bytes - done;

		if (!machine->read(machine->context, table->address + done, out + done,
		                   left < DSDT_PIECE ? left : DSDT_PIECE)) {
			return false;
		}
	}
	return true;
}

struct aml_space *aml_open(uint64_t acpi_root, const struct aml_machine *machine)
{
	static struct table tables[TABLES_MAX];
	struct aml_space *space;
	uint32_t count = 0, at, i;
	uint32_t total = acpi_root != 0 ? find_tables(acpi_root, machine, tables, &count) : 0;

	space = total != 0 ? make_space(total, machine) : NULL;
	if (space == NULL) {
		return NULL;
	}
	for (i = 0, at = 0; i < count; at += tables[i++].bytes) {
		if (read_table(machine, &tables[i], space->aml + at)) {
			load_table(space, space->aml + at + HEADER_BYTES,
			           tables[i].bytes - HEADER_BYTES);
		}
	}
	end_loading(space);
	return space;
}

/* ---- devices ---------------------------------------------------------------------------------- */

/* The device with that address right below the node. */
static struct aml_node *find_device(struct aml_space *space, const struct aml_node *parent,
                                    uint16_t bdf)
{
	struct aml_node *node;
	uint64_t address;

	for (node = parent != NULL ? parent->child : NULL; node != NULL; node = node->next) {
		if (node->object != NULL && node->object->type == AML_NODE &&
		    number_of(space, node, "_ADR", &address) &&
		    address == ((uint32_t)(bdf >> 3 & 31) << 16 | (bdf & 7u))) {
			return node;
		}
	}
	return NULL;
}

/* ---- resources -------------------------------------------------------------------------------- */

/* The interrupt of a link device, as it is set now. */
static bool read_link(const struct aml_object *resources, struct acpi_line *out)
{
	const uint8_t *bytes = resources->bytes;
	uint32_t at = 0;

	while (resources->type == AML_BUFFER && at + 3 <= resources->count) {
		bool is_large = (bytes[at] & 0x80) != 0;
		uint32_t begin = at + (is_large ? 3 : 1);
		uint32_t size = is_large ? bytes[at + 1] | (uint32_t)bytes[at + 2] << 8
		                         : bytes[at] & 7u;
		uint32_t mask;

		if (size > resources->count || begin > resources->count - size) {
			return false;
		}
		if (bytes[at] == LARGE_IRQ && size >= 6 && bytes[begin + 1] != 0) {
			out->gsi = load32(bytes + begin + 2);
			out->is_low = (bytes[begin] & LARGE_LOW) != 0;
			return out->gsi != 0;
		}
		if ((bytes[at] & 0xf8) == SMALL_IRQ && size >= 2) {
			mask = bytes[begin] | (uint32_t)bytes[begin + 1] << 8;
			out->gsi = mask != 0 ? (uint32_t)__builtin_ctz(mask) : 0;
			out->is_low = size < 3 || (bytes[begin + 2] & SMALL_LOW) != 0;
			return out->gsi != 0;
		}
		at = begin + size;
	}
	return false;
}

/* An entry of _PRT: address, pin, source, index. */
static bool read_source(struct aml_space *space, const struct aml_object *entry,
                        struct acpi_line *out)
{
	const struct aml_object *source = aml_item(space, entry->items[2]);
	struct aml_node *settings;
	const struct aml_object *resources;
	uint64_t number;

	out->is_level = true;
	out->is_low = true;
	if (aml_integer(source, &number)) {
		if (number != 0 || !aml_integer(aml_item(space, entry->items[3]), &number) ||
		    number > UINT32_MAX) {
			return false;
		}
		out->gsi = (uint32_t)number;
		return true;
	}
	if (source == NULL || source->type != AML_NODE) {
		return false;
	}
	settings = aml_child(source->node, "_CRS");
	resources = settings != NULL ? aml_evaluate(space, settings, NULL, 0) : NULL;
	return resources != NULL && read_link(resources, out);
}

static bool read_routes(struct aml_space *space, struct aml_node *bridge, uint32_t device,
                        uint32_t pin, struct acpi_line *out)
{
	struct aml_node *node = aml_child(bridge, "_PRT");
	struct aml_object *routes = aml_evaluate(space, node, NULL, 0);
	uint32_t i;

	if (routes != NULL && routes->type == AML_PACKAGE) {
		node->object = routes; /* a method is not asked again */
	}
	for (i = 0; routes != NULL && routes->type == AML_PACKAGE && i < routes->count; i++) {
		const struct aml_object *entry = aml_item(space, routes->items[i]);
		uint64_t address, number;

		if (entry == NULL || entry->type != AML_PACKAGE || entry->count < 4 ||
		    !aml_integer(aml_item(space, entry->items[0]), &address) ||
		    !aml_integer(aml_item(space, entry->items[1]), &number)) {
			continue;
		}
		if (address >> 16 == device && number + 1 == pin) {
			return read_source(space, entry, out);
		}
	}
	return false;
}

/* ---- the way up ------------------------------------------------------------------------------- */

/* The bridge that leads to the bus, or NULL. */
static const struct pci_function *find_bridge(uint32_t bus, const struct pci_function *functions,
                                              uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		if (functions[i].header_kind == PCI_HEADER_BRIDGE &&
		    (pci_read(&functions[i], PCI_SECONDARY_BUS, 1) & 0xff) == bus) {
			return &functions[i];
		}
	}
	return NULL;
}

/* The node of a bus's bridge: by addresses down from the host bridge. */
static struct aml_node *find_bus(struct aml_space *space, uint32_t bus,
                                 const struct pci_function *functions, uint32_t count)
{
	uint16_t path[BUS_LEVELS];
	uint32_t levels = 0;
	struct aml_node *node;

	while (bus != 0) {
		const struct pci_function *bridge = find_bridge(bus, functions, count);

		if (bridge == NULL || levels == BUS_LEVELS) {
			return NULL;
		}
		path[levels++] = bridge->bdf;
		bus = bridge->bdf >> 8;
	}
	node = space->host_bridge;
	while (levels != 0 && node != NULL) {
		node = find_device(space, node, path[--levels]);
	}
	return node;
}

bool aml_route(struct aml_space *space, const struct pci_function *function,
               const struct pci_function *functions, uint32_t count, struct acpi_line *out)
{
	uint16_t bdf = function->bdf;
	uint32_t pin = function->interrupt_pin;
	uint32_t level;
	bool is_found = false;

	for (level = 0; level < BUS_LEVELS && pin >= 1 && pin <= 4; level++) {
		struct aml_node *node = find_bus(space, bdf >> 8, functions, count);
		const struct pci_function *bridge;

		if (node != NULL && aml_child(node, "_PRT") != NULL) {
			is_found = read_routes(space, node, bdf >> 3 & 31u, pin, out);
			break;
		}
		/* A bridge passes pins on, turned by the number of the device. */
		bridge = find_bridge(bdf >> 8, functions, count);
		if (bdf >> 8 == 0 || bridge == NULL) {
			break;
		}
		pin = (pin - 1 + (bdf >> 3 & 31u)) % 4 + 1;
		bdf = bridge->bdf;
	}
	return is_found;
}
