/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU feature table (feature.h): detection, masking by name, printing. All pCPUs are taken to be alike. */
#include "arch/x86/feature.h"

#include "arch/x86/asm.h"
#include "kernel/string.h"

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

uint64_t feature_bits[(FEATURE_COUNT + 63) / 64];
static uint64_t masked_bits[(FEATURE_COUNT + 63) / 64];
static char unknown_name[24];

static bool leaf_exists(uint32_t leaf)
{
	return cpuid_read(leaf & 0x80000000u, 0).eax >= leaf;
}

static bool record_is_present(const struct feature_record *record)
{
	struct cpuid_result r;
	uint32_t words[4];

	if (record->leaf == 0 || !leaf_exists(record->leaf)) {
		return false;
	}
	r = cpuid_read(record->leaf, record->subleaf);
	words[EAX] = r.eax;
	words[EBX] = r.ebx;
	words[ECX] = r.ecx;
	words[EDX] = r.edx;
	return (words[record->reg] >> record->bit) & 1;
}

static void mask_name(const char *name, size_t length)
{
	for (uint32_t i = 0; i < FEATURE_COUNT; i++) {
		if (strlen(records[i].name) == length &&
		    memcmp(records[i].name, name, length) == 0) {
			masked_bits[i / 64] |= BIT(i % 64);
			return;
		}
	}
	if (unknown_name[0] == '\0' && length < sizeof(unknown_name)) {
		memcpy(unknown_name, name, length);
	}
}

static void mask_parse(const char *mask)
{
	while (*mask != '\0') {
		size_t length = 0;

		while (mask[length] != '\0' && mask[length] != ',') {
			length++;
		}
		if (length != 0) {
			mask_name(mask, length);
		}
		mask += length + (mask[length] == ',');
	}
}

void feature_found(enum feature feature)
{
	if (((masked_bits[feature / 64] >> (feature % 64)) & 1) == 0) {
		feature_bits[feature / 64] |= BIT(feature % 64);
	}
}

void feature_drop(enum feature feature)
{
	feature_bits[feature / 64] &= ~BIT(feature % 64);
}

void feature_detect(const char *mask)
{
	mask_parse(mask);
	for (uint32_t i = 0; i < FEATURE_COUNT; i++) {
		if (record_is_present(&records[i])) {
			feature_found((enum feature)i);
		}
	}
	/* The vendor bits of the other vendor's leaf are meaningless (8000000Ah exists on AMD only). */
	if (!feature_has(FEATURE_SVM)) {
		for (uint32_t i = FEATURE_SVM_NPT; i <= FEATURE_NPT_1G; i++) {
			feature_drop((enum feature)i);
		}
	}
}

const char *feature_mask_unknown(void)
{
	return unknown_name;
}

void feature_names(char *text, size_t size)
{
	size_t at = 0;

	for (uint32_t i = 0; i < FEATURE_COUNT; i++) {
		size_t length = strlen(records[i].name);

		if (!feature_has((enum feature)i) || at + length + 2 > size) {
			continue;
		}
		if (at != 0) {
			text[at++] = ' ';
		}
		memcpy(text + at, records[i].name, length);
		at += length;
	}
	text[at] = '\0';
}

void feature_cpu_name(char *text, size_t size)
{
	char name[49];
	const char *start = name;

	memset(name, 0, sizeof(name));
	if (leaf_exists(0x80000004u)) {
		for (uint32_t i = 0; i < 3; i++) {
			struct cpuid_result r = cpuid_read(0x80000002u + i, 0);

			memcpy(name + 16 * i, &r, 16);
		}
	}
	while (*start == ' ') {
		start++;
	}
	for (size_t length = strlen(start); length != 0 && start[length - 1] == ' '; length--) {
		name[(size_t)(start - name) + length - 1] = '\0';
	}
	memset(text, 0, size);
	memcpy(text, start, strlen(start) < size ? strlen(start) : size - 1);
}

uint32_t feature_physical_bits(void)
{
	return leaf_exists(0x80000008u) ? cpuid_read(0x80000008u, 0).eax & 0xff : 36;
}

bool feature_is_tcg(void)
{
	struct cpuid_result r = cpuid_read(0x40000000u, 0);

	/* The leaf is only defined with the hypervisor bit (CPUID 1 ECX 31). */
	return (cpuid_read(1, 0).ecx >> 31) != 0 && r.ebx == 0x54474354u && r.ecx == 0x43544743u &&
	       r.edx == 0x47435447u;
}
