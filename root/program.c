/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts our own programs (static ELF64, lib/domain.ld) into domains (System V ABI, "Program Loading"). Text and read-only data are
 * mapped from the boot module and so shared by all VMMs; writable segments are fresh memory. Images come from whoever built the
 * boot medium, yet every field is checked: a broken file must end in an error here and not in a fault of root.
 */
#include <elf.h>
#include <string.h>

#include "root/root.h"

#define PAGE_MASK (BH_PAGE_SIZE - 1)

bool program_find(const char *name, struct program *program)
{
	const struct bh_root_info *info = (const struct bh_root_info *)BH_VA_ROOT_INFO;

	for (uint32_t i = 0; i < info->modules_count && i < BH_MODULES_MAX; i++) {
		if (info->modules[i].size_bytes != 0 &&
		    strncmp(info->modules[i].name, name, sizeof(info->modules[i].name)) == 0) {
			program->bytes = (const uint8_t *)(ROOT_VA_MODULES +
			                                   i * ROOT_VA_MODULE_STRIDE);
			program->size = info->modules[i].size_bytes;
			program->region = BH_ROOT_HANDLE_MODULES + i;
			return true;
		}
	}
	return false;
}

static int program_check_header(const struct program *program, const Elf64_Ehdr *header)
{
	if (program->size < sizeof(*header) || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
	    header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_type != ET_EXEC ||
	    header->e_machine != EM_X86_64) {
		return BH_ERR_FORMAT;
	}
	if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phoff > program->size ||
	    header->e_phnum > (program->size - header->e_phoff) / sizeof(Elf64_Phdr)) {
		return BH_ERR_FORMAT;
	}
	return BH_OK;
}

static int segment_map_shared(const struct program *program, const Elf64_Phdr *segment,
                              bh_handle_t domain)
{
	uint64_t slack = segment->p_vaddr & PAGE_MASK;

	if (segment->p_filesz != segment->p_memsz || (segment->p_offset & PAGE_MASK) != slack) {
		return BH_ERR_FORMAT;
	}
	return region_map_part(
		program->region, domain, segment->p_vaddr - slack,
		(struct bh_map){
			.offset = segment->p_offset - slack,
			.size = (slack + segment->p_filesz + PAGE_MASK) & ~PAGE_MASK,
			.flags = BH_MAP_READ |
	                         ((segment->p_flags & PF_X) != 0 ? BH_MAP_EXECUTE : 0),
		});
}

static int segment_copy(const struct program *program, const Elf64_Phdr *segment,
                        bh_handle_t domain, struct owned *owned)
{
	uint64_t slack = segment->p_vaddr & PAGE_MASK;
	uint64_t size = (slack + segment->p_memsz + PAGE_MASK) & ~PAGE_MASK;
	struct bh_map map = { .size = size, .flags = BH_MAP_READ | BH_MAP_WRITE };
	int64_t region = owned_region(owned, size, BH_PAGE_SIZE, false);

	if (region < 0) {
		return (int)region;
	}
	int error = bh_region_map((bh_handle_t)region, BH_HANDLE_SELF, ROOT_VA_SCRATCH, &map);

	if (error < 0) {
		return error;
	}
	memcpy((void *)(ROOT_VA_SCRATCH + slack), program->bytes + segment->p_offset,
	       segment->p_filesz);
	error = bh_region_unmap((bh_handle_t)region, BH_HANDLE_SELF, ROOT_VA_SCRATCH);
	return error < 0
	               ? error
	               : bh_region_map((bh_handle_t)region, domain, segment->p_vaddr - slack, &map);
}

static int segment_load(const struct program *program, const Elf64_Phdr *segment,
                        bh_handle_t domain, struct owned *owned)
{
	if (segment->p_offset > program->size ||
	    segment->p_filesz > program->size - segment->p_offset ||
	    segment->p_filesz > segment->p_memsz || segment->p_memsz > (64u << 20) ||
	    segment->p_vaddr > BH_VA_USER_MAX / 2) {
		return BH_ERR_FORMAT;
	}
	if ((segment->p_flags & PF_W) != 0) {
		return (segment->p_flags & PF_X) != 0
		               ? BH_ERR_FORMAT
		               : segment_copy(program, segment, domain, owned);
	}
	return segment_map_shared(program, segment, domain);
}

int program_load(const struct program *program, bh_handle_t domain, struct owned *owned,
                 uint64_t *entry)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	int error;

	memcpy(&header, program->bytes, program->size < sizeof(header) ? 0 : sizeof(header));
	error = program_check_header(program, &header);
	for (uint32_t i = 0; error == BH_OK && i < header.e_phnum; i++) {
		memcpy(&segment, program->bytes + header.e_phoff + i * sizeof(segment),
		       sizeof(segment));
		if (segment.p_type == PT_LOAD && segment.p_memsz != 0) {
			error = segment_load(program, &segment, domain, owned);
		}
	}
	*entry = header.e_entry;
	return error;
}

static int program_stack_map(bh_handle_t region, bh_handle_t domain, uint32_t idx,
                             uint32_t stack_bytes)
{
	uint64_t top = DOMAIN_VA_STACKS + (idx + 1) * DOMAIN_STACK_STRIDE;

	return region_map_part(region, domain, top - stack_bytes,
	                       (struct bh_map){ .offset = (uint64_t)idx * stack_bytes,
	                                        .size = stack_bytes,
	                                        .flags = BH_MAP_READ | BH_MAP_WRITE });
}

int program_start(const struct thread_plan *plan, bh_handle_t domain, struct owned *owned)
{
	int64_t stacks = owned_region(owned, (uint64_t)plan->count * plan->stack_bytes,
	                              BH_PAGE_SIZE, false);

	for (uint32_t i = 0; stacks > 0 && i < plan->count; i++) {
		int error = program_stack_map((bh_handle_t)stacks, domain, i, plan->stack_bytes);

		if (error < 0) {
			return error;
		}
	}
	for (uint32_t i = 0; stacks > 0 && i < plan->count; i++) {
		struct bh_thread_params params = {
			.entry = plan->entry,
			.stack = DOMAIN_VA_STACKS + (i + 1) * DOMAIN_STACK_STRIDE,
			.argument = i,
			.pcpu = plan->pcpus[i],
			.weight = plan->weight,
			.cap_percent = plan->cap_percent,
		};
		int64_t thread = owned_keep(owned, bh_thread_create(domain, &params));

		if (thread < 0) {
			return (int)thread;
		}
		plan->handles[i] = (uint16_t)thread;
	}
	return stacks < 0 ? (int)stacks : BH_OK;
}
