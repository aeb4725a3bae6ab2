/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose turn it is with root's channel: one request at a time, and no other before its asker has taken the answer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* True if a request may be sent. */
bool root_turn_is_free(void);

/* The request's parameters are in the channel: sends it. */
void root_turn_send(uint32_t request);

/* Has root answered what was sent last? */
bool root_turn_is_answered(void);

/* The answer is taken. */
void root_turn_end(void);

/* A request of the mgmt before, whose answer is still to be taken. */
void root_turn_adopt(void);
