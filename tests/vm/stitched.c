/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Was a request stitched together across an event of the VM's life? For the VM tests.
 *
 *     stitched TRUTH RUN [STORE [SHIFT_MS]]   attributes RUN of STORE (TRUTH, if it is not named) and holds it against the truth in TRUTH;
 *                                             SHIFT_MS moves that truth, so that the test can see this check fail
 *     stitched --merge STORE RUN              spoils a store: one epoch over all, and no marks
 *
 * What is the truth here. The times at which the collector gave each command and had its end (attributes event.N.*_tsc), and QEMU's own event stamps
 * (marks; CLOCK_REALTIME, related to the host's TSC by the anchors beside them). They cut the run into segments in which the VM ran: from a RESUME
 * to the next STOP. The guest's offset in each is the intersection of the raw four-stamp exchanges that fell into it. Neither the stored epochs nor
 * anything that attribution made of them takes part; only which stamps it put into one request is taken from it, and judged:
 *
 *   a request is stitched unless there is one segment in which all of its stamps can have been taken, and no mark lies for sure between
 *   its first and its last stamp.
 *
 * Prints: events N, detected N, segments N, requests N, unsure N (of a segment without an exchange), stitched N.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attribute/attribute.h"
#include "common/boundary.h"
#include "common/clock_tier.h"
#include "store/store.h"

enum { MAX = 4096, EVENTS_MAX = 256, SHOWN = 5 };

struct mark { int64_t ns; uint64_t what; int64_t lo, hi; };             /* lo, hi: host TSC against `zero` */
struct anchor { int64_t ns, at, half; };
struct segment { int64_t from, to, lo, hi; bool known; };              /* lo..hi: of guest − host − shift */
struct played { char what[16]; int64_t began, ended; bool done; };

struct truth {
	struct store *store;
	uint64_t run, zero;
	uint64_t shift;                 /* guest − host of the first exchange: offsets are small against it */
	bool shifted;
	struct mark mark[MAX];
	struct anchor anchor[MAX];
	struct segment segment[MAX];
	struct played event[EVENTS_MAX];
	struct { int64_t from, to; } epoch[MAX];
	size_t marks, anchors, segments, events, epochs;
	int64_t slack, moved;
	struct error err;
};

struct judge {
	struct truth *t;
	const struct attribution *a;
	uint64_t requests, unsure, stitched;
};

static int die(const struct error *err)
{
	fprintf(stderr, "stitched: %s\n", err->text);
	return 1;
}

static uint64_t number(struct truth *t, const char *key)
{
	char *text = store_attr(t->store, t->run, key, NULL);
	uint64_t v = text ? strtoull(text, NULL, 10) : 0;
	free(text);
	return v;
}

/* ---- the truth ---- */

static void take_mark(struct truth *t, const struct sighting *s)
{
	if (s->kind == SIGHT_ANCHOR && t->anchors < MAX)
		t->anchor[t->anchors++] = (struct anchor){
			(int64_t)s->time, (int64_t)(s->key - t->zero) + (int64_t)(s->sector - s->key) / 2, (int64_t)(s->sector - s->key) / 2 + 1,
		};
	else if (s->kind == SIGHT_STOPPED && t->marks < MAX)
		t->mark[t->marks++] = (struct mark){ .ns = (int64_t)s->time, .what = s->key };
}

/* By the two anchors around it; a stamp is cut off to the microsecond. */
static void place(const struct truth *t, struct mark *m)
{
	size_t i = 0;

	while (i + 2 < t->anchors && t->anchor[i + 1].ns < m->ns)
		i++;
	const struct anchor *a = &t->anchor[i], *b = &t->anchor[i + 1];
	double rate = (double)(b->at - a->at) / (double)(b->ns - a->ns);
	int64_t at = a->at + (int64_t)((double)(m->ns - a->ns) * rate), half = a->half > b->half ? a->half : b->half;
	m->lo = at - half + t->moved;
	m->hi = at + half + (int64_t)(1000 * rate) + t->moved;
}

static int by_ns(const void *a, const void *b)
{
	const struct mark *x = a, *y = b;
	return (x->ns > y->ns) - (x->ns < y->ns);
}

static int by_anchor(const void *a, const void *b)
{
	const struct anchor *x = a, *y = b;
	return (x->ns > y->ns) - (x->ns < y->ns);
}

static void cut(struct truth *t)
{
	bool runs = true;

	t->segment[0] = (struct segment){ .from = INT64_MIN, .to = INT64_MAX };
	t->segments = 1;
	for (size_t i = 0; i < t->marks && t->segments < MAX; i++) {
		const struct mark *m = &t->mark[i];
		if (m->what != VM_MARK_RESUME) {
			t->segment[t->segments - 1].to = m->hi;     /* the last one said: QEMU's own */
			runs = false;
		} else if (!runs) {
			t->segment[t->segments++] = (struct segment){ .from = m->lo, .to = INT64_MAX };
			runs = true;
		}
	}
}

static int take_samples(void *ctx, const struct clock_sample *v, size_t n)
{
	struct truth *t = ctx;

	for (size_t i = 0; i < n; i++) {
		int64_t at = (int64_t)(v[i].host_tsc - t->zero);
		if (v[i].tier != TIER_EXCHANGE)
			continue;
		if (!t->shifted)
			t->shift = (uint64_t)v[i].lo;
		t->shifted = true;
		int64_t lo = (int64_t)((uint64_t)v[i].lo - t->shift), hi = (int64_t)((uint64_t)v[i].hi - t->shift);
		for (size_t k = 0; k < t->segments; k++) {
			struct segment *s = &t->segment[k];
			if (at - t->slack < s->from || at + t->slack > s->to)
				continue;
			s->lo = !s->known || lo > s->lo ? lo : s->lo;
			s->hi = !s->known || hi < s->hi ? hi : s->hi;
			s->known = true;
		}
	}
	return 0;
}

static int take_event(void *ctx, const char *key, const char *text)
{
	struct truth *t = ctx;
	unsigned i;
	char what[16];

	if (sscanf(key, "event.%u.%15s", &i, what) != 2 || i >= EVENTS_MAX)
		return 0;
	struct played *p = &t->event[i];
	t->events = i + 1 > t->events ? i + 1 : t->events;
	if (!strcmp(what, "do"))
		snprintf(p->what, sizeof(p->what), "%s", text);
	else if (!strcmp(what, "began_tsc"))
		p->began = (int64_t)(strtoull(text, NULL, 10) - t->zero);
	else if (!strcmp(what, "ended_tsc"))
		p->ended = (int64_t)(strtoull(text, NULL, 10) - t->zero), p->done = true;
	return 0;
}

static int take_epoch(void *ctx, const struct store_epoch *e)
{
	struct truth *t = ctx;

	if (t->epochs < MAX) {
		t->epoch[t->epochs].from = (int64_t)(e->first_host - t->zero);
		t->epoch[t->epochs++].to = (int64_t)(e->last_host - t->zero);
	}
	return 0;
}

static int load(struct truth *t)
{
	static struct sighting s[SIGHT_CHUNK];
	int n;

	t->zero = number(t, "window.start");
	t->slack = (int64_t)(number(t, "host.tsc_hz") / 20000);         /* 50 µs: what a slewed clock does between two anchors */
	for (uint32_t chunk = 0; (n = store_sight_chunk(t->store, t->run, STREAM_MARKS, chunk, s, SIGHT_CHUNK, &t->err)) > 0; chunk++)
		for (int i = 0; i < n; i++)
			take_mark(t, &s[i]);
	if (n < 0)
		return -1;
	if (t->anchors < 2)
		return error_set(&t->err, ERR_NOT_FOUND, "run %" PRIu64 " has no anchors among its marks", t->run);
	qsort(t->anchor, t->anchors, sizeof(t->anchor[0]), by_anchor);
	qsort(t->mark, t->marks, sizeof(t->mark[0]), by_ns);
	for (size_t i = 0; i < t->marks; i++)
		place(t, &t->mark[i]);
	cut(t);
	if (store_each_clock(t->store, t->run, take_samples, t, &t->err) < 0 || store_each_epoch(t->store, t->run, take_epoch, t, &t->err) < 0)
		return -1;
	return store_each_attr(t->store, t->run, "event.", take_event, t, &t->err) < 0 ? -1 : 0;
}

/* ---- was each event seen ---- */

static bool has_mark(const struct truth *t, const struct played *p, uint64_t what)
{
	for (size_t i = 0; i < t->marks; i++)
		if (t->mark[i].what == what && t->mark[i].hi >= p->began - t->slack && t->mark[i].lo <= p->ended + t->slack)
			return true;
	return false;
}

/* The break between two epochs begins before the event's end and ends after its begin; a stop's ends with its cont. */
static bool has_break(const struct truth *t, const struct played *p)
{
	for (size_t i = 0; i + 1 < t->epochs; i++)
		if (t->epoch[i].to <= p->ended && t->epoch[i + 1].from >= p->began && t->epoch[i].to < t->epoch[i + 1].from)
			return true;
	return false;
}

static bool detected(const struct truth *t, const struct played *p)
{
	bool stop = has_mark(t, p, VM_MARK_STOP), resume = has_mark(t, p, VM_MARK_RESUME);

	if (!p->done || !has_break(t, p))
		return false;
	if (!strcmp(p->what, "stop"))
		return stop;
	if (!strcmp(p->what, "cont"))
		return resume;
	if (!strcmp(p->what, "migrate"))
		return stop && resume && has_mark(t, p, VM_MARK_MIGRATION);
	return stop && resume && (strcmp(p->what, "loadvm") != 0 || has_mark(t, p, VM_MARK_LOADVM));
}

/* ---- was a request stitched ---- */

/* Where on the host's axis a boundary can have been, if it was in segment s. */
static void range(const struct judge *j, const struct attributed *r, const struct segment *s, unsigned b, uint64_t mid, int64_t *lo, int64_t *hi)
{
	const struct truth *t = j->t;

	if (boundary_in_guest(b)) {
		int64_t at = (int64_t)(r->at[b] - t->shift - t->zero);
		*lo = at - s->hi;
		*hi = at - s->lo;
		return;
	}
	/* A host's stamp was moved by the midpoint alone. */
	int64_t at = (int64_t)(r->at[b] - mid - t->zero);
	*lo = at - (int64_t)r->own[b];
	*hi = at + (int64_t)r->own[b];
}

static bool fits(const struct judge *j, const struct attributed *r, const struct segment *s, uint64_t mid)
{
	const struct truth *t = j->t;
	int64_t first_hi = INT64_MAX, last_lo = INT64_MIN, lo, hi;

	for (unsigned b = 0; b < BOUNDARIES; b++) {
		if (!(r->seen & 1u << b))
			continue;
		range(j, r, s, b, mid, &lo, &hi);
		if ((s->from != INT64_MIN && hi + t->slack < s->from) || (s->to != INT64_MAX && lo - t->slack > s->to))
			return false;
		first_hi = hi < first_hi ? hi : first_hi;
		last_lo = lo > last_lo ? lo : last_lo;
	}
	for (size_t i = 0; i < t->marks; i++)
		if (t->mark[i].lo > first_hi + t->slack && t->mark[i].hi < last_lo - t->slack)
			return false;
	return true;
}

static bool mid_of(const struct attribution *a, uint32_t epoch, uint64_t *mid)
{
	for (uint32_t i = 0; i < a->epochs_kept; i++)
		if (a->epoch[i].epoch == epoch) {
			*mid = (uint64_t)a->epoch[i].lo + ((uint64_t)a->epoch[i].hi - (uint64_t)a->epoch[i].lo) / 2;
			return true;
		}
	return false;
}

static int judge_one(void *ctx, const struct attributed *r)
{
	struct judge *j = ctx;
	uint64_t mid = 0;
	bool blind = false;

	/* Quarantined, or never more than the application's own two stamps. */
	if (r->cause != CAUSE_MATCHED && !(r->seen & ~(1u << AT_APP_SUBMIT | 1u << AT_APP_REAP)))
		return 0;
	j->requests++;
	if (!mid_of(j->a, r->epoch, &mid)) {
		j->unsure++;
		return 0;
	}
	for (size_t i = 0; i < j->t->segments; i++) {
		blind |= !j->t->segment[i].known;
		if (j->t->segment[i].known && fits(j, r, &j->t->segment[i], mid))
			return 0;
	}
	if (blind) {
		j->unsure++;
		return 0;
	}
	if (j->stitched++ < SHOWN)
		printf("# request %" PRIu64 ": sector %" PRIu64 ", submit %" PRIu64 ", reap %" PRIu64 ", epoch %u: in no single segment\n",
		       r->index, r->io.sector, r->io.submit, r->io.reap, r->epoch);
	return 0;
}

static int check(struct truth *t, struct store *judged)
{
	struct attribution *a = calloc(1, sizeof(*a));
	struct judge j = { .t = t, .a = a };
	size_t seen = 0;

	if (!a || load(t) || attribute_run(judged, t->run, NULL, NULL, a, &t->err) || attribute_run(judged, t->run, judge_one, &j, NULL, &t->err)) {
		free(a);
		return die(&t->err);
	}
	for (size_t i = 0; i < t->events; i++) {
		bool was = detected(t, &t->event[i]);
		seen += was;
		if (!was)
			printf("# event %zu, %s: not seen\n", i, t->event[i].what);
	}
	printf("events %zu\ndetected %zu\nsegments %zu\nrequests %" PRIu64 "\nquarantined %" PRIu64 "\nunsure %" PRIu64 "\nstitched %" PRIu64 "\n",
	       t->events, seen, t->segments, j.requests, a->quarantined, j.unsure, j.stitched);
	free(a);
	return 0;
}

/* ---- a store that is wrong ---- */

struct spoil { struct store_batch *b; uint64_t run; struct store_epoch one; uint32_t n; struct error *err; };

static int spoil_epoch(void *ctx, const struct store_epoch *e)
{
	struct spoil *p = ctx;

	if (!p->n++)
		p->one = *e;
	p->one.last_host = e->last_host;
	return 0;
}

static int merge(struct store *s, uint64_t run, struct error *err)
{
	static struct sighting seen[SIGHT_CHUNK];
	struct spoil p = { .b = store_batch_new(s, err), .run = run, .err = err };
	struct store_stream st = { .stream = STREAM_MARKS, .vantage = VANTAGE_MARK, .clock = STREAM_REALTIME, .source = "spoilt" };
	struct wbuf w;
	int n = store_sight_chunk(s, run, STREAM_MARKS, 0, seen, SIGHT_CHUNK, err), kept = 0;

	if (!p.b || n < 0 || store_each_epoch(s, run, spoil_epoch, &p, err) < 0 || put_epoch(p.b, run, &p.one, err))
		return die(err);
	/* Nothing can be taken out of a store: those beyond the first say nothing any more. */
	for (uint32_t i = 1; i < p.n; i++)
		if (put_epoch(p.b, run, &(struct store_epoch){ .epoch = i, .tier = p.one.tier, .lo = INT64_MIN / 2, .hi = INT64_MAX / 2, .samples = 1 }, err))
			return die(err);
	for (int i = 0; i < n; i++)
		if (seen[i].kind == SIGHT_ANCHOR)
			seen[kept++] = seen[i];
	st.events = (uint64_t)kept;
	wbuf_heap(&w, SIGHT_CHUNK_BYTES);
	sights_pack(&w, seen, (size_t)kept);
	if (w.bad || put_stream(p.b, run, &st, err) || put_sight_chunk(p.b, run, STREAM_MARKS, 0, (struct span){ w.p, w.len }, err) || store_commit(p.b, err))
		return die(err);
	wbuf_fini(&w);
	store_batch_free(p.b);
	return 0;
}

int main(int argc, char **argv)
{
	static struct truth t;
	bool spoils = argc == 4 && !strcmp(argv[1], "--merge");

	if (argc < 3 || argc > 5)
		return 2;
	t.store = store_open(argv[spoils ? 2 : 1], spoils ? STORE_WRITE : STORE_READ, &t.err);
	if (!t.store)
		return die(&t.err);
	t.run = strtoull(argv[spoils ? 3 : 2], NULL, 10);
	if (spoils) {
		int r = merge(t.store, t.run, &t.err);
		store_close(t.store);
		return r;
	}
	t.moved = argc > 4 ? (int64_t)((double)number(&t, "host.tsc_hz") / 1e3 * strtod(argv[4], NULL)) : 0;
	struct store *judged = argc > 3 && strcmp(argv[3], argv[1]) != 0 ? store_open(argv[3], STORE_READ, &t.err) : t.store;
	int r = judged ? check(&t, judged) : die(&t.err);
	if (judged && judged != t.store)
		store_close(judged);
	store_close(t.store);
	return r;
}
