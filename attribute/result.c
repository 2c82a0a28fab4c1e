// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The result as it is stored: ATTRIBUTION_VERSION u32, then the fields of struct attribution in the order of result.h. Counts and
 * stamps are varints, signed values svarints, doubles their IEEE bits, texts u16 length + bytes. Lists say their length first.
 *
 * One walk over the fields serves both directions, so that they cannot disagree.
 */
#include <math.h>
#include <string.h>

#include "attribute/result.h"

struct walk {
	struct wbuf *w;          /* packing; NULL: unpacking from `r` */
	struct rbuf *r;
	const char *what;        /* first thing that was wrong in what is unpacked, or NULL */
};

static void refuse(struct walk *k, const char *what)
{
	if (!k->what)
		k->what = what;
}

static void walk_u64(struct walk *k, uint64_t *v)
{
	if (k->w)
		put_varint(k->w, *v);
	else
		*v = get_varint(k->r);
}

static void walk_i64(struct walk *k, int64_t *v)
{
	if (k->w)
		put_svarint(k->w, *v);
	else
		*v = get_svarint(k->r);
}

static void walk_f64(struct walk *k, double *v)
{
	if (k->w) {
		put_f64(k->w, *v);
		return;
	}
	*v = get_f64(k->r);
	if (!isfinite(*v))
		refuse(k, "a value that is no number");
}

/* A varint that must be below `end`; returns it. */
static uint64_t walk_below(struct walk *k, uint64_t v, uint64_t end, const char *what)
{
	walk_u64(k, &v);
	if (v < end)
		return v;
	refuse(k, what);
	return 0;
}

#define WALK_UINT(k, field, end, what) ((field) = (__typeof__(field))walk_below(k, (uint64_t)(field), end, what))

static void walk_bool(struct walk *k, bool *v)
{
	*v = walk_below(k, *v, 2, "a flag that is neither 0 nor 1") != 0;
}

static void walk_text(struct walk *k, char *text, size_t cap)
{
	if (k->w) {
		put_str(k->w, text, strnlen(text, cap - 1));
		return;
	}
	struct span s = get_str(k->r);
	if (s.len >= cap)
		refuse(k, "a text that is too long");
	span_text(s, text, cap);
}

static void walk_io(struct walk *k, struct io_record *io)
{
	walk_u64(k, &io->submit);
	walk_u64(k, &io->reap);
	walk_u64(k, &io->intended);
	walk_u64(k, &io->sector);
	WALK_UINT(k, io->length, 1ull << 32, "an I/O's length");
	int64_t result = io->result;
	walk_i64(k, &result);
	if (result < INT32_MIN || result > INT32_MAX)
		refuse(k, "an I/O's result");
	io->result = (int32_t)result;
	WALK_UINT(k, io->job, IOREC_JOBS_MAX, "an I/O's job");
	WALK_UINT(k, io->op, IO_DISCARD + 1, "an I/O's kind");
	WALK_UINT(k, io->flags, 256, "an I/O's flags");
}

static void walk_request(struct walk *k, struct attributed *r)
{
	const uint16_t ends = 1 << AT_APP_SUBMIT | 1 << AT_APP_REAP;
	walk_io(k, &r->io);
	walk_u64(k, &r->index);
	WALK_UINT(k, r->seen, 1u << BOUNDARIES, "a boundary that does not exist");
	WALK_UINT(k, r->suppressed, 1u << BOUNDARIES, "a boundary that does not exist");
	if ((r->seen & ends) != ends || (r->seen & r->suppressed))
		refuse(k, "a request without its ends, or a boundary that was seen and was not");
	for (unsigned i = 0; i < BOUNDARIES; i++) {
		if (!(r->seen & 1u << i))
			continue;
		walk_u64(k, &r->at[i]);
		WALK_UINT(k, r->own[i], 1ull << 32, "a stamp's bound");
		WALK_UINT(k, r->kind[i], SIGHT_KINDS, "a kind of sighting that does not exist");
		WALK_UINT(k, r->thread[i], 1ull << 32, "a thread's number");
	}
	walk_u64(k, &r->offset_err);
	WALK_UINT(k, r->served, SERVED, "a place of service that does not exist");
	WALK_UINT(k, r->cause, CAUSES, "a cause that does not exist");
	WALK_UINT(k, r->children, 1u << 16, "a count of children");
	WALK_UINT(k, r->shared, 1u << 16, "a count of merged I/Os");
	WALK_UINT(k, r->requeues, 1u << 16, "a count of requeues");
	WALK_UINT(k, r->epoch, 1ull << 32, "an epoch's number");
	WALK_UINT(k, r->violations, 1u << 16, "a count of violations");
}

static void walk_span(struct walk *k, struct span_stat *s)
{
	WALK_UINT(k, s->from, BOUNDARIES, "a boundary that does not exist");
	WALK_UINT(k, s->to, BOUNDARIES, "a boundary that does not exist");
	if (s->from >= s->to)
		refuse(k, "a span that ends where it starts, or before");
	walk_u64(k, &s->count);
	walk_i64(k, &s->min);
	walk_i64(k, &s->max);
	walk_f64(k, &s->sum);
	walk_i64(k, &s->p50);
	walk_i64(k, &s->p90);
	walk_i64(k, &s->p99);
	walk_i64(k, &s->p999);
	walk_u64(k, &s->bound);
}

static void walk_spans(struct walk *k, struct attribution *a)
{
	a->spans = (size_t)walk_below(k, a->spans, SPANS_MAX + 1, "more spans than there can be");
	for (size_t i = 0; i < a->spans && !k->what; i++) {
		walk_span(k, &a->span[i]);
		const struct span_stat *last = i ? &a->span[i - 1] : NULL, *s = &a->span[i];
		if (last && (last->from > s->from || (last->from == s->from && last->to >= s->to)))
			refuse(k, "spans out of order");
	}
	for (unsigned i = 0; i < LEVELS; i++) {
		struct level *l = &a->level[i];
		walk_u64(k, &l->n);
		walk_f64(k, &l->lo);
		walk_f64(k, &l->hi);
		walk_f64(k, &l->total);
		for (size_t j = 0; j < a->spans; j++)
			walk_f64(k, &l->part[j]);
	}
}

static void walk_epoch(struct walk *k, struct epoch_bound *e)
{
	WALK_UINT(k, e->epoch, 1ull << 32, "an epoch's number");
	walk_u64(k, &e->first_host);
	walk_u64(k, &e->last_host);
	walk_i64(k, &e->lo);
	walk_i64(k, &e->hi);
	WALK_UINT(k, e->tier, 6, "a clock tier that does not exist");
	walk_u64(k, &e->requests);
	for (unsigned i = 0; i < 6; i++) {
		walk_u64(k, &e->by_tier[i].samples);
		if (!e->by_tier[i].samples)
			continue;
		walk_i64(k, &e->by_tier[i].lo);
		walk_i64(k, &e->by_tier[i].hi);
	}
}

static void walk_counts(struct walk *k, struct attribution *a)
{
	uint64_t *const one[] = { &a->host_hz, &a->guest_hz, &a->seen, &a->counted, &a->matched, &a->splits, &a->merges, &a->requeues,
				  &a->quarantined, &a->violations, &a->residual_max, &a->peak_bytes };
	for (size_t i = 0; i < sizeof(one) / sizeof(one[0]); i++)
		walk_u64(k, one[i]);
	for (unsigned i = 0; i < CAUSES; i++)
		walk_u64(k, &a->unmatched[i]);
	for (unsigned i = 0; i < SERVED; i++)
		walk_u64(k, &a->served[i]);
	for (unsigned i = 0; i < BOUNDARIES; i++)
		walk_u64(k, &a->suppressed[i]);
}

static void walk_attribution(struct walk *k, struct attribution *a)
{
	walk_counts(k, a);
	walk_text(k, a->violation_example, sizeof(a->violation_example));
	for (unsigned i = 0; i < 4; i++) {
		walk_bool(k, &a->vantage[i].there);
		walk_text(k, a->vantage[i].text, sizeof(a->vantage[i].text));
		walk_u64(k, &a->vantage[i].sightings);
		walk_u64(k, &a->vantage[i].lost);
	}
	for (unsigned i = 0; i < BOUNDARIES; i++)
		walk_text(k, a->absent[i], sizeof(a->absent[i]));
	WALK_UINT(k, a->epochs, 1ull << 32, "a count of epochs");
	WALK_UINT(k, a->epochs_kept, EPOCH_BOUNDS_MAX + 1, "more epochs than are kept");
	if (a->epochs_kept > a->epochs)
		refuse(k, "more epochs kept than there were");
	for (uint32_t i = 0; i < a->epochs_kept && !k->what; i++)
		walk_epoch(k, &a->epoch[i]);
	walk_spans(k, a);
	for (unsigned i = 0; i < EXAMPLES; i++) {
		walk_bool(k, &a->example[i].there);
		if (a->example[i].there)
			walk_request(k, &a->example[i].r);
	}
}

void attribution_pack(struct wbuf *w, const struct attribution *a)
{
	struct walk k = { .w = w };
	put_u32(w, ATTRIBUTION_VERSION);
	/* With k.w set the walk only reads. */
	walk_attribution(&k, (struct attribution *)(uintptr_t)a);
	w->bad |= k.what != NULL;
}

int attribution_unpack(struct span packed, struct attribution *a, struct error *err)
{
	struct rbuf in;
	struct walk k = { .r = &in };
	memset(a, 0, sizeof(*a));
	rbuf_init(&in, packed.p, packed.len);
	a->version = get_u32(&in);
	if (in.bad)
		return error_set(err, ERR_CORRUPT, "attribution result: too short for its version");
	if (a->version != ATTRIBUTION_VERSION)
		return error_set(err, ERR_VERSION, "attribution result: version %u; this program reads version %d; attribute the run again",
				 a->version, ATTRIBUTION_VERSION);
	walk_attribution(&k, a);
	if (k.what)
		return error_set(err, ERR_CORRUPT, "attribution result: %s", k.what);
	return rbuf_done(&in) ? 0 : error_set(err, ERR_CORRUPT, "attribution result: truncated, or bytes behind its end");
}
