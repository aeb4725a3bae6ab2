/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cost of each primitive in TSC ticks; under instruction counting a tick is an instruction. One line a figure:
 *     bench NAME MIN MEDIAN MAX
 * per operation, of ROUNDS rounds of BATCH operations; the cost of the empty loop is taken off. Runs unchanged bare, on Bulkhead
 * and on other hypervisors (multiboot or PVH): what a machine does not have ends in a fault, which is caught and printed as `-`.
 *
 * Words of the command line: `only=NAME` measures that figure alone, `repeat=NAME` does it without end (for a profile), `cpus=2`
 * adds what needs a second processor, `cpus=4` (3 to 9) what needs several and KVM's call to interrupt them.
 */
#include "guests/bench/bench.h"

#define ROUNDS 9u

static uint64_t empty_cost;
static char only[64], repeat[64];
static uint32_t cpus_count = 1;

static void sort(uint64_t *values, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++) {
		for (uint32_t k = i; k > 0 && values[k] < values[k - 1]; k--) {
			uint64_t swap = values[k];

			values[k] = values[k - 1];
			values[k - 1] = swap;
		}
	}
}

static bool is_same(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

/* One round. False if the machine refused the operation. */
static bool run_round(void (*run)(void *), uint64_t *cost)
{
	uint64_t start = rdtsc();

	if (guest_catch(run, NULL, NULL) >= 0) {
		return false;
	}
	*cost = rdtsc() - start;
	return true;
}

static void measure(const struct bench_figure *figure)
{
	uint64_t costs[ROUNDS];

	if (only[0] != '\0' && !is_same(only, figure->name)) {
		return;
	}
	for (uint32_t i = 0; i < ROUNDS; i++) {
		if (!run_round(figure->run, &costs[i])) {
			print("bench %s - - -\n", figure->name);
			return;
		}
		costs[i] = (costs[i] > empty_cost ? costs[i] - empty_cost : 0) / BENCH_BATCH;
	}
	sort(costs, ROUNDS);
	print("bench %s %lu %lu %lu\n", figure->name, costs[0], costs[ROUNDS / 2],
	      costs[ROUNDS - 1]);
}

static void measure_all(const struct bench_figure *figures)
{
	for (; figures->name != NULL; figures++) {
		if (is_same(repeat, figures->name)) {
			print("repeating %s\n", repeat);
			for (;;) {
				figures->run(NULL);
			}
		}
		measure(figures);
	}
}

static void measure_empty(void)
{
	uint64_t cost;

	empty_cost = ~0ull;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		if (run_round(bench_empty, &cost) && cost < empty_cost) {
			empty_cost = cost;
		}
	}
}

/* Takes the value of `word=` into value[64]. True if `text` begins with it. */
static bool take_word(const char *text, const char *word, char *value)
{
	uint32_t count = 0;

	while (*word != '\0') {
		if (*text++ != *word++) {
			return false;
		}
	}
	while (*text > ' ' && count < 63) {
		value[count++] = *text++;
	}
	value[count] = '\0';
	return true;
}

static void take_cmdline(const char *text)
{
	char value[64];

	for (bool is_start = true; *text != '\0'; is_start = *text++ == ' ') {
		if (!is_start) {
			continue;
		}
		(void)(take_word(text, "only=", only) || take_word(text, "repeat=", repeat));
		if (take_word(text, "cpus=", value) && value[0] >= '2' && value[0] <= '9') {
			cpus_count = (uint32_t)(value[0] - '0');
		}
	}
}

static void find_console(void)
{
	uint32_t registers[4];

	cpuid(0x40000000, 0, registers);
	if (registers[1] ==
	    0x566e6558) { /* "XenV": a PVH guest has no UART, Xen's log takes port E9h */
		guest_debug_port = 0xe9;
	}
}

void guest_main(const struct multiboot_info *info)
{
	if ((info->flags & 4) != 0) {
		take_cmdline((const char *)(uint64_t)info->cmdline);
	}
	find_console();
	bench_init();
	measure_empty();
	measure_all(bench_primitives);
	(void)guest_eoi_word_use(true);
	measure_all(bench_xapic);
	bool has_second = cpus_count > 1 && bench_start_others(cpus_count - 1);

	if (has_second) {
		measure_all(bench_cross);
	}
	bool has_x2apic = bench_x2apic_enable();

	measure_all(has_x2apic ? bench_x2apic : bench_x2apic_missing);
	if (has_second) {
		bench_cross_turn();
		measure_all(has_x2apic ? bench_cross_x2apic : bench_cross_x2apic_missing);
	}
	if (has_second && has_x2apic && cpus_count > 2) {
		bench_many_init(cpus_count - 1);
		measure_all(bench_many);
	}
	check(true, "measured");
	guest_exit("bench");
}
