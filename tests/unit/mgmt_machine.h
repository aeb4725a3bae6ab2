/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine for the management tests: root and the VMMs as simple state machines below
 * mgmt/machine.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mgmt/machine.h"

#define FAKE_MEMORY (1024ull << 20)
#define FAKE_HZ     1000000ull

extern uint64_t fake_now;
extern uint64_t fake_exits_more; /* each vCPU's I/O exits beyond the first 100 */
extern uint64_t fake_memory_free;
extern int fake_create_error;         /* what root answers to the next CREATE */
extern bool fake_root_is_slow;        /* root answers nothing */
extern bool fake_vmm_is_silent;       /* VMMs carry out no command */
extern uint32_t fake_vmm_start_state; /* enum vmm_state after a start from images */
extern uint32_t fake_creates_count;
extern uint32_t fake_resets_count;

/* Virtio devices: the guests' memory (one for all), and what was sent. */
extern uint8_t *fake_guest_base;
extern uint32_t fake_msis_count;
extern uint64_t fake_msi_address;
extern uint32_t fake_msi_data;
extern uint32_t fake_device_signals_count;
extern struct root_partition_params fake_last_params;
extern bool fake_is_poweroff;
extern char fake_end;             /* 'c' or 'h': mgmt was told to crash or hang */
extern uint64_t fake_end_tsc;     /* and when */
extern uint32_t fake_trace_kinds; /* what root was asked for last */

/* Four pCPUs, 1 GiB, the files vmlinuz, initrd.img, broken.conf; `gone` is missing. */
void fake_reset(void);

/* Lets root and the VMMs do what is to be done. */
void fake_step(void);

void fake_vmm_set_state(uint32_t slot, uint32_t state, const char *reason);
void fake_vmm_print(uint32_t slot, const char *text);
