/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU feature table (feature.h): detection, masking by name, printing. All pCPUs are taken to be alike. */
#include "arch/x86/feature.h"

#include "arch/x86/asm.h"
#include "kernel/object.h"
#include "kernel/string.h"

#define SIGNATURE_TCG 0x54474354u /* "TCGTCGTCGTCG" in EBX, ECX, EDX */

/* The order of the registers in struct cpuid_result. */
enum cpuid_register {
	EAX,
	EBX,
	ECX,
	EDX
};

struct feature_record {
	const char *name;
	uint32_t leaf;
	uint8_t subleaf;
	uint8_t reg; /* enum cpuid_register */
	uint8_t bit;
};

#define FEATURE_RECORD(symbol, name, leaf, subleaf, reg, bit) { name, leaf, subleaf, reg, bit },
static const struct feature_record records[] = { FEATURE_LIST(FEATURE_RECORD) };
#undef FEATURE_RECORD

uint64_t feature_bits;
static uint64_t masked_bits;

static bool record_is_present(const struct feature_record *record)
{
	struct cpuid_result r = cpuid_read(record->leaf & 0x80000000u, 0);

	if (record->leaf == 0 || r.eax < record->leaf) {
		return false;
	}
	r = cpuid_read(record->leaf, record->subleaf);
	return (((const uint32_t *)&r)[record->reg] >> record->bit) & 1;
}

static void mask_name(const char *name, size_t length)
{
	for (uint32_t i = 0; i < FEATURE_COUNT; i++) {
		if (strncmp(records[i].name, name, length) == 0 &&
		    records[i].name[length] == '\0') {
			masked_bits |= BIT(i);
			return;
		}
	}
	log_print("mask=: no CPU feature is called as at '%s'", name);
}

void feature_found(enum feature feature)
{
	feature_bits |= BIT(feature) & ~masked_bits;
}

void feature_detect(const char *mask)
{
	while (mask != NULL && *mask != '\0' && *mask != ' ') {
		size_t length = 0;

		while (mask[length] != '\0' && mask[length] != ' ' && mask[length] != ',') {
			length++;
		}
		mask_name(mask, length);
		mask += length + (mask[length] == ',');
	}
	for (uint32_t i = 0; i < FEATURE_COUNT; i++) {
		if (record_is_present(&records[i])) {
			feature_found((enum feature)i);
		}
	}
}

void feature_names(char *text, size_t size)
{
	size_t at = 0;

	for (uint32_t i = 0; i < FEATURE_COUNT; i++) {
		size_t length = strlen(records[i].name);

		if (feature_has((enum feature)i) && at + length + 2 <= size) {
			memcpy(text + at, records[i].name, length);
			text[at + length] = ' ';
			at += length + 1;
		}
	}
	text[at != 0 ? at - 1 : 0] = '\0';
}

uint32_t feature_physical_bits(void)
{
	return cpuid_read(0x80000008u, 0).eax & 0xff;
}

bool feature_is_tcg(void)
{
	/* The leaf is only defined with the hypervisor bit (CPUID 1 ECX 31). */
	return (cpuid_read(1, 0).ecx >> 31) != 0 && cpuid_read(0x40000000u, 0).ebx == SIGNATURE_TCG;
}
