// SPDX-License-Identifier: Apache-2.0
/*
 * The VMM of one guest: an unprivileged program that plays the slow half of the guest's machine.
 *
 * Thread 0 runs main() and stays the control thread; threads 1.. belong to the vCPUs (vcpu.c).
 * Must never: trust the guest, or need anything beyond the handles and pages that root put in
 * place.
 */
#include "lib/heap.h"
#include "lib/threads.h"
#include "vmm/boot.h"
#include "vmm/control.h"
#include "vmm/machine.h"
#include "vmm/vcpu.h"

BH_HEAP_DEFINE(4096); /* what the C library asks for; the VMM itself allocates nothing */

int main(void);

int main(void)
{
	int error = machine_init();

	if (error < 0) {
		domain_fail("the machine cannot be built: error %d", error);
	}
	error = boot_set_cpuid();
	if (error < 0) {
		domain_fail("the CPUID table was refused: error %d", error);
	}
	error = vcpu_threads_make();
	if (error < 0) {
		domain_fail("no memory for the vCPUs' threads: error %d", error);
	}
	bh_threads_release();
	control_run();
}
