/* SPDX-License-Identifier: Apache-2.0 */
/* The threads that root made for a domain: 0 runs main(), the others wait for bh_threads_release(). */
#pragma once

#include <stdint.h>

/* Let threads 1.. go on into domain_thread_main(). Called once, by thread 0, when what they use is ready. */
void bh_threads_release(void);

/* What thread `idx` (1..) runs; supplied by a program that has more than one thread. Must not return. */
_Noreturn void domain_thread_main(uint32_t idx);

/* End the domain at once with a line in the kernel log. */
_Noreturn void domain_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
