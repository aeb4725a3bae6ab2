/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel ABI: call numbers, rights, and every record that crosses between the kernel and a domain.
 * Fixed-width types only; explicit padding; no policy. Version: BH_ABI_VERSION.
 *
 * Calling convention (SYSCALL, APM 2 6.1.1 / SDM 2B "SYSCALL"): RAX = call number; arguments in RDI, RSI, RDX, R10, R8, R9.
 * Returns RAX: zero or a positive value, or a negative enum bh_error. RCX and R11 are lost; all other registers are kept.
 */
#pragma once

#include <stdint.h>

#include "bulkhead/errors.h"

#define BH_ABI_VERSION 1u

#define BH_PAGE_SIZE   4096ull
#define BH_MAX_CPUS    256u
#define BH_MAX_VCPUS   64u     /* of one guest */
#define BH_FOREVER     (~0ull) /* a deadline that never comes */

/* ---- address space of a domain -------------------------------------------------------------------------- */

#define BH_VA_IMAGE    0x0000000000400000ull /* where domain images are linked */
#define BH_VA_USER_MIN 0x0000000000010000ull
#define BH_VA_USER_MAX 0x00007f0000000000ull /* exclusive; region_map accepts [MIN, MAX) */
#define BH_VA_INFO \
	0x00007f8000000000ull /* struct bh_info, one read-only page, mapped by the kernel in every domain */
#define BH_VA_ROOT_INFO \
	0x00007f8000001000ull /* struct bh_root_info, read-only pages, in the root domain only */
#define BH_VA_LOG \
	0x00007f8000100000ull /* struct bh_log, read-only, in domains created with BH_DOMAIN_SEES_LOG */

/* ---- handles and rights ---------------------------------------------------------------------------------- */

/* A handle is a small positive integer in the caller's table; 0 names nothing. */
typedef uint32_t bh_handle_t;

#define BH_HANDLE_SELF 1u    /* every domain: itself (a domain handle without CONTROL) */
#define BH_HANDLE_HOST 2u    /* root only at start: the machine (object type HOST) */
#define BH_MAX_HANDLES 4096u /* of one domain */

enum bh_object_type {
	BH_OBJECT_NONE = 0,
	BH_OBJECT_DOMAIN = 1,
	BH_OBJECT_THREAD = 2,
	BH_OBJECT_REGION = 3,
	BH_OBJECT_EVENT_SET = 4,
	BH_OBJECT_EVENT = 5,
	BH_OBJECT_VM = 6,
	BH_OBJECT_VCPU = 7,
	BH_OBJECT_INTERRUPT = 9, /* a machine interrupt bound to an event */
	BH_OBJECT_HOST = 10,
};

#define BH_RIGHT_READ 0x01u /* region: map readable; info calls; vcpu: read state and statistics */
#define BH_RIGHT_WRITE \
	0x02u /* region: map writable; event: signal; host: ports; vcpu: set state, run, kick */
#define BH_RIGHT_EXECUTE 0x04u /* region: map executable */
#define BH_RIGHT_CONTROL \
	0x08u               /* bind, map things into the object (domain, vm), make things of it */
#define BH_RIGHT_GIVE 0x10u /* the handle may be given on */
#define BH_RIGHTS_ALL 0x1fu

/* ---- calls ------------------------------------------------------------------------------------------------ */

/*
 * "-> handle" means that the new object's handle in the caller's table is returned, with all rights.
 * `@` marks a pointer in the caller's address space. Sizes and addresses in bytes, page multiples where pages are meant.
 */
enum bh_call {
	/* (text@, length <= 256): append one line to the kernel log, marked with the domain's id. */
	BH_CALL_LOG_WRITE = 0,

	/* (struct bh_domain_params@) -> handle. Pays params.quota_bytes out of the caller's quota. Only root's: RIGHTS. */
	BH_CALL_DOMAIN_CREATE = 1,
	/* (domain, struct bh_domain_info@). READ. */
	BH_CALL_DOMAIN_INFO = 3,

	/* (domain, struct bh_thread_params@) -> handle, derived from the domain's. CONTROL, or BH_HANDLE_SELF. Only root's: RIGHTS. */
	BH_CALL_THREAD_CREATE = 4,
	/* (): end the calling thread. Does not return. The last thread's end is the domain's end. */
	BH_CALL_THREAD_EXIT = 5,
	/* (): let others on this pCPU run first. */
	BH_CALL_THREAD_YIELD = 6,
	/* (thread, weight 1..65535, cap in percent of one pCPU, 0 = none). CONTROL. */
	BH_CALL_THREAD_SET_SHARE = 7,

	/*
	 * (size, alignment (power of two >= 4096), flags) -> handle. Paid out of the caller's quota. The memory is not usable until
	 * REGION_ZERO returned BH_OK for it: mapping it before that fails with STATE.
	 */
	BH_CALL_REGION_ALLOCATE = 9,
	/* (region): clear the next part (at most 2 MiB a call); AGAIN until the whole region is clear. CONTROL. */
	BH_CALL_REGION_ZERO = 10,
	/*
	 * (region, target, address, struct bh_map@). READ/WRITE/EXECUTE on region as mapped. Target: a domain (CONTROL, or SELF) and an address
	 * in it, never W and X; or a vm (CONTROL) and a guest-physical address.
	 */
	BH_CALL_REGION_MAP = 12,
	/* (region, target, address): undo the mapping that this handle made there. */
	BH_CALL_REGION_UNMAP = 13,
	/* (region, struct bh_region_info@). READ. */
	BH_CALL_REGION_INFO = 16,

	/* () -> handle. An event set holds BH_EVENTS_PER_SET bits; one thread at a time waits on it. */
	BH_CALL_EVENT_SET_CREATE = 17,
	/* (set, bit) -> handle of the event that sets this bit. Several events may share a bit. CONTROL on set. */
	BH_CALL_EVENT_CREATE = 18,
	/* (event): set its bit; wakes the waiter. WRITE. Never blocks, cannot be lost, sets coalesce. */
	BH_CALL_EVENT_SIGNAL = 19,
	/*
	 * (set, deadline as absolute TSC, -, vm or 0, address, data) -> 1 << word, and in RDX the bits of that word (bit i is event 64 * word + i).
	 * Takes and clears the bits of one word; words take turns. Waits until there is a bit, or the deadline passes (TIMEOUT; deadline 0
	 * polls). CONTROL on set. With a vm, VM_MSI with these arguments first (WRITE on vm); if that fails, its error and no wait.
	 */
	BH_CALL_EVENT_WAIT = 20,

	/* (struct bh_vm_params@) -> handle. */
	BH_CALL_VM_CREATE = 21,
	/* (vm, vcpu index) -> handle. The vCPU runs on the pCPU of the thread that first runs it. CONTROL. */
	BH_CALL_VCPU_CREATE = 22,
	/* (vcpu, enum bh_vcpu_page) -> region handle: run page READ|WRITE, the others READ. CONTROL. */
	BH_CALL_VCPU_PAGE = 23,
	/* (vcpu, struct bh_vcpu_state@): whole state out. READ. STATE while another thread runs it. */
	BH_CALL_VCPU_GET_STATE = 24,
	/* (vcpu, struct bh_vcpu_state@): groups named in state.groups in; checked as hardware would. WRITE. */
	BH_CALL_VCPU_SET_STATE = 25,
	/* (vcpu): run until an exit that the kernel does not finish; the exit is in the run page. WRITE. */
	BH_CALL_VCPU_RUN = 26,
	/* (vcpu): make its vcpu_run return soon with BH_EXIT_KICK (also the next one, if it does not run now). WRITE. */
	BH_CALL_VCPU_KICK = 27,
	/* (vm, struct bh_cpuid_entry@, count <= BH_CPUID_MAX): what CPUID answers without the VMM, before any vCPU runs. CONTROL. */
	BH_CALL_VM_SET_CPUID = 28,
	/*
	 * (vm, guest port, event): writes to that port, of any width, set the event; 0: they go nowhere. CONTROL on vm, WRITE on event.
	 * EXISTS: its place is taken, by it or by another (ports have the same one if their numbers without the last bit are equal modulo
	 * 2 * BH_DOORBELLS_MAX); then writes come to the VMM.
	 */
	BH_CALL_DOORBELL_BIND = 29,
	/* (vm, guest port): unbind. CONTROL. */
	BH_CALL_DOORBELL_UNBIND = 30,
	/* (vm, address, data): deliver a message-signalled interrupt to the guest's local APICs (SDM 3A 11.11). WRITE. */
	BH_CALL_VM_MSI = 31,
	/* (vcpu, level 0/1): state of the external-interrupt line (the 8259's INT into LINT0). WRITE. */
	BH_CALL_VCPU_EXTINT = 33,

	/*
	 * (host, region, kinds): write trace records (bulkhead/trace.h) whose kind's bit is set into the region, from its beginning; 0: no
	 * more. The region is memory, cleared, at least a page a pCPU (INVALID else, and for all but root), and must live until the trace has been
	 * stopped. CONTROL on host, WRITE on region.
	 */
	BH_CALL_TRACE = 34,

	/* (host, port, width 1/2/4 | BH_PORT_WRITE, value) -> value. WRITE on host. */
	BH_CALL_PORT = 35,
	/* (host, gsi, event, flags BH_IRQ_*) -> interrupt handle: the GSI sets the event and is masked until acknowledged. */
	BH_CALL_INTERRUPT_BIND = 37,
	/* (interrupt): unmask again. WRITE. */
	BH_CALL_INTERRUPT_ACK = 38,
	/* (host, physical address, size) -> region of device memory or firmware tables; never RAM that the kernel manages. CONTROL on host. */
	BH_CALL_REGION_DEVICE = 39,
	/* (host, struct bh_host_info@). READ. */
	BH_CALL_HOST_INFO = 40,
	/* (host, what BH_HOST_*, and up to two numbers of it). CONTROL on host. */
	BH_CALL_HOST_CONTROL = 41,

	/* (handle, domain, rights, slot or 0) -> handle in that domain's table. GIVE on handle, CONTROL on domain. */
	BH_CALL_HANDLE_GIVE = 42,
	/* (handle): close all handles derived from this one (mappings made by them go too); it stays. AGAIN while work remains. */
	BH_CALL_HANDLE_REVOKE = 44,
	/*
	 * (handle): close it and all derived from it. The object ends with its last handle; a domain stops first, and all that it holds ends
	 * with it. AGAIN while work remains.
	 */
	BH_CALL_HANDLE_CLOSE = 45,

	/* (vcpu, struct bh_vcpu_stats@): copy of the counters. READ. */
	BH_CALL_VCPU_STATS = 46,
	BH_CALL_COUNT = 47,
};

/* ---- domains and threads ----------------------------------------------------------------------------------- */

#define BH_DOMAIN_SEES_LOG 0x1u

struct bh_domain_params {
	uint64_t quota_bytes;    /* kernel objects, page tables, and regions that it allocates */
	bh_handle_t death_event; /* signalled when the domain dies; 0 = none */
	uint16_t flags;          /* BH_DOMAIN_* */
	uint16_t handles_max;    /* of its table, 80 bytes each; 0 = 256, at most BH_MAX_HANDLES */
	char name[32];           /* for the log; NUL-terminated */
};
_Static_assert(sizeof(struct bh_domain_params) == 48, "ABI");

enum bh_domain_state {
	BH_DOMAIN_ALIVE = 0,
	BH_DOMAIN_EXITED = 1,
	BH_DOMAIN_FAULTED = 2
};

struct bh_domain_info {
	uint32_t state;        /* enum bh_domain_state */
	uint32_t fault_vector; /* FAULTED: the exception */
	uint64_t fault_rip;
	uint64_t fault_address;
	uint64_t quota_bytes;
	uint64_t used_bytes;
	uint64_t id; /* what log and trace call it */
};
_Static_assert(sizeof(struct bh_domain_info) == 48, "ABI");

#define BH_CPU_ANY 0xffffffffu

struct bh_thread_params {
	uint64_t entry;
	uint64_t stack;       /* initial RSP */
	uint64_t argument;    /* in RDI at entry */
	uint64_t tls;         /* FS base */
	uint32_t pcpu;        /* index, or BH_CPU_ANY: the caller's */
	uint32_t weight;      /* 1..65535; 256 is usual */
	uint32_t cap_percent; /* of one pCPU; 0 = no cap */
	uint32_t reserved;
};
_Static_assert(sizeof(struct bh_thread_params) == 48, "ABI");

/* ---- memory -------------------------------------------------------------------------------------------------- */

#define BH_MAP_READ     0x1u
#define BH_MAP_WRITE    0x2u
#define BH_MAP_EXECUTE  0x4u
#define BH_MAP_UNCACHED 0x8u /* device regions */

struct bh_map {
	uint64_t offset; /* in the region */
	uint64_t size;
	uint32_t flags; /* BH_MAP_* */
	uint32_t reserved;
};
_Static_assert(sizeof(struct bh_map) == 24, "ABI");

struct bh_region_info {
	uint64_t size;
	uint64_t zeroed_bytes;
	uint64_t physical; /* where it lies; 0 for all but root */
};
_Static_assert(sizeof(struct bh_region_info) == 24, "ABI");

/* ---- events ---------------------------------------------------------------------------------------------------- */

#define BH_EVENTS_PER_SET 1024u
#define BH_EVENT_WORDS    16u

/* ---- virtual machines --------------------------------------------------------------------------------------------- */

#define BH_VM_DEBUG 0x1u

struct bh_vm_params {
	uint32_t flags;
	uint32_t vcpus_max; /* 1..BH_MAX_VCPUS */
	uint32_t id;        /* what log and trace call it: its creator's choice, 0..65535 */
	uint32_t reserved0;
	uint64_t reserved[2];
};
_Static_assert(sizeof(struct bh_vm_params) == 32, "ABI");

#define BH_CPUID_MAX             96u
#define BH_CPUID_SUBLEAF_MATTERS 0x1u

/*
 * One leaf. The kernel answers a leaf whose subleaf does not matter by itself; of leaf 1 it fills in the APIC id and OSXSAVE, and of leaf
 * 0Dh, subleaf 0, it takes what XSETBV may set. Every other CPUID ends vcpu_run() with BH_EXIT_CPUID.
 */
struct bh_cpuid_entry {
	uint32_t leaf;
	uint32_t subleaf;
	uint32_t flags; /* BH_CPUID_* */
	uint32_t eax, ebx, ecx, edx;
	uint32_t reserved;
};
_Static_assert(sizeof(struct bh_cpuid_entry) == 32, "ABI");

#define BH_DOORBELLS_MAX 128u /* of one VM: one place for each pair of ports, counted around */

enum bh_vcpu_page {
	BH_VCPU_PAGE_RUN = 0, /* struct bh_run */
	BH_VCPU_PAGE_LAPIC =
		1, /* local APIC registers in the layout of SDM 3A table 11-1 (read-only) */
	BH_VCPU_PAGE_STATS = 2, /* struct bh_vcpu_stats (read-only) */
};

/* Why vcpu_run() returned. */
enum bh_exit {
	BH_EXIT_NONE = 0,
	BH_EXIT_IO = 1,       /* run.io */
	BH_EXIT_MMIO = 2,     /* run.mmio; run.state_valid says what of run.state is filled in */
	BH_EXIT_KICK = 3,     /* vcpu_kick() */
	BH_EXIT_SHUTDOWN = 4, /* triple fault */
	BH_EXIT_EOI =
		5, /* run.vector: EOI of a level-triggered interrupt; broadcast to the I/O APIC */
	BH_EXIT_EXTINT =
		6, /* the guest can take the 8259's interrupt now: acknowledge it, put it into run.inject */
	BH_EXIT_HYPERCALL =
		7, /* run.hypercall: number and arguments in run.state.gpr; result goes to gpr[RAX] */
	BH_EXIT_FAILED_ENTRY = 8, /* the CPU refused the state: run.failure */
	BH_EXIT_EMULATE =
		9, /* an instruction at RIP that the CPU hands to software (string I/O, task switch, …) */
	BH_EXIT_INIT =
		10, /* this vCPU received INIT; its local APIC is reset: set the rest, activity too, and run again */
	BH_EXIT_MSR = 11, /* run.msr: what the kernel does not finish by itself */
	BH_EXIT_CPUID =
		12, /* run.state (GPR, CONTROL) says which and who asks, RIP is past it: put the answer into gpr */
	BH_EXIT_SIPI =
		13, /* it waited for this start-up IPI: set CS and RIP to page run.vector, and run again */
	BH_EXIT_DELIVERY =
		14, /* run.mmio.gpa: an event's delivery needs memory that is not there; the event waits in the vCPU */
	BH_EXIT_COUNT = 15,
};

/* General registers by their number in instructions. */
enum bh_gpr {
	BH_GPR_RAX,
	BH_GPR_RCX,
	BH_GPR_RDX,
	BH_GPR_RBX,
	BH_GPR_RSP,
	BH_GPR_RBP,
	BH_GPR_RSI,
	BH_GPR_RDI,
	BH_GPR_R8,
	BH_GPR_R9,
	BH_GPR_R10,
	BH_GPR_R11,
	BH_GPR_R12,
	BH_GPR_R13,
	BH_GPR_R14,
	BH_GPR_R15,
	BH_GPR_COUNT,
};

/* In the order of AMD's control block, so that there they are one copy. */
enum bh_segment {
	BH_SEG_ES,
	BH_SEG_CS,
	BH_SEG_SS,
	BH_SEG_DS,
	BH_SEG_FS,
	BH_SEG_GS,
	BH_SEG_GDTR, /* base and limit only */
	BH_SEG_LDTR,
	BH_SEG_IDTR, /* base and limit only */
	BH_SEG_TR,
	BH_SEG_COUNT,
};

/*
 * Attributes are bits 55:52 and 47:40 of a descriptor side by side: type 3:0, S 4, DPL 6:5, P 7, AVL 8, L 9, D/B 10, G 11. Not present
 * means not usable. DPL of SS is the CPL.
 */
struct bh_segment_state {
	uint16_t selector;
	uint16_t attributes;
	uint32_t limit; /* in bytes, already scaled by G */
	uint64_t base;
};
_Static_assert(sizeof(struct bh_segment_state) == 16, "ABI");

/* An event to inject, in the layout of SDM 3C table 25-17 (vector 7:0, type 10:8, error code valid 11, valid 31). */
#define BH_INJECT_VALID          (1u << 31)
#define BH_INJECT_MASK           (BH_INJECT_VALID | BH_INJECT_ERROR_CODE | 0x7ffu)
#define BH_INJECT_ERROR_CODE     (1u << 11)
#define BH_INJECT_TYPE_INTERRUPT (0u << 8)
#define BH_INJECT_TYPE_NMI       (2u << 8)
#define BH_INJECT_TYPE_EXCEPTION (3u << 8)

/* Groups of state that travel together (struct bh_vcpu_state.groups; struct bh_run.state_valid and state_dirty). */
#define BH_STATE_GPR      0x001u /* gpr[], rip, rflags */
#define BH_STATE_SEGMENTS 0x002u /* segments[] */
#define BH_STATE_CONTROL \
	0x004u /* cr0 cr2 cr3 cr4 cr8 efer xcr0; EFER.LMA follows from LME and CR0.PG */
#define BH_STATE_DEBUG  0x008u /* dr0-3 dr6 dr7 */
#define BH_STATE_MSR    0x010u /* the named MSRs below, and the PDPTEs */
#define BH_STATE_EVENTS 0x020u /* pending injection, interrupt shadow, NMI mask, activity */
#define BH_STATE_LAPIC  0x040u /* apic_base, lapic[] */
#define BH_STATE_FPU    0x080u /* fpu[] in XSAVE standard format */
#define BH_STATE_ALL    0x0ffu
/* Alone in run.state_dirty: vcpu_run() fills in BH_STATE_EMULATE and returns BH_ERR_AGAIN; the exit stays the last, an answer is void. */
#define BH_STATE_WANTED  0x100u
#define BH_STATE_EMULATE (BH_STATE_GPR | BH_STATE_SEGMENTS | BH_STATE_CONTROL)
/* In run.state_dirty only: run.tsc_offset and run.apic_base have changed. */
#define BH_STATE_TSC       0x200u
#define BH_STATE_APIC_BASE 0x400u
#define BH_STATE_RUN       (BH_STATE_EMULATE | BH_STATE_TSC | BH_STATE_APIC_BASE)

enum bh_activity {
	BH_ACTIVITY_RUNNING = 0,
	BH_ACTIVITY_HALTED = 1,
	BH_ACTIVITY_WAIT_SIPI = 2
};

/* The registers that an emulator or a loader needs. */
struct bh_cpu_state {
	uint64_t gpr[BH_GPR_COUNT];
	uint64_t rip, rflags;
	uint64_t cr2, cr8, cr0, cr3, cr4, efer, xcr0;
	uint64_t reserved;
	struct bh_segment_state segments[BH_SEG_COUNT];
};
_Static_assert(sizeof(struct bh_cpu_state) == 26 * 8 + 10 * 16, "ABI");

struct bh_vcpu_state {
	uint32_t version; /* BH_ABI_VERSION */
	uint32_t groups;  /* BH_STATE_*: what is filled in */
	struct bh_cpu_state cpu;
	uint64_t dr[4], dr6, dr7;
	uint64_t pat, sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t pdpte[4]; /* of PAE paging, as the last MOV to CR3 found them; Intel only */
	uint64_t tsc;      /* read only: run.tsc_offset moves it */
	uint64_t tsc_aux, reserved;
	uint32_t inject; /* BH_INJECT_* */
	uint32_t inject_error_code;
	uint32_t interrupt_shadow; /* 1: STI, 2: MOV SS */
	uint32_t is_nmi_blocked;
	uint32_t is_nmi_pending;
	uint32_t activity;  /* enum bh_activity */
	uint64_t apic_base; /* IA32_APIC_BASE */
	uint64_t apic_timer_deadline_tsc;
	uint32_t lapic[256]; /* the register at offset 16 * i */
	uint64_t fpu_size;
	uint8_t fpu[2816]; /* x87, SSE, AVX, AVX-512, PKRU */
};

/* One guest port access; for strings (INS, OUTS) it is BH_EXIT_EMULATE. */
struct bh_exit_io {
	uint16_t port;
	uint8_t width_bytes; /* 1, 2, 4 */
	uint8_t is_write;
	uint8_t reserved[4];
	uint64_t
		value; /* write: what the guest wrote; read: the VMM's answer, taken at the next vcpu_run */
};

/*
 * RDMSR or WRMSR, but for the writes that the kernel finishes: valid ones of the TSC deadline and, in x2APIC mode, of TPR, EOI, ICR, SELF_IPI
 * and the timer's count. RIP is still at the instruction; the next vcpu_run() completes it with the VMM's answer: EDX:EAX from `value` for a
 * read and on to the next instruction, or #GP(0) if is_refused. Setting BH_STATE_GPR by vcpu_set_state() makes the answer void. Registers of
 * the CPU are reached by vcpu_get_state() and vcpu_set_state(), those of the local APIC by its page, brought up to date, and lapic_write.
 */
struct bh_exit_msr {
	uint32_t number;
	uint8_t is_write;
	uint8_t is_refused; /* 0 at the exit */
	uint8_t reserved[2];
	uint64_t value; /* write: what the guest wrote; read: the VMM's answer */
};
_Static_assert(sizeof(struct bh_exit_msr) == 16, "ABI");

#define BH_MMIO_NO_GPR 0xffu

/*
 * An access to memory that the guest has not. The VMM does the instruction and gives its result either in `state` (state_dirty), or, if it
 * moved data between one general register and the device and nothing else, by the answer here, which costs less: a length that is not 0.
 *
 * For 64-bit code (is_64) only BH_STATE_GPR and BH_STATE_CONTROL are filled in, which most instructions need no more than; the rest
 * comes by BH_STATE_WANTED.
 */
struct bh_exit_mmio {
	uint64_t gpa;
	uint8_t is_write;
	uint8_t is_fetch;
	uint8_t instruction_length; /* bytes in instruction[], 0 = not known: fetch by RIP */
	/* 1: `gpa` is where the instruction's own access goes; 0: perhaps an entry of the guest's page tables */
	uint8_t is_final;
	/* VMM -> kernel, taken at the next vcpu_run() */
	uint8_t answer_length; /* 0 at the exit; else step over so many bytes of code */
	uint8_t answer_gpr;    /* gets answer_value whole: any but RSP; BH_MMIO_NO_GPR: none does */
	uint8_t is_64;         /* kernel -> VMM: is_final, and the code is 64-bit code ... */
	uint8_t cpl;           /* ... at this CPL */
	uint8_t instruction[16];
	uint64_t answer_value;
};
_Static_assert(sizeof(struct bh_exit_mmio) == 40, "ABI");

/*
 * The run page: owned by the kernel while vcpu_run() is under way, by the VMM else. The kernel reads each field that it uses exactly once.
 * BH_EXIT_IO: RIP is already past the instruction; only `io` is filled, state_valid is 0.
 */
struct bh_run {
	/* kernel -> VMM */
	uint32_t exit;        /* enum bh_exit */
	uint32_t state_valid; /* BH_STATE_* groups of `state` that are filled */
	uint32_t vector;      /* BH_EXIT_EOI, BH_EXIT_SIPI */
	uint32_t failure;     /* BH_EXIT_FAILED_ENTRY: the vendor's reason */
	struct bh_exit_io io;
	struct bh_exit_mmio mmio;
	struct bh_exit_msr msr; /* BH_EXIT_MSR */
	/* both ways: as the kernel has them, or as the VMM changes them with BH_STATE_TSC, BH_STATE_APIC_BASE */
	uint64_t tsc_offset; /* guest TSC = TSC + tsc_offset */
	uint64_t apic_base;  /* IA32_APIC_BASE; the page's place is fixed */
	/* VMM -> kernel, taken and cleared at the next vcpu_run() */
	uint32_t
		state_dirty; /* groups of `state` to load (GPR, SEGMENTS, CONTROL), and BH_STATE_TSC, BH_STATE_APIC_BASE */
	uint32_t inject; /* BH_INJECT_*; 0 = none */
	uint32_t inject_error_code;
	uint32_t lapic_write;  /* 1: do the local APIC register write below first */
	uint32_t lapic_offset; /* bytes from the APIC page, 16-aligned */
	uint32_t lapic_value;  /* as the register takes it: reserved bits are the VMM's business */
	uint64_t inject_cr2;   /* with an injected #PF */
	/*
	 * KVM's PV EOI: address in the VMM's domain of a byte that the guest has too; 0: none. The kernel sets it to 1 before the guest runs with
	 * one interrupt in service, of edge, and none waiting; if it is 0 after the guest's stay, that interrupt has ended. 0 outside vcpu_run().
	 */
	uint64_t eoi_byte;
	/* The same way: a byte that is 1 while another thread has taken the pCPU from the guest. It is set in vcpu_run() only, not in a HLT. */
	uint64_t preempted_byte;
	struct bh_cpu_state state;
};
_Static_assert(sizeof(struct bh_run) <= 4096, "ABI");

/* ---- statistics ----------------------------------------------------------------------------------------------------- */

/* Exit reasons as an operator reads them; one list for both vendors. */
enum bh_reason {
	BH_REASON_IO,
	BH_REASON_MMIO,
	BH_REASON_CPUID,
	BH_REASON_MSR_READ,
	BH_REASON_MSR_WRITE,
	BH_REASON_HLT,
	BH_REASON_HYPERCALL,
	BH_REASON_INTERRUPT,
	BH_REASON_INTERRUPT_WINDOW,
	BH_REASON_NMI,
	BH_REASON_EXCEPTION,
	BH_REASON_CR,
	BH_REASON_DR,
	BH_REASON_XSETBV,
	BH_REASON_INVALIDATE,
	BH_REASON_APIC,
	BH_REASON_EOI,
	BH_REASON_PAUSE,
	BH_REASON_TASK_SWITCH,
	BH_REASON_SHUTDOWN,
	BH_REASON_PRIVILEGED,
	BH_REASON_DOORBELL,
	BH_REASON_OTHER,
	BH_REASON_COUNT,
};

/* Beside exits and injections, in bh_vcpu_stats.counts. */
enum bh_count {
	BH_COUNT_TIMER,  /* interrupts of its own APIC timer */
	BH_COUNT_IPI,    /* that it sent, to itself too */
	BH_COUNT_REMOTE, /* interrupts that it got from another pCPU; counted there */
	BH_COUNT_CPU,    /* interrupts that the CPU delivered by itself when they could be taken */
	BH_COUNT_FLUSH,  /* its translations were forgotten because guest-physical memory changed */
	BH_COUNT_MESSAGE, /* messages of devices (vm_msi) that named it */
	BH_COUNT_POSTED,  /* of those from another pCPU, which its CPU took while it ran: no exit */
	BH_COUNT_COUNT,
};

#define BH_TIME_BUCKETS 16u

/* Spans of time. Bucket 0: less than 256 ticks; bucket n: less than 256 << n; the last one: all that are longer. */
struct bh_time {
	uint64_t total_tsc;
	uint64_t max_tsc;
	uint32_t histogram[BH_TIME_BUCKETS];
};
_Static_assert(sizeof(struct bh_time) == 80, "ABI");

/*
 * One page a vCPU, written by its pCPU without a lock. All exits are counted; time is taken of those that leave the fast path, from the
 * exit to the next entry, time in which others ran on this pCPU included, time halted not.
 */
struct bh_vcpu_stats {
	uint64_t exits[BH_REASON_COUNT]; /* by enum bh_reason */
	struct bh_time time
		[2 *
	         BH_REASON_COUNT]; /* [2 * reason] finished by the kernel, [2 * reason + 1] by the VMM */
	struct bh_time wake;       /* from what ended a HLT to the way into the guest */
	uint64_t injections[4]; /* 0: interrupts, 2: NMIs, 3: exceptions (BH_INJECT_TYPE_* >> 8) */
	uint64_t vmm_exits;     /* exits that returned from vcpu_run */
	uint64_t
		guest_tsc; /* ticks in the guest, fast exits included; bit 63 set: it is there now, add the TSC */
	uint64_t halt_tsc; /* ticks halted */
	/* ticks in which it could have run and others did; in steps, each of which makes vcpu_run return with BH_EXIT_KICK */
	uint64_t steal_tsc;
	uint64_t counts[BH_COUNT_COUNT]; /* by enum bh_count */
};
_Static_assert(sizeof(struct bh_vcpu_stats) <= 4096, "ABI");

/* Of one pCPU. */
enum bh_cpu_interrupt {
	BH_CPU_INTERRUPT_DEVICE,
	BH_CPU_INTERRUPT_TIMER,
	BH_CPU_INTERRUPT_NOTIFY, /* another pCPU has work for it */
	BH_CPU_INTERRUPT_COUNT,
};

/* Written by its pCPU without a lock. */
struct bh_cpu_stats {
	uint64_t
		idle_tsc; /* ticks without any thread; bit 63 set: there is none now, add the TSC */
	uint64_t switches; /* from a thread to another, or to none */
	uint64_t interrupts[BH_CPU_INTERRUPT_COUNT];
	uint64_t
		syncs; /* pCPUs that it made pass a safe point, and waited: shoot-downs, ends of threads and memory */
	uint64_t flushes; /* of all ring-3 translations, because another pCPU asked */
	uint64_t polled; /* messages of other pCPUs that it found itself while idle: no interrupt */
};
_Static_assert(sizeof(struct bh_cpu_stats) == 64, "ABI");

/* ---- the machine ------------------------------------------------------------------------------------------------------ */

#define BH_IRQ_LEVEL 0x1u /* level-triggered; edge else */
#define BH_IRQ_LOW   0x2u /* active low; high else */
/*
 * A message (MSI, MSI-X) in place of a pin: the number is below BH_MESSAGES_END and no I/O APIC's (INVALID else), and the function writes
 * BH_MESSAGE_DATA + number to BH_MESSAGE_ADDRESS + (APIC id of the caller's pCPU << 12). Never masked.
 */
#define BH_IRQ_MESSAGE     0x4u
#define BH_MESSAGES_END    0xb0u
#define BH_MESSAGE_DATA    0x30u
#define BH_MESSAGE_ADDRESS 0xfee00000u

enum bh_vendor {
	BH_VENDOR_NONE = 0,
	BH_VENDOR_VMX = 1,
	BH_VENDOR_SVM = 2
};

/* Mapped read-only at BH_VA_INFO in every domain. Written by the kernel; constant after start. */
struct bh_info {
	uint32_t abi_version;
	uint32_t vendor; /* enum bh_vendor */
	uint64_t tsc_hz;
	uint64_t boot_tsc;   /* TSC at the kernel's first instruction */
	uint32_t cpus_count; /* pCPUs that run */
	uint32_t xsave_size; /* bytes of guest FPU state kept */
	uint32_t physical_address_bits;
	uint32_t reserved0;
	uint64_t xcr0_supported;
	uint64_t reserved[4];
	char version[64];
	char features[512]; /* names of the CPU features in use, space-separated */
};
_Static_assert(sizeof(struct bh_info) <= 4096, "ABI");

struct bh_host_info {
	uint64_t memory_total; /* bytes that the kernel manages */
	uint64_t memory_free;
	uint64_t memory_kernel; /* image, tables, per-CPU data, page records */
	uint32_t console_port;  /* of a 16550; 0 = none */
	uint32_t console_baud;
	uint64_t screen_base; /* 0 = none; VGA text memory, or pixels of 32 bits */
	uint32_t screen_width, screen_height, screen_pitch_bytes;
	uint32_t screen_is_text; /* 80 by 25 */
};

#define BH_PORT_WRITE 0x100u

#define BH_HOST_QUIESCE \
	1u /* before power-off: other pCPUs stop, the log goes to the machine's console again */
#define BH_HOST_RESET 2u /* the machine */
#define BH_HOST_CLAIM_CONSOLE \
	3u /* from now on the kernel writes the console port only when it dies */
/* Of the machine's tables, by root at its start and nobody else (RIGHTS). pCPUs first, I/O APICs after them. */
#define BH_HOST_CONSOLE \
	4u /* port, baud: of the console's 16550, which gets what has been said so far */
#define BH_HOST_START_CPU \
	5u /* APIC id. EXISTS: it runs; LIMIT, UNSUPPORTED; TIMEOUT: it does not answer */
#define BH_HOST_ADD_IOAPIC 6u /* physical address, first GSI. LIMIT; INVALID: it does not answer */
#define BH_HOST_HALT_POLL \
	7u /* TSC ticks: how long a pCPU without work may look for messages of others before it halts */

/* ---- what root finds at start (BH_VA_ROOT_INFO) ------------------------------------------------------------------------- */

#define BH_MODULES_MAX         64u
#define BH_ROOT_HANDLE_MODULES 16u /* module i is region handle 16 + i, READ|EXECUTE|GIVE */

struct bh_module_info {
	char name[48]; /* first word of the module's command line, without its folders */
	uint64_t
		size_bytes; /* exact; the region is rounded up to pages, the rest is zero. 0: a file that the loader could not read */
};

struct bh_root_info {
	uint32_t modules_count;
	uint32_t reserved;
	uint64_t quota_bytes;
	char cmdline[512];
	uint8_t rsdp
		[36]; /* ACPI 6.4 table 5.3, as the boot path found it; zero: look where a BIOS keeps it */
	uint8_t reserved1[4];
	struct bh_module_info modules[BH_MODULES_MAX];
};
_Static_assert(sizeof(struct bh_root_info) <= 2 * 4096, "ABI");

/* ---- log (BH_VA_LOG) -------------------------------------------------------------------------------------------------------- */

#define BH_LOG_BYTES 65536u

/*
 * A byte ring of text lines. `head` counts bytes ever written; byte n is text[n % BH_LOG_BYTES]; only the last BH_LOG_BYTES are there.
 * Beside it what the pCPUs count.
 */
struct bh_log {
	uint64_t head; /* stored last, after the text it covers */
	uint64_t reserved[511];
	char text[BH_LOG_BYTES];
	struct bh_cpu_stats cpus[BH_MAX_CPUS];
};
_Static_assert(sizeof(struct bh_log) == 4096 + BH_LOG_BYTES + 16384, "ABI");
