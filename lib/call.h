/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One inline wrapper for each kernel call: bh_<call>(). What each does, needs and returns stands at its number in bulkhead/abi.h;
 * these only put arguments into registers. Own no state, hide nothing.
 */
#pragma once

#include "bulkhead/abi.h"

static inline int64_t bh_call6(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                               uint64_t e)
{
	register uint64_t r10 __asm__("r10") = d;
	register uint64_t r8 __asm__("r8") = e;
	int64_t result;

	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
	                 : "rcx", "r11", "memory");
	return result;
}

static inline int64_t bh_call3(uint64_t number, uint64_t a, uint64_t b, uint64_t c)
{
	int64_t result;

	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "a"(number), "D"(a), "S"(b), "d"(c)
	                 : "rcx", "r11", "memory");
	return result;
}

static inline int bh_log_write(const char *text, uint64_t length_bytes)
{
	return (int)bh_call3(BH_CALL_LOG_WRITE, (uint64_t)text, length_bytes, 0);
}

static inline int64_t bh_domain_create(const struct bh_domain_params *params)
{
	return bh_call3(BH_CALL_DOMAIN_CREATE, (uint64_t)params, 0, 0);
}

static inline int bh_domain_info(bh_handle_t domain, struct bh_domain_info *info)
{
	return (int)bh_call3(BH_CALL_DOMAIN_INFO, domain, (uint64_t)info, 0);
}

static inline int64_t bh_thread_create(bh_handle_t domain, const struct bh_thread_params *params)
{
	return bh_call3(BH_CALL_THREAD_CREATE, domain, (uint64_t)params, 0);
}

static inline _Noreturn void bh_thread_exit(void)
{
	for (;;) {
		bh_call3(BH_CALL_THREAD_EXIT, 0, 0, 0);
	}
}

static inline void bh_thread_yield(void)
{
	bh_call3(BH_CALL_THREAD_YIELD, 0, 0, 0);
}

static inline int bh_thread_set_share(bh_handle_t thread, uint32_t weight, uint32_t cap_percent)
{
	return (int)bh_call3(BH_CALL_THREAD_SET_SHARE, thread, weight, cap_percent);
}

static inline int64_t bh_region_allocate(uint64_t size, uint64_t alignment, uint32_t flags)
{
	return bh_call3(BH_CALL_REGION_ALLOCATE, size, alignment, flags);
}

static inline int bh_region_zero(bh_handle_t region)
{
	return (int)bh_call3(BH_CALL_REGION_ZERO, region, 0, 0);
}

/* Into a domain or a guest (vm). */
static inline int bh_region_map(bh_handle_t region, bh_handle_t target, uint64_t address,
                                const struct bh_map *map)
{
	return (int)bh_call6(BH_CALL_REGION_MAP, region, target, address, (uint64_t)map, 0);
}

static inline int bh_region_unmap(bh_handle_t region, bh_handle_t target, uint64_t address)
{
	return (int)bh_call3(BH_CALL_REGION_UNMAP, region, target, address);
}

static inline int bh_region_info(bh_handle_t region, struct bh_region_info *info)
{
	return (int)bh_call3(BH_CALL_REGION_INFO, region, (uint64_t)info, 0);
}

static inline int64_t bh_region_device(bh_handle_t host, uint64_t physical_address, uint64_t size)
{
	return bh_call3(BH_CALL_REGION_DEVICE, host, physical_address, size);
}

static inline int64_t bh_event_set_create(void)
{
	return bh_call3(BH_CALL_EVENT_SET_CREATE, 0, 0, 0);
}

static inline int64_t bh_event_create(bh_handle_t set, uint32_t bit)
{
	return bh_call3(BH_CALL_EVENT_CREATE, set, bit, 0);
}

static inline int bh_event_signal(bh_handle_t event)
{
	return (int)bh_call3(BH_CALL_EVENT_SIGNAL, event, 0, 0);
}

/* An MSI for a guest; vm 0: none. */
struct bh_message {
	bh_handle_t vm;
	uint32_t data;
	uint64_t address;
};

/* bh_vm_msi(), if there is a message, and then bh_event_wait(), in one call. Of `bits` only the word that the result names is written. */
static inline int64_t bh_event_wait_after(const struct bh_message *message, bh_handle_t set,
                                          uint64_t deadline_tsc, uint64_t bits[BH_EVENT_WORDS])
{
	uint64_t vm = message->vm;
	uint64_t address = message->address;
	uint64_t data = message->data;
	register uint64_t r10 __asm__("r10") = vm;
	register uint64_t r8 __asm__("r8") = address;
	register uint64_t r9 __asm__("r9") = data;
	int64_t result;
	uint64_t word;

	__asm__ volatile("syscall"
	                 : "=a"(result), "=d"(word)
	                 : "a"(BH_CALL_EVENT_WAIT), "D"(set), "S"(deadline_tsc), "r"(r10), "r"(r8),
	                   "r"(r9)
	                 : "rcx", "r11", "memory");
	if (result > 0) {
		bits[__builtin_ctzll((uint64_t)result)] = word;
	}
	return result;
}

static inline int64_t bh_event_wait(bh_handle_t set, uint64_t deadline_tsc,
                                    uint64_t bits[BH_EVENT_WORDS])
{
	const struct bh_message none = { 0 };

	return bh_event_wait_after(&none, set, deadline_tsc, bits);
}

static inline int64_t bh_vm_create(const struct bh_vm_params *params)
{
	return bh_call3(BH_CALL_VM_CREATE, (uint64_t)params, 0, 0);
}

static inline int bh_vm_set_cpuid(bh_handle_t vm, const struct bh_cpuid_entry *entries,
                                  uint32_t count)
{
	return (int)bh_call3(BH_CALL_VM_SET_CPUID, vm, (uint64_t)entries, count);
}

static inline int bh_vm_msi(bh_handle_t vm, uint64_t address, uint32_t data)
{
	return (int)bh_call3(BH_CALL_VM_MSI, vm, address, data);
}

static inline int64_t bh_vcpu_create(bh_handle_t vm, uint32_t idx)
{
	return bh_call3(BH_CALL_VCPU_CREATE, vm, idx, 0);
}

static inline int64_t bh_vcpu_page(bh_handle_t vcpu, enum bh_vcpu_page page)
{
	return bh_call3(BH_CALL_VCPU_PAGE, vcpu, page, 0);
}

static inline int bh_vcpu_get_state(bh_handle_t vcpu, struct bh_vcpu_state *state)
{
	return (int)bh_call3(BH_CALL_VCPU_GET_STATE, vcpu, (uint64_t)state, 0);
}

static inline int bh_vcpu_set_state(bh_handle_t vcpu, const struct bh_vcpu_state *state)
{
	return (int)bh_call3(BH_CALL_VCPU_SET_STATE, vcpu, (uint64_t)state, 0);
}

static inline int bh_vcpu_run(bh_handle_t vcpu)
{
	return (int)bh_call3(BH_CALL_VCPU_RUN, vcpu, 0, 0);
}

static inline int bh_vcpu_kick(bh_handle_t vcpu)
{
	return (int)bh_call3(BH_CALL_VCPU_KICK, vcpu, 0, 0);
}

static inline int bh_vcpu_extint(bh_handle_t vcpu, uint32_t level)
{
	return (int)bh_call3(BH_CALL_VCPU_EXTINT, vcpu, level, 0);
}

static inline int bh_vcpu_stats(bh_handle_t vcpu, struct bh_vcpu_stats *stats)
{
	return (int)bh_call3(BH_CALL_VCPU_STATS, vcpu, (uint64_t)stats, 0);
}

static inline int bh_doorbell_bind(bh_handle_t vm, uint16_t port, bh_handle_t event)
{
	return (int)bh_call3(BH_CALL_DOORBELL_BIND, vm, port, event);
}

static inline int bh_doorbell_unbind(bh_handle_t vm, uint16_t port)
{
	return (int)bh_call3(BH_CALL_DOORBELL_UNBIND, vm, port, 0);
}

static inline int64_t bh_port_read(bh_handle_t host, uint16_t port, uint32_t width_bytes)
{
	return bh_call3(BH_CALL_PORT, host, port, width_bytes);
}

static inline int bh_port_write(bh_handle_t host, uint16_t port, uint32_t width_bytes,
                                uint32_t value)
{
	return (int)bh_call6(BH_CALL_PORT, host, port, width_bytes | BH_PORT_WRITE, value, 0);
}

static inline int64_t bh_interrupt_bind(bh_handle_t host, uint32_t gsi, bh_handle_t event,
                                        uint32_t flags)
{
	return bh_call6(BH_CALL_INTERRUPT_BIND, host, gsi, event, flags, 0);
}

static inline int bh_interrupt_ack(bh_handle_t interrupt)
{
	return (int)bh_call3(BH_CALL_INTERRUPT_ACK, interrupt, 0, 0);
}

static inline int bh_trace(bh_handle_t host, bh_handle_t region, uint32_t kinds)
{
	return (int)bh_call3(BH_CALL_TRACE, host, region, kinds);
}

static inline int bh_host_info(bh_handle_t host, struct bh_host_info *info)
{
	return (int)bh_call3(BH_CALL_HOST_INFO, host, (uint64_t)info, 0);
}

static inline int bh_host_control(bh_handle_t host, uint32_t what)
{
	return (int)bh_call3(BH_CALL_HOST_CONTROL, host, what, 0);
}

/* What of BH_HOST_* takes numbers. */
static inline int bh_host_set(bh_handle_t host, uint32_t what, uint64_t first, uint64_t second)
{
	return (int)bh_call6(BH_CALL_HOST_CONTROL, host, what, first, second, 0);
}

static inline int64_t bh_handle_give(bh_handle_t handle, bh_handle_t domain, uint32_t rights,
                                     bh_handle_t slot)
{
	return bh_call6(BH_CALL_HANDLE_GIVE, handle, domain, rights, slot, 0);
}

static inline int bh_handle_revoke(bh_handle_t handle)
{
	return (int)bh_call3(BH_CALL_HANDLE_REVOKE, handle, 0, 0);
}

static inline int bh_handle_close(bh_handle_t handle)
{
	return (int)bh_call3(BH_CALL_HANDLE_CLOSE, handle, 0, 0);
}
