/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only instructions of the kernel that may fault: copies from and to ring 3, and MSR accesses that the CPU may not know.
 * Each is listed with its landing in .fixups, which trap.c looks through; on landing RAX still holds the error.
 */
#include "arch/x86/arch.h"
#include "arch/x86/asm.h"
#include "arch/x86/feature.h"

#define USER_END 0x0000800000000000ull

#define FIXUP(from, to) \
	".pushsection .fixups, \"a\"\n\t.balign 8\n\t.quad " from ", " to "\n\t.popsection\n\t"

static int copy_guarded(void *to, const void *from, size_t size)
{
	size_t words = size / 8;
	int result = BH_ERR_ADDRESS;

	__asm__ volatile("1:\trep movsq\n\t"
	                 "movq %[rest], %%rcx\n"
	                 "2:\trep movsb\n\t"
	                 "xorl %%eax, %%eax\n"
	                 "3:\n\t" FIXUP("1b", "3b") FIXUP("2b", "3b")
	                 : "+a"(result), "+D"(to), "+S"(from), "+c"(words)
	                 : [rest] "r"(size % 8)
	                 : "memory");
	return result;
}

/* `user` is the address on ring 3's side. */
static int copy_user(void *to, const void *from, hva_t user, size_t size)
{
	int result;

	if (user.raw >= USER_END || size > USER_END - user.raw) {
		return BH_ERR_ADDRESS;
	}
	if (!feature_has(FEATURE_SMAP)) {
		return copy_guarded(to, from, size);
	}
	__asm__ volatile("stac" : : : "memory");
	result = copy_guarded(to, from, size);
	__asm__ volatile("clac" : : : "memory");
	return result;
}

int arch_copy_from_user(void *to, hva_t from, size_t size)
{
	return copy_user(to, (const void *)from.raw, from, size);
}

int arch_copy_to_user(hva_t to, const void *from, size_t size)
{
	return copy_user((void *)to.raw, from, to, size);
}

int arch_user_exchange(hva_t at, uint8_t value)
{
	bool has_smap = feature_has(FEATURE_SMAP);
	int result = BH_ERR_ADDRESS;

	if (at.raw >= USER_END) {
		return result;
	}
	if (has_smap) {
		__asm__ volatile("stac" : : : "memory");
	}
	__asm__ volatile("1:\txchgb %[value], (%[at])\n\t"
	                 "movzbl %[value], %[result]\n"
	                 "2:\n\t" FIXUP("1b", "2b")
	                 : [value] "+q"(value), [result] "+r"(result)
	                 : [at] "r"(at.raw)
	                 : "memory");
	if (has_smap) {
		__asm__ volatile("clac" : : : "memory");
	}
	return result;
}

int msr_read_safe(uint32_t msr, uint64_t *value)
{
	uint32_t low = 0, high = 0;
	int result = BH_ERR_UNSUPPORTED;

	__asm__ volatile("1:\trdmsr\n\t"
	                 "xorl %[result], %[result]\n"
	                 "2:\n\t" FIXUP("1b", "2b")
	                 : "+a"(low), "+d"(high), [result] "+r"(result)
	                 : "c"(msr));
	*value = (uint64_t)high << 32 | low;
	return result;
}

int msr_write_safe(uint32_t msr, uint64_t value)
{
	int result = BH_ERR_UNSUPPORTED;

	__asm__ volatile("1:\twrmsr\n\t"
	                 "xorl %[result], %[result]\n"
	                 "2:\n\t" FIXUP("1b", "2b")
	                 : [result] "+r"(result)
	                 : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(msr)
	                 : "memory");
	return result;
}
