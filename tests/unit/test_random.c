// SPDX-License-Identifier: Apache-2.0
/* ChaCha20 against RFC 8439 2.3.2, and that no two outputs are alike. */
// sources: mgmt/random.c tests/unit/mgmt_machine.c mgmt/ledger.c mgmt/config.c mgmt/config_keys.c mgmt/config_value.c mgmt/config_devices.c mgmt/config_net.c mgmt/config_switch.c mgmt/switch/address.c mgmt/switch/rule.c
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/random.h"

static void test_chacha20(void **state)
{
	static const uint32_t input[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574,
		                            0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c,
		                            0x13121110, 0x17161514, 0x1b1a1918, 0x1f1e1d1c,
		                            0x00000001, 0x09000000, 0x4a000000, 0x00000000 };
	static const uint32_t expected[16] = { 0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3,
		                               0xc7f4d1c7, 0x0368c033, 0x9aaa2204, 0x4e6cd4c3,
		                               0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9,
		                               0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2 };
	uint32_t output[16];

	(void)state;
	random_chacha20(input, output);
	assert_memory_equal(output, expected, sizeof(expected));
}

static void test_outputs_differ(void **state)
{
	uint8_t bytes[64][16];
	uint32_t counts[2] = { 0, 0 };
	uint32_t i;
	uint32_t j;

	(void)state;
	for (i = 0; i < 64; i++) {
		random_bytes(bytes[i], sizeof(bytes[i]));
		for (j = 0; j < i; j++) {
			assert_memory_not_equal(bytes[i], bytes[j], sizeof(bytes[i]));
		}
	}
	for (i = 0; i < sizeof(bytes) * 8; i++) {
		counts[(&bytes[0][0])[i / 8] >> (i % 8) & 1]++;
	}
	/* 8192 bits: half of them, six standard deviations each way. */
	assert_in_range(counts[1], 4096 - 272, 4096 + 272);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chacha20),
		cmocka_unit_test(test_outputs_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
