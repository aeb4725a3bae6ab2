/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doorbells: guest ports whose writes the kernel finishes by setting an event, or by nothing at all. The full list is searched on the slow
 * path; a doorbell without a value to match also gets a place in the one-probe table that the exit path reads (struct port_slot).
 * Bound and unbound under kernel_lock; other pCPUs read the table without one, so an event that goes is waited for by message_sync().
 */
#include "kernel/doorbell.h"

#include "arch/x86/hvm.h"

static bool is_same(const struct doorbell *doorbell, const struct bh_doorbell *record)
{
	return doorbell->is_used && doorbell->port == record->address &&
	       doorbell->length_bytes == record->length_bytes &&
	       doorbell->is_match == ((record->flags & BH_DOORBELL_MATCH) != 0) &&
	       (!doorbell->is_match || doorbell->value == record->value);
}

static bool overlaps(const struct doorbell *doorbell, const struct bh_doorbell *record)
{
	bool same_length = doorbell->length_bytes == 0 || record->length_bytes == 0 ||
	                   doorbell->length_bytes == record->length_bytes;
	bool both_match = doorbell->is_match && (record->flags & BH_DOORBELL_MATCH) != 0;

	return doorbell->is_used && doorbell->port == record->address && same_length &&
	       (!both_match || doorbell->value == record->value);
}

static int check(const struct bh_doorbell *record)
{
	if ((record->flags & ~(BH_DOORBELL_PORT | BH_DOORBELL_MATCH)) != 0 ||
	    record->reserved != 0) {
		return BH_ERR_INVALID;
	}
	if ((record->flags & BH_DOORBELL_PORT) == 0) {
		return BH_ERR_UNSUPPORTED;
	}
	if (record->address > 0xffff || record->length_bytes > 4 || record->length_bytes == 3) {
		return BH_ERR_INVALID;
	}
	return BH_OK;
}

void doorbell_slots_clear(struct vm *vm)
{
	for (uint32_t i = 0; i < VM_PORT_SLOTS; i++) {
		vm->port_slots[i] = (struct port_slot){ .mask = 0, .key = ~0u };
	}
}

/*
 * Another pCPU may read the slot at any moment: it must never match a half-made one. Closing comes first (key that no mask yields),
 * opening last.
 */
static void slot_close(struct port_slot *slot)
{
	__atomic_store_n(&slot->key, ~0u, __ATOMIC_SEQ_CST);
	__atomic_store_n(&slot->mask, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&slot->event, NULL, __ATOMIC_SEQ_CST);
}

static void slot_open(struct port_slot *slot, const struct doorbell *doorbell)
{
	uint32_t key, mask;

	hvm->doorbell_key(doorbell->port, doorbell->length_bytes, &key, &mask);
	__atomic_store_n(&slot->event, doorbell->event, __ATOMIC_SEQ_CST);
	__atomic_store_n(&slot->mask, mask, __ATOMIC_SEQ_CST);
	__atomic_store_n(&slot->key, key, __ATOMIC_SEQ_CST);
}

static struct port_slot *slot_of(struct vm *vm, const struct doorbell *doorbell)
{
	return &vm->port_slots[doorbell->port % VM_PORT_SLOTS];
}

/* A port with doorbells that look at the value must not be answered from the table, whatever else is bound to it. */
static bool has_match(const struct vm *vm, uint16_t port)
{
	for (uint32_t i = 0; i < BH_DOORBELLS_MAX; i++) {
		if (vm->doorbells[i].is_used && vm->doorbells[i].is_match &&
		    vm->doorbells[i].port == port) {
			return true;
		}
	}
	return false;
}

static void slot_refill(struct vm *vm, struct port_slot *slot)
{
	const struct doorbell *chosen = NULL;
	bool is_used = false;

	slot_close(slot);
	for (uint32_t i = 0; i < BH_DOORBELLS_MAX; i++) {
		struct doorbell *doorbell = &vm->doorbells[i];

		if (doorbell->is_used && slot_of(vm, doorbell) == slot) {
			is_used = true;
			if (!doorbell->is_match && !has_match(vm, doorbell->port)) {
				chosen = doorbell;
			}
		}
	}
	vm->doorbell_buckets &= ~BIT(slot - vm->port_slots);
	vm->doorbell_buckets |= (uint64_t)is_used << (slot - vm->port_slots);
	if (chosen != NULL) {
		slot_open(slot, chosen);
	}
}

int vm_doorbell_bind(struct vm *vm, const struct bh_doorbell *record, struct event *event)
{
	struct doorbell *unused = NULL;
	int error = check(record);

	if (error != BH_OK) {
		return error;
	}
	for (uint32_t i = 0; i < BH_DOORBELLS_MAX; i++) {
		if (overlaps(&vm->doorbells[i], record)) {
			return BH_ERR_EXISTS;
		}
		if (unused == NULL && !vm->doorbells[i].is_used) {
			unused = &vm->doorbells[i];
		}
	}
	if (unused == NULL) {
		return BH_ERR_LIMIT;
	}
	unused->port = (uint16_t)record->address;
	unused->value = record->value;
	unused->length_bytes = (uint8_t)record->length_bytes;
	unused->is_match = (record->flags & BH_DOORBELL_MATCH) != 0;
	unused->event = event;
	__atomic_store_n(&unused->is_used, true, __ATOMIC_RELEASE);
	slot_refill(vm, slot_of(vm, unused));
	return BH_OK;
}

int vm_doorbell_unbind(struct vm *vm, const struct bh_doorbell *record)
{
	int error = check(record);

	if (error != BH_OK) {
		return error;
	}
	for (uint32_t i = 0; i < BH_DOORBELLS_MAX; i++) {
		if (is_same(&vm->doorbells[i], record)) {
			__atomic_store_n(&vm->doorbells[i].is_used, false, __ATOMIC_SEQ_CST);
			slot_refill(vm, slot_of(vm, &vm->doorbells[i]));
			return BH_OK;
		}
	}
	return BH_ERR_NOT_FOUND;
}

bool doorbell_ring(struct vm *vm, uint16_t port, uint32_t length_bytes, uint64_t value)
{
	for (uint32_t i = 0; i < BH_DOORBELLS_MAX; i++) {
		const struct doorbell *doorbell = &vm->doorbells[i];

		if (__atomic_load_n(&doorbell->is_used, __ATOMIC_ACQUIRE) &&
		    doorbell->port == port &&
		    (doorbell->length_bytes == 0 || doorbell->length_bytes == length_bytes) &&
		    (!doorbell->is_match || doorbell->value == value)) {
			struct event *event = __atomic_load_n(&doorbell->event, __ATOMIC_ACQUIRE);

			if (event != NULL) {
				event_signal(event);
			}
			return true;
		}
	}
	return false;
}
