/* SPDX-License-Identifier: Apache-2.0 */
/* What lwIP wants of the compiler and the system below it (its doc/sys_arch.txt): see mgmt/net/port.c. */
#pragma once

#include <stdint.h>
#include <sys/types.h> /* ssize_t */

/* An unguessable number; also the base of lwIP's port numbers and transaction ids. */
uint32_t net_random(void);

_Noreturn void net_assert_failed(const char *message);
void net_diagnose(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define LWIP_RAND()             net_random()
#define LWIP_PLATFORM_ASSERT(x) net_assert_failed(x)
#define LWIP_PLATFORM_DIAG(x)   net_diagnose x
#define LWIP_NO_UNISTD_H        1
#define SSIZE_MAX               INT64_MAX
#define LWIP_TIMEVAL_PRIVATE    0
