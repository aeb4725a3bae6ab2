/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that root keeps over restarts of mgmt: runs that are contiguous for devices, cleared once.
 *
 * What a run is for stands in the ledger, so a new mgmt finds it. Requests wait for their turn at
 * root; kept_poll() moves them on. Used for what devices write themselves, fetched files and disks
 * in memory.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bulkhead/protocol.h"
#include "mgmt/ledger.h"

#define KEPT_REQUESTS_MAX 8u

/* idx is the run's index, or a negative enum bh_error with what root said. */
typedef void kept_done_fn(void *owner, int idx, const char *message);

/* Takes over what the ledger and root say; runs that nobody knows are given back. Call once. */
void kept_init(void);

/* Asks for a run; done() is called from kept_poll(). The name is for purpose KEPT_FILE and others that need
 * one. False if too many requests wait. */
bool kept_take(enum kept_purpose purpose, const char *name, uint64_t bytes, kept_done_fn *done,
               void *owner);

/* Has the kernel write records of these kinds into a run of KEPT_TRACE, or stop for 0; done() as above. False: another such request
 * waits. */
bool kept_trace(uint32_t idx, uint32_t kinds, kept_done_fn *done);

/* Gives a run back. Nothing may use it any more. */
void kept_release(uint32_t idx);

/* The record of a run that is there, or NULL. */
struct kept_record *kept_record(uint32_t idx);

/* The first run of this purpose and name (NULL: any name), or -1. */
int kept_find(enum kept_purpose purpose, const char *name);

void *kept_address(uint32_t idx);
uint64_t kept_bytes(uint32_t idx);
uint64_t kept_physical(uint32_t idx);

/* Bytes that root has cleared of the run that is being taken, and their total; 0 when none is. */
uint64_t kept_progress(uint64_t *total);

/* Takes answers, sends requests. Call after every event, before partition_poll(). */
void kept_poll(void);
