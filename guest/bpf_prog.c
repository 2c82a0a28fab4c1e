// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A program runs some sixty instructions of its own: it claims a slot of its CPU's region by fetch-and-add, so that an interrupt's program that comes
 * between takes another, and fills it in. Nothing is allocated, nothing waits; a full region drops what comes.
 *
 * Loads from the kernel's structs are the verifier's "BTF pointers": checked against the type when the program is loaded, and a bad address
 * reads as 0.
 */
#include "guest/bpf_prog.h"

#include <errno.h>
#include <string.h>

enum { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 };

static void put(struct bpf_prog *p, uint8_t code, unsigned dst, unsigned src, int off, int32_t imm)
{
	if (p->n < BPF_PROG_MAX)
		p->insn[p->n++] = (struct bpf_insn){ .code = code, .dst_reg = dst & 15, .src_reg = src & 15, .off = (int16_t)off, .imm = imm };
}

static void load(struct bpf_prog *p, uint8_t size, unsigned dst, unsigned src, int off) { put(p, (uint8_t)(BPF_LDX | BPF_MEM | size), dst, src, off, 0); }
static void store(struct bpf_prog *p, uint8_t size, unsigned dst, int off, unsigned src) { put(p, (uint8_t)(BPF_STX | BPF_MEM | size), dst, src, off, 0); }
static void move(struct bpf_prog *p, unsigned dst, unsigned src) { put(p, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0); }
static void set(struct bpf_prog *p, unsigned dst, int32_t imm) { put(p, BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm); }
static void add(struct bpf_prog *p, unsigned dst, unsigned src) { put(p, BPF_ALU64 | BPF_ADD | BPF_X, dst, src, 0, 0); }
static void op_imm(struct bpf_prog *p, uint8_t op, unsigned dst, int32_t imm) { put(p, (uint8_t)(BPF_ALU64 | BPF_K | op), dst, 0, 0, imm); }
static void call(struct bpf_prog *p, int32_t helper) { put(p, BPF_JMP | BPF_CALL, 0, 0, 0, helper); }

/* To the end of the program, if `dst` stands to `imm` as `op` says. */
static void leave_if(struct bpf_prog *p, uint8_t op, unsigned dst, int32_t imm)
{
	if (p->n_jumps < BPF_JUMPS_MAX)
		p->jump[p->n_jumps++] = p->n;
	put(p, (uint8_t)(BPF_JMP | BPF_K | op), dst, 0, 0, imm);
}

static void load_map(struct bpf_prog *p, unsigned dst, int fd)
{
	put(p, BPF_LD | BPF_DW | BPF_IMM, dst, BPF_PSEUDO_MAP_FD, 0, fd);
	put(p, 0, 0, 0, 0, 0);
}

/* The address of the map's only value, and `off`. */
static void load_value(struct bpf_prog *p, unsigned dst, int fd, int32_t off)
{
	put(p, BPF_LD | BPF_DW | BPF_IMM, dst, BPF_PSEUDO_MAP_VALUE, 0, fd);
	put(p, 0, 0, 0, 0, off);
}

static void fetch_and_add(struct bpf_prog *p, unsigned dst, unsigned src)
{
	put(p, BPF_STX | BPF_ATOMIC | BPF_DW, dst, src, 0, BPF_ADD | BPF_FETCH);
}

static void finish(struct bpf_prog *p)
{
	for (unsigned i = 0; i < p->n_jumps; i++)
		p->insn[p->jump[i]].off = (int16_t)(p->n - p->jump[i] - 1);
	set(p, R0, 0);
	put(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* ---- a record ---- */

/* r6: the context; r9: the slot, with its stamp and thread. The stamp is taken first: what follows is not in it. */
static void claim(struct bpf_prog *p, const struct bpf_maps *m)
{
	move(p, R6, R1);
	load_value(p, R1, m->state, offsetof(struct bpf_state, on));
	load(p, BPF_W, R1, R1, 0);
	leave_if(p, BPF_JEQ, R1, 0);
	load_map(p, R1, m->clock);
	put(p, BPF_ALU | BPF_MOV | BPF_K, R2, 0, 0, -1);       /* BPF_F_CURRENT_CPU */
	call(p, BPF_FUNC_perf_event_read);
	move(p, R7, R0);
	call(p, BPF_FUNC_get_smp_processor_id);
	/* A CPU that came later has neither clock nor region. */
	put(p, BPF_JMP | BPF_K | BPF_JLT, R0, 0, 5, (int32_t)m->cpus);
	load_value(p, R1, m->state, offsetof(struct bpf_state, homeless));
	set(p, R2, 1);
	fetch_and_add(p, R1, R2);
	leave_if(p, BPF_JA, 0, 0);
	move(p, R3, R0);
	op_imm(p, BPF_MUL, R3, sizeof(struct bpf_line));
	load_value(p, R1, m->state, sizeof(struct bpf_state));
	add(p, R1, R3);
	set(p, R2, 1);
	fetch_and_add(p, R1, R2);
	leave_if(p, BPF_JGE, R2, (int32_t)m->slots);
	op_imm(p, BPF_MUL, R0, (int32_t)m->slots);
	add(p, R0, R2);
	store(p, BPF_W, R10, -4, R0);
	move(p, R2, R10);
	op_imm(p, BPF_ADD, R2, -4);
	load_map(p, R1, m->records);
	call(p, BPF_FUNC_map_lookup_elem);
	leave_if(p, BPF_JEQ, R0, 0);
	move(p, R9, R0);
	store(p, BPF_DW, R9, offsetof(struct bpf_record, count), R7);
	call(p, BPF_FUNC_get_current_pid_tgid);
	store(p, BPF_W, R9, offsetof(struct bpf_record, thread), R0);
}

static void copy(struct bpf_prog *p, uint8_t size, size_t to, unsigned from, int at)
{
	load(p, size, R2, from, at);
	store(p, size, R9, (int)to, R2);
}

/* REQ_OP_MASK is 0xff since Linux 4.10; REQ_PREFLUSH has been bit 18 since. */
static void copy_op(struct bpf_prog *p, int at)
{
	load(p, BPF_W, R2, R1, at);
	move(p, R3, R2);
	op_imm(p, BPF_RSH, R3, 10);
	op_imm(p, BPF_AND, R3, BPF_OP_FLUSHES);
	op_imm(p, BPF_AND, R2, 0xff);
	put(p, BPF_ALU64 | BPF_OR | BPF_X, R2, R3, 0, 0);
	store(p, BPF_H, R9, offsetof(struct bpf_record, op), R2);
}

static void fill_from_bio(struct bpf_prog *p, const struct bpf_layout *l)
{
	load(p, BPF_DW, R1, R6, 0);
	copy(p, BPF_DW, offsetof(struct bpf_record, where), R1, l->bio_sector);
	copy(p, BPF_W, offsetof(struct bpf_record, length), R1, l->bio_size);
	copy_op(p, l->bio_opf);
	load(p, BPF_DW, R2, R1, l->bio_bdev);
	copy(p, BPF_W, offsetof(struct bpf_record, device), R2, l->bdev_dev);
}

static void fill_from_request(struct bpf_prog *p, const struct bpf_layout *l, bool done)
{
	load(p, BPF_DW, R1, R6, 0);
	copy(p, BPF_DW, offsetof(struct bpf_record, where), R1, l->rq_sector);
	if (done) {
		/* block_rq_complete(request, status, bytes) */
		load(p, BPF_DW, R2, R6, 8);
		store(p, BPF_B, R9, offsetof(struct bpf_record, status), R2);
		load(p, BPF_DW, R2, R6, 16);
		store(p, BPF_W, R9, offsetof(struct bpf_record, length), R2);
	} else {
		copy(p, BPF_W, offsetof(struct bpf_record, length), R1, l->rq_len);
	}
	copy_op(p, l->rq_flags);
	load(p, BPF_DW, R2, R1, l->rq_queue);
	load(p, BPF_DW, R2, R2, l->queue_disk);
	put(p, BPF_JMP | BPF_JEQ | BPF_K, R2, 0, 5, 0);
	load(p, BPF_W, R3, R2, l->disk_major);
	op_imm(p, BPF_LSH, R3, 20);
	load(p, BPF_W, R4, R2, l->disk_minor);
	put(p, BPF_ALU64 | BPF_OR | BPF_X, R3, R4, 0, 0);
	store(p, BPF_W, R9, offsetof(struct bpf_record, device), R3);
}

static void fill_from_argument(struct bpf_prog *p, unsigned argument, bool through)
{
	load(p, BPF_DW, R1, R6, (int)argument * 8);
	if (through)
		load(p, BPF_DW, R1, R1, 0);
	store(p, BPF_DW, R9, offsetof(struct bpf_record, where), R1);
}

void bpf_record_prog(struct bpf_prog *p, const struct bpf_maps *m, const struct bpf_layout *l, enum bpf_shape shape, unsigned argument, uint8_t kind)
{
	memset(p, 0, sizeof(*p));
	claim(p, m);
	switch (shape) {
	case BPF_SHAPE_BIO: case BPF_SHAPE_SPLIT: fill_from_bio(p, l); break;
	case BPF_SHAPE_REQUEST: case BPF_SHAPE_DONE: fill_from_request(p, l, shape == BPF_SHAPE_DONE); break;
	case BPF_SHAPE_KEY: case BPF_SHAPE_KEY_OF: fill_from_argument(p, argument, shape == BPF_SHAPE_KEY_OF); break;
	}
	/* Last: a slot without a kind is not complete. */
	set(p, R2, kind);
	store(p, BPF_B, R9, offsetof(struct bpf_record, kind), R2);
	finish(p);
}

/* ---- the clock's zero ---- */

/* What r6 + off points to becomes r6. */
static void hop(struct bpf_prog *p, int off)
{
	move(p, R1, R10);
	op_imm(p, BPF_ADD, R1, -8);
	set(p, R2, 8);
	move(p, R3, R6);
	op_imm(p, BPF_ADD, R3, off);
	call(p, BPF_FUNC_probe_read_kernel);
}

static void follow(struct bpf_prog *p, int off)
{
	hop(p, off);
	load(p, BPF_DW, R6, R10, -8);
}

static void keep(struct bpf_prog *p, const struct bpf_maps *m, int off, int32_t where)
{
	hop(p, off);
	load(p, BPF_DW, R2, R10, -8);
	load_value(p, R1, m->state, where);
	store(p, BPF_DW, R1, 0, R2);
}

void bpf_calibrate_prog(struct bpf_prog *p, const struct bpf_maps *m, const struct bpf_layout *l)
{
	memset(p, 0, sizeof(*p));
	load(p, BPF_DW, R7, R1, 0);
	call(p, BPF_FUNC_get_current_task);
	move(p, R6, R0);
	follow(p, l->task_files);
	follow(p, l->files_table);
	follow(p, l->table_fds);
	op_imm(p, BPF_MUL, R7, 8);
	add(p, R6, R7);
	follow(p, 0);
	follow(p, l->file_private);
	keep(p, m, l->event_prev, BPF_CAL_PREV);
	keep(p, m, l->event_count, BPF_CAL_COUNT);
	finish(p);
}

/* ---- reading ---- */

/* blk_status_to_errno(). */
static uint64_t errno_of(uint8_t status)
{
	static const uint16_t known[] = { 0, EOPNOTSUPP, ETIMEDOUT, ENOSPC, ENOLINK, EREMOTEIO, EBADE, ENODATA, EILSEQ, ENOMEM, EIO, EREMCHG, EAGAIN, EBUSY, EBUSY };

	return status < sizeof(known) / sizeof(known[0]) ? known[status] : EIO;
}

/* By enum req_op; a flush before what follows, which may be nothing, is that flush. */
static uint8_t op_of(uint16_t op, uint32_t length)
{
	static const uint8_t known[] = { IO_READ, IO_WRITE, IO_FLUSH, IO_DISCARD, SIGHT_OP_NONE, IO_DISCARD };

	if ((op & BPF_OP_FLUSHES) && !length)
		return IO_FLUSH;
	op &= 0xff;
	return op < sizeof(known) ? known[op] : SIGHT_OP_NONE;
}

bool bpf_sighting(const struct bpf_record *r, uint64_t base, struct sighting *s)
{
	enum { LENGTH_MAX = 0xfffffe00, DRIVERS_OWN = 34 /* REQ_OP_DRV_IN: no place on the disk */ };

	if (!r->kind)
		return false;
	*s = (struct sighting){ .time = r->count + base, .kind = r->kind, .thread = r->thread, .op = SIGHT_OP_NONE, .flags = SIGHT_NO_PLACE };
	if (r->kind == SIGHT_G_KICK || r->kind == SIGHT_G_IRQ) {
		s->key = r->where;
		return true;
	}
	bool placed = (r->op & 0xff) < DRIVERS_OWN && r->where != UINT64_MAX;
	s->length = (r->op & 0xff) < DRIVERS_OWN ? r->length & LENGTH_MAX : 0;
	/* As the kernel's events are taken: an empty write is what a flush came in as, and ends twice. */
	if (!s->length && r->op == 1)
		return false;
	s->op = op_of(r->op, s->length);
	s->flags = s->op == IO_FLUSH ? SIGHT_NO_PLACE : 0;
	s->device = r->device;
	s->sector = placed && !s->flags ? r->where : 0;
	s->key = r->kind == SIGHT_G_SPLIT ? s->sector + s->length / 512 : errno_of(r->status);
	return true;
}
