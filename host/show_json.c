/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "common/clock_tier.h"
#include "common/iorec.h"
#include "host/json.h"
#include "host/show.h"

static void put(json_t *o, const char *key, json_t *value)
{
	json_object_set_new(o, key, value);
}

static json_t *number(uint64_t v)
{
	return json_integer((json_int_t)v);
}

/* Text as a number where it is one. */
static json_t *value_of(const char *text)
{
	char *end;
	if (*text >= '0' && *text <= '9') {
		unsigned long long v = strtoull(text, &end, 10);
		if (!*end && v <= INT64_MAX)
			return number(v);
	}
	json_t *s = json_string(text);
	return s ? s : json_string("(not UTF-8)");
}

/* Every attribute under "prefix.", without it; `keep`: with it. */
static void put_prefix(json_t *o, const struct attrs *a, const char *prefix, bool keep, bool typed)
{
	size_t len = strlen(prefix);
	for (size_t i = 0; i < a->n; i++) {
		const struct attr *it = &a->item[i];
		if (strncmp(it->key, prefix, len) != 0)
			continue;
		json_t *text = json_string(it->text);
		if (typed) {
			json_decref(text);
			text = value_of(it->text);
		}
		put(o, keep ? it->key : it->key + len, text ? text : json_string("(not UTF-8)"));
	}
}

static json_t *prefix_object(const struct attrs *a, const char *prefix, bool typed)
{
	json_t *o = json_object();
	put_prefix(o, a, prefix, false, typed);
	return o;
}

static json_t *config(const struct attrs *a)
{
	json_t *o = prefix_object(a, "config.", false);
	put_prefix(o, a, "workload.", true, false);
	return o;
}

static json_t *clock_json(const struct summary *sum, const struct attribution *at)
{
	json_t *o = json_object(), *tiers = json_object();
	const struct summary_clock *c = &sum->clock;
	json_t *bound = c->tier ? json_real(c->bound_ns) : json_null();
	put(o, "tier", c->tier ? json_string(clock_tier_name(c->tier)) : json_null());
	if (c->tier) {
		json_t *t = json_object();
		put(t, "samples", number(c->samples));
		json_object_set(t, "bound_ns", bound);
		put(tiers, clock_tier_name(c->tier), t);
	}
	put(o, "tiers", tiers);
	put(o, "epochs", number(c->epochs));
	put(o, "samples", number(c->samples));
	put(o, "bound_ns", bound);
	put(o, "jumped", json_boolean(c->jumped));
	put(o, "host_tsc_hz", number(sum->host_hz));
	put(o, "guest_tsc_hz", number(sum->guest_hz));
	if (at)
		show_clock_json(o, at);
	return o;
}

/* Without attribution every request is its own match, and where it was served cannot be told. */
static json_t *requests(const struct summary *sum, const struct attribution *at)
{
	const struct summary_counts *c = &sum->counts;
	json_t *o = json_object(), *unmatched = json_object(), *served = json_object();
	put(o, "seen", number(c->seen));
	put(o, "matched", number(c->counted));
	put(o, "ramp", number(c->ramp));
	put(o, "errors", number(c->errors));
	put(o, "bytes", number(c->bytes));
	put(o, "stored_bytes", number(sum->io_bytes));
	put(unmatched, "outside_window", number(c->outside));
	put(served, "unknown", number(c->counted));
	put(o, "unmatched", unmatched);
	put(o, "served_from", served);
	if (at)
		show_requests_json(o, at);
	return o;
}

static json_t *dist_json(const struct summary *sum, const struct dist *d)
{
	json_t *o = json_object();
	put(o, "count", number(d->n));
	put(o, "mean_ns", d->n ? json_real(summary_ns(sum, dist_mean(d))) : json_null());
	put(o, "p50_ns", json_quantile(sum, d, 0.50));
	put(o, "p90_ns", json_quantile(sum, d, 0.90));
	put(o, "p99_ns", json_quantile(sum, d, 0.99));
	put(o, "p999_ns", json_quantile(sum, d, 0.999));
	put(o, "min_ns", d->n ? json_real(summary_ns(sum, (double)d->min)) : json_null());
	put(o, "max_ns", d->n ? json_real(summary_ns(sum, (double)d->max)) : json_null());
	put(o, "exact", json_boolean(!d->hist));
	return o;
}

static json_t *by_operation(const struct summary *sum)
{
	static const char *const names[SUMMARY_OPS] = { "read", "write", "flush", "discard" };
	json_t *o = json_object();
	for (int i = 0; i < SUMMARY_OPS; i++)
		if (sum->counts.op[i])
			put(o, names[i], dist_json(sum, sum->ops > 1 ? &sum->op[i] : &sum->service));
	return o;
}

/* With two boundaries seen all phases are merged into one; it crosses no clock. */
static json_t *phases(const struct summary *sum, const struct attribution *at)
{
	if (show_has_phases(at))
		return show_phases_json(at);
	json_t *list = json_array(), *o = dist_json(sum, &sum->service);
	put(o, "name", json_string("guest.submit..guest.reap"));
	put(o, "from", json_string("app_submit"));
	put(o, "to", json_string("app_reap"));
	put(o, "merged", json_true());
	put(o, "crosses_clocks", json_false());
	put(o, "share", sum->service.n ? json_real(1) : json_null());
	put(o, "bound_ns", json_real(0));
	json_array_append_new(list, o);
	return list;
}

static json_t *series_json(const struct summary *sum)
{
	json_t *list = json_array();
	for (size_t i = 0; i < sum->n_series; i++) {
		const struct summary_series *s = &sum->series[i];
		json_t *o = json_object();
		put(o, "side", json_string(s->side == SIDE_GUEST ? "guest" : "host"));
		put(o, "metric", json_string(s->metric));
		put(o, "dims", json_string(s->dims));
		put(o, "kind", json_string(s->kind));
		put(o, "unit", json_string(s->unit));
		put(o, "samples", number(s->n));
		put(o, "mean", s->n ? json_real(s->sum / (double)s->n) : json_null());
		put(o, "max", s->n ? json_real(s->max) : json_null());
		put(o, "value", s->n ? json_real(series_value(sum, s)) : json_null());
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *window(const struct summary *sum, const struct attrs *a)
{
	json_t *o = prefix_object(a, "window.", true);
	put(o, "seconds", json_real(sum->seconds));
	put(o, "iops", json_real(summary_iops(sum)));
	put(o, "in_flight", json_real(summary_in_flight(sum)));
	return o;
}

json_t *show_json(const struct summary *sum, const struct attrs *a, const struct attribution *at)
{
	json_t *o = json_object(), *residual = json_object();
	put(o, "run", number(sum->run.run));
	put(o, "study", number(sum->run.study));
	put(o, "status", json_string(run_status_name(sum->run.status)));
	put(o, "created_ns", number(sum->run.created_ns));
	if (attrs_get(a, "error.text"))
		put(o, "error", value_of(attrs_text(a, "error.text")));
	put(o, "config", config(a));
	put(o, "window", window(sum, a));
	put(o, "clock", clock_json(sum, at));
	put(o, "requests", requests(sum, at));
	put(o, "latency", dist_json(sum, &sum->service));
	if (sum->counts.open_loop)
		put(o, "response", dist_json(sum, &sum->response));
	put(o, "operations", by_operation(sum));
	put(o, "phases", phases(sum, at));
	put(residual, "max", json_real(at ? attribution_ns(at, (double)at->residual_max) : 0));
	put(o, "residual_ns", residual);
	put(o, "causality_violations", number(at && at->violations > sum->counts.violations ? at->violations : sum->counts.violations));
	if (at) {
		put(o, "causality_example", at->violations ? value_of(at->violation_example) : json_null());
		put(o, "levels", show_levels_json(at));
		put(o, "vantages", show_vantages_json(at));
	}
	put(o, "lost", prefix_object(a, "lost.", true));
	put(o, "probes", prefix_object(a, "probe.", false));
	put(o, "series", series_json(sum));
	put(o, "provenance", prefix_object(a, "prov.", false));
	return o;
}
