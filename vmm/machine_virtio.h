// SPDX-License-Identifier: Apache-2.0
/* The virtio devices in the machine: their memory, their wires, and the kernel's calls below. */
#pragma once

/* Builds them if the partition has VMM_CONFIG_DEVICES; else nothing. An enum bh_error. */
int machine_virtio_init(void);
