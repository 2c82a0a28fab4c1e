// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guest's kernel: bios become requests, requests are issued, kicked, interrupted for, completed.
 *
 * A bio is known by (op, sector, length), a request by (op, sector) while it is out; of several alike the oldest comes first. A flush has no
 * place: its request serves all flushes that waited when it was issued (block/blk-flush.c keeps them apart by hardware queue, so by CPU
 * where each has its own). A bio that io_uring was not allowed to wait for is refused and queued once more: it has two bios and one
 * request, and the later one counts. Of two I/Os alike the bio is the earlier one's that came before the later one's submission. A request takes the bios that follow each other from its first sector to its end: merges. An I/O is
 * followed from its first sector to its last, from request to request: splits.
 *
 * A kick belongs to the requests issued on its CPU since the CPU's last kick; an interrupt to the requests completed after it. Which of
 * them it did not serve is decided in join.c, where the device's own stamps are known.
 */
#include <stdlib.h>
#include <string.h>

#include "attribute/engine.h"

enum { MASK = POOL_REQUESTS - 1, QUEUE_NEW = 16 };

int guest_init(struct guest_side *g)
{
	g->bio = pool_new(POOL_REQUESTS, sizeof(*g->bio));
	g->request = pool_new(POOL_REQUESTS, sizeof(*g->request));
	int bad = keytab_init(&g->bios, POOL_REQUESTS) | keytab_init(&g->requests, POOL_REQUESTS);
	return g->bio && g->request && !bad ? 0 : -1;
}

void guest_fini(struct guest_side *g)
{
	pool_free(g->bio, POOL_REQUESTS, sizeof(*g->bio));
	pool_free(g->request, POOL_REQUESTS, sizeof(*g->request));
	keytab_fini(&g->bios);
	keytab_fini(&g->requests);
}

/* What was learnt about queues stays. */
void guest_reset(struct guest_side *g)
{
	keytab_clear(&g->bios);
	keytab_clear(&g->requests);
	memset(g->cpu_pending, 0, sizeof(g->cpu_pending));
	memset(g->cpu_irq, 0, sizeof(g->cpu_irq));
	g->irq = (struct stamp){ 0 };
	g->bio_ids = g->ids = g->outstanding = g->last_flush = 0;
	g->generation = 0;
}

/* ---- queues: which of them are the disk's ---- */

static struct queue_stat *queue_of(struct queue_stat table[QUEUES_MAX], uint64_t key)
{
	uint32_t h = (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 40);
	for (uint32_t i = 0; i < 16; i++) {
		struct queue_stat *q = &table[(h + i) % QUEUES_MAX];
		if (q->events && q->key == key)
			return q;
		if (!q->events) {
			q->key = key;
			return q;
		}
	}
	return NULL;
}

void queue_count(struct queue_stat table[QUEUES_MAX], uint64_t key, unsigned events, bool useful)
{
	struct queue_stat *q = queue_of(table, key);
	if (!q || q->events > UINT32_MAX / 2)
		return;
	q->events += events;
	q->useful += useful;
}

/* At least half of its events had to do with a request; at first nobody knows. */
bool queue_useful(const struct queue_stat table[QUEUES_MAX], uint64_t key)
{
	uint32_t h = (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 40);
	for (uint32_t i = 0; i < 16; i++) {
		const struct queue_stat *q = &table[(h + i) % QUEUES_MAX];
		if (q->events && q->key == key)
			return q->events < QUEUE_NEW || q->useful * 2 >= q->events;
		if (!q->events)
			break;
	}
	return true;
}

/* ---- bios ---- */

static uint64_t sectors(uint32_t length)
{
	return ((uint64_t)length + 511) >> 9;
}

static bool no_place(const struct sighting *s)
{
	return s->op == IO_FLUSH || (s->flags & SIGHT_NO_PLACE);
}

static void see_queue(struct guest_side *g, const struct event *v, uint32_t cpu)
{
	uint32_t slot = (uint32_t)(g->bio_ids & MASK);
	if (g->bio_ids >= POOL_REQUESTS)
		keytab_drop(&g->bios, slot);
	bool placed = !no_place(v->s);
	g->bio[slot] = (struct bio){ .sector = placed ? v->s->sector : 0, .t = v->t, .length = placed ? v->s->length : 0, .thread = v->s->thread,
				     .op = v->s->op, .cpu = cpu };
	keytab_put(&g->bios, slot, place_key(v->s->op, g->bio[slot].sector));
	g->bio_ids++;
}

/* The oldest bio at `sector` that no request has taken; NULL. */
static struct bio *waiting_bio(struct guest_side *g, unsigned op, uint64_t sector)
{
	struct bio *found = NULL;
	int walked = 0;
	for (uint32_t at = keytab_first(&g->bios, place_key(op, sector)); at && walked++ < WALK_MAX; at = keytab_after(&g->bios, at)) {
		struct bio *b = &g->bio[at - 1];
		if (!b->request && !b->claimed && (!found || b->t < found->t))
			found = b;
	}
	return found;
}

/* A flush takes all that wait. */
static void take_flushes(const struct engine *e, struct guest_side *g, struct guest_request *r, uint32_t cpu)
{
	int walked = 0;
	for (uint32_t at = keytab_first(&g->bios, place_key(IO_FLUSH, 0)); at && walked++ < WALK_MAX; at = keytab_after(&g->bios, at)) {
		struct bio *b = &g->bio[at - 1];
		if (b->request || b->claimed || (e->queue_per_cpu && b->cpu != cpu))
			continue;
		b->request = r->id + 1;
		if (r->merged < UINT16_MAX)
			r->merged++;
	}
}

/* The request takes its bios. */
static void take_bios(struct guest_side *g, struct guest_request *r)
{
	uint64_t at = r->sector, end = r->sector + sectors(r->length);
	for (int i = 0; i < WALK_MAX; i++) {
		struct bio *b = waiting_bio(g, r->op, at);
		if (!b)
			return;
		b->request = r->id + 1;
		if (r->merged < UINT16_MAX)
			r->merged++;
		at += sectors(b->length);
		if (at >= end || !b->length)
			return;
	}
}

/* ---- requests ---- */

static struct guest_request *request_of(struct guest_side *g, uint64_t id_plus_1)
{
	struct guest_request *r = id_plus_1 ? &g->request[(id_plus_1 - 1) & MASK] : NULL;
	return r && r->id == id_plus_1 - 1 ? r : NULL;
}

/* The oldest that is out at this place; `any` takes one of another length. */
static struct guest_request *out_at(struct guest_side *g, unsigned op, uint64_t sector, uint32_t length, bool any)
{
	struct guest_request *found = NULL;
	int walked = 0;
	for (uint32_t at = keytab_first(&g->requests, place_key(op, sector)); at && walked++ < WALK_MAX; at = keytab_after(&g->requests, at)) {
		struct guest_request *r = &g->request[at - 1];
		if (!r->completed && (any || r->left == length) && (!found || r->id < found->id))
			found = r;
	}
	return found;
}

/* A queue has one flush out at a time, and its interrupt comes to its own CPU. */
static struct guest_request *flush_of(struct guest_side *g, uint32_t cpu)
{
	int walked = 0;
	for (uint32_t at = keytab_first(&g->requests, place_key(IO_FLUSH, 0)); at && walked++ < WALK_MAX; at = keytab_after(&g->requests, at)) {
		struct guest_request *r = &g->request[at - 1];
		if (!r->completed && r->cpu == cpu)
			return r;
	}
	return NULL;
}

/* Which of several alike was completed, nobody can tell. */
static void taint_alike(struct guest_side *g, const struct guest_request *one)
{
	int walked = 0;
	for (uint32_t at = keytab_first(&g->requests, place_key(one->op, one->sector)); at && walked++ < WALK_MAX; at = keytab_after(&g->requests, at)) {
		struct guest_request *r = &g->request[at - 1];
		if (r == one || r->completed || r->length != one->length || r->op == IO_FLUSH)
			continue;
		r->tainted = true;
		g->request[one->id & MASK].tainted = true;
	}
}

static struct guest_request *new_request(struct guest_side *g, const struct event *v, bool placed)
{
	uint32_t slot = (uint32_t)(g->ids & MASK);
	struct guest_request *r = &g->request[slot];
	if (g->ids >= POOL_REQUESTS)
		keytab_drop(&g->requests, slot);
	*r = (struct guest_request){ .id = g->ids++, .sector = placed ? v->s->sector : 0, .length = placed ? v->s->length : 0, .op = v->s->op };
	r->left = r->length;
	keytab_put(&g->requests, slot, place_key(r->op, r->sector));
	return r;
}

static void see_issue(struct engine *e, const struct event *v, uint32_t cpu)
{
	struct guest_side *g = &e->guest;
	bool placed = !no_place(v->s);
	struct guest_request *r = out_at(g, v->s->op, placed ? v->s->sector : 0, placed ? v->s->length : 0, false);
	if (r && r->requeued) {
		r->requeued = false;
	} else {
		r = new_request(g, v, placed);
		if (r->op == IO_FLUSH)
			take_flushes(e, g, r, cpu);
		else
			take_bios(g, r);
	}
	r->issue = v->t;
	r->cpu = cpu;
	r->issue_thread = v->s->thread;
	r->issue_no = g->ids;
	r->idle = g->outstanding == 0;
	r->generation = g->generation;
	r->kick = (struct stamp){ 0 };
	g->outstanding++;
	r->cpu_next = g->cpu_pending[cpu];
	g->cpu_pending[cpu] = (uint32_t)(r->id & MASK) + 1;
}

static void leave(struct guest_side *g, const struct guest_request *r)
{
	if (r->generation == g->generation && g->outstanding)
		g->outstanding--;
}

static void see_requeue(struct guest_side *g, const struct event *v)
{
	bool placed = !no_place(v->s);
	struct guest_request *r = out_at(g, v->s->op, placed ? v->s->sector : 0, placed ? v->s->length : 0, false);
	if (!r || r->requeued)
		return;
	r->requeued = true;
	if (r->requeues < UINT16_MAX)
		r->requeues++;
	leave(g, r);
}

static void see_complete(struct engine *e, const struct event *v, uint32_t cpu)
{
	struct guest_side *g = &e->guest;
	bool placed = !no_place(v->s);
	uint64_t sector = placed ? v->s->sector : 0;
	struct guest_request *r = v->s->op == IO_FLUSH && e->queue_per_cpu ? flush_of(g, cpu) : NULL;
	r = r ? r : out_at(g, v->s->op, sector, placed ? v->s->length : 0, false);
	r = r ? r : out_at(g, v->s->op, sector, 0, true);
	if (!r)
		return;
	/* A part of it: the rest is completed under its own first sector. */
	if (placed && v->s->length < r->left && v->s->length) {
		uint32_t slot = (uint32_t)(r->id & MASK);
		r->left -= v->s->length;
		keytab_drop(&g->requests, slot);
		keytab_put(&g->requests, slot, place_key(r->op, v->s->sector + sectors(v->s->length)));
		return;
	}
	if (!r->requeued)
		leave(g, r);
	taint_alike(g, r);
	if (placed && sector != r->sector) {
		uint32_t slot = (uint32_t)(r->id & MASK);
		keytab_drop(&g->requests, slot);
		keytab_put(&g->requests, slot, place_key(r->op, r->sector));
	}
	r->completed = true;
	r->complete = v->t;
	r->complete_thread = v->s->thread;
	r->alone = r->idle && r->issue_no == g->ids && !r->requeues;
	r->irq_here = g->cpu_irq[cpu];
	r->irq_any = g->irq;
	if (g->irq_uncredited)
		queue_count(g->irq_queue, g->irq_key, 0, true);
	g->irq_uncredited = false;
}

static struct stamp stamp_of(const struct event *v)
{
	return (struct stamp){ .t = v->t, .own = v->own, .thread = v->s->thread, .kind = v->s->kind };
}

static void see_kick(struct engine *e, const struct event *v, uint32_t cpu)
{
	struct guest_side *g = &e->guest;
	uint32_t at = g->cpu_pending[cpu];
	queue_count(g->kick, v->s->key, 1, at != 0);
	if (!queue_useful(g->kick, v->s->key))
		return;
	g->cpu_pending[cpu] = 0;
	kvm_kicked(&e->kvm, cpu);
	for (int i = 0; at && i < POOL_REQUESTS; i++) {
		struct guest_request *r = &g->request[at - 1];
		if (!r->completed && !r->requeued && r->issue <= v->t) {
			r->kick = stamp_of(v);
			r->kick_cpu = cpu;
		}
		at = r->cpu_next;
		r->cpu_next = 0;
	}
}

static void see_irq(struct guest_side *g, const struct event *v, uint32_t cpu)
{
	queue_count(g->irq_queue, v->s->key, 1, false);
	g->irq_key = v->s->key;
	g->irq_uncredited = true;
	if (!queue_useful(g->irq_queue, v->s->key))
		return;
	g->irq = g->cpu_irq[cpu] = stamp_of(v);
}

void guest_see(struct engine *e, const struct event *v)
{
	struct guest_side *g = &e->guest;
	uint32_t cpu = e->in.stream[v->stream].is.cpu % GUEST_CPUS_MAX;
	bool block = v->s->kind != SIGHT_G_KICK && v->s->kind != SIGHT_G_IRQ;
	if (block && e->guest_device && v->s->device && v->s->device != e->guest_device)
		return;
	switch (v->s->kind) {
	case SIGHT_G_QUEUE:
		see_queue(g, v, cpu);
		break;
	case SIGHT_G_ISSUE:
		see_issue(e, v, cpu);
		break;
	case SIGHT_G_REQUEUE:
		see_requeue(g, v);
		break;
	case SIGHT_G_COMPLETE:
		see_complete(e, v, cpu);
		break;
	case SIGHT_G_KICK:
		see_kick(e, v, cpu);
		break;
	case SIGHT_G_IRQ:
		see_irq(g, v, cpu);
		break;
	default:
		break;
	}
}

/* ---- finding an I/O's requests ---- */

struct found {
	struct guest_request *r;
	struct bio *bio, *again;       /* `again`: without a request, the latest */
	bool several;                  /* different requests fit */
};

static bool fits(const struct guest_request *r, int64_t submit, int64_t reap)
{
	return r->issue >= submit && r->issue <= reap && (!r->completed || r->complete <= reap);
}

/* Requests that start here and nobody has claimed, oldest first. */
static void find_request(struct guest_side *g, unsigned op, uint64_t sector, uint32_t length, bool exact, int64_t submit, int64_t reap,
			 struct found *f)
{
	int walked = 0;
	for (uint32_t at = keytab_first(&g->requests, place_key(op, sector)); at && walked++ < WALK_MAX; at = keytab_after(&g->requests, at)) {
		struct guest_request *r = &g->request[at - 1];
		if (r->claims || !fits(r, submit, reap) || (exact && r->length != length))
			continue;
		f->several |= f->r != NULL;
		/* One that was completed goes before one that was not. */
		if (!f->r || (r->completed && !f->r->completed) || (r->completed == f->r->completed && r->id < f->r->id))
			f->r = r;
	}
}

/* Bios that start here and are nobody's, with the request they went into. */
static void find_bio(struct guest_side *g, unsigned op, uint64_t sector, int64_t submit, int64_t reap, struct found *f)
{
	int walked = 0;
	for (uint32_t at = keytab_first(&g->bios, place_key(op, sector)); at && walked++ < WALK_MAX; at = keytab_after(&g->bios, at)) {
		struct bio *b = &g->bio[at - 1];
		struct guest_request *r = request_of(g, b->request);
		if (b->claimed || b->t < submit || b->t > reap || (r && !fits(r, submit, reap)))
			continue;
		if (!r) {
			f->again = !f->again || b->t > f->again->t ? b : f->again;
			continue;
		}
		f->several |= f->r && f->r != r;
		if (!f->bio || b->t < f->bio->t) {
			f->bio = b;
			f->r = r;
		}
	}
}

/* What else would have fitted is as uncertain as what was taken. */
static void taint(struct guest_side *g, unsigned op, uint64_t sector, int64_t submit, int64_t reap)
{
	int walked = 0;
	for (uint32_t at = keytab_first(&g->bios, place_key(op, sector)); at && walked++ < WALK_MAX; at = keytab_after(&g->bios, at)) {
		struct bio *b = &g->bio[at - 1];
		struct guest_request *r = request_of(g, b->request);
		if (!b->claimed && b->t >= submit && b->t <= reap && (!r || fits(r, submit, reap)))
			b->tainted = true;
	}
	walked = 0;
	for (uint32_t at = keytab_first(&g->requests, place_key(op, sector)); at && walked++ < WALK_MAX; at = keytab_after(&g->requests, at)) {
		struct guest_request *r = &g->request[at - 1];
		if (!r->claims && fits(r, submit, reap))
			r->tainted = true;
	}
}

static void claim(struct guest_side *g, struct guest_request *r)
{
	if (r->claims < UINT16_MAX)
		r->claims++;
	if (r->claims == 1)
		keytab_drop(&g->requests, (uint32_t)(r->id & MASK));
}

static void claim_bio(struct guest_side *g, struct bio *b)
{
	b->claimed = true;
	keytab_drop(&g->bios, (uint32_t)(b - g->bio));
}

/* One that would have fitted, had its completion not gone to another like it. */
static bool tainted_at(struct guest_side *g, unsigned op, uint64_t sector, int64_t submit, int64_t reap)
{
	int walked = 0;
	for (uint32_t at = keytab_first(&g->requests, place_key(op, sector)); at && walked++ < WALK_MAX; at = keytab_after(&g->requests, at)) {
		struct guest_request *r = &g->request[at - 1];
		if (!r->claims && r->tainted && r->issue >= submit && r->issue <= reap)
			return true;
	}
	return false;
}

/* One step: the request that starts at `sector`, or holds the bio that does. */
static struct guest_request *step(struct engine *e, const struct io_record *io, uint64_t sector, uint32_t left, int64_t submit, int64_t reap,
				  struct guest_match *m)
{
	struct guest_side *g = &e->guest;
	struct found f = { 0 };
	find_bio(g, io->op, sector, submit, reap, &f);
	if (!f.r) {
		find_request(g, io->op, sector, left, true, submit, reap, &f);
		if (!f.r)
			find_request(g, io->op, sector, left, false, submit, reap, &f);
	}
	if (!f.r) {
		m->ambiguous |= tainted_at(g, io->op, sector, submit, reap);
		return NULL;
	}
	if (f.several && (!f.bio || inputs_rival(&e->in, io, f.bio->t))) {
		m->ambiguous = true;
		taint(g, io->op, sector, submit, reap);
	}
	/* It was refused at first. */
	if (f.bio && f.again && f.again->t > f.bio->t && f.again->t <= f.r->issue && !f.several) {
		claim_bio(g, f.bio);
		f.bio = f.again;
	}
	m->ambiguous |= f.r->tainted || (f.bio && f.bio->tainted);
	if (f.bio) {
		if (!stamp_seen(&m->queue))
			m->queue = (struct stamp){ .t = f.bio->t, .thread = f.bio->thread, .kind = SIGHT_G_QUEUE };
		claim_bio(g, f.bio);
	}
	claim(g, f.r);
	return f.r;
}

static void add_child(struct guest_match *m, struct guest_request *r)
{
	m->children++;
	m->incomplete |= !r->completed;
	if (!m->last || (r->completed && (!m->last->completed || r->complete > m->last->complete)))
		m->last = r;
}

/* Where bios are not seen: the kernel serves several flushes that wait at once by a single one. */
static void share_flush(struct engine *e, int64_t submit, int64_t reap, struct guest_match *m)
{
	struct guest_request *r = request_of(&e->guest, e->guest.last_flush);
	if (e->guest.bio_ids || !r || !fits(r, submit, reap))
		return;
	claim(&e->guest, r);
	add_child(m, r);
	m->found = true;
}

void guest_find(struct engine *e, const struct io_record *io, int64_t submit, int64_t reap, struct guest_match *m)
{
	uint64_t at = io->op == IO_FLUSH ? 0 : io->sector, end = at + (io->op == IO_FLUSH ? 0 : sectors(io->length));
	*m = (struct guest_match){ 0 };
	do {
		uint64_t left = (end - at) << 9;
		struct guest_request *r = step(e, io, at, (uint32_t)left, submit, reap, m);
		if (!r)
			break;
		add_child(m, r);
		uint64_t next = r->sector + sectors(r->length);
		m->found = next >= end;
		if (next <= at)
			break;
		at = next;
	} while (at < end && m->children < UINT16_MAX);
	if (io->op != IO_FLUSH)
		return;
	if (m->found)
		e->guest.last_flush = m->last->id + 1;
	else
		share_flush(e, submit, reap, m);
}
