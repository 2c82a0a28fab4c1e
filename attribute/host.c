// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The host's kernel: system calls of QEMU's threads, and block requests under them.
 *
 * A call that says its place (pread, pwrite) is found by (op, offset, length) of what the VMM submitted; one that says no length by
 * offset; one that says nothing (io_submit, io_uring_enter) is the first of its kind on the submitting thread that had not returned
 * when the submission was made. A block request belongs to the call in which its thread queued its
 * bio, or issued it where bios are not seen: the host may issue it on anybody's thread, later, merged with others.
 *
 * A ring's call queues many of the same length. Which is whose, the file's extents tell: within one, a bio's sector lies as far from the
 * file's as every other one's. In pass 1 each request votes for the distances of all bios under its call; the true ones are voted for
 * again and again, others only by chance.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "attribute/engine.h"

enum { MASK = POOL_CALLS - 1, BACK_MAX = 512 /* calls or block requests looked at, backwards */, PROBES = 16, VOTES_SURE = 1000 };

int host_init(struct host_side *h)
{
	h->call = pool_new(POOL_CALLS, sizeof(*h->call));
	h->block = pool_new(POOL_CALLS, sizeof(*h->block));
	h->thread = calloc(THREADS_MAX, sizeof(*h->thread));
	h->distance = calloc(DISTANCES_MAX, sizeof(*h->distance));
	h->tag = calloc(DISTANCES_MAX + PROBES, 1);
	h->few = calloc(DISTANCES_MAX + PROBES, 1);
	int bad = keytab_init(&h->calls, POOL_CALLS) | keytab_init(&h->blocks, POOL_CALLS) | keytab_init(&h->threads, THREADS_MAX);
	return h->call && h->block && h->thread && h->distance && h->tag && h->few && !bad ? 0 : -1;
}

void host_fini(struct host_side *h)
{
	pool_free(h->call, POOL_CALLS, sizeof(*h->call));
	pool_free(h->block, POOL_CALLS, sizeof(*h->block));
	free(h->thread);
	free(h->distance);
	free(h->tag);
	free(h->few);
	keytab_fini(&h->calls);
	keytab_fini(&h->blocks);
	keytab_fini(&h->threads);
}

void host_reset(struct host_side *h)
{
	keytab_clear(&h->calls);
	keytab_clear(&h->blocks);
	keytab_clear(&h->threads);
	memset(h->thread, 0, h->thread_count * sizeof(*h->thread));
	h->call_ids = h->block_ids = 0;
	h->thread_count = 0;
}

static struct host_thread *thread_of(struct host_side *h, uint32_t tid, bool make)
{
	uint32_t at = keytab_first(&h->threads, tid);
	if (at)
		return &h->thread[at - 1];
	if (!make || h->thread_count == THREADS_MAX)
		return NULL;
	keytab_put(&h->threads, h->thread_count, tid);
	h->thread[h->thread_count].tid = tid;
	return &h->thread[h->thread_count++];
}

static struct call *call_of(struct host_side *h, uint64_t id_plus_1)
{
	struct call *c = id_plus_1 ? &h->call[(id_plus_1 - 1) & MASK] : NULL;
	return c && c->id == id_plus_1 - 1 ? c : NULL;
}

static struct host_block *block_of(struct host_side *h, uint64_t id_plus_1)
{
	struct host_block *b = id_plus_1 ? &h->block[(id_plus_1 - 1) & MASK] : NULL;
	return b && b->id == id_plus_1 - 1 ? b : NULL;
}

static struct stamp stamp_of(const struct event *v)
{
	return (struct stamp){ .t = v->t, .own = v->own, .thread = v->s->thread, .kind = v->s->kind };
}

/* ---- what is seen ---- */

static bool of_the_file(const struct engine *e, uint64_t fd)
{
	for (uint32_t i = 0; i < e->fds; i++)
		if (e->fd[i] == fd)
			return true;
	return !e->fds;
}

static bool of_a_ring(uint64_t number)
{
	return number == SIGHT_SYS_io_submit || number == SIGHT_SYS_io_uring_enter;
}

static void see_enter(struct engine *e, const struct event *v)
{
	struct host_side *h = &e->host;
	struct host_thread *t = thread_of(h, v->s->thread, true);
	/* A ring's descriptor is not the file's; io_getevents submits nothing. */
	if (!t || v->s->key == SIGHT_SYS_io_getevents || (!of_a_ring(v->s->key) && !of_the_file(e, v->s->device)))
		return;
	uint32_t slot = (uint32_t)(h->call_ids & MASK);
	if (h->call_ids >= POOL_CALLS)
		keytab_drop(&h->calls, slot);
	struct call *c = &h->call[slot];
	*c = (struct call){ .id = h->call_ids++, .sector = v->s->sector, .length = v->s->length, .op = v->s->op, .thread = v->s->thread,
			    .number = (uint16_t)v->s->key, .placed = !(v->s->flags & SIGHT_NO_PLACE), .enter = stamp_of(v),
			    .before = t->last_call };
	bool flush = c->number == SIGHT_SYS_fdatasync || c->number == SIGHT_SYS_fsync;
	if (flush) {
		c->op = IO_FLUSH;
		c->sector = c->length = 0;
		c->placed = true;
	}
	if (c->placed)
		keytab_put(&h->calls, slot, place_key(c->op, c->sector));
	t->open_call = t->last_call = c->id + 1;
}

static void see_exit(struct engine *e, const struct event *v)
{
	struct host_thread *t = thread_of(&e->host, v->s->thread, false);
	struct call *c = t ? call_of(&e->host, t->open_call) : NULL;
	if (!c || c->number != v->s->key)
		return;
	c->exit = stamp_of(v);
	if (!c->length)
		c->length = v->s->length;
	t->open_call = 0;
}

/* ---- block requests: one object a bio, or a request where bios are not seen ---- */

static uint64_t sectors(uint32_t length)
{
	return ((uint64_t)length + 511) >> 9;
}

static struct host_block *new_block(struct host_side *h, const struct event *v)
{
	struct host_thread *t = thread_of(h, v->s->thread, true);
	uint32_t slot = (uint32_t)(h->block_ids & MASK);
	if (h->block_ids >= POOL_CALLS)
		keytab_drop(&h->blocks, slot);
	struct host_block *b = &h->block[slot];
	*b = (struct host_block){ .id = h->block_ids++, .sector = v->s->sector, .length = v->s->length, .op = v->s->op, .device = v->s->device,
				  .thread = v->s->thread, .first = v->t, .before = t ? t->last_block : 0 };
	keytab_put(&h->blocks, slot, place_key(b->op, b->sector));
	if (t)
		t->last_block = b->id + 1;
	return b;
}

/* The oldest at this place that is not over, issued or not as asked. */
static struct host_block *block_at(struct host_side *h, const struct sighting *s, uint64_t sector, bool issued)
{
	struct host_block *found = NULL;
	int walked = 0;
	for (uint32_t at = keytab_first(&h->blocks, place_key(s->op, sector)); at && walked++ < WALK_MAX; at = keytab_after(&h->blocks, at)) {
		struct host_block *b = &h->block[at - 1];
		if (stamp_seen(&b->issue) == issued && b->device == s->device && (!found || b->id < found->id))
			found = b;
	}
	return found;
}

/* A request takes the bios that follow each other from its first sector on: merges; a flush all that wait. One that the driver had given back is issued again. */
static void see_issue(struct engine *e, const struct event *v)
{
	struct host_side *h = &e->host;
	uint64_t at = v->s->sector, end = at + sectors(v->s->length);
	for (int i = 0; i < WALK_MAX; i++) {
		struct host_block *b = block_at(h, v->s, at, false);
		b = b ? b : block_at(h, v->s, at, true);
		if (!b && i)
			return;
		b = b ? b : new_block(h, v);
		b->issue = stamp_of(v);
		at += sectors(b->length);
		if (v->s->op == IO_FLUSH ? !block_at(h, v->s, at, false) : at >= end || !b->length)
			return;
	}
}

static void see_complete(struct engine *e, const struct event *v)
{
	struct host_side *h = &e->host;
	uint64_t at = v->s->sector, end = at + sectors(v->s->length);
	for (int i = 0; i < WALK_MAX; i++) {
		struct host_block *b = block_at(h, v->s, at, true);
		if (!b)
			return;
		b->complete = stamp_of(v);
		keytab_drop(&h->blocks, (uint32_t)(b->id & MASK));
		at += sectors(b->length);
		if (v->s->op != IO_FLUSH && (at >= end || !b->length))
			return;
	}
}

void host_see(struct engine *e, const struct event *v)
{
	bool block = v->s->kind == SIGHT_H_QUEUE || v->s->kind == SIGHT_H_ISSUE || v->s->kind == SIGHT_H_COMPLETE;
	if (block && e->host_device && v->s->device && v->s->device != e->host_device)
		return;
	switch (v->s->kind) {
	case SIGHT_H_ENTER:
		see_enter(e, v);
		break;
	case SIGHT_H_EXIT:
		see_exit(e, v);
		break;
	case SIGHT_H_QUEUE:
		new_block(&e->host, v);
		break;
	case SIGHT_H_ISSUE:
		see_issue(e, v);
		break;
	case SIGHT_H_COMPLETE:
		see_complete(e, v);
		break;
	default:
		break;
	}
}

/* ---- finding ---- */

/* The call lies between `from` and `to`, give or take `room`. */
static bool lies_between(const struct call *c, int64_t from, int64_t to, int64_t room)
{
	if (t_sub(from, c->enter.t) > room)
		return false;
	return !stamp_seen(&c->exit) || t_sub(c->exit.t, to) <= room;
}

/* `twin`: several alike fit, and nothing tells whose is which; then none is taken. */
static struct call *by_place(struct host_side *h, unsigned op, uint64_t sector, uint32_t length, int64_t from, int64_t to, int64_t room, bool *twin)
{
	struct call *found = NULL;
	int walked = 0;
	for (uint32_t at = keytab_first(&h->calls, place_key(op, sector)); at && walked++ < WALK_MAX; at = keytab_after(&h->calls, at)) {
		struct call *c = &h->call[at - 1];
		if (c->claimed || (length && c->length && c->length != length) || !lies_between(c, from, to, room))
			continue;
		*twin |= found && op != IO_FLUSH;
		if (!found || c->id < found->id)
			found = c;
	}
	if (*twin)
		return NULL;
	if (found) {
		found->claimed = true;
		keytab_drop(&h->calls, (uint32_t)(found->id & MASK));
	}
	return found;
}

/* The first ring call on the thread that had not returned at `from`: it took what was queued by then. Rings' calls are shared. */
static struct call *by_ring(struct host_side *h, uint32_t thread, int64_t from, int64_t to, int64_t room)
{
	struct host_thread *t = thread_of(h, thread, false);
	struct call *found = NULL, *c = t ? call_of(h, t->last_call) : NULL;
	for (int i = 0; c && i < BACK_MAX && t_sub(from, c->enter.t) <= room; i++, c = call_of(h, c->before))
		if (of_a_ring(c->number) && t_sub(c->enter.t, to) <= room)
			found = c;
	return found;
}

/* Nothing says the place in the file (an image format): the call of the kind within the time that returned last. */
static struct call *by_time(struct host_side *h, unsigned op, int64_t from, int64_t to, int64_t room)
{
	struct call *found = NULL;
	uint64_t id = h->call_ids;
	for (int i = 0; id && i < BACK_MAX; i++, id--) {
		struct call *c = call_of(h, id);
		if (!c || t_sub(from, c->enter.t) > room)
			break;
		bool fits = !c->claimed && !of_a_ring(c->number) && c->op == op && stamp_seen(&c->exit) && lies_between(c, from, to, room);
		if (fits && (!found || t_sub(c->exit.t, found->exit.t) > 0))
			found = c;
	}
	if (found) {
		found->claimed = true;
		keytab_drop(&h->calls, (uint32_t)(found->id & MASK));
	}
	return found;
}

struct call *host_find(struct engine *e, struct device_request *d, struct submission *s)
{
	const struct stamp *begin = s ? &s->submit : stamp_seen(&d->start) ? &d->start : &d->done;
	const struct stamp *end = s && stamp_seen(&s->reap) ? &s->reap : stamp_seen(&d->done) ? &d->done : begin;
	int64_t room = (int64_t)begin->own + (int64_t)end->own;
	struct host_side *h = &e->host;
	uint64_t *remembered = s ? &s->call : &d->call;
	bool *twin = s ? &s->twin : &d->twin;
	bool *joined = s ? &s->joined : &d->joined;
	if (*joined)
		return call_of(h, *remembered);
	/* QEMU leaves out a flush that has nothing to write back: another's call is none of its business. */
	if (!s && d->op == IO_FLUSH && e->have_submissions)
		return NULL;
	struct call *c = NULL;
	unsigned op = s && s->op != SIGHT_OP_NONE ? s->op : d->op;
	uint64_t sector = s && s->placed ? s->sector : d->sector;
	uint32_t length = s && s->placed ? s->length : d->length;
	bool placed = op == IO_FLUSH || (e->raw && (!s || s->placed || d->length)) || (s && s->placed);
	for (int pass = 0; pass < 2 && !c && !*twin; pass++) {
		int64_t within = pass ? e->wide : room;
		c = placed ? by_place(h, op, op == IO_FLUSH ? 0 : sector, op == IO_FLUSH ? 0 : length, begin->t, end->t, within, twin) : NULL;
		c = c || *twin ? c : by_ring(h, begin->thread, begin->t, end->t, within);
		c = c || placed || pass ? c : by_time(h, op, begin->t, end->t, within);
	}
	*joined = true;
	*remembered = c ? c->id + 1 : 0;
	return c;
}

struct call *host_find_guest(struct engine *e, struct guest_request *g, uint64_t half)
{
	int64_t room = (int64_t)(half < (1ull << 60) ? half : 1ull << 60);
	if (g->joined)
		return call_of(&e->host, g->device);
	g->joined = true;
	bool twin = false;
	struct call *c = e->raw ? by_place(&e->host, g->op, g->sector, g->op == IO_FLUSH ? 0 : g->length, g->issue, g->complete, room, &twin) : NULL;
	g->ambiguous |= twin;
	g->device = c ? c->id + 1 : 0;
	return c;
}

/* ---- where the file's extents lie ---- */

/* Bytes of x that are zero, as their top bits; a byte above one may be marked that is not. */
static inline uint64_t zero_bytes(uint64_t x)
{
	return (x - 0x0101010101010101) & ~x & 0x8080808080808080;
}

/* A byte of each entry's hash stands beside the table, so that one look tells which of the PROBES may be it; 0: never used. */
static struct distance *distance_at(const struct host_side *h, uint32_t at, uint8_t tag, uint64_t distance)
{
	for (uint32_t i = 0; i < PROBES; i += 8) {
		uint64_t eight;
		memcpy(&eight, h->tag + at + i, sizeof(eight));
		for (uint64_t like = zero_bytes(le64toh(eight) ^ tag * UINT64_C(0x0101010101010101)); like; like &= like - 1) {
			struct distance *d = &h->distance[(at + i + (uint32_t)__builtin_ctzll(like) / 8) % DISTANCES_MAX];
			if (d->votes && d->distance == distance)
				return d;
		}
	}
	return NULL;
}

/* What lies over the table's end is read on behind it. */
static void put_beside(uint8_t *bytes, uint32_t at, uint8_t v)
{
	bytes[at] = v;
	if (at < PROBES)
		bytes[DISTANCES_MAX + at] = v;
}

/* The first of those that have the least votes gives way: one never used, or mostly one that has a single vote. */
static struct distance *make_distance(struct host_side *h, uint32_t at, uint8_t tag, uint64_t distance)
{
	const uint8_t *few = memchr(h->few + at, 0, PROBES);
	few = few ? few : memchr(h->few + at, 1, PROBES);
	uint32_t least = (few ? (uint32_t)(few - h->few) : at) % DISTANCES_MAX;
	for (uint32_t i = 1; !few && i < PROBES; i++) {
		uint32_t one = (at + i) % DISTANCES_MAX;
		if (h->distance[one].votes < h->distance[least].votes)
			least = one;
	}
	h->distance[least] = (struct distance){ .distance = distance };
	put_beside(h->tag, least, tag);
	return &h->distance[least];
}

static struct distance *distance_of(struct host_side *h, uint64_t distance, bool make)
{
	uint64_t hash = distance * 0x9e3779b97f4a7c15ull;
	uint32_t at = (uint32_t)(hash >> 40) % DISTANCES_MAX;
	uint8_t tag = (uint8_t)(1 + (hash >> 54) % 255);
	struct distance *d = distance_at(h, at, tag, distance);
	return d || !make ? d : make_distance(h, at, tag, distance);
}

/* Returns how many it has then. */
static uint32_t vote(struct host_side *h, uint64_t distance)
{
	struct distance *d = distance_of(h, distance, true);
	d->votes += d->votes < UINT32_MAX;
	if (d->votes <= UINT8_MAX)
		put_beside(h->few, (uint32_t)(d - h->distance), (uint8_t)d->votes);
	if (d->votes >= h->top.votes)
		h->top = *d;
	return d->votes;
}

static uint32_t votes_for(struct host_side *h, uint64_t distance)
{
	const struct distance *d = distance_of(h, distance, false);
	return d ? d->votes : 0;
}

/* Queued while the call lasted; and what a call waits for is over when it returns: what is not, it left to others (write-back). */
static bool lies_under(const struct host_block *b, const struct call *c)
{
	if (!stamp_seen(&c->exit))
		return true;
	bool late = stamp_seen(&b->issue) && b->issue.t > c->exit.t, later = stamp_seen(&b->complete) && b->complete.t > c->exit.t;
	return b->first <= c->exit.t && (of_a_ring(c->number) || (!late && !later));
}

static bool fits_call(const struct host_block *b, const struct call *c, unsigned op, uint32_t length)
{
	return lies_under(b, c) && (b->op == op || b->op == SIGHT_OP_NONE) && (op == IO_FLUSH || !length || b->length == length);
}

/* The oldest bio under the call at the distance that most have, once that is beyond doubt: nothing could be voted for more. */
static struct host_block *at_top(struct engine *e, const struct call *c, struct host_block *b, uint64_t sector, unsigned op, uint32_t length)
{
	struct host_side *h = &e->host;
	struct host_block *found = NULL;
	uint64_t want = sector + h->top.distance;
	if (h->top.votes < VOTES_SURE)
		return NULL;
	for (int i = 0; b && i < BACK_MAX && b->first >= c->enter.t; i++, b = block_of(h, b->before))
		if (b->sector == want && !b->claimed && fits_call(b, c, op, length))
			found = b;
	if (found && e->causal)
		vote(h, h->top.distance);
	return found;
}

/* The bio under the call whose distance has the most votes; of those alike, the oldest. Without a place (`sector` NULL), the oldest. */
struct host_block *host_block_of(struct engine *e, struct call *c, uint64_t *remembered, const uint64_t *sector, unsigned op, uint32_t length)
{
	struct host_side *h = &e->host;
	struct host_thread *t = thread_of(h, c->thread, false);
	struct host_block *found = NULL, *b = t ? block_of(h, t->last_block) : NULL;
	uint32_t most = 0;
	if (*remembered)
		return block_of(h, *remembered);
	found = sector ? at_top(e, c, b, *sector, op, length) : NULL;
	/* Else all are looked at. */
	b = found ? NULL : b;
	for (int i = 0; b && i < BACK_MAX && b->first >= c->enter.t; i++, b = block_of(h, b->before)) {
		/* Those that others have taken still have their vote, while votes are taken. */
		if ((b->claimed && !e->causal) || !fits_call(b, c, op, length))
			continue;
		uint32_t votes = !sector ? 0 : e->causal ? vote(h, b->sector - *sector) : votes_for(h, b->sector - *sector);
		if (b->claimed || votes < most)
			continue;
		most = votes;
		found = b;
	}
	if (found)
		found->claimed = true;
	*remembered = found ? found->id + 1 : 0;
	return found;
}
