/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What attribution found out, as keys of `show --json`. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock_tier.h"
#include "common/log.h"
#include "host/show.h"

static void put(json_t *o, const char *key, json_t *value)
{
	json_object_set_new(o, key, value);
}

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

/* JSON knows no infinity. */
static json_t *real(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static json_t *words(const char *text)
{
	json_t *s = json_string(text);
	return s ? s : json_string("(not UTF-8)");
}

static json_t *cycles_ns(const struct attribution *at, int64_t cycles)
{
	return cycles == INT64_MIN ? json_null() : real(attribution_ns(at, (double)cycles));
}

struct attribution *show_attribution(struct store *s, uint64_t run)
{
	struct attribution *at = calloc(1, sizeof(*at));
	struct error why = { 0 };
	if (at && !attribution_get(s, run, at, &why))
		return at;
	log_warn("no phases: %s; `bifocal attribute %llu` attributes the run again", at ? why.text : "out of memory", (unsigned long long)run);
	free(at);
	return NULL;
}

const struct epoch_bound *show_epoch(const struct attribution *at)
{
	const struct epoch_bound *best = NULL;
	for (uint32_t i = 0; i < at->epochs_kept; i++) {
		const struct epoch_bound *e = &at->epoch[i];
		if (!e->requests && i)
			continue;
		if (!best || !best->requests || (uint64_t)e->hi - (uint64_t)e->lo > (uint64_t)best->hi - (uint64_t)best->lo)
			best = e;
	}
	return best;
}

double show_half_ns(const struct attribution *at, int64_t lo, int64_t hi)
{
	return attribution_ns(at, (double)((uint64_t)hi - (uint64_t)lo) / 2);
}

double show_bound_ns(const struct attribution *at, uint64_t cycles)
{
	return cycles >> 62 ? INFINITY : attribution_ns(at, (double)cycles);
}

const char *show_vantage(unsigned kind)
{
	return kind ? vantage_name(sight_vantage(kind)) : "guest.app";
}

/* ---- phases ---- */

static json_t *phase(const struct attribution *at, const struct span_stat *s, double all)
{
	json_t *o = json_object();
	char name[PHASE_SPAN_MAX];
	put(o, "name", json_string(phase_span_name(s->from, s->to, name)));
	put(o, "from", json_string(boundary_name(s->from)));
	put(o, "to", json_string(boundary_name(s->to)));
	put(o, "merged", json_boolean(s->to > s->from + 1));
	put(o, "crosses_clocks", json_boolean(phase_crosses(s->from, s->to)));
	put(o, "count", number(s->count));
	put(o, "mean_ns", s->count ? real(attribution_ns(at, s->sum / (double)s->count)) : json_null());
	put(o, "p50_ns", cycles_ns(at, s->p50));
	put(o, "p90_ns", cycles_ns(at, s->p90));
	put(o, "p99_ns", cycles_ns(at, s->p99));
	put(o, "p999_ns", cycles_ns(at, s->p999));
	put(o, "min_ns", s->count ? cycles_ns(at, s->min) : json_null());
	put(o, "max_ns", s->count ? cycles_ns(at, s->max) : json_null());
	put(o, "share", all > 0 ? real(s->sum / all) : json_null());
	put(o, "bound_ns", real(show_bound_ns(at, s->bound)));
	put(o, "exact", json_false());
	return o;
}

json_t *show_phases_json(const struct attribution *at)
{
	json_t *list = json_array();
	double all = 0;
	for (size_t i = 0; i < at->spans; i++)
		all += at->span[i].sum;
	for (size_t i = 0; i < at->spans; i++)
		json_array_append_new(list, phase(at, &at->span[i], all));
	return list;
}

json_t *show_levels_json(const struct attribution *at)
{
	json_t *o = json_object();
	for (unsigned i = 0; i < LEVELS; i++) {
		const struct level *l = &at->level[i];
		json_t *v = json_object(), *parts = json_object();
		char name[PHASE_SPAN_MAX];
		for (size_t k = 0; l->n && k < at->spans; k++)
			put(parts, phase_span_name(at->span[k].from, at->span[k].to, name), real(attribution_ns(at, l->part[k])));
		put(v, "count", number(l->n));
		put(v, "lo_ns", l->n ? real(attribution_ns(at, l->lo)) : json_null());
		put(v, "hi_ns", l->n ? real(attribution_ns(at, l->hi)) : json_null());
		put(v, "total_ns", l->n ? real(attribution_ns(at, l->total)) : json_null());
		put(v, "parts_ns", parts);
		put(o, level_name[i], v);
	}
	return o;
}

/* ---- vantages ---- */

static json_t *absent(const struct attribution *at)
{
	json_t *o = json_object();
	for (unsigned b = 0; b < BOUNDARIES; b++)
		if (at->absent[b][0])
			put(o, boundary_name(b), words(at->absent[b]));
	return o;
}

json_t *show_vantages_json(const struct attribution *at)
{
	json_t *o = json_object();
	for (unsigned v = 0; v <= VANTAGE_HOST; v++) {
		const struct vantage_note *n = &at->vantage[v];
		json_t *one = json_object();
		put(one, "there", json_boolean(n->there));
		put(one, n->there ? "source" : "reason", words(n->text));
		put(one, "sightings", number(n->sightings));
		put(one, "lost", number(n->lost));
		put(o, v ? vantage_name(v) : "guest.app", one);
	}
	put(o, "absent", absent(at));
	return o;
}

/* ---- clock ---- */

static json_t *tiers(const struct attribution *at, const struct epoch_bound *e)
{
	json_t *o = json_object();
	for (unsigned t = 1; t < sizeof(e->by_tier) / sizeof(e->by_tier[0]); t++) {
		const struct tier_bound *b = &e->by_tier[t];
		json_t *one = json_object();
		if (!b->samples) {
			json_decref(one);
			continue;
		}
		put(one, "samples", number(b->samples));
		put(one, "bound_ns", real(show_half_ns(at, b->lo, b->hi)));
		put(one, "lo", json_integer(b->lo));
		put(one, "hi", json_integer(b->hi));
		put(o, clock_tier_name(t), one);
	}
	return o;
}

static json_t *epoch_json(const struct attribution *at, const struct epoch_bound *e)
{
	json_t *o = json_object();
	put(o, "epoch", number(e->epoch));
	put(o, "tier", e->tier ? json_string(clock_tier_name(e->tier)) : json_null());
	put(o, "bound_ns", real(show_half_ns(at, e->lo, e->hi)));
	put(o, "lo", json_integer(e->lo));
	put(o, "hi", json_integer(e->hi));
	put(o, "first_host_tsc", number(e->first_host));
	put(o, "last_host_tsc", number(e->last_host));
	put(o, "requests", number(e->requests));
	put(o, "tiers", tiers(at, e));
	return o;
}

void show_clock_json(json_t *clock, const struct attribution *at)
{
	const struct epoch_bound *e = show_epoch(at);
	json_t *list = json_array();
	for (uint32_t i = 0; i < at->epochs_kept; i++)
		json_array_append_new(list, epoch_json(at, &at->epoch[i]));
	put(clock, "by_epoch", list);
	if (!e || !e->tier)
		return;
	put(clock, "tier", json_string(clock_tier_name(e->tier)));
	put(clock, "tiers", tiers(at, e));
	put(clock, "epochs", number(at->epochs));
	put(clock, "bound_ns", real(show_half_ns(at, e->lo, e->hi)));
}

/* ---- requests ---- */

static json_t *suppressed(const struct attribution *at)
{
	json_t *o = json_object();
	for (unsigned b = 0; b < BOUNDARIES; b++)
		if (at->suppressed[b])
			put(o, boundary_name(b), number(at->suppressed[b]));
	return o;
}

/* Counted requests are matched or unmatched by one of these causes; errors, ramp and what is outside have keys of their own. */
void show_requests_json(json_t *requests, const struct attribution *at)
{
	json_t *unmatched = json_object_get(requests, "unmatched"), *served = json_object();
	put(requests, "counted", number(at->counted));
	put(requests, "matched", number(at->matched));
	for (unsigned c = CAUSE_MATCHED + 1; c < CAUSE_ERROR; c++)
		put(unmatched, cause_name(c), number(at->unmatched[c]));
	for (unsigned v = 0; v < SERVED; v++)
		if (at->served[v])
			put(served, served_name(v), number(at->served[v]));
	put(requests, "served_from", served);
	put(requests, "suppressed", suppressed(at));
	put(requests, "split", number(at->splits));
	put(requests, "merged", number(at->merges));
	put(requests, "requeued", number(at->requeues));
	put(requests, "quarantined", number(at->quarantined));
}
