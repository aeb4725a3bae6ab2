/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies outside of this guest: addresses without memory read as all ones and swallow writes; ports that nothing claims likewise;
 * wild interrupts go nowhere. At the end the word after `end=` on the command line says how to die: `exit` (default), `triple`
 * (no IDT, then a fault), `delivery` (an IDT where no memory is: what reads it is no instruction), `jump` (into what is not there), `spin` (interrupts off, for ever), `halt`.
 */
#include "guests/lib/guest.h"

static void probe(uint64_t address)
{
	volatile uint32_t *word = (volatile uint32_t *)address;
	uint32_t before = *word;

	*word = 0x12345678;
	check(before == 0xffffffff, "address %lx reads %x", address, before);
	check(*word == 0xffffffff, "address %lx took a write: %x", address, *word);
}

static const char *option(const struct multiboot_info *info, const char *key)
{
	const char *text = (info->flags & 4) != 0 ? (const char *)(uint64_t)info->cmdline : "";

	for (; *text != '\0'; text++) {
		uint32_t i = 0;

		while (key[i] != '\0' && text[i] == key[i]) {
			i++;
		}
		if (key[i] == '\0') {
			return text + i;
		}
	}
	return "exit";
}

static void die(const char *how)
{
	print("outside: end by %c\n", how[0]);
	if (how[0] == 't' || how[0] == 'd') {
		struct {
			uint16_t limit;
			uint64_t base;
		} __attribute__((packed)) idt = { 0, 0 };

		if (how[0] == 'd') {
			idt.limit = 0xfff;
			idt.base = 0xd0000000;
		}
		__asm__ volatile("lidt %0; ud2" : : "m"(idt));
	}
	if (how[0] == 'j') {
		((void (*)(void))0xd0000000ull)();
	}
	while (how[0] == 's') {
		__asm__ volatile("cli");
	}
	while (how[0] == 'h') {
		__asm__ volatile("cli; hlt");
	}
}

void guest_main(const struct multiboot_info *info)
{
	uint64_t top = 0x100000 + info->mem_upper * 1024ull;

	/* the legacy video hole, right behind RAM, device space, the last page below 4 GiB's firmware */
	probe(0xa0000);
	probe((top + 0x200000) & ~0xfffull);
	probe(0xc8000000);
	probe(0xd0000000);
	probe(0xfed80000);
	for (uint32_t port = 0x1000; port < 0x10000; port += 0x333) {
		uint32_t value = in32((uint16_t)port);

		check(value == 0xffffffff, "port %x reads %x", port, value);
		out32((uint16_t)port, 0x12345678);
	}
	apic_enable();
	for (uint32_t id = 0; id < 255; id += 17) {
		if (id != apic_read(APIC_ID) >> 24) {
			apic_send(id, 0x4000 | 0x50); /* fixed, to nobody */
			apic_send(id, 0x4400);        /* NMI */
			apic_send(id, 0x4500);        /* INIT */
			apic_send(id, 0x4600 | 0x10); /* SIPI */
		}
	}
	apic_send(200, 0x4700); /* a reserved delivery mode */
	check(true, "still here");
	die(option(info, "end="));
	guest_exit("outside");
}
