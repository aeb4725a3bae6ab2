// SPDX-License-Identifier: Apache-2.0
/*
 * Intel gigabit NICs: 82540EM and its relatives (PCI/PCI-X Family of Gigabit Ethernet Controllers
 * Software Developer's Manual, "SDM") and 82574L (its data sheet, "DS"), by legacy descriptors.
 *
 * Every frame is copied into or out of buffers that the device owns; a long one takes several, with a descriptor each.
 * The device is reset before it may use the bus, again when it stops sending, and what was queued is then lost, as on any network.
 */
#include <stdio.h>
#include <string.h>

#include "drivers/driver.h"
#include "drivers/nic.h"

#define RX_COUNT     128u
#define TX_COUNT     128u
#define BUFFER_BYTES NIC_PIECE_BYTES /* RCTL.BSIZE = 0 */
#define REGISTERS    0x6000u

/* SDM 13.4, table 13-2; DS 10.2 */
#define CTRL         0x0000u
#define CTRL_FD      (1u << 0)
#define CTRL_ASDE    (1u << 5)
#define CTRL_SLU     (1u << 6)
#define CTRL_RST     (1u << 26)
#define STATUS       0x0008u
#define STATUS_LU    (1u << 1)
#define STATUS_SPEED (3u << 6)
#define CTRL_EXT     0x0018u
#define CTRL_EXT_PBA (1u << 31) /* DS 10.2.2.3: set with MSI-X only */
#define EERD         0x0014u
#define EERD_START   (1u << 0)
#define EERD_TRIES   10000u /* a word takes some 50 us */
#define ICR          0x00c0u
#define IMS          0x00d0u
#define IMC          0x00d8u
#define INT_LSC      (1u << 2)
#define INT_RXDMT0   (1u << 4)
#define INT_RXO      (1u << 6)
#define INT_RXT0     (1u << 7)
#define INT_RXQ0     (1u << 20) /* with MSI-X, DS 7.4.3: the receive queue */
#define INT_OTHER    (1u << 24) /* and LSC or RXO */
#define EIAC         0x00dcu    /* causes that their message clears */
#define IVAR         0x00e4u /* DS 10.2.4.9: RXQ0 in 3:0, other causes in 19:16; bit 3 of each: valid */
#define IVAR_ONE     (1u << 3 | 1u << 19)
#define RCTL         0x0100u
#define RCTL_EN      (1u << 1)
#define RCTL_UPE     (1u << 3) /* an uplink takes frames for every guest */
#define RCTL_MPE     (1u << 4)
#define RCTL_LPE     (1u << 5) /* frames of up to 16384 bytes */
#define RCTL_BAM     (1u << 15)
#define RCTL_SECRC   (1u << 26)
#define TCTL         0x0400u
#define TCTL_EN      (1u << 1)
#define TCTL_PSP     (1u << 3)
#define TCTL_CT      (0x0fu << 4)
#define TCTL_COLD    (0x40u << 12)
#define TIPG         0x0410u
#define TIPG_COPPER  (10u | 8u << 10 | 6u << 20) /* SDM 13.4.34 */
#define RDBAL        0x2800u
#define RDBAH        0x2804u
#define RDLEN        0x2808u
#define RDH          0x2810u
#define RDT          0x2818u
#define TDBAL        0x3800u
#define TDBAH        0x3804u
#define TDLEN        0x3808u
#define TDH          0x3810u
#define TDT          0x3818u
#define TXDCTL       0x3828u
#define TXDCTL_82574 (1u << 22) /* DS 10.2.6.9: must be set */
#define MPC          0x4010u    /* cleared by reading */
#define MTA          0x5200u
#define MTA_COUNT    128u
#define RAL0         0x5400u
#define RAH0         0x5404u
#define RAH_VALID    (1u << 31)

/* SDM 3.2.3, 3.3.3 */
struct rx_descriptor {
	uint64_t address;
	uint16_t bytes;
	uint16_t checksum;
	uint8_t status;
	uint8_t errors;
	uint16_t special;
};
#define RX_DONE 0x01u
#define RX_END  0x02u

struct tx_descriptor {
	uint64_t address;
	uint16_t bytes;
	uint8_t checksum_offset;
	uint8_t command;
	uint8_t status;
	uint8_t checksum_start;
	uint16_t special;
};
#define TX_END        0x01u
#define TX_FCS        0x02u
#define TX_REPORT     0x08u
#define TX_DONE       0x01u

#define RESET_MS      20u
#define LINK_POLL_MS  1000u
#define QUICK_POLL_MS 2u /* without an interrupt */
#define STUCK_MS      2000u
#define RX_ROUNDS     (2 * RX_COUNT) /* of one service(): others have their turn too */
#define RX_FRAME_MAX  8u             /* descriptors of one frame: 16384 bytes */

enum step {
	STEP_RESETTING,
	STEP_RUNNING,
};

struct e1000 {
	struct nic nic;
	volatile void *regs;
	bool is_82574;
	bool is_known; /* driver_nic_ready() was called */
	enum step step;
	volatile struct rx_descriptor *rx;
	volatile struct tx_descriptor *tx;
	uint64_t rx_physical, tx_physical;
	uint8_t *rx_buffers, *tx_buffers;
	uint64_t rx_buffers_physical, tx_buffers_physical;
	uint32_t rx_next;
	bool is_rx_endless;        /* the frame at rx_next began before it, and is dropped */
	uint32_t tx_head, tx_tail; /* free-running: next to fill, next to be done */
	uint32_t tx_told;          /* tx_head when the device was told */
	uint64_t tx_moved_tsc;
};

static const struct {
	uint16_t device_id;
	bool is_82574;
	const char *about;
} models[] = {
	{ 0x100e, false, "Intel 82540EM" }, { 0x1004, false, "Intel 82543GC" },
	{ 0x100f, false, "Intel 82545EM" }, { 0x1010, false, "Intel 82546EB" },
	{ 0x1026, false, "Intel 82545GM" }, { 0x10d3, true, "Intel 82574L" },
	{ 0x10f6, true, "Intel 82574L" },
};
#define MODELS (sizeof(models) / sizeof(models[0]))

static int find_model(const struct pci_function *pci)
{
	uint32_t i;

	for (i = 0; i < MODELS; i++) {
		if (pci->vendor_id == 0x8086 && pci->device_id == models[i].device_id) {
			return (int)i;
		}
	}
	return -1;
}

static bool e1000_matches(const struct pci_function *pci)
{
	return find_model(pci) >= 0;
}

static uint32_t read_reg(const struct e1000 *e1000, uint32_t offset)
{
	return mmio_read32(e1000->regs, offset);
}

static void write_reg(const struct e1000 *e1000, uint32_t offset, uint32_t value)
{
	mmio_write32(e1000->regs, offset, value);
}

/* Stops everything and resets (SDM 14.3); the rest follows when RESET_MS have passed. */
static void begin_reset(struct device *device, struct e1000 *e1000)
{
	write_reg(e1000, IMC, 0xffffffffu);
	write_reg(e1000, RCTL, 0);
	write_reg(e1000, TCTL, TCTL_PSP);
	write_reg(e1000, CTRL, read_reg(e1000, CTRL) | CTRL_RST);
	e1000->step = STEP_RESETTING;
	device->deadline_tsc = driver_now_tsc() + driver_ms_to_tsc(RESET_MS);
}

static void fill_rings(struct e1000 *e1000)
{
	uint32_t i;

	for (i = 0; i < RX_COUNT; i++) {
		e1000->rx[i].address = e1000->rx_buffers_physical + (uint64_t)i * BUFFER_BYTES;
		e1000->rx[i].status = 0;
	}
	for (i = 0; i < TX_COUNT; i++) {
		e1000->tx[i].address = e1000->tx_buffers_physical + (uint64_t)i * BUFFER_BYTES;
		e1000->tx[i].status = TX_DONE;
	}
	e1000->rx_next = 0;
	e1000->is_rx_endless = false;
	e1000->tx_head = 0;
	e1000->tx_tail = 0;
	e1000->tx_told = 0;
}

/* Which causes interrupt. By MSI-X all of them by vector 0; a cause that has sent its message is masked until it is written here again. */
static void enable_interrupts(struct e1000 *e1000)
{
	write_reg(e1000, IMS,
	          e1000->nic.device->has_msix ? INT_RXQ0 | INT_OTHER | INT_LSC | INT_RXO
	                                      : INT_LSC | INT_RXT0 | INT_RXDMT0 | INT_RXO);
}

static void set_up_interrupts(struct e1000 *e1000)
{
	bool has_msix = e1000->nic.device->has_msix;

	if (e1000->is_82574) {
		uint32_t control = read_reg(e1000, CTRL_EXT) & ~CTRL_EXT_PBA;

		write_reg(e1000, CTRL_EXT, control | (has_msix ? CTRL_EXT_PBA : 0));
		write_reg(e1000, IVAR, has_msix ? IVAR_ONE : 0);
		write_reg(e1000, EIAC, has_msix ? INT_RXQ0 : 0);
	}
	read_reg(e1000, ICR);
	if (has_msix) {
		write_reg(e1000, ICR, 0xffffffffu);
	}
	enable_interrupts(e1000);
}

/* What has happened, which is then forgotten: by reading, or with MSI-X by writing it back. */
static uint32_t take_causes(struct e1000 *e1000)
{
	uint32_t causes = read_reg(e1000, ICR);

	if (e1000->nic.device->has_msix && causes != 0xffffffffu) {
		write_reg(e1000, ICR, causes);
		enable_interrupts(e1000);
	}
	return causes;
}

static void write_rctl(struct e1000 *e1000)
{
	bool is_long = e1000->nic.frame_max > NIC_FRAME_MAX;

	write_reg(e1000, RCTL,
	          RCTL_EN | RCTL_UPE | RCTL_MPE | RCTL_BAM | RCTL_SECRC | (is_long ? RCTL_LPE : 0));
}

static void set_up_rings(struct e1000 *e1000)
{
	fill_rings(e1000);
	write_reg(e1000, RDBAL, (uint32_t)e1000->rx_physical);
	write_reg(e1000, RDBAH, (uint32_t)(e1000->rx_physical >> 32));
	write_reg(e1000, RDLEN, RX_COUNT * sizeof(struct rx_descriptor));
	write_reg(e1000, RDH, 0);
	write_reg(e1000, TDBAL, (uint32_t)e1000->tx_physical);
	write_reg(e1000, TDBAH, (uint32_t)(e1000->tx_physical >> 32));
	write_reg(e1000, TDLEN, TX_COUNT * sizeof(struct tx_descriptor));
	write_reg(e1000, TDH, 0);
	write_reg(e1000, TDT, 0);
	write_reg(e1000, TIPG, TIPG_COPPER);
	if (e1000->is_82574) {
		write_reg(e1000, TXDCTL, read_reg(e1000, TXDCTL) | TXDCTL_82574);
	}
	write_reg(e1000, TCTL, TCTL_EN | TCTL_PSP | TCTL_CT | TCTL_COLD);
	write_rctl(e1000);
	/* One stays empty: equal head and tail mean none (SDM 3.2.6). */
	write_reg(e1000, RDT, RX_COUNT - 1);
}

static void read_link(struct device *device, struct e1000 *e1000)
{
	static const uint32_t speeds[] = { 10, 100, 1000, 1000 };
	uint32_t status = read_reg(e1000, STATUS);
	bool is_up = (status & STATUS_LU) != 0;

	e1000->nic.link_mbps = is_up ? speeds[(status & STATUS_SPEED) >> 6] : 0;
	if (is_up != e1000->nic.is_link_up) {
		e1000->nic.is_link_up = is_up;
		driver_say(device, is_up ? "link is up, %u Mbit/s" : "link is down",
		           (unsigned int)e1000->nic.link_mbps);
		if (e1000->is_known) {
			driver_nic_link(&e1000->nic);
		}
	}
}

/* A word of the EEPROM (SDM 13.4.4, DS 10.2.1.4); false if it does not answer. */
static bool read_eeprom(struct e1000 *e1000, uint32_t word, uint32_t *value)
{
	uint32_t done = e1000->is_82574 ? 1u << 1 : 1u << 4;
	uint32_t tries = EERD_TRIES;

	write_reg(e1000, EERD, word << (e1000->is_82574 ? 2 : 8) | EERD_START);
	while (tries-- != 0) {
		uint32_t answer = read_reg(e1000, EERD);

		if ((answer & done) != 0) {
			*value = answer >> 16;
			return true;
		}
	}
	return false;
}

static bool mac_is_valid(const uint8_t mac[6])
{
	return (mac[0] & 1) == 0 && (mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]) != 0;
}

/* The device loads its address at reset; some emulators leave that to us. */
static bool read_mac(struct e1000 *e1000)
{
	uint32_t low = read_reg(e1000, RAL0);
	uint32_t high = read_reg(e1000, RAH0);
	uint8_t *mac = e1000->nic.mac;
	uint32_t i;

	for (i = 0; i < 6; i++) {
		mac[i] = (uint8_t)(i < 4 ? low >> (8 * i) : high >> (8 * (i - 4)));
	}
	if ((high & RAH_VALID) != 0 && mac_is_valid(mac)) {
		return true;
	}
	for (i = 0; i < 3; i++) {
		uint32_t word;

		if (!read_eeprom(e1000, i, &word)) {
			return false;
		}
		mac[2 * i] = (uint8_t)word;
		mac[2 * i + 1] = (uint8_t)(word >> 8);
	}
	write_reg(e1000, RAL0,
	          mac[0] | (uint32_t)mac[1] << 8 | (uint32_t)mac[2] << 16 | (uint32_t)mac[3] << 24);
	write_reg(e1000, RAH0, mac[4] | (uint32_t)mac[5] << 8 | RAH_VALID);
	return mac_is_valid(mac);
}

/* The reset is over: rings, filters, link, interrupts. */
static void finish_reset(struct device *device, struct e1000 *e1000)
{
	uint32_t i;

	if ((read_reg(e1000, CTRL) & CTRL_RST) != 0 || read_reg(e1000, STATUS) == 0xffffffffu) {
		driver_fail(device, "the device does not come out of reset");
		return;
	}
	if (!read_mac(e1000)) {
		driver_fail(device, "the device has no valid MAC address");
		return;
	}
	write_reg(e1000, IMC, 0xffffffffu);
	write_reg(e1000, CTRL, read_reg(e1000, CTRL) | CTRL_SLU | CTRL_ASDE | CTRL_FD);
	for (i = 0; i < MTA_COUNT; i++) {
		write_reg(e1000, MTA + 4 * i, 0);
	}
	set_up_rings(e1000);
	set_up_interrupts(e1000);
	e1000->step = STEP_RUNNING;
	device->state = DEVICE_RUNNING;
	read_link(device, e1000);
	if (!e1000->is_known) {
		e1000->is_known = true;
		driver_nic_ready(&e1000->nic);
	}
}

/* How many descriptors the next frame lies in: 0 if it has not all come. RX_FRAME_MAX may be without an end. */
static uint32_t next_frame(const struct e1000 *e1000)
{
	uint32_t count = 0;

	while (count < RX_FRAME_MAX) {
		uint8_t status = e1000->rx[(e1000->rx_next + count) % RX_COUNT].status;

		if ((status & RX_DONE) == 0) {
			return 0;
		}
		count++;
		if ((status & RX_END) != 0) {
			break;
		}
	}
	mmio_order();
	return count;
}

/* Its pieces; the bytes of all, or 0 if one of them is nonsense. More than NIC_PIECES_MAX are counted only. */
static uint32_t frame_pieces(const struct e1000 *e1000, uint32_t count, struct nic_piece *pieces)
{
	uint32_t total = 0;
	uint32_t i;

	for (i = 0; i < count; i++) {
		uint32_t idx = (e1000->rx_next + i) % RX_COUNT;
		uint32_t bytes = e1000->rx[idx].bytes;

		if (bytes == 0 || bytes > BUFFER_BYTES) {
			return 0;
		}
		total += bytes;
		if (i < NIC_PIECES_MAX) {
			pieces[i] = (struct nic_piece){ e1000->rx_buffers + idx * BUFFER_BYTES,
				                        bytes };
		}
	}
	return total;
}

static void take_frame(struct e1000 *e1000, uint32_t count)
{
	struct nic_piece pieces[NIC_PIECES_MAX];
	uint32_t bytes = frame_pieces(e1000, count, pieces);
	volatile struct rx_descriptor *last = &e1000->rx[(e1000->rx_next + count - 1) % RX_COUNT];
	bool was_endless = e1000->is_rx_endless;
	struct nic *nic = &e1000->nic;

	e1000->is_rx_endless = (last->status & RX_END) == 0;
	if (was_endless) {
		return;
	}
	if (e1000->is_rx_endless || count > NIC_PIECES_MAX || bytes > nic->frame_max) {
		nic->too_long_count++;
	} else if (last->errors != 0 || bytes < 14) {
		nic->errors_count++;
	} else {
		nic->received_count++;
		nic->received_bytes += bytes;
		if (nic->receive != NULL) {
			nic->receive(nic->user, pieces, count);
		}
	}
}

static void receive(struct e1000 *e1000)
{
	uint32_t left = RX_ROUNDS;
	uint32_t begin = e1000->rx_next;
	uint32_t count;

	while (left-- != 0 && (count = next_frame(e1000)) != 0) {
		take_frame(e1000, count);
		while (count-- != 0) {
			e1000->rx[e1000->rx_next++ % RX_COUNT].status = 0;
		}
	}
	if (e1000->rx_next != begin) {
		mmio_order();
		write_reg(e1000, RDT, (e1000->rx_next - 1) % RX_COUNT);
	}
}

/* Takes back what is sent. */
static void reclaim(struct e1000 *e1000)
{
	while (e1000->tx_tail != e1000->tx_told &&
	       (e1000->tx[e1000->tx_tail % TX_COUNT].status & TX_DONE) != 0) {
		e1000->tx_tail++;
		e1000->tx_moved_tsc = driver_now_tsc();
	}
}

static uint32_t tx_free(const struct e1000 *e1000)
{
	return TX_COUNT - 1 - (e1000->tx_head - e1000->tx_tail);
}

static uint32_t e1000_reserve(struct nic *nic, uint32_t bytes, struct nic_piece *pieces)
{
	struct e1000 *e1000 = (struct e1000 *)nic;
	uint32_t count = (bytes + BUFFER_BYTES - 1) / BUFFER_BYTES;
	uint32_t i;

	if (e1000->step != STEP_RUNNING || !nic->is_link_up) {
		return 0;
	}
	if (tx_free(e1000) < count) {
		reclaim(e1000);
	}
	if (tx_free(e1000) < count) {
		return 0;
	}
	for (i = 0; i < count; i++) {
		uint32_t idx = (e1000->tx_head + i) % TX_COUNT;

		pieces[i].address = e1000->tx_buffers + idx * BUFFER_BYTES;
		pieces[i].bytes = bytes < BUFFER_BYTES ? bytes : BUFFER_BYTES;
		bytes -= pieces[i].bytes;
	}
	return count;
}

static void e1000_commit(struct nic *nic, uint32_t bytes)
{
	struct e1000 *e1000 = (struct e1000 *)nic;

	nic->sent_count++;
	nic->sent_bytes += bytes;
	while (bytes != 0) {
		volatile struct tx_descriptor *descriptor = &e1000->tx[e1000->tx_head % TX_COUNT];
		uint32_t piece = bytes < BUFFER_BYTES ? bytes : BUFFER_BYTES;

		bytes -= piece;
		descriptor->bytes = (uint16_t)piece;
		descriptor->checksum_offset = 0;
		descriptor->command = TX_FCS | TX_REPORT | (bytes == 0 ? TX_END : 0);
		descriptor->status = 0;
		e1000->tx_head++;
	}
}

static void e1000_flush(struct nic *nic)
{
	struct e1000 *e1000 = (struct e1000 *)nic;

	if (e1000->tx_head == e1000->tx_told || e1000->step != STEP_RUNNING) {
		return;
	}
	if (e1000->tx_tail == e1000->tx_told) {
		e1000->tx_moved_tsc = driver_now_tsc();
	}
	mmio_order();
	e1000->tx_told = e1000->tx_head;
	write_reg(e1000, TDT, e1000->tx_head % TX_COUNT);
}

static void e1000_set_frame_max(struct nic *nic, uint32_t bytes)
{
	struct e1000 *e1000 = (struct e1000 *)nic;

	nic->frame_max = bytes;
	if (e1000->step == STEP_RUNNING) {
		write_rctl(e1000);
	}
}

/* True if the device has sent nothing for long though it should. */
static bool is_stuck(struct e1000 *e1000)
{
	reclaim(e1000);
	return e1000->tx_tail != e1000->tx_told && e1000->nic.is_link_up &&
	       driver_now_tsc() - e1000->tx_moved_tsc > driver_ms_to_tsc(STUCK_MS);
}

static void e1000_service(struct device *device)
{
	struct e1000 *e1000 = device->own;
	uint32_t cause;

	if (e1000->step == STEP_RESETTING) {
		if (driver_now_tsc() >= device->deadline_tsc) {
			finish_reset(device, e1000);
		}
		if (device->state != DEVICE_RUNNING || e1000->step == STEP_RESETTING) {
			return;
		}
	}
	cause = take_causes(e1000);
	if (cause == 0xffffffffu) {
		e1000->nic.is_link_up = false;
		driver_nic_link(&e1000->nic);
		driver_fail(device, "the device is gone");
		return;
	}
	read_link(device, e1000);
	receive(e1000);
	if (is_stuck(e1000)) {
		device->resets_count++;
		driver_say(device, "does not send any more: it is reset");
		begin_reset(device, e1000);
		return;
	}
	e1000->nic.dropped_count += read_reg(e1000, MPC);
	device->deadline_tsc = driver_now_tsc() + driver_ms_to_tsc(device->has_interrupt
	                                                                   ? LINK_POLL_MS
	                                                                   : QUICK_POLL_MS);
}

static bool take_memory(struct device *device, struct e1000 *e1000)
{
	e1000->rx = driver_dma(device, RX_COUNT * sizeof(struct rx_descriptor),
	                       &e1000->rx_physical);
	e1000->tx = driver_dma(device, TX_COUNT * sizeof(struct tx_descriptor),
	                       &e1000->tx_physical);
	e1000->rx_buffers = driver_dma(device, RX_COUNT * BUFFER_BYTES,
	                               &e1000->rx_buffers_physical);
	e1000->tx_buffers = driver_dma(device, TX_COUNT * BUFFER_BYTES,
	                               &e1000->tx_buffers_physical);
	return e1000->rx != NULL && e1000->tx != NULL && e1000->rx_buffers != NULL &&
	       e1000->tx_buffers != NULL;
}

static void e1000_start(struct device *device)
{
	int model = find_model(device->pci);
	struct e1000 *e1000 = driver_allocate(sizeof(*e1000));

	if (e1000 == NULL || !take_memory(device, e1000)) {
		driver_fail(device, "no memory");
		return;
	}
	device->own = e1000;
	e1000->nic.device = device;
	e1000->nic.reserve = e1000_reserve;
	e1000->nic.commit = e1000_commit;
	e1000->nic.flush = e1000_flush;
	e1000->nic.set_frame_max = e1000_set_frame_max;
	e1000->nic.frame_max = NIC_FRAME_MAX;
	e1000->nic.frame_limit = NIC_FRAME_JUMBO;
	e1000->is_82574 = models[model].is_82574;
	snprintf(device->about, sizeof(device->about), "%s", models[model].about);
	e1000->regs = driver_map_bar(device, 0, REGISTERS);
	if (e1000->regs == NULL) {
		driver_fail(device, "its registers cannot be mapped");
		return;
	}
	begin_reset(device, e1000);
}

const struct driver driver_e1000 = {
	.name = "e1000",
	.dma_bytes = 2 * 4096 + (RX_COUNT + TX_COUNT) * BUFFER_BYTES,
	.matches = e1000_matches,
	.start = e1000_start,
	.service = e1000_service,
};
