// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One I/O, joined: from the application's two stamps to the boundaries between them, and why some are not there.
 *
 * Kicks, notices, injections and interrupts are not a request's own: one serves all that wait. Which of them did not serve a request
 * is told by stamps that are its own (ε is the map's half-width and what the stamps themselves lack):
 *   kick     later than the device's start by more than ε: the device had taken the request already
 *   notice   earlier than the issue, or than the kick, by more than ε: it was made for another one
 *   inject   later than the guest's completion, or than its interrupt, by more than ε
 *   irq      earlier than the device's completion by more than ε
 * Such a boundary did not happen for this request: `suppressed`. When no other request was out from its issue to its completion there is
 * none whose kick or interrupt could have served it: the stamps then stand, and a contradiction is a violation. (An I/O thread
 * polls, and takes requests whose kick is under way: with one, a late kick is no contradiction.)
 *
 * Causes that are certain, for the causal tier: issue before start, done before completion; and for a request that was alone, kick
 * before notice, injection before interrupt.
 */
#include <string.h>

#include "attribute/engine.h"

struct joint {
	struct engine *e;
	struct attributed *r;
	uint32_t epoch;                        /* place in the clock map */
	int64_t half;
	struct guest_match m;
	struct guest_request *g;
	struct guest_request stand_in;         /* where the guest's kernel was not seen: what the application knows of its request */
	struct device_request *d;
	struct submission *s;
	struct call *c;
	bool no_host, incomplete;
};

static void put(struct joint *j, unsigned boundary, const struct stamp *s)
{
	struct attributed *r = j->r;
	r->seen = (uint16_t)(r->seen | 1u << boundary);
	r->at[boundary] = clockmap_at(&j->e->clock, s->t, j->epoch);
	r->own[boundary] = s->own;
	r->kind[boundary] = s->kind;
	r->thread[boundary] = s->thread;
}

static void suppress(struct joint *j, unsigned boundary)
{
	j->r->suppressed = (uint16_t)(j->r->suppressed | 1u << boundary);
}

/* a lies after b by more than the map and the two stamps leave open. */
static bool after(const struct joint *j, int64_t a, int64_t b, uint32_t own)
{
	return t_sub(a, b) > j->half + (int64_t)own;
}

/* ---- kick and notice ---- */

/* Where the host's side of it begins: the device's start, or without a VMM vantage the system call. */
static const struct stamp *host_begin(const struct joint *j)
{
	if (j->d && stamp_seen(&j->d->start))
		return &j->d->start;
	return j->c ? &j->c->enter : j->s && stamp_seen(&j->s->submit) ? &j->s->submit : NULL;
}

static const struct stamp *host_end(const struct joint *j)
{
	const struct stamp *s = j->d ? &j->d->done : j->c ? &j->c->exit : NULL;
	return s && stamp_seen(s) ? s : NULL;
}

/* Clears what cannot have been this request's. */
static void judge_kick(const struct joint *j, struct stamp *kick, struct stamp *notice)
{
	const struct engine *e = j->e;
	const struct guest_request *g = j->g;
	const struct stamp *begin = host_begin(j);
	/* A notice before the issue was made for another request; alone, with a kick, it is a contradiction, and stays. */
	bool sure = g->alone && !e->polls;
	if (stamp_seen(notice) && after(j, g->issue, notice->t, notice->own) && !(sure && stamp_seen(kick)))
		notice->kind = 0;
	if (sure)
		return;
	if (stamp_seen(kick) && begin && after(j, kick->t, begin->t, begin->own))
		kick->kind = 0;
	if (stamp_seen(kick) && stamp_seen(notice) && after(j, kick->t, notice->t, notice->own))
		kick->kind = 0;
	if (j->d && e->have_notify && begin && !stamp_seen(notice))
		kick->kind = 0;
	if (e->have_kick && !stamp_seen(kick))
		notice->kind = 0;
}

static void place_kick(struct joint *j)
{
	const struct engine *e = j->e;
	const struct stamp *begin = host_begin(j);
	struct stamp kick = j->g->kick, notice = j->d ? j->d->notify : (struct stamp){ 0 };
	/* KVM's own stamp is the earlier notice, and the sharper. */
	struct stamp trap = begin ? kvm_notice(e, j->g, j->half, t_add(begin->t, (int64_t)begin->own)) : (struct stamp){ 0 };
	notice = stamp_seen(&trap) ? trap : notice;
	judge_kick(j, &kick, &notice);
	if (stamp_seen(&kick))
		put(j, AT_GUEST_KICK, &kick);
	else if (e->have_kick)
		suppress(j, AT_GUEST_KICK);
	if (stamp_seen(&notice))
		put(j, AT_HOST_NOTIFY, &notice);
	else if (e->have_notify && j->d && stamp_seen(&j->d->start))
		suppress(j, AT_HOST_NOTIFY);
}

/* ---- injection and interrupt ---- */

static struct stamp choose_irq(const struct joint *j)
{
	const struct guest_request *g = j->g;
	const struct stamp *done = host_end(j);
	const struct stamp *const candidates[] = { &g->irq_here, &g->irq_any };
	struct stamp none = { 0 };
	for (int i = 0; i < 2; i++)
		if (stamp_seen(candidates[i]) && candidates[i]->t >= g->issue && !(done && after(j, done->t, candidates[i]->t, done->own)))
			return *candidates[i];
	/* Alone, it has no other: the contradiction is shown. */
	for (int i = 0; g->alone && i < 2; i++)
		if (stamp_seen(candidates[i]) && candidates[i]->t >= g->issue)
			return *candidates[i];
	return none;
}

static void place_irq(struct joint *j)
{
	const struct engine *e = j->e;
	const struct guest_request *g = j->g;
	struct stamp irq = choose_irq(j), inject = j->d ? j->d->inject : (struct stamp){ 0 };
	struct stamp message = stamp_seen(&inject) ? kvm_injection(e, &inject, t_add(stamp_seen(&irq) ? irq.t : g->complete, j->half)) : inject;
	inject = stamp_seen(&message) ? message : inject;
	/* With nothing of the host's between them, the guest's own order is all there is. */
	if (stamp_seen(&irq) && !g->alone && (j->r->seen & 1 << AT_GUEST_KICK) && irq.t < g->kick.t) {
		j->r->seen = (uint16_t)(j->r->seen & ~(1 << AT_GUEST_KICK));
		suppress(j, AT_GUEST_KICK);
	}
	if (stamp_seen(&inject) && !g->alone) {
		if (after(j, inject.t, g->complete, inject.own) || (e->have_irq && !stamp_seen(&irq)) ||
		    (stamp_seen(&irq) && after(j, inject.t, irq.t, inject.own)))
			inject.kind = 0;
	}
	if (stamp_seen(&inject))
		put(j, AT_IRQ_INJECT, &inject);
	else if (e->have_inject && j->d && stamp_seen(&j->d->done))
		suppress(j, AT_IRQ_INJECT);
	if (stamp_seen(&irq))
		put(j, AT_GUEST_IRQ, &irq);
	else if (e->have_irq)
		suppress(j, AT_GUEST_IRQ);
}

/* ---- vantages ---- */

static void place_guest(struct joint *j)
{
	const struct guest_request *g = j->g;
	struct stamp issue = { .t = g->issue, .thread = g->issue_thread, .kind = SIGHT_G_ISSUE };
	struct stamp complete = { .t = g->complete, .thread = g->complete_thread, .kind = SIGHT_G_COMPLETE };
	if (stamp_seen(&j->m.queue))
		put(j, AT_GUEST_QUEUE, &j->m.queue);
	put(j, AT_GUEST_ISSUE, &issue);
	if (!g->completed)
		return;
	put(j, AT_GUEST_COMPLETE, &complete);
}

/* The submission that came back last; the first one is where the request went down. */
static struct stamp first_submit(const struct joint *j)
{
	struct submission *s = j->s;
	for (int i = 0; s && s->before && i < BLK_MAX; i++) {
		struct submission *b = vmm_submission(&j->e->vmm, s->before);
		if (!b)
			break;
		s = b;
	}
	return s ? s->submit : (struct stamp){ 0 };
}

static void place_host(struct joint *j)
{
	struct stamp submit = first_submit(j), reap = j->s ? j->s->reap : (struct stamp){ 0 };
	bool ring = j->c && (j->c->number == SIGHT_SYS_io_submit || j->c->number == SIGHT_SYS_io_uring_enter);
	if (j->c)
		submit = j->c->enter;
	if (j->c && !ring && stamp_seen(&j->c->exit))
		reap = j->c->exit;
	if (!stamp_seen(&reap) && j->d && (j->c || j->s))
		reap = j->d->called_back;
	if (stamp_seen(&submit))
		put(j, AT_HOST_SUBMIT, &submit);
	if (stamp_seen(&reap))
		put(j, AT_HOST_REAP, &reap);
}

static void place_block(struct joint *j)
{
	uint64_t *remembered = j->s ? &j->s->block : j->d ? &j->d->block : &j->g->block;
	unsigned op = j->d ? j->d->op : j->g->op;
	uint32_t length = j->s && j->s->length ? j->s->length : j->g->length;
	const uint64_t *place = j->s && j->s->placed ? &j->s->sector : !j->e->raw ? NULL : j->d ? &j->d->sector : &j->g->sector;
	struct host_block *b = j->c ? host_block_of(j->e, j->c, remembered, op == IO_FLUSH ? NULL : place, op, length) : NULL;
	if (b && stamp_seen(&b->issue)) {
		put(j, AT_HOST_ISSUE, &b->issue);
		if (stamp_seen(&b->complete))
			put(j, AT_HOST_COMPLETE, &b->complete);
	}
	if (b)
		j->r->served = SERVED_DEVICE;
	else if (j->c && j->e->have_host_block && op != IO_FLUSH)
		j->r->served = SERVED_HOST_CACHE;
}

static void find_host(struct joint *j)
{
	struct engine *e = j->e;
	if (j->d) {
		j->s = vmm_submission(&e->vmm, j->d->submit);
		j->c = e->have_host ? host_find(e, j->d, j->s) : NULL;
	} else if (!e->have_vmm && e->have_host) {
		j->c = host_find_guest(e, j->g, (uint64_t)j->half);
	}
	place_host(j);
	place_block(j);
	if (j->c || !e->have_host)
		return;
	if (j->s ? j->s->twin : j->d ? j->d->twin : j->g->ambiguous) {
		j->m.ambiguous = true;
		return;
	}
	/* A VMM that makes no such call in all the run (a network's block device) serves by ways of its own. */
	if (e->null_backend || (j->d && !j->s && (e->have_submissions || !e->have_calls)))
		j->r->served = SERVED_VMM;
	else
		j->no_host = e->have_calls;
}

static void place_device(struct joint *j)
{
	const struct device_request *d = j->d;
	if (stamp_seen(&d->start))
		put(j, AT_DEVICE_START, &d->start);
	if (stamp_seen(&d->done))
		put(j, AT_DEVICE_DONE, &d->done);
}

/* ---- the tier of causes ---- */

static void bound_clock(const struct joint *j)
{
	struct clockmap *c = &j->e->clock;
	const struct guest_request *g = j->g;
	const struct device_request *d = j->d;
	const struct attributed *r = j->r;
	const uint16_t down = 1 << AT_GUEST_KICK | 1 << AT_HOST_NOTIFY, up = 1 << AT_IRQ_INJECT | 1 << AT_GUEST_IRQ;
	if (stamp_seen(&d->start))
		clockmap_guest_first(c, j->epoch, g->issue, d->start.t, d->start.own);
	if (stamp_seen(&d->done))
		clockmap_host_first(c, j->epoch, d->done.t, g->complete, d->done.own);
	if (!g->alone)
		return;
	if ((r->seen & down) == down && !j->e->polls)
		clockmap_guest_first(c, j->epoch, g->kick.t, d->notify.t, d->notify.own);
	if ((r->seen & up) == up) {
		struct stamp irq = choose_irq(j);
		clockmap_host_first(c, j->epoch, d->inject.t, irq.t, d->inject.own);
	}
}

/* ---- the whole ---- */

static unsigned cause_of(const struct joint *j)
{
	const struct engine *e = j->e;
	if (!e->have_guest && !j->g)
		return CAUSE_MATCHED;
	if (j->m.ambiguous)
		return CAUSE_AMBIGUOUS;
	if (!j->g)
		return e->direct ? CAUSE_NO_GUEST : CAUSE_MATCHED;
	if (j->m.incomplete)
		return CAUSE_NO_COMPLETION;
	if (!j->m.found)
		return CAUSE_NO_GUEST;
	if (e->have_vmm && j->g->device_cause != CAUSE_MATCHED)
		return j->g->device_cause;
	return j->no_host ? CAUSE_NO_HOST : CAUSE_MATCHED;
}

static bool lost_around(const struct engine *e, int64_t from, int64_t to)
{
	uint32_t n = e->losts < MARKS_MAX ? e->losts : MARKS_MAX;
	for (uint32_t i = 0; i < n; i++)
		if (e->lost[i].from <= t_add(to, e->wide) && e->lost[i].to >= t_sub(from, e->wide))
			return true;
	return false;
}

static bool marked(const struct engine *e, int64_t from, int64_t to)
{
	uint32_t n = e->marks < MARKS_MAX ? e->marks : MARKS_MAX;
	for (uint32_t i = 0; i < n; i++)
		if (e->mark[i] >= from && e->mark[i] <= to)
			return true;
	return false;
}

/* Every stamp lies in the epoch's span, with what the map leaves open. */
static bool in_epoch(const struct joint *j)
{
	const struct epoch_map *m = &j->e->clock.epoch[j->epoch];
	for (unsigned rest = j->r->seen; rest; rest &= rest - 1) {
		unsigned b = (unsigned)__builtin_ctz(rest);
		int64_t t = (int64_t)(j->r->at[b] - (uint64_t)m->mid - j->e->clock.base);
		int64_t room = boundary_in_guest(b) ? j->half : 0;
		if (t < m->from || t > m->to || (uint64_t)t_sub(t, m->from) < (uint64_t)room || (uint64_t)t_sub(m->to, t) < (uint64_t)room)
			return false;
	}
	return true;
}

static void quarantine(struct attributed *r)
{
	r->seen = 1 << AT_APP_SUBMIT | 1 << AT_APP_REAP;
	r->suppressed = r->violations = 0;
	r->served = SERVED_UNKNOWN;
	r->cause = CAUSE_EPOCH;
}

static void count_violations(struct joint *j)
{
	struct attributed *r = j->r;
	unsigned from = AT_APP_SUBMIT;
	for (unsigned rest = r->seen & ~1u; rest; rest &= rest - 1) {
		unsigned to = (unsigned)__builtin_ctz(rest);
		int64_t span = t_sub((int64_t)r->at[to], (int64_t)r->at[from]);
		if (span < 0 && 0 - (uint64_t)span > attributed_bound(r, from, to))
			r->violations++;
		from = to;
	}
}

/* Without the guest's kernel an I/O past its page cache is joined by what the application says: its place, between its two stamps. One that the
 * guest split or merged is not found so. */
static void stand_in(struct joint *j, const struct io_record *io, int64_t submit, int64_t reap)
{
	j->stand_in = (struct guest_request){
		.sector = io->sector, .length = io->length, .op = io->op, .issue = submit, .complete = reap, .completed = true,
	};
	j->g = &j->stand_in;
	j->m.found = true;
	if (j->e->have_vmm)
		j->d = vmm_find(j->e, j->g, (uint64_t)j->half);
	if (j->d)
		place_device(j);
	find_host(j);
	place_kick(j);
	place_irq(j);
}

static void join_sides(struct joint *j, const struct io_record *io, int64_t submit, int64_t reap)
{
	struct engine *e = j->e;
	struct attributed *r = j->r;
	if (!e->have_guest) {
		if (e->direct && e->clock.known && (e->have_vmm || e->have_host))
			stand_in(j, io, submit, reap);
		return;
	}
	guest_find(e, io, submit, reap, &j->m);
	j->g = j->m.last;
	r->children = (uint16_t)j->m.children;
	if (!j->g) {
		if (!e->direct)
			r->served = SERVED_GUEST_CACHE;
		return;
	}
	r->requeues = j->g->requeues;
	bool own = j->m.children > 1 || (j->g->sector == io->sector && j->g->length == io->length);
	r->shared = io->op == IO_FLUSH ? (j->g->merged > j->g->claims ? j->g->merged : j->g->claims) : own || j->g->merged < 2 ? 1 : j->g->merged;
	if (j->g->completed && e->have_vmm)
		j->d = vmm_find(e, j->g, (uint64_t)j->half);
	place_guest(j);
	if (j->d)
		place_device(j);
	if (j->g->completed) {
		find_host(j);
		place_kick(j);
		place_irq(j);
	}
	if (e->have_vmm && !j->d && r->served == SERVED_VMM)
		r->served = SERVED_UNKNOWN;
}

void join_io(struct engine *e, const struct io_ref *io, struct attributed *r)
{
	struct joint j = { .e = e, .r = r };
	uint32_t end_epoch = 0;
	*r = (struct attributed){ .io = *io->r, .index = io->index, .seen = 1 << AT_APP_SUBMIT | 1 << AT_APP_REAP };
	r->at[AT_APP_SUBMIT] = io->r->submit;
	r->at[AT_APP_REAP] = io->r->reap;
	int64_t submit = clockmap_guest(&e->clock, io->r->submit, &j.epoch), reap = clockmap_guest(&e->clock, io->r->reap, &end_epoch);
	const struct epoch_map *m = &e->clock.epoch[j.epoch];
	j.half = m->half < 1ull << 60 ? (int64_t)m->half : 1ll << 60;
	r->epoch = m->bound.epoch;
	r->offset_err = e->clock.known ? m->half : UINT64_MAX;
	r->cause = (uint8_t)record_cause(e, io->r);
	if (reap < submit)
		return;
	bool broken = e->clock.known && (j.epoch != end_epoch || !in_epoch(&j) || marked(e, submit, reap));
	if (!broken)
		join_sides(&j, io->r, submit, reap);
	if (broken || (e->clock.known && !in_epoch(&j))) {
		unsigned was = r->cause;
		quarantine(r);
		r->cause = was == CAUSE_MATCHED ? CAUSE_EPOCH : (uint8_t)was;
		return;
	}
	if (!e->causal)
		count_violations(&j);
	if (r->cause != CAUSE_MATCHED)
		return;
	r->cause = (uint8_t)cause_of(&j);
	bool gap = r->cause >= CAUSE_NO_GUEST && r->cause <= CAUSE_NO_COMPLETION;
	if (gap && lost_around(e, submit, reap))
		r->cause = CAUSE_OVERRUN;
	if (e->causal && j.d && r->cause == CAUSE_MATCHED)
		bound_clock(&j);
	e->clock.epoch[j.epoch].bound.requests += !e->causal;
}
