// SPDX-License-Identifier: Apache-2.0
/* One request to root at a time (see root_turn.h). */
#include "mgmt/root_turn.h"

#include "mgmt/machine.h"

static bool is_out;

bool root_turn_is_answered(void)
{
	const struct root_channel *channel = machine_root_channel();

	return machine_load32(&channel->done_sequence) ==
	       machine_load32(&channel->request_sequence);
}

bool root_turn_is_free(void)
{
	return !is_out && root_turn_is_answered();
}

void root_turn_send(uint32_t request)
{
	struct root_channel *channel = machine_root_channel();

	is_out = true;
	channel->request = request;
	machine_store32(&channel->request_sequence, machine_load32(&channel->request_sequence) + 1);
	machine_signal_root();
}

void root_turn_end(void)
{
	is_out = false;
}

void root_turn_adopt(void)
{
	is_out = true;
}
