/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The partition manager: guests, their states, and what is done when they end.
 *
 * It asks root for partitions, watches the VMMs' channels, carries out the policies on-poweroff,
 * on-reboot and on-crash, and keeps every lasting fact in the ledger. It prints nothing: errors go
 * into a struct result, news into the event log. Nothing here waits; partition_poll() moves
 * everything on. States and policies as an operator sees them: docs/configuration.md,
 * docs/shell.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mgmt/ledger.h"
#include "mgmt/result.h"

/* Takes over what the ledger and root say. Call once, before all others. */
void partition_init(void);

/* Moves everything on: root's answers, VMM states, restarts, autostarts. Call after every event. */
void partition_poll(void);

/* The time at which partition_poll() has something to do without an event, or BH_FOREVER. */
uint64_t partition_deadline_tsc(void);

/* The guest in this slot, or NULL. */
struct guest *partition_guest(uint32_t slot);
struct guest *partition_find(const char *name);
uint32_t partition_slot(const struct guest *guest);
const char *partition_state_name(uint32_t state);

/* True while the VMM's channel and console may be touched. */
bool partition_has_vmm(const struct guest *guest);

/* True while something asked of root or of the VMM is not finished. */
bool partition_is_busy(const struct guest *guest);

/* The verbs. False with an error in result; true: begun (result untouched), partition_poll() goes
 * on. */
bool partition_define(const struct config_guest *config, struct result *result);
bool partition_delete(struct guest *guest, struct result *result);
bool partition_start(struct guest *guest, struct result *result);
bool partition_stop(struct guest *guest, bool is_reboot, struct result *result);
bool partition_kill(struct guest *guest, struct result *result);
bool partition_reset(struct guest *guest, struct result *result);
bool partition_pause(struct guest *guest, struct result *result);
bool partition_resume(struct guest *guest, struct result *result);

/* Asks the VMM for a vCPU's registers; they are in its channel once partition_is_busy() is
 * false. */
bool partition_read_registers(struct guest *guest, uint32_t vcpu_idx, struct result *result);

/* Replaces the configuration; what is live is passed on, the rest counts from the next start. */
void partition_configure(struct guest *guest, const struct config_guest *config);

/* Has root end this mgmt and start another, which takes everything over. False with an error. */
bool partition_restart_mgmt(uint64_t delay_us, struct result *result);

/* Begins to start the guests with autostart = yes, one after the other. */
void partition_autostart(void);

/* Boot file or fetched file by the name in a configuration (folders ignored): index in
 * mgmt_info.files, or BH_FILE_KEPT and that of a kept run; -1 if there is none. */
int partition_find_file(const char *name);

struct partition_file {
	const char *bytes;
	uint64_t size_bytes;
};

/* Where the file lies; false if there is none, or the boot loader could not read it. */
bool partition_read_file(int idx, struct partition_file *file);

/* A guest that has, or may have, the file mapped; NULL if none. */
const struct guest *partition_file_user(const char *name);

/* partition_start.c: checks and sets up a start: files, memory, pCPUs. False with an error. */
bool partition_prepare(struct guest *guest, struct result *result);

/* Fills the request for root from what partition_prepare() chose. */
void partition_fill_params(const struct guest *guest, struct root_partition_params *params);
