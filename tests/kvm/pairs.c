/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Holds the tiers of a stored KVM run against each other: pairs DATABASE RUN [SHIFT_NS…]
 *
 * A pair is a guest's stamp and the stay (kvm_entry to kvm_exit) of its vCPU that must hold it once the stamp is taken to the host's
 * clock by the `exact` offset: KVM's word for the offset on one side, what the host's kernel saw on the other. Nothing is narrowed, nothing
 * searched, and nothing shared with host/clock/sandwich.c. A stamp between two stays is a contradiction: its vCPU did not run then.
 * The same is counted with the offset moved by each SHIFT_NS, which shows what error would be seen.
 *
 *     offset CYCLES HZ
 *     tier NAME SAMPLES LO HI CONTAIN       LO HI: the intersection against the exact offset, cycles; CONTAIN: samples that hold it
 *     stays N BROKEN                        entries and exits that did not fit together
 *     pairs N CONTRADICTIONS UNKNOWN        UNKNOWN: stamps from where no stay is known
 *     kind NAME PAIRS AFTER_ENTRY BEFORE_EXIT   least distances, ns
 *     resolution ABOVE BELOW                of all kinds: an offset too large or too small by more than this is seen, ns
 *     edge ABOVE BELOW                      contradictions with the offset one cycle beyond either
 *     shift NS CONTRADICTIONS
 *     boundary NAME SIGHTING REQUESTS       who showed a boundary of the matched requests, by attributing the run anew
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attribute/attribute.h"
#include "common/clock_tier.h"
#include "common/tscmap.h"
#include "store/store.h"

enum { VCPUS = 64, TIERS = 6, APP = 0 /* kind of the application's own stamps: no sighting has it */ };

struct edge { uint64_t t; uint16_t kind; };
struct stay { uint64_t entry, exit; bool broken; };      /* broken: what lies between it and the one before is not known */
struct mark { uint64_t t; uint16_t vcpu, kind; };
struct list { void *at; size_t n, cap, size; };

struct tier { uint64_t samples, contain; int64_t lo, hi; };
struct kind { uint64_t pairs, after, before; };

struct work {
	struct store *s;
	uint64_t run, hz, broken;
	struct tsc_scale scale;
	int64_t offset;
	unsigned vcpus, epochs;
	uint32_t tid[VCPUS];
	struct list edge[VCPUS], stay[VCPUS], mark;
	struct tier tier[TIERS];
	uint64_t shown[BOUNDARIES][SIGHT_KINDS];
	struct error err;
};

static void *add(struct list *l, size_t size)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 4096;
		l->at = realloc(l->at, l->cap * size);
		if (!l->at)
			abort();
	}
	l->size = size;
	return (char *)l->at + l->n++ * size;
}

static uint64_t attr(struct work *w, const char *key)
{
	char *text = store_attr(w->s, w->run, key, &w->err);
	uint64_t v = text ? strtoull(text, NULL, 10) : 0;

	free(text);
	return v;
}

/* ---- the clock ---- */

static int take_epoch(void *ctx, const struct store_epoch *e)
{
	struct work *w = ctx;

	w->epochs++;
	w->offset = e->lo;
	return e->lo != e->hi || e->tier != TIER_EXACT;
}

static int take_samples(void *ctx, const struct clock_sample *v, size_t n)
{
	struct work *w = ctx;

	for (size_t i = 0; i < n; i++) {
		struct tier *t = &w->tier[v[i].tier % TIERS];
		int64_t lo = (int64_t)((uint64_t)v[i].lo - (uint64_t)w->offset), hi = (int64_t)((uint64_t)v[i].hi - (uint64_t)w->offset);
		t->contain += lo <= 0 && hi >= 0;
		t->lo = !t->samples || lo > t->lo ? lo : t->lo;
		t->hi = !t->samples || hi < t->hi ? hi : t->hi;
		t->samples++;
	}
	return 0;
}

/* The causal tier is attribution's: all its pairs at once, one interval. */
static int take_causal(struct work *w)
{
	struct attribution *a = calloc(1, sizeof(*a));
	struct wbuf packed;
	wbuf_heap(&packed, 1 << 22);
	int got = a ? store_result(w->s, w->run, &packed, &w->err) : -1;

	if (got > 0 && !attribution_unpack((struct span){ packed.p, packed.len }, a, &w->err) && a->epochs_kept == 1) {
		const struct tier_bound *b = &a->epoch[0].by_tier[TIER_CAUSAL];
		int64_t lo = (int64_t)((uint64_t)b->lo - (uint64_t)w->offset), hi = (int64_t)((uint64_t)b->hi - (uint64_t)w->offset);
		w->tier[TIER_CAUSAL] = (struct tier){ b->samples, lo <= 0 && hi >= 0 ? b->samples : 0, lo, hi };
	}
	wbuf_fini(&packed);
	free(a);
	return got < 0 ? -1 : 0;
}

/* ---- both sides' stamps ---- */

static void take_host(struct work *w, const struct sighting *s)
{
	for (unsigned i = 0; i < w->vcpus; i++) {
		bool ours = (s->kind == SIGHT_H_KVM_ENTRY || s->kind == SIGHT_H_KVM_EXIT) && s->thread == w->tid[i];
		if (ours || s->kind == SIGHT_LOST)
			*(struct edge *)add(&w->edge[i], sizeof(struct edge)) = (struct edge){ s->time, s->kind };
	}
}

static int take_stream(void *ctx, const struct store_stream *st)
{
	static struct sighting s[SIGHT_CHUNK];
	struct work *w = ctx;
	int n;

	if (st->vantage != VANTAGE_HOST && st->vantage != VANTAGE_GUEST)
		return 0;
	for (uint32_t chunk = 0; (n = store_sight_chunk(w->s, w->run, st->stream, chunk, s, SIGHT_CHUNK, &w->err)) > 0; chunk++) {
		for (int i = 0; i < n; i++) {
			if (st->vantage == VANTAGE_HOST)
				take_host(w, &s[i]);
			else if (sight_vantage(s[i].kind) == VANTAGE_GUEST && st->cpu < w->vcpus)
				*(struct mark *)add(&w->mark, sizeof(struct mark)) = (struct mark){ s[i].time, (uint16_t)st->cpu, s[i].kind };
		}
	}
	return n < 0 ? -1 : 0;
}

/* With one vCPU there is no question where the application ran. */
static int take_ios(void *ctx, const struct io_record *r, size_t n)
{
	struct work *w = ctx;

	for (size_t i = 0; w->vcpus == 1 && i < n; i++) {
		*(struct mark *)add(&w->mark, sizeof(struct mark)) = (struct mark){ r[i].submit, 0, APP };
		*(struct mark *)add(&w->mark, sizeof(struct mark)) = (struct mark){ r[i].reap, 0, APP };
	}
	return 0;
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = ((const struct edge *)a)->t, y = ((const struct edge *)b)->t;

	return x < y ? -1 : x > y;
}

/* KVM enters again at once, without a kvm_exit or a kvm_entry between, where an exit took no work: the stay is the longer. */
static void make_stays(struct work *w, unsigned vcpu)
{
	struct list *edges = &w->edge[vcpu], *out = &w->stay[vcpu];
	bool inside = false, broken = true;
	uint64_t entry = 0;

	if (edges->n)
		qsort(edges->at, edges->n, sizeof(struct edge), by_time);
	for (size_t i = 0; i < edges->n; i++) {
		const struct edge *e = (const struct edge *)edges->at + i;
		struct stay *last = out->n ? (struct stay *)out->at + out->n - 1 : NULL;
		if (e->kind == SIGHT_LOST) {
			inside = false;
			broken = true;
		} else if (e->kind == SIGHT_H_KVM_ENTRY) {
			w->broken += inside;
			entry = inside ? entry : e->t;
			inside = true;
		} else if (inside) {
			*(struct stay *)add(out, sizeof(struct stay)) = (struct stay){ entry, e->t, broken };
			inside = broken = false;
		} else if (!broken && last) {
			w->broken++;
			last->exit = e->t;
		}
	}
}

/* ---- pairs ---- */

struct count { uint64_t pairs, contradictions, unknown; };

/* The last stay that began at h or before; NULL where that is not known. */
static const struct stay *stay_at(const struct list *l, uint64_t h)
{
	const struct stay *s = l->at;
	size_t lo = 0, hi = l->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (s[mid].entry <= h)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* Behind the last exit nobody saw what came next. */
	if (!lo || (h > s[lo - 1].exit && (lo == l->n || s[lo].broken)))
		return NULL;
	return &s[lo - 1];
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static struct count count_pairs(struct work *w, int64_t shift, struct kind kinds[SIGHT_KINDS])
{
	struct count c = { 0 };

	for (size_t i = 0; i < w->mark.n; i++) {
		const struct mark *m = (const struct mark *)w->mark.at + i;
		uint64_t h = tsc_to_host(w->scale, (int64_t)((uint64_t)w->offset + (uint64_t)shift), (struct guest_tsc){ m->t }).cycles;
		const struct stay *s = stay_at(&w->stay[m->vcpu], h);
		if (!s) {
			c.unknown++;
			continue;
		}
		c.pairs++;
		c.contradictions += h > s->exit;
		if (!kinds || h > s->exit)
			continue;
		struct kind *k = &kinds[m->kind];
		k->after = k->pairs ? least(k->after, h - s->entry) : h - s->entry;
		k->before = k->pairs ? least(k->before, s->exit - h) : s->exit - h;
		k->pairs++;
	}
	return c;
}

static double ns(const struct work *w, double cycles)
{
	return cycles * 1e9 / (double)w->hz;
}

static void print_pairs(struct work *w, char **shift, int shifts)
{
	static struct kind kinds[SIGHT_KINDS];
	uint64_t after = UINT64_MAX, before = UINT64_MAX, stays = 0;
	struct count c = count_pairs(w, 0, kinds);

	for (unsigned i = 0; i < w->vcpus; i++)
		stays += w->stay[i].n;
	printf("stays %llu %llu\n", (unsigned long long)stays, (unsigned long long)w->broken);
	printf("pairs %llu %llu %llu\n", (unsigned long long)c.pairs, (unsigned long long)c.contradictions, (unsigned long long)c.unknown);
	for (unsigned k = 0; k < SIGHT_KINDS; k++) {
		if (!kinds[k].pairs)
			continue;
		after = least(after, kinds[k].after);
		before = least(before, kinds[k].before);
		printf("kind %s %llu %.0f %.0f\n", k == APP ? "app" : sight_name(k), (unsigned long long)kinds[k].pairs,
		       ns(w, (double)kinds[k].after), ns(w, (double)kinds[k].before));
	}
	if (c.pairs) {
		uint64_t above = count_pairs(w, (int64_t)after + 1, NULL).contradictions, below = count_pairs(w, -(int64_t)before - 1, NULL).contradictions;
		printf("resolution %.0f %.0f\n", ns(w, (double)after), ns(w, (double)before));
		printf("edge %llu %llu\n", (unsigned long long)above, (unsigned long long)below);
	}
	for (int i = 0; i < shifts; i++) {
		double by = strtod(shift[i], NULL);
		c = count_pairs(w, (int64_t)(by * (double)w->hz / 1e9), NULL);
		printf("shift %.0f %llu\n", by, (unsigned long long)c.contradictions);
	}
}

static void print_tiers(const struct work *w)
{
	printf("offset %lld %llu\n", (long long)w->offset, (unsigned long long)w->hz);
	for (unsigned t = TIER_EXACT; t < TIERS; t++)
		printf("tier %s %llu %lld %lld %llu\n", clock_tier_name(t), (unsigned long long)w->tier[t].samples, (long long)w->tier[t].lo,
		       (long long)w->tier[t].hi, (unsigned long long)w->tier[t].contain);
}

/* ---- boundaries ---- */

static int take_request(void *ctx, const struct attributed *r)
{
	struct work *w = ctx;

	for (unsigned b = 0; b < BOUNDARIES && r->cause == CAUSE_MATCHED; b++)
		w->shown[b][r->kind[b] % SIGHT_KINDS] += r->seen >> b & 1;
	return 0;
}

static int print_boundaries(struct work *w)
{
	if (attribute_run(w->s, w->run, take_request, w, NULL, &w->err))
		return -1;
	for (unsigned b = 0; b < BOUNDARIES; b++)
		for (unsigned k = 0; k < SIGHT_KINDS; k++)
			if (w->shown[b][k])
				printf("boundary %s %s %llu\n", boundary_name(b), k == APP ? "app" : sight_name(k), (unsigned long long)w->shown[b][k]);
	return 0;
}

static int read_run(struct work *w)
{
	w->scale = (struct tsc_scale){ attr(w, "clock.ratio"), (uint8_t)attr(w, "clock.frac") };
	w->hz = attr(w, "host.tsc_hz");
	for (char key[32]; w->vcpus < VCPUS; w->vcpus++) {
		snprintf(key, sizeof(key), "clock.vcpu.%u", w->vcpus);
		w->tid[w->vcpus] = (uint32_t)attr(w, key);
		if (!w->tid[w->vcpus])
			break;
	}
	if (!w->vcpus || !w->hz)
		return error_set(&w->err, ERR_NOT_FOUND, "the run names no vCPU's thread, or no frequency");
	if (store_each_epoch(w->s, w->run, take_epoch, w, &w->err) || w->epochs != 1)
		return error_set(&w->err, ERR_NOT_FOUND, "not one epoch with an exact offset, but %u", w->epochs);
	if (store_each_clock(w->s, w->run, take_samples, w, &w->err) < 0 || take_causal(w) || store_each_stream(w->s, w->run, take_stream, w, &w->err) < 0 ||
	    store_each_io(w->s, w->run, take_ios, w, &w->err) < 0)
		return -1;
	for (unsigned i = 0; i < w->vcpus; i++)
		make_stays(w, i);
	return 0;
}

int main(int argc, char **argv)
{
	static struct work w;

	if (argc < 3)
		return 2;
	w.s = store_open(argv[1], STORE_READ, &w.err);
	w.run = strtoull(argv[2], NULL, 10);
	if (!w.s || read_run(&w)) {
		fprintf(stderr, "pairs: %s\n", w.err.text);
		return 1;
	}
	print_tiers(&w);
	print_pairs(&w, argv + 3, argc - 3);
	if (print_boundaries(&w)) {
		fprintf(stderr, "pairs: %s\n", w.err.text);
		return 1;
	}
	for (unsigned i = 0; i < w.vcpus; i++) {
		free(w.edge[i].at);
		free(w.stay[i].at);
	}
	free(w.mark.at);
	store_close(w.s);
	return 0;
}
