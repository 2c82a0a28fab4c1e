/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sandwich over a stored run: host streams side by side in the order of time, each vCPU's guest stamps behind them. */
#include <stdlib.h>
#include <string.h>

#include "host/clock/sandwich.h"

enum { HOST_STREAMS_MAX = 512 };

/* One stream, a chunk at a time. */
struct cursor {
	uint16_t stream;
	uint32_t chunk;
	size_t at, n;
	struct sighting *s;            /* SIGHT_CHUNK of them; NULL: at its end */
};

struct pass {
	struct store *store;
	uint64_t run;
	const int *tid;
	unsigned vcpus;
	struct tsc_scale scale;
	const struct clock_epoch *epochs;
	size_t n_epochs, epoch;
	struct sandwich *sandwich;
	struct cursor *host, *guest;
	size_t hosts;
	struct sandwich_result *out;
};

/* ---- cursors ---- */

static void cursor_end(struct cursor *c)
{
	free(c->s);
	c->s = NULL;
}

static int cursor_fill(struct pass *p, struct cursor *c, struct error *err)
{
	int n = store_sight_chunk(p->store, p->run, c->stream, c->chunk++, c->s, SIGHT_CHUNK, err);

	c->at = 0;
	c->n = n > 0 ? (size_t)n : 0;
	if (n <= 0)
		cursor_end(c);
	return n < 0 ? -1 : 0;
}

static int cursor_begin(struct pass *p, struct cursor *c, uint16_t stream, struct error *err)
{
	*c = (struct cursor){ .stream = stream, .s = malloc(SIGHT_CHUNK * sizeof(*c->s)) };
	return c->s ? cursor_fill(p, c, err) : error_set(err, ERR_LIMIT, "out of memory");
}

static const struct sighting *cursor_now(const struct cursor *c)
{
	return c->s && c->at < c->n ? &c->s[c->at] : NULL;
}

static int cursor_next(struct pass *p, struct cursor *c, struct error *err)
{
	return ++c->at < c->n ? 0 : cursor_fill(p, c, err);
}

/* ---- guest stamps ---- */

static void keep(struct pass *p, struct host_tsc at, struct clock_interval offset)
{
	struct sandwich_result *r = p->out;
	/* Beyond the last place the latest stands for those before it: it is the narrowest. */
	size_t i = r->samples < SANDWICH_SAMPLES_MAX ? r->samples++ : SANDWICH_SAMPLES_MAX - 1;

	r->sample[i] = (struct clock_sample){
		.host_tsc = at.cycles, .lo = offset.lo, .hi = offset.hi, .tier = TIER_SANDWICH, .epoch = (uint32_t)p->epoch,
	};
}

/* Up to the first one that is not ripe. */
static int take_stamps(struct pass *p, unsigned vcpu, struct error *err)
{
	struct cursor *c = &p->guest[vcpu];

	for (const struct sighting *g; (g = cursor_now(c));) {
		struct guest_tsc t = { g->time };
		struct host_tsc at;
		struct clock_interval offset;
		bool ours = sight_vantage(g->kind) == VANTAGE_GUEST && clock_epoch_of_guest(p->epochs, p->n_epochs, p->scale, t) == (int)p->epoch;
		if (ours && !sandwich_ripe(p->sandwich, vcpu, t))
			return 0;
		enum sandwich_verdict v = ours ? sandwich_stamp(p->sandwich, vcpu, t, &at, &offset) : SANDWICH_NOTHING;
		p->out->stamps += ours;
		p->out->contradictions += v == SANDWICH_CONTRADICTION;
		if (v == SANDWICH_NARROWED)
			keep(p, at, offset);
		if (cursor_next(p, c, err))
			return -1;
	}
	return 0;
}

/* ---- host events ---- */

static int vcpu_of(const struct pass *p, uint32_t thread)
{
	for (unsigned i = 0; i < p->vcpus; i++)
		if (p->tid[i] > 0 && (uint32_t)p->tid[i] == thread)
			return (int)i;
	return -1;
}

static int take_event(struct pass *p, const struct sighting *h, struct error *err)
{
	struct host_tsc at = { h->time };
	int vcpu;

	if (h->kind == SIGHT_LOST) {
		sandwich_lost(p->sandwich, at);
		return 0;
	}
	if ((h->kind != SIGHT_H_KVM_ENTRY && h->kind != SIGHT_H_KVM_EXIT) || (vcpu = vcpu_of(p, h->thread)) < 0)
		return 0;
	if (h->kind == SIGHT_H_KVM_EXIT) {
		sandwich_exit(p->sandwich, (unsigned)vcpu, at);
		return 0;
	}
	sandwich_entry(p->sandwich, (unsigned)vcpu, at);
	return take_stamps(p, (unsigned)vcpu, err);
}

static struct cursor *earliest(struct pass *p)
{
	struct cursor *best = NULL;

	for (size_t i = 0; i < p->hosts; i++) {
		const struct sighting *s = cursor_now(&p->host[i]);
		if (s && (!best || s->time < cursor_now(best)->time))
			best = &p->host[i];
	}
	return best;
}

static int one_pass(struct pass *p, const uint16_t *streams, struct error *err)
{
	for (size_t i = 0; i < p->hosts; i++)
		if (cursor_begin(p, &p->host[i], streams[i], err))
			return -1;
	for (unsigned i = 0; i < p->vcpus; i++)
		if (cursor_begin(p, &p->guest[i], (uint16_t)(STREAM_GUEST + i), err))
			return -1;
	for (struct cursor *c; (c = earliest(p));)
		if (take_event(p, cursor_now(c), err) || cursor_next(p, c, err))
			return -1;
	return 0;
}

static void end_pass(struct pass *p)
{
	for (size_t i = 0; i < p->hosts; i++)
		cursor_end(&p->host[i]);
	for (unsigned i = 0; i < p->vcpus; i++)
		cursor_end(&p->guest[i]);
	sandwich_free(p->sandwich);
	p->sandwich = NULL;
}

/* ---- all of it ---- */

struct stream_list { uint16_t id[HOST_STREAMS_MAX]; size_t n; };

static int note_stream(void *ctx, const struct store_stream *st)
{
	struct stream_list *l = ctx;

	if (st->vantage == VANTAGE_HOST && st->clock == STREAM_HOST_TSC && st->events && l->n < HOST_STREAMS_MAX)
		l->id[l->n++] = st->stream;
	return 0;
}

static int all_passes(struct pass *p, const struct stream_list *l, struct error *err)
{
	int r = 0;

	for (p->epoch = 0; !r && p->epoch < p->n_epochs && p->epoch < SANDWICH_EPOCHS_MAX; p->epoch++) {
		p->sandwich = sandwich_new(p->vcpus, p->scale, p->epochs[p->epoch].offset, err);
		r = p->sandwich ? one_pass(p, l->id, err) : -1;
		end_pass(p);
	}
	return r;
}

int sandwich_run(struct store *st, uint64_t run, const int *vcpu_tid, unsigned vcpus, struct tsc_scale scale,
		 const struct clock_epoch *epochs, size_t n, struct sandwich_result *out, struct error *err)
{
	struct stream_list l = { .n = 0 };
	struct pass p = { .store = st, .run = run, .tid = vcpu_tid, .vcpus = vcpus, .scale = scale, .epochs = epochs, .n_epochs = n, .out = out };

	*out = (struct sandwich_result){ 0 };
	if (store_each_stream(st, run, note_stream, &l, err) < 0)
		return -1;
	if (!l.n || !vcpus)
		return 0;
	p.hosts = l.n;
	p.host = calloc(l.n, sizeof(*p.host));
	p.guest = calloc(vcpus, sizeof(*p.guest));
	out->sample = calloc(SANDWICH_SAMPLES_MAX, sizeof(*out->sample));
	int r = p.host && p.guest && out->sample ? all_passes(&p, &l, err) : error_set(err, ERR_LIMIT, "out of memory");
	free(p.host);
	free(p.guest);
	if (r) {
		free(out->sample);
		*out = (struct sandwich_result){ 0 };
	}
	return r;
}
