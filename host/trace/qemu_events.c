/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/trace/qemu_events.h"

#include <string.h>

enum { NONE = SIGHT_OP_NONE };

const struct qemu_event qemu_events[] = {
	/* virtio */
	{ "virtio_queue_notify", "vdev %p n %d vq %p", "d-k", SIGHT_V_NOTIFY, NONE, 0, NULL },
	{ "virtio_notify_irqfd", "vdev %p vq %p", "dk", SIGHT_V_INJECT, NONE, 0, "virtio_notify_irqfd_deferred_fn" },
	{ "virtio_notify_irqfd_deferred_fn", "vdev %p vq %p", "dk", SIGHT_V_INJECT, NONE, 0, NULL },
	{ "virtio_notify", "vdev %p vq %p", "dk", SIGHT_V_INJECT, NONE, 0, NULL },
	{ "virtio_blk_handle_read", "vdev %p req %p sector %u nsectors %u", "dksn", SIGHT_V_START, IO_READ, 0, NULL },
	{ "virtio_blk_handle_write", "vdev %p req %p sector %u nsectors %u", "dksn", SIGHT_V_START, IO_WRITE, 0, NULL },
	{ "virtio_blk_submit_multireq", "vdev %p mrb %p start %d num_reqs %d offset %u size %u is_write %d", "d--kobw", SIGHT_V_MULTI, NONE, 0, NULL },
	{ "virtio_blk_rw_complete", "vdev %p req %p ret %d", "dk-", SIGHT_V_RW_COMPLETE, NONE, 0, NULL },
	{ "virtio_blk_req_complete", "vdev %p req %p status %d", "dk-", SIGHT_V_DONE, NONE, 0, NULL },
	{ "virtio_scsi_cmd_req", "virtio_scsi_cmd_req lun=%u tag=0x%x cmd=0x%x", "-tC", SIGHT_V_SCSI_START, NONE, 0, NULL },
	{ "virtio_scsi_cmd_resp", "virtio_scsi_cmd_resp lun=%u tag=0x%x response=%d status=0x%x", "-t--", SIGHT_V_SCSI_DONE, NONE, 0, NULL },
	{ "scsi_req_parsed_lba", "target %d lun %d tag %d command %d lba %u", "--tCs", SIGHT_V_SCSI_LBA, NONE, 0, NULL },
	{ "scsi_disk_dma_command_READ", "Read (sector %d, count %u)", "sn", SIGHT_V_SCSI_DMA, IO_READ, 0, NULL },
	{ "scsi_disk_dma_command_WRITE", "Write %s(sector %d, count %u)", "-sn", SIGHT_V_SCSI_DMA, IO_WRITE, 0, NULL },

	/* ATA */
	{ "ahci_port_write", "ahci(%p)[%d]: port write [reg:%s] @ 0x%x: 0x%x", "d--=k", SIGHT_V_AHCI_NOTIFY, NONE, 0x38 /* PxCI */, NULL },
	{ "process_ncq_command", "ahci(%p)[%d][tag:%d]: NCQ op 0x%x on sectors [%d,%d]", "d-kAse", SIGHT_V_NCQ_START, NONE, 0, NULL },
	{ "ncq_finish", "ahci(%p)[%d][tag:%d]: NCQ transfer finished", "d-k", SIGHT_V_NCQ_DONE, NONE, 0, NULL },
	{ "ahci_cmd_done", "ahci(%p)[%d]: cmd done", "dk", SIGHT_V_AHCI_DONE, NONE, 0, NULL },
	{ "ahci_irq_raise", "ahci(%p): raise irq", "d", SIGHT_V_AHCI_IRQ, NONE, 0, NULL },
	{ "bmdma_cmd_writeb", "val: 0x%x", "&", SIGHT_V_IDE_NOTIFY, NONE, 1 /* start */, NULL },
	{ "ide_dma_cb", "IDEState %p; sector_num=%d n=%d cmd=%s", "ksnz", SIGHT_V_IDE_DMA, NONE, 0, NULL },
	{ "ioapic_set_irq", "vector: %d level: %d", "k=", SIGHT_V_LINE, NONE, 1, NULL },

	/* NVMe */
	{ "pci_nvme_mmio_doorbell_sq", "sqid %u new_tail %u", "Dk", SIGHT_V_NVME_NOTIFY, NONE, 0, NULL },
	{ "pci_nvme_io_cmd", "cid %u nsid 0x%x sqid %u opc 0x%x opname '%s'", "k-DN-", SIGHT_V_NVME_CMD, NONE, 0, NULL },
	{ "pci_nvme_read", "cid %u nsid %u nlb %u count %u lba 0x%x", "k-cbl", SIGHT_V_NVME_START, IO_READ, 0, NULL },
	{ "pci_nvme_write", "cid %u opname '%s' nsid %u nlb %u count %u lba 0x%x", "k--cbl", SIGHT_V_NVME_START, IO_WRITE, 0, NULL },
	{ "pci_nvme_enqueue_req_completion", "cid %u cqid %u dw0 0x%x dw1 0x%x status 0x%x", "kD---", SIGHT_V_NVME_DONE, NONE, 0, NULL },
	{ "pci_nvme_enqueue_req_completion", "cid %u cqid %u status 0x%x", "kD-", SIGHT_V_NVME_DONE, NONE, 0, NULL },
	{ "pci_nvme_irq_msix", "raising MSI-X IRQ vector %u", "k", SIGHT_V_NVME_IRQ, NONE, 0, NULL },
	{ "pci_nvme_irq_pin", "pulsing IRQ pin", "", SIGHT_V_NVME_IRQ, NONE, 0, NULL },

	/* block layer */
	{ "blk_co_preadv", "blk %p bs %p offset %d bytes %d flags 0x%x", "k-ob-", SIGHT_V_BLK, IO_READ, 0, NULL },
	{ "blk_co_pwritev", "blk %p bs %p offset %d bytes %d flags 0x%x", "k-ob-", SIGHT_V_BLK, IO_WRITE, 0, NULL },
	{ "dma_blk_io", "dbs=%p bs=%p offset=%d to_dev=%d", "k-ow", SIGHT_V_DMA_START, NONE, 0, NULL },
	{ "dma_complete", "dbs=%p ret=%d cb=%p", "k--", SIGHT_V_DMA_DONE, NONE, 0, NULL },
	{ "file_paio_submit", "acb %p opaque %p offset %d count %d type %d", "k-oba", SIGHT_V_PAIO, NONE, 0, NULL },
	{ "thread_pool_submit", "pool %p req %p opaque %p", "-k-", SIGHT_V_POOL_SUBMIT, NONE, 0, NULL },
	{ "thread_pool_submit_aio", "pool %p req %p opaque %p", "-k-", SIGHT_V_POOL_SUBMIT, NONE, 0, NULL },
	{ "thread_pool_complete", "pool %p req %p opaque %p ret %d", "-k--", SIGHT_V_POOL_COMPLETE, NONE, 0, NULL },
	{ "thread_pool_complete_aio", "pool %p req %p opaque %p ret %d", "-k--", SIGHT_V_POOL_COMPLETE, NONE, 0, NULL },
	{ "luring_co_submit", "bs %p s %p luringcb %p fd %d offset %d nbytes %u type %d", "--k-oba", SIGHT_V_LURING, NONE, 0, NULL },
	{ "luring_co_submit", "bs %p req %p fd %d offset %d nbytes %u type %d", "-k-oba", SIGHT_V_LURING, NONE, 0, NULL },
	{ "luring_io_uring_submit", "LuringState %p ret %d", "kL", SIGHT_V_URING_ENTER, NONE, 0, NULL },
	{ "luring_process_completion", "LuringState %p luringcb %p ret %d", "-k-", SIGHT_V_LURING_COMPLETE, NONE, 0, NULL },
	{ "luring_cqe_handler", "req %p ret %d", "k-", SIGHT_V_LURING_COMPLETE, NONE, 0, NULL },

	{ "runstate_set", "current_run_state %d (%s) new_state %d (%s)", "--k-", SIGHT_V_RUNSTATE, NONE, 0, NULL },
};

const size_t qemu_events_count = sizeof(qemu_events) / sizeof(qemu_events[0]);

_Static_assert(sizeof(qemu_events) / sizeof(qemu_events[0]) <= QEMU_DEVICES_MAX, "dropped[] has a place for every row");

size_t qemu_event_index(const struct qemu_event *e)
{
	return (size_t)(e - qemu_events);
}

size_t qemu_event_args(const struct qemu_event *e)
{
	return strlen(e->roles);
}

size_t qemu_event_find(const char *name, size_t length, size_t from)
{
	for (size_t i = from; i < qemu_events_count; i++)
		if (strlen(qemu_events[i].name) == length && memcmp(qemu_events[i].name, name, length) == 0)
			return i;
	return qemu_events_count;
}

void qemu_events_known(struct qemu_events_state *st, bool (*has)(void *ctx, const char *name), void *ctx)
{
	for (size_t i = 0; i < qemu_events_count; i++)
		st->dropped[i] = qemu_events[i].unless && has(ctx, qemu_events[i].unless);
}

/* ---- what an argument says ---- */

static uint32_t device_number(struct qemu_events_state *st, uint64_t object)
{
	for (uint32_t i = 0; i < st->devices; i++)
		if (st->device[i] == object)
			return i + 1;
	if (st->devices >= QEMU_DEVICES_MAX)
		return 0;
	st->device[st->devices] = object;
	return ++st->devices;
}

/* include/block/raw-aio.h: one bit a type. */
static uint8_t aio_op(uint64_t type)
{
	if (type & 0x1)
		return IO_READ;
	if (type & 0x2)
		return IO_WRITE;
	if (type & 0x8)
		return IO_FLUSH;
	return type & 0x10 ? IO_DISCARD : NONE;
}

/* SBC: READ, WRITE of 6, 10, 12 and 16 bytes, SYNCHRONIZE CACHE, UNMAP, WRITE SAME. */
static uint8_t scsi_op(uint64_t opcode)
{
	switch (opcode & 0xff) {
	case 0x08: case 0x28: case 0xa8: case 0x88:
		return IO_READ;
	case 0x0a: case 0x2a: case 0xaa: case 0x8a:
		return IO_WRITE;
	case 0x35: case 0x91:
		return IO_FLUSH;
	case 0x41: case 0x42: case 0x93:
		return IO_DISCARD;
	default:
		return NONE;
	}
}

static uint8_t nvme_op(uint64_t opcode)
{
	static const uint8_t ops[] = { IO_FLUSH, IO_WRITE, IO_READ };

	if (opcode < sizeof(ops))
		return ops[opcode];
	return opcode == 0x08 || opcode == 0x09 ? IO_DISCARD : NONE;    /* WRITE ZEROES, DATASET MANAGEMENT */
}

static uint8_t ncq_op(uint64_t opcode)
{
	return opcode == 0x60 ? IO_READ : opcode == 0x61 ? IO_WRITE : NONE;
}

static bool text_has(const struct qemu_arg *a, const char *word)
{
	return a->text && memmem(a->text, a->length, word, strlen(word));
}

static uint8_t text_op(const struct qemu_arg *a)
{
	if (text_has(a, "READ"))
		return IO_READ;
	if (text_has(a, "WRITE"))
		return IO_WRITE;
	return text_has(a, "TRIM") ? IO_DISCARD : NONE;
}

/* ---- the sighting ---- */

/* Values as they come; turned into sectors and bytes at the end, bounded there. */
struct values {
	uint64_t sector, last, offset, lba, blocks, sectors, bytes;
	bool has_sector, has_last, has_offset, has_lba, has_sectors, has_bytes;
};

static void take_place(struct values *v, char role, uint64_t n)
{
	switch (role) {
	case 's': v->sector = n; v->has_sector = true; break;
	case 'e': v->last = n; v->has_last = true; break;
	case 'o': v->offset = n; v->has_offset = true; break;
	case 'l': v->lba = n; v->has_lba = true; break;
	case 'c': v->blocks = n; break;
	case 'n': v->sectors = n; v->has_sectors = true; break;
	case 'b': v->bytes = n; v->has_bytes = true; break;
	default: break;
	}
}

static void take_op(struct sighting *s, char role, const struct qemu_arg *a)
{
	switch (role) {
	case 'z': s->op = text_op(a); break;
	case 'a': s->op = aio_op(a->number); break;
	case 'w': s->op = a->number ? IO_WRITE : IO_READ; break;
	case 'C': s->op = scsi_op(a->number); break;
	case 'N': s->op = nvme_op(a->number); break;
	case 'A': s->op = ncq_op(a->number); break;
	default: break;
	}
}

static void take_name(struct qemu_events_state *st, struct sighting *s, char role, uint64_t n)
{
	switch (role) {
	case 'k': s->key = n; break;
	case 't': s->key = n & 0xffffffff; break;
	case 'd': s->device = device_number(st, n); break;
	case 'D': s->device = (uint32_t)n; break;
	case 'L': s->length = (int64_t)n > 0 && n <= UINT32_MAX ? (uint32_t)n : 0; break;
	default: break;
	}
}

static void set_sector(struct sighting *s, const struct values *v)
{
	if (v->has_lba && v->blocks && v->bytes / v->blocks >= 512)
		s->sector = v->lba * (v->bytes / v->blocks / 512);
	else if (v->has_sector)
		s->sector = v->sector;
	else if (v->has_offset && (int64_t)v->offset >= 0)
		s->sector = v->offset / 512;
	else
		s->flags |= SIGHT_NO_PLACE;
	if ((int64_t)s->sector < 0) {
		s->sector = 0;
		s->flags |= SIGHT_NO_PLACE;
	}
}

static void set_length(struct sighting *s, const struct values *v)
{
	uint64_t bytes = v->has_bytes ? v->bytes : 0;

	if (v->has_sectors && v->sectors <= UINT32_MAX / 512)
		bytes = v->sectors * 512;
	if (v->has_last && v->last >= v->sector && v->last - v->sector < UINT32_MAX / 512)
		bytes = (v->last - v->sector + 1) * 512;
	if (bytes && bytes <= UINT32_MAX)
		s->length = (uint32_t)bytes;
}

/* A read or write of NVMe does not say its queue; the command just before it in the same thread did. */
static void nvme_queue(struct qemu_events_state *st, struct sighting *s)
{
	if (s->kind == SIGHT_V_NVME_CMD) {
		st->nvme.cid = s->key;
		st->nvme.thread = s->thread;
		st->nvme.queue = s->device;
	} else if (s->kind == SIGHT_V_NVME_START && st->nvme.cid == s->key && st->nvme.thread == s->thread) {
		s->device = st->nvme.queue;
	}
}

bool qemu_event_sighting(struct qemu_events_state *st, const struct qemu_event *e, const struct qemu_arg *args, uint64_t time, uint32_t thread,
			 struct sighting *out)
{
	struct values v = { 0 };

	if (st->dropped[qemu_event_index(e)])
		return false;
	for (size_t i = 0; e->roles[i]; i++) {
		if ((e->roles[i] == '=' && args[i].number != e->match) || (e->roles[i] == '&' && !(args[i].number & e->match)))
			return false;
	}
	*out = (struct sighting){ .time = time, .thread = thread, .kind = e->kind, .op = e->op };
	for (size_t i = 0; e->roles[i]; i++) {
		take_place(&v, e->roles[i], args[i].number);
		take_op(out, e->roles[i], &args[i]);
		take_name(st, out, e->roles[i], args[i].number);
	}
	set_sector(out, &v);
	set_length(out, &v);
	nvme_queue(st, out);
	return true;
}
