// SPDX-License-Identifier: Apache-2.0
/*
 * NVMe (NVM Express Base Specification 1.4): one controller, its first namespace, an admin queue and
 * one pair of I/O queues, requests through the slots of disk.h.
 *
 * Start-up is a chain of steps, each with a time limit of what the controller itself says it needs.
 */
#include <stdio.h>
#include <string.h>

#include "drivers/disk.h"

/* 3.1 */
#define CAP_LOW          0x00u
#define CAP_TO(low)      ((low) >> 24 & 0xffu) /* in 500 ms */
#define CAP_MQES(low)    ((low)&0xffffu)
#define CAP_HIGH         0x04u
#define CAP_DSTRD(high)  ((high)&0xfu)
#define CAP_MPSMIN(high) ((high) >> 16 & 0xfu)
#define CC               0x14u
#define CC_ENABLE        (1u << 0)
#define CC_ENTRIES       (6u << 16 | 4u << 20) /* 64 and 16 bytes; pages of 4 KiB */
#define CSTS             0x1cu
#define CSTS_READY       (1u << 0)
#define CSTS_FATAL       (1u << 1)
#define AQA              0x24u
#define ASQ              0x28u
#define ACQ              0x30u
#define DOORBELLS        0x1000u
#define REGISTERS        0x2000u

/* 5, 6: opcodes */
#define ADMIN_CREATE_SQ 0x01u
#define ADMIN_CREATE_CQ 0x05u
#define ADMIN_IDENTIFY  0x06u
#define IO_FLUSH        0x00u
#define IO_WRITE        0x01u
#define IO_READ         0x02u
#define IO_WRITE_ZEROES 0x08u
#define IO_DATASET      0x09u
#define DATASET_DISCARD (1u << 2)

/* 4.6.1: status without the phase */
#define STATUS_OK           0x0000u
#define STATUS_OPCODE       0x0001u
#define STATUS_MASK         0x07ffu
#define STATUS_DO_NOT_RETRY 0x8000u /* with the phase below it */

/* 5.15.2: identify data */
#define ID_SERIAL       4u
#define ID_SERIAL_BYTES 20u
#define ID_MODEL        24u
#define ID_MODEL_BYTES  40u
#define ID_MDTS         77u
#define ID_ONCS         520u
#define ONCS_DATASET    (1u << 2)
#define ONCS_ZEROES     (1u << 3)
#define ID_VWC          525u
#define NS_SIZE         0u
#define NS_FLBAS        26u
#define NS_FORMATS      128u

#define NAMESPACE       1u
#define PAGE_BYTES      4096u
#define QUEUE_ENTRIES   32u /* of both queues; more than slots */
#define POLL_MS         10u
#define ADMIN_MS        10000u
#define SECTOR_SHIFT    9u
#define PIECE_MAX       0x10000u /* a count of blocks has 16 bits, from zero */

/* 4.2 */
struct command {
	uint32_t opcode; /* 7:0, command identifier 31:16 */
	uint32_t namespace_id;
	uint64_t reserved;
	uint64_t metadata;
	uint64_t prp1, prp2;
	uint32_t dw10, dw11, dw12, dw13, dw14, dw15;
};
_Static_assert(sizeof(struct command) == 64, "NVMe 4.2");

struct completion {
	uint32_t result;
	uint32_t reserved;
	uint16_t head;
	uint16_t queue;
	uint16_t identifier;
	uint16_t status; /* bit 0: phase */
};

struct range {
	uint32_t attributes;
	uint32_t blocks;
	uint64_t first;
};

struct queue {
	volatile struct command *commands;
	volatile struct completion *completions;
	uint64_t commands_physical, completions_physical;
	uint32_t tail, head;
	uint32_t told;
	uint16_t phase;
	uint32_t doorbell; /* of submissions; that of completions follows */
};

enum step {
	STEP_DISABLING,
	STEP_ENABLING,
	STEP_CONTROLLER,
	STEP_NAMESPACE,
	STEP_CREATE_CQ,
	STEP_CREATE_SQ,
	STEP_RUNNING,
};

struct nvme {
	struct disk disk;
	volatile void *regs;
	uint32_t stride;
	enum step step;
	uint64_t limit_tsc; /* of the step */
	struct queue admin, io;
	uint8_t *identify;
	uint64_t identify_physical;
	uint64_t *lists; /* a page of page addresses, or a range, for each slot */
	uint64_t lists_physical;
	uint32_t block_shift;
};

static bool nvme_matches(const struct pci_function *pci)
{
	return pci->class_code == 0x010802;
}

static uint32_t read_reg(const struct nvme *nvme, uint32_t offset)
{
	return mmio_read32(nvme->regs, offset);
}

static void write_reg(const struct nvme *nvme, uint32_t offset, uint32_t value)
{
	mmio_write32(nvme->regs, offset, value);
}

static void write_reg64(const struct nvme *nvme, uint32_t offset, uint64_t value)
{
	write_reg(nvme, offset, (uint32_t)value);
	write_reg(nvme, offset + 4, (uint32_t)(value >> 32));
}

/* ---- queues ---------------------------------------------------------------------------------- */

static bool queue_allocate(struct device *device, struct queue *queue)
{
	queue->commands = driver_dma(device, QUEUE_ENTRIES * sizeof(struct command),
	                             &queue->commands_physical);
	queue->completions = driver_dma(device, QUEUE_ENTRIES * sizeof(struct completion),
	                                &queue->completions_physical);
	return queue->commands != NULL && queue->completions != NULL;
}

static void queue_begin(struct nvme *nvme, struct queue *queue, uint32_t number)
{
	uint32_t i;

	for (i = 0; i < QUEUE_ENTRIES; i++) {
		queue->completions[i].status = 0;
	}
	queue->tail = queue->head = queue->told = 0;
	queue->phase = 1;
	queue->doorbell = DOORBELLS + 2 * number * nvme->stride;
}

static void queue_put(struct queue *queue, const struct command *command)
{
	queue->commands[queue->tail] = *command;
	queue->tail = (queue->tail + 1) % QUEUE_ENTRIES;
}

static void queue_kick(const struct nvme *nvme, struct queue *queue)
{
	if (queue->told != queue->tail) {
		mmio_order();
		queue->told = queue->tail;
		write_reg(nvme, queue->doorbell, queue->tail);
	}
}

/* The next completion, its identifier and status; false if there is none. */
static bool queue_take(const struct nvme *nvme, struct queue *queue, uint16_t *identifier,
                       uint32_t *status, bool *may_retry)
{
	const volatile struct completion *completion = &queue->completions[queue->head];
	uint16_t value = completion->status;

	if ((value & 1) != queue->phase) {
		return false;
	}
	mmio_order();
	*identifier = completion->identifier;
	*status = (uint32_t)value >> 1 & STATUS_MASK;
	*may_retry = (value & STATUS_DO_NOT_RETRY) == 0;
	if (++queue->head == QUEUE_ENTRIES) {
		queue->head = 0;
		queue->phase ^= 1;
	}
	write_reg(nvme, queue->doorbell + nvme->stride, queue->head);
	return true;
}

/* ---- start-up -------------------------------------------------------------------------------- */

static void enter(struct nvme *nvme, enum step step, uint64_t limit_ms)
{
	nvme->step = step;
	nvme->limit_tsc = driver_now_tsc() + driver_ms_to_tsc(limit_ms);
	nvme->disk.device->deadline_tsc = driver_now_tsc() + driver_ms_to_tsc(POLL_MS);
}

static uint64_t ready_ms(const struct nvme *nvme)
{
	return (uint64_t)(CAP_TO(read_reg(nvme, CAP_LOW)) + 1) * 500;
}

static void disable(struct nvme *nvme)
{
	write_reg(nvme, CC, read_reg(nvme, CC) & ~CC_ENABLE);
	enter(nvme, STEP_DISABLING, ready_ms(nvme));
}

static void enable(struct nvme *nvme)
{
	queue_begin(nvme, &nvme->admin, 0);
	queue_begin(nvme, &nvme->io, 1);
	write_reg(nvme, AQA, (QUEUE_ENTRIES - 1) << 16 | (QUEUE_ENTRIES - 1));
	write_reg64(nvme, ASQ, nvme->admin.commands_physical);
	write_reg64(nvme, ACQ, nvme->admin.completions_physical);
	write_reg(nvme, CC, CC_ENTRIES | CC_ENABLE);
	enter(nvme, STEP_ENABLING, ready_ms(nvme));
}

static void send_admin(struct nvme *nvme, enum step step, const struct command *command)
{
	queue_put(&nvme->admin, command);
	queue_kick(nvme, &nvme->admin);
	enter(nvme, step, ADMIN_MS);
}

static void identify(struct nvme *nvme, enum step step, uint32_t namespace_id, uint32_t what)
{
	const struct command command = { .opcode = ADMIN_IDENTIFY,
		                         .namespace_id = namespace_id,
		                         .prp1 = nvme->identify_physical,
		                         .dw10 = what };

	send_admin(nvme, step, &command);
}

static void create_queue(struct nvme *nvme, enum step step)
{
	bool is_cq = step == STEP_CREATE_CQ;
	const struct command command = {
		.opcode = is_cq ? ADMIN_CREATE_CQ : ADMIN_CREATE_SQ,
		.prp1 = is_cq ? nvme->io.completions_physical : nvme->io.commands_physical,
		.dw10 = (QUEUE_ENTRIES - 1) << 16 | 1,
		.dw11 = is_cq ? 3
		              : 1 | 1u << 16, /* contiguous; interrupts, or completion queue 1 */
	};

	send_admin(nvme, step, &command);
}

/* Text of fixed length without its trailing blanks, fit for a terminal. */
static void copy_text(char *to, const uint8_t *from, uint32_t bytes)
{
	uint32_t i;

	for (i = 0; i < bytes; i++) {
		to[i] = (char)(from[i] >= 0x20 && from[i] < 0x7f ? from[i] : ' ');
	}
	while (bytes > 0 && to[bytes - 1] == ' ') {
		bytes--;
	}
	to[bytes] = '\0';
}

static void take_controller(struct nvme *nvme)
{
	struct block_device *block = &nvme->disk.block;
	const uint8_t *id = nvme->identify;
	uint32_t optional = id[ID_ONCS] | (uint32_t)id[ID_ONCS + 1] << 8;
	uint32_t most = DISK_BUFFER_BYTES;

	copy_text(block->serial, id + ID_SERIAL, ID_SERIAL_BYTES);
	copy_text(block->about, id + ID_MODEL, ID_MODEL_BYTES);
	block->flags = ((id[ID_VWC] & 1) != 0 ? BLOCK_CAN_FLUSH : 0) |
	               ((optional & ONCS_DATASET) != 0 ? BLOCK_CAN_DISCARD : 0) |
	               ((optional & ONCS_ZEROES) != 0 ? BLOCK_CAN_WRITE_ZEROES : 0);
	if (id[ID_MDTS] != 0 && id[ID_MDTS] < 5) {
		most = PAGE_BYTES << id[ID_MDTS];
	}
	nvme->disk.piece_sectors[BLOCK_READ] = most >> SECTOR_SHIFT;
	nvme->disk.piece_sectors[BLOCK_WRITE] = most >> SECTOR_SHIFT;
	identify(nvme, STEP_NAMESPACE, NAMESPACE, 0);
}

static void fail(struct nvme *nvme, const char *why)
{
	driver_fail(nvme->disk.device, "%s", why);
	disk_end(&nvme->disk);
}

static void take_namespace(struct nvme *nvme)
{
	struct block_device *block = &nvme->disk.block;
	const uint8_t *id = nvme->identify;
	uint32_t format;
	uint64_t blocks;

	memcpy(&blocks, id + NS_SIZE, sizeof(blocks));
	memcpy(&format, id + NS_FORMATS + 4 * (id[NS_FLBAS] & 0xfu), sizeof(format));
	nvme->block_shift = format >> 16 & 0xffu;
	if (blocks == 0) {
		fail(nvme, "it has no namespace 1");
		return;
	}
	if ((nvme->block_shift != 9 && nvme->block_shift != 12) || (format & 0xffffu) != 0 ||
	    blocks >> (63 - nvme->block_shift) != 0) {
		fail(nvme, "its blocks are not of 512 or 4096 bytes without metadata");
		return;
	}
	block->sectors_count = blocks << (nvme->block_shift - SECTOR_SHIFT);
	block->sector_bytes = 1u << nvme->block_shift;
	nvme->disk.piece_sectors[BLOCK_WRITE_ZEROES] = PIECE_MAX;
	nvme->disk.piece_sectors[BLOCK_DISCARD] = 1u << 30;
	snprintf(nvme->disk.device->about, sizeof(nvme->disk.device->about), "%.40s, %llu MiB",
	         block->about, (unsigned long long)(block->sectors_count >> 11));
	create_queue(nvme, STEP_CREATE_CQ);
}

/* The admin command of this step has ended. */
static void take_admin(struct nvme *nvme, uint32_t status)
{
	if (status != STATUS_OK) {
		fail(nvme, "it refuses a command of its start-up");
		return;
	}
	switch (nvme->step) {
	case STEP_CONTROLLER:
		take_controller(nvme);
		break;
	case STEP_NAMESPACE:
		take_namespace(nvme);
		break;
	case STEP_CREATE_CQ:
		create_queue(nvme, STEP_CREATE_SQ);
		break;
	case STEP_CREATE_SQ:
		nvme->step = STEP_RUNNING;
		disk_ready(&nvme->disk);
		break;
	case STEP_DISABLING:
	case STEP_ENABLING:
	case STEP_RUNNING:
		break;
	}
}

/* ---- requests -------------------------------------------------------------------------------- */

static void issue(struct disk *disk, uint32_t idx)
{
	static const uint32_t opcodes[] = { [BLOCK_READ] = IO_READ,
		                            [BLOCK_WRITE] = IO_WRITE,
		                            [BLOCK_FLUSH] = IO_FLUSH,
		                            [BLOCK_DISCARD] = IO_DATASET,
		                            [BLOCK_WRITE_ZEROES] = IO_WRITE_ZEROES };
	struct nvme *nvme = (struct nvme *)disk;
	const struct disk_slot *slot = &disk->slots[idx];
	enum block_operation operation = slot->request->operation;
	uint64_t first = slot->sector >> (nvme->block_shift - SECTOR_SHIFT);
	uint32_t blocks = slot->sectors_count >> (nvme->block_shift - SECTOR_SHIFT);
	uint64_t list = nvme->lists_physical + (uint64_t)idx * PAGE_BYTES;
	struct command command = { .opcode = opcodes[operation] | idx << 16,
		                   .namespace_id = NAMESPACE };

	if (operation == BLOCK_DISCARD) {
		struct range *range = (struct range *)(nvme->lists + idx * PAGE_BYTES / 8) +
		                      PAGE_BYTES / sizeof(struct range) - 1;

		*range = (struct range){ .blocks = blocks, .first = first };
		command.prp1 = list + PAGE_BYTES - sizeof(struct range);
		command.dw11 = DATASET_DISCARD;
	} else if (operation != BLOCK_FLUSH) {
		uint32_t bytes = slot->sectors_count << SECTOR_SHIFT;

		command.dw10 = (uint32_t)first;
		command.dw11 = (uint32_t)(first >> 32);
		command.dw12 = blocks - 1;
		if (operation != BLOCK_WRITE_ZEROES) {
			command.prp1 = slot->physical;
			command.prp2 = bytes <= PAGE_BYTES       ? 0
			               : bytes <= 2 * PAGE_BYTES ? slot->physical + PAGE_BYTES
			                                         : list;
		}
	}
	queue_put(&nvme->io, &command);
}

static void kick(struct disk *disk)
{
	struct nvme *nvme = (struct nvme *)disk;

	queue_kick(nvme, &nvme->io);
}

/* The pages of each slot's buffer behind its first (4.3): they never change. */
static void fill_lists(struct nvme *nvme)
{
	uint32_t slot;
	uint32_t page;

	for (slot = 0; slot < DISK_SLOTS_MAX; slot++) {
		for (page = 1; page < DISK_BUFFER_BYTES / PAGE_BYTES; page++) {
			nvme->lists[slot * PAGE_BYTES / 8 + page - 1] =
				nvme->disk.slots[slot].physical + (uint64_t)page * PAGE_BYTES;
		}
	}
}

static void take_answers(struct nvme *nvme)
{
	uint32_t left = 4 * QUEUE_ENTRIES;
	uint16_t identifier;
	uint32_t status;
	bool may_retry;

	while (left-- != 0 && queue_take(nvme, &nvme->io, &identifier, &status, &may_retry)) {
		disk_complete(&nvme->disk, identifier,
		              status == STATUS_OK       ? BLOCK_OK
		              : status == STATUS_OPCODE ? BLOCK_UNSUPPORTED
		                                        : BLOCK_IO_ERROR,
		              may_retry);
	}
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void reset(struct nvme *nvme, const char *why)
{
	if (disk_begin_reset(&nvme->disk, why)) {
		disable(nvme);
	}
}

static void service_start_up(struct nvme *nvme, uint32_t status)
{
	uint16_t identifier;
	uint32_t answer;
	bool may_retry;

	nvme->disk.device->deadline_tsc = driver_now_tsc() + driver_ms_to_tsc(POLL_MS);
	if (nvme->step == STEP_DISABLING && (status & CSTS_READY) == 0) {
		enable(nvme);
	} else if (nvme->step == STEP_ENABLING && (status & CSTS_READY) != 0) {
		identify(nvme, STEP_CONTROLLER, 0, 1);
	} else if (nvme->step >= STEP_CONTROLLER &&
	           queue_take(nvme, &nvme->admin, &identifier, &answer, &may_retry)) {
		take_admin(nvme, answer);
	} else if (driver_now_tsc() > nvme->limit_tsc) {
		fail(nvme, "it does not answer in the time that it says it needs");
	}
}

static void nvme_service(struct device *device)
{
	struct nvme *nvme = device->own;
	uint32_t status = read_reg(nvme, CSTS);

	if (status == 0xffffffffu) {
		fail(nvme, "the device is gone");
		return;
	}
	if (nvme->step != STEP_RUNNING) {
		service_start_up(nvme, status);
		return;
	}
	take_answers(nvme);
	if ((status & CSTS_FATAL) != 0) {
		reset(nvme, "the controller reports a fatal error");
	} else if (disk_is_late(&nvme->disk)) {
		reset(nvme, "the device does not answer");
	} else {
		disk_pump(&nvme->disk);
		device->deadline_tsc = disk_deadline_tsc(&nvme->disk);
	}
}

static bool take_memory(struct device *device, struct nvme *nvme)
{
	nvme->identify = driver_dma(device, PAGE_BYTES, &nvme->identify_physical);
	nvme->lists = driver_dma(device, DISK_SLOTS_MAX * PAGE_BYTES, &nvme->lists_physical);
	return disk_init(&nvme->disk, device, DISK_SLOTS_MAX) &&
	       queue_allocate(device, &nvme->admin) && queue_allocate(device, &nvme->io) &&
	       nvme->identify != NULL && nvme->lists != NULL;
}

static void nvme_start(struct device *device)
{
	struct nvme *nvme = driver_allocate(sizeof(*nvme));
	uint32_t high;

	if (nvme == NULL || !take_memory(device, nvme)) {
		driver_fail(device, "no memory");
		return;
	}
	device->own = nvme;
	fill_lists(nvme);
	nvme->disk.issue = issue;
	nvme->disk.kick = kick;
	snprintf(nvme->disk.block.name, sizeof(nvme->disk.block.name), "%s", device->name);
	nvme->regs = driver_map_bar(device, 0, REGISTERS);
	if (nvme->regs == NULL) {
		driver_fail(device, "its registers cannot be mapped");
		return;
	}
	high = read_reg(nvme, CAP_HIGH);
	nvme->stride = 4u << CAP_DSTRD(high);
	if (CAP_MPSMIN(high) != 0 || CAP_MQES(read_reg(nvme, CAP_LOW)) < QUEUE_ENTRIES - 1 ||
	    DOORBELLS + 4 * nvme->stride > REGISTERS) {
		driver_fail(device, "it cannot use pages of 4 KiB or queues of 32 entries");
		return;
	}
	disable(nvme);
}

const struct driver driver_nvme = {
	.name = "nvme",
	.dma_bytes = DISK_DMA_BYTES + (DISK_SLOTS_MAX + 5) * PAGE_BYTES,
	.matches = nvme_matches,
	.start = nvme_start,
	.service = nvme_service,
};
