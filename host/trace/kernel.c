/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/trace/kernel.h"

#include <stdlib.h>
#include <string.h>

/* How a record is read. */
enum shape { SHAPE_BLOCK, SHAPE_SPLIT, SHAPE_KEY, SHAPE_KEY_OF_THREAD, SHAPE_WRITE_OF_THREAD, SHAPE_RISE, SHAPE_WOKEN, SHAPE_ENTER, SHAPE_EXIT };

enum {
	ANY_OP = 0xfe,                 /* op of a block event before its rwbs is looked at as a whole */
	THREAD_SLOTS = 4096,           /* a power of two above KERNEL_THREADS_MAX */
	LENGTH_MAX = 0xfffffe00,       /* the longest that a sighting says, in whole sectors */
};

/* A field: size 0 if the event has none. */
struct place {
	uint16_t at;
	uint8_t size;                  /* 1 2 4 8 */
	bool is_signed;
};

struct event {
	uint8_t shape;                 /* enum shape */
	uint8_t op, flags;             /* where they are the same for all records */
	uint8_t syscall;               /* enum sight_syscall */
	uint16_t kind;
	uint8_t written;               /* what the field at `sector` holds when it is a write (SHAPE_WRITE_OF_THREAD) */
	uint16_t need;                 /* bytes that a record must have */
	struct place pid, device, sector, length, key;
	uint16_t rwbs;
};

struct kernel_decoder {
	struct event event[KERNEL_EVENTS_MAX];
	unsigned events;
	unsigned devices, threads;
	uint32_t device[KERNEL_DEVICES_MAX];
	uint32_t thread[THREAD_SLOTS]; /* open addressing; 0 free */
	uint8_t slot[UINT16_MAX + 1];  /* by event number: 1 + index into event[]; 0 unknown */
};

_Static_assert(KERNEL_EVENTS_MAX < UINT8_MAX, "slot[] holds an index and 0");

struct kernel_decoder *kernel_decoder_new(struct error *err)
{
	struct kernel_decoder *d = calloc(1, sizeof(*d));
	if (!d)
		error_set(err, ERR_LIMIT, "out of memory");
	return d;
}

void kernel_decoder_free(struct kernel_decoder *d)
{
	free(d);
}

/* ---- filters ---- */

int kernel_decoder_only_device(struct kernel_decoder *d, uint32_t device, struct error *err)
{
	if (d->devices == KERNEL_DEVICES_MAX)
		return error_set(err, ERR_LIMIT, "more than %d devices to watch", KERNEL_DEVICES_MAX);
	d->device[d->devices++] = device;
	return 0;
}

static unsigned thread_slot(const struct kernel_decoder *d, uint32_t tid)
{
	unsigned i = (tid * 2654435761u) >> 20;
	while (d->thread[i] && d->thread[i] != tid)
		i = (i + 1) % THREAD_SLOTS;
	return i;
}

_Static_assert(THREAD_SLOTS == 1 << 12, "thread_slot() keeps the 12 upper bits");

int kernel_decoder_only_thread(struct kernel_decoder *d, uint32_t tid, struct error *err)
{
	unsigned i = thread_slot(d, tid);
	if (!tid || d->thread[i])
		return 0;
	if (d->threads == KERNEL_THREADS_MAX)
		return error_set(err, ERR_LIMIT, "more than %d threads to watch", KERNEL_THREADS_MAX);
	d->thread[i] = tid;
	d->threads++;
	return 0;
}

static bool device_wanted(const struct kernel_decoder *d, uint32_t device)
{
	for (unsigned i = 0; i < d->devices; i++)
		if (d->device[i] == device)
			return true;
	return !d->devices;
}

static bool thread_wanted(const struct kernel_decoder *d, uint32_t tid)
{
	return !d->threads || (tid && d->thread[thread_slot(d, tid)] == tid);
}

/* ---- registering ---- */

/* Takes the place of a field; the event's records must be long enough for it. False when its size is none we load. */
static bool take_field(struct event *e, const struct trace_field *f, struct place *p)
{
	if (f->array || f->data_loc || (f->size != 1 && f->size != 2 && f->size != 4 && f->size != 8))
		return false;
	*p = (struct place){ f->offset, (uint8_t)f->size, f->is_signed };
	unsigned end = (unsigned)f->offset + f->size;
	e->need = (uint16_t)(end > e->need ? end : e->need);
	return true;
}

static int want_field(struct event *e, const struct trace_format *f, const char *name, unsigned size, struct place *p, struct error *err)
{
	const struct trace_field *field = format_field(f, name);
	if (!field)
		return error_set(err, ERR_PROTOCOL, "event %s has no field %s", f->name, name);
	if ((size && field->size != size) || !take_field(e, field, p))
		return error_set(err, ERR_PROTOCOL, "event %s: field %s has %u bytes, or is an array; not what is known of it", f->name, name, field->size);
	return 0;
}

/* The first of NULL-ended `names` that is there; none is no error. */
static void first_field(struct event *e, const struct trace_format *f, const char *const *names, struct place *p)
{
	for (; *names; names++) {
		const struct trace_field *field = format_field(f, *names);
		if (field && take_field(e, field, p))
			return;
	}
}

static int add_rwbs(struct event *e, const struct trace_format *f, struct error *err)
{
	const struct trace_field *field = format_field(f, "rwbs");
	if (!field || !field->array || field->data_loc || field->size < 2)
		return error_set(err, ERR_PROTOCOL, "event %s has no field rwbs of two letters and more", f->name);
	e->rwbs = field->offset;
	unsigned end = field->offset + 2u;
	e->need = (uint16_t)(end > e->need ? end : e->need);
	e->op = ANY_OP;
	return 0;
}

static int add_block(struct event *e, const struct trace_format *f, struct error *err)
{
	static const char *const error[] = { "error", "errors", NULL };
	bool split = e->kind == SIGHT_G_SPLIT;
	e->shape = split ? SHAPE_SPLIT : SHAPE_BLOCK;
	if (want_field(e, f, "dev", 4, &e->device, err) || want_field(e, f, "sector", 8, &e->sector, err) || add_rwbs(e, f, err))
		return -1;
	if (split)
		return want_field(e, f, "new_sector", 8, &e->key, err);
	if (e->kind == SIGHT_G_COMPLETE || e->kind == SIGHT_H_COMPLETE)
		first_field(e, f, error, &e->key);
	if (e->key.size && e->key.size != 4)
		return error_set(err, ERR_PROTOCOL, "event %s: its error is no int", f->name);
	return want_field(e, f, "nr_sector", 4, &e->length, err);
}

static int add_queue(struct event *e, const struct trace_format *f)
{
	static const char *const names[] = { "key", "vq", NULL };
	e->shape = SHAPE_KEY;
	first_field(e, f, names, &e->key);
	return 0;
}

static unsigned syscall_number(const char *name)
{
#define C(number, word) \
	if (!strcmp(name, #word)) \
		return number;
	SIGHT_SYSCALLS(C)
#undef C
	return 0;
}

static uint8_t syscall_op(unsigned number)
{
	switch (number) {
	case SIGHT_SYS_pread64: case SIGHT_SYS_preadv: case SIGHT_SYS_preadv2:
		return IO_READ;
	case SIGHT_SYS_pwrite64: case SIGHT_SYS_pwritev: case SIGHT_SYS_pwritev2:
		return IO_WRITE;
	case SIGHT_SYS_fsync: case SIGHT_SYS_fdatasync:
		return IO_FLUSH;
	case SIGHT_SYS_fallocate:
		return IO_DISCARD;
	default:
		return SIGHT_OP_NONE;
	}
}

static int add_syscall(struct event *e, const struct trace_format *f, const char *prefix, struct error *err)
{
	static const char *const position[] = { "pos", "pos_l", "offset", NULL }, *const length[] = { "count", "len", NULL }, *const fd[] = { "fd", NULL };
	size_t skip = strlen(prefix);
	e->syscall = strncmp(f->name, prefix, skip) ? 0 : (uint8_t)syscall_number(f->name + skip);
	if (!e->syscall)
		return error_set(err, ERR_PROTOCOL, "event %s is not %sNAME of a system call that is known here", f->name, prefix);
	e->op = syscall_op(e->syscall);
	if (e->kind == SIGHT_H_EXIT) {
		e->shape = SHAPE_EXIT;
		return want_field(e, f, "ret", 8, &e->length, err);
	}
	e->shape = SHAPE_ENTER;
	first_field(e, f, fd, &e->device);
	first_field(e, f, position, &e->sector);
	first_field(e, f, length, &e->length);
	e->flags = e->sector.size ? 0 : SIGHT_NO_PLACE;
	return 0;
}

static int add_key(struct event *e, const struct trace_format *f, enum shape shape, const char *name, struct error *err)
{
	e->shape = (uint8_t)shape;
	return want_field(e, f, name, 0, &e->key, err);
}

/* What tells a write from a read goes to `sector`, which these events have not. */
static int add_mmio(struct event *e, const struct trace_format *f, struct error *err)
{
	if (!strcmp(f->name, "kvm_fast_mmio"))
		return add_key(e, f, SHAPE_KEY_OF_THREAD, "gpa", err);
	bool mmio = !strcmp(f->name, "kvm_mmio");
	e->written = mmio ? 2 : 1;
	if (mmio)
		return want_field(e, f, "type", 4, &e->sector, err) || add_key(e, f, SHAPE_WRITE_OF_THREAD, "gpa", err) ? -1 : 0;
	return want_field(e, f, "rw", 4, &e->sector, err) || add_key(e, f, SHAPE_WRITE_OF_THREAD, "port", err) ? -1 : 0;
}

static int add_inject(struct event *e, const struct trace_format *f, struct error *err)
{
	if (!strcmp(f->name, "kvm_msi_set_irq"))
		return add_key(e, f, SHAPE_KEY, "data", err);
	return want_field(e, f, "level", 4, &e->sector, err) || add_key(e, f, SHAPE_RISE, "gsi", err) ? -1 : 0;
}

static int add_kind(struct event *e, const struct trace_format *f, struct error *err)
{
	switch (e->kind) {
	case SIGHT_G_QUEUE: case SIGHT_G_INSERT: case SIGHT_G_ISSUE: case SIGHT_G_REQUEUE: case SIGHT_G_COMPLETE: case SIGHT_G_MERGE:
	case SIGHT_G_SPLIT: case SIGHT_H_QUEUE: case SIGHT_H_ISSUE: case SIGHT_H_COMPLETE:
		return add_block(e, f, err);
	case SIGHT_G_KICK: case SIGHT_G_IRQ:
		return add_queue(e, f);
	case SIGHT_H_ENTER:
		return add_syscall(e, f, "sys_enter_", err);
	case SIGHT_H_EXIT:
		return add_syscall(e, f, "sys_exit_", err);
	case SIGHT_H_KVM_EXIT:
		return add_key(e, f, SHAPE_KEY_OF_THREAD, "exit_reason", err);
	case SIGHT_H_KVM_ENTRY:
		e->shape = SHAPE_KEY_OF_THREAD;
		return 0;
	case SIGHT_H_KVM_MMIO:
		return add_mmio(e, f, err);
	case SIGHT_H_KVM_INJECT:
		return add_inject(e, f, err);
	case SIGHT_H_TSC_WRITE:
		return add_key(e, f, SHAPE_KEY, "next_tsc_offset", err);
	case SIGHT_H_WAKING:
		return add_key(e, f, SHAPE_WOKEN, "pid", err);
	case SIGHT_H_SWITCH:
		return add_key(e, f, SHAPE_WOKEN, "next_pid", err);
	default:
		return error_set(err, ERR_PROTOCOL, "event %s: sighting %u (%s) is not seen by a kernel", f->name, e->kind, sight_name(e->kind));
	}
}

int kernel_decoder_add(struct kernel_decoder *d, unsigned kind, const struct trace_format *f, struct error *err)
{
	struct event e = { .kind = (uint16_t)kind, .op = SIGHT_OP_NONE, .flags = SIGHT_NO_PLACE, .need = 2 };
	const struct trace_field *type = format_field(f, "common_type");
	if (d->slot[f->id])
		return error_set(err, ERR_PROTOCOL, "event %s: number %u is taken by another", f->name, f->id);
	if (d->events == KERNEL_EVENTS_MAX)
		return error_set(err, ERR_LIMIT, "event %s: more than %d events", f->name, KERNEL_EVENTS_MAX);
	if (!type || type->offset || type->size != 2)
		return error_set(err, ERR_PROTOCOL, "event %s: its records do not begin with common_type", f->name);
	if (kind >= SIGHT_KINDS || add_kind(&e, f, err) || want_field(&e, f, "common_pid", 4, &e.pid, err))
		return kind >= SIGHT_KINDS ? error_set(err, ERR_PROTOCOL, "event %s: %u is no kind of sighting", f->name, kind) : -1;
	d->event[d->events++] = e;
	d->slot[f->id] = (uint8_t)d->events;
	return 0;
}

/* ---- decoding ---- */

static inline uint16_t load16(const uint8_t *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t load32(const uint8_t *p)
{
	return page_u32(p);
}

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t load(const uint8_t *r, struct place p)
{
	switch (p.size) {
	case 8:
		return load64(r + p.at);
	case 4:
		return p.is_signed ? (uint64_t)(int64_t)(int32_t)load32(r + p.at) : load32(r + p.at);
	case 2:
		return p.is_signed ? (uint64_t)(int64_t)(int16_t)load16(r + p.at) : load16(r + p.at);
	case 1:
		return p.is_signed ? (uint64_t)(int64_t)(int8_t)r[p.at] : r[p.at];
	default:
		return 0;
	}
}

static inline uint32_t bytes_of(uint64_t sectors)
{
	return sectors > LENGTH_MAX >> 9 ? (uint32_t)LENGTH_MAX : (uint32_t)(sectors << 9);
}

/* The first letter of rwbs is the operation, but for 'F': a flush before what follows, which may be nothing (blk_fill_rwbs()). */
static inline uint8_t op_of(const uint8_t *rwbs, uint32_t length)
{
	uint8_t c = rwbs[0] == 'F' && length ? rwbs[1] : rwbs[0];
	switch (c) {
	case 'R':
		return IO_READ;
	case 'W':
		return IO_WRITE;
	case 'F':
		return IO_FLUSH;
	case 'D':
		return IO_DISCARD;
	default:
		return SIGHT_OP_NONE;
	}
}

static inline bool decode_block(const struct kernel_decoder *d, const struct event *e, const uint8_t *r, struct sighting *s)
{
	uint32_t device = load32(r + e->device.at);
	if (!device_wanted(d, device))
		return false;
	uint64_t sector = load64(r + e->sector.at);
	s->device = device;
	s->key = 0;
	if (e->shape == SHAPE_SPLIT) {
		s->key = load64(r + e->key.at);
		s->length = bytes_of(s->key > sector ? s->key - sector : 0);
	} else {
		s->length = bytes_of(load32(r + e->length.at));
		if (e->key.size) {
			int32_t error = (int32_t)load32(r + e->key.at);
			s->key = error < 0 ? 0u - (uint32_t)error : (uint32_t)error;
		}
	}
	/* A flush without data ends twice: as the flush proper (FF), and as the empty write that it came in as, which was never issued. */
	if (!s->length && r[e->rwbs] == 'W')
		return false;
	s->op = op_of(r + e->rwbs, s->length);
	s->flags = s->op == IO_FLUSH ? SIGHT_NO_PLACE : 0;
	s->sector = s->flags ? 0 : sector;
	return true;
}

static inline bool decode_enter(const struct event *e, const uint8_t *r, struct sighting *s)
{
	uint64_t length = load(r, e->length);
	s->key = e->syscall;
	s->device = (uint32_t)load(r, e->device);
	s->sector = load(r, e->sector) >> 9;
	s->length = length > LENGTH_MAX ? (uint32_t)LENGTH_MAX : (uint32_t)length;
	return true;
}

static inline bool decode_exit(const struct event *e, const uint8_t *r, struct sighting *s)
{
	int64_t ret = (int64_t)load64(r + e->length.at);
	s->key = e->syscall;
	s->length = ret < 0 ? 0 : ret > LENGTH_MAX ? (uint32_t)LENGTH_MAX : (uint32_t)ret;
	return true;
}

static inline bool decode(const struct kernel_decoder *d, const struct event *e, const uint8_t *r, struct sighting *s)
{
	if (e->op == ANY_OP)
		return decode_block(d, e, r, s);
	s->sector = 0;
	s->length = s->device = 0;
	s->op = e->op;
	s->flags = e->flags;
	switch ((enum shape)e->shape) {
	case SHAPE_ENTER:
		return thread_wanted(d, s->thread) && decode_enter(e, r, s);
	case SHAPE_EXIT:
		return thread_wanted(d, s->thread) && decode_exit(e, r, s);
	default:
		break;
	}
	s->key = load(r, e->key);
	switch ((enum shape)e->shape) {
	case SHAPE_KEY_OF_THREAD:
		return thread_wanted(d, s->thread);
	case SHAPE_WRITE_OF_THREAD:
		return load32(r + e->sector.at) == e->written && thread_wanted(d, s->thread);
	case SHAPE_RISE:
		return load32(r + e->sector.at) != 0;
	case SHAPE_WOKEN:
		return thread_wanted(d, (uint32_t)s->key);
	default:
		return true;
	}
}

size_t kernel_decode(const struct kernel_decoder *d, struct page_walk *w, struct sighting *out, size_t cap, struct kernel_counts *counts)
{
	struct kernel_counts c = *counts;
	struct page_walk walk = *w;    /* where the compiler can keep it in registers */
	size_t n = 0, len;
	const uint8_t *r;
	while (n < cap && (r = page_next(&walk, &len))) {
		unsigned slot = d->slot[load16(r)];
		const struct event *e = &d->event[slot - (slot > 0)];
		c.records++;
		if (!slot) {
			c.unknown++;
			continue;
		}
		if (len < e->need) {
			c.bad++;
			continue;
		}
		struct sighting *s = &out[n];
		s->time = walk.time;
		s->kind = e->kind;
		s->thread = load32(r + e->pid.at);
		bool wanted = decode(d, e, r, s);
		n += wanted;
		c.dropped += !wanted;
	}
	*w = walk;
	*counts = c;
	return n;
}
