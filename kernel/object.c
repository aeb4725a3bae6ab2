/* SPDX-License-Identifier: Apache-2.0 */
/* The beginning and the end of an object, whatever its type. Owns nothing but the switch over types. */
#include "kernel/object.h"

#include "kernel/call.h"
#include "kernel/event.h"
#include "kernel/handle.h"
#include "kernel/interrupt.h"
#include "kernel/limbo.h"
#include "kernel/region.h"
#include "kernel/thread.h"
#include "kernel/vcpu.h"

void object_init(struct object *object, enum bh_object_type type, struct domain *payer)
{
	object->type = (uint8_t)type;
	object->is_dying = 0;
	object->handles_count = 0;
	object->payer = payer;
}

static int thread_end(struct thread *thread)
{
	thread_kill(thread);
	if (!thread_is_dead(thread) && thread->cpu != cpu_self()) {
		message_sync();
	}
	if (!thread_is_dead(thread)) {
		return BH_ERR_AGAIN;
	}
	limbo_add_object(&thread->object);
	return BH_OK;
}

static int vm_end(struct vm *vm)
{
	if (!list_is_empty(&vm->mappings)) {
		mapping_remove(list_entry(vm->mappings.next, struct mapping, target_node));
		return REAP_MORE;
	}
	list_remove(&vm->node);
	limbo_add_object(&vm->object);
	return BH_OK;
}

static int vcpu_end(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->vm->vcpus[vcpu->idx], NULL, __ATOMIC_RELEASE);
	limbo_add_object(&vcpu->object);
	return BH_OK;
}

int object_end(struct object *object)
{
	switch (object->type) {
	case BH_OBJECT_DOMAIN: {
		int error = domain_end(domain_of(object));

		if (error == BH_OK) {
			limbo_add_object(object);
		}
		return error;
	}
	case BH_OBJECT_THREAD:
		return thread_end(thread_of(object));
	case BH_OBJECT_REGION:
		return region_end(region_of(object));
	case BH_OBJECT_EVENT_SET:
		return event_set_end(event_set_of(object));
	case BH_OBJECT_EVENT:
		return event_end(event_of(object));
	case BH_OBJECT_VM:
		return vm_end(container_of(object, struct vm, object));
	case BH_OBJECT_VCPU:
		return vcpu_end(container_of(object, struct vcpu, object));
	case BH_OBJECT_INTERRUPT:
		interrupt_end(interrupt_of(object));
		limbo_add_object(object);
		return BH_OK;
	case BH_OBJECT_PORTS:
		limbo_add_object(object);
		return BH_OK;
	default:
		panic("an object of type %u ends", object->type);
	}
}
