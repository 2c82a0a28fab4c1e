/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/run/summary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/tsc.h"

uint64_t summary_attr_u64(struct store *s, uint64_t run, const char *key)
{
	autofree char *text = store_attr(s, run, key, NULL);
	return text ? strtoull(text, NULL, 10) : 0;
}

/* ---- which records count ---- */

struct window {
	uint64_t open, ramp_end, close;
};

static struct window read_window(struct store *s, uint64_t run)
{
	return (struct window){
		summary_attr_u64(s, run, "window.open"), summary_attr_u64(s, run, "window.ramp_end"),
		summary_attr_u64(s, run, "window.close"),
	};
}

/* Without a RUN_DONE (the guest vanished) there is no window to be outside of. */
static bool outside(const struct window *w, const struct io_record *r)
{
	if (!w->close)
		return false;
	uint64_t length = w->close - w->open;
	return r->submit - w->open > length || r->reap - w->open > length;
}

static bool counts(const struct window *w, const struct io_record *r)
{
	return !(r->flags & IO_IN_RAMP) && !outside(w, r) && r->op < SUMMARY_OPS && (int64_t)(r->reap - r->submit) >= 0;
}

static bool moves_data(const struct io_record *r)
{
	return r->op == IO_READ || r->op == IO_WRITE;
}

/* How long an error took is no disk's latency: it is counted by itself, as bifocal-mine does. */
static bool went_wrong(const struct io_record *r)
{
	return r->result < 0 || (moves_data(r) && (uint32_t)r->result != r->length);
}

struct count_pass {
	struct window window;
	struct summary_counts *out;
};

static void count_one(struct count_pass *p, const struct io_record *r)
{
	struct summary_counts *c = p->out;
	c->seen++;
	c->ramp += (r->flags & IO_IN_RAMP) != 0;
	c->outside += outside(&p->window, r);
	c->violations += r->reap < r->submit;
	if (!counts(&p->window, r))
		return;
	if (went_wrong(r)) {
		c->errors++;
		return;
	}
	c->op[r->op]++;
	c->open_loop |= r->intended != r->submit;
	if (!moves_data(r))
		return;
	c->counted++;
	c->bytes += (uint32_t)r->result;
}

static int count_chunk(void *ctx, const struct io_record *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		count_one(ctx, &r[i]);
	return 0;
}

int summary_count(struct store *s, uint64_t run, struct summary_counts *out, struct error *err)
{
	*out = (struct summary_counts){ 0 };
	struct count_pass p = { read_window(s, run), out };
	return store_each_io(s, run, count_chunk, &p, err);
}

/* ---- latencies ---- */

struct latency_pass {
	struct window window;
	struct summary *sum;
};

static int add_chunk(void *ctx, const struct io_record *r, size_t n)
{
	struct latency_pass *p = ctx;
	struct summary *sum = p->sum;
	for (size_t i = 0; i < n; i++) {
		if (!counts(&p->window, &r[i]) || went_wrong(&r[i]))
			continue;
		if (sum->ops > 1)
			dist_add(&sum->op[r[i].op], r[i].reap - r[i].submit);
		if (!moves_data(&r[i]))
			continue;
		dist_add(&sum->service, r[i].reap - r[i].submit);
		if (sum->counts.open_loop)
			dist_add(&sum->response, r[i].reap - r[i].intended);
	}
	return 0;
}

static int load_latencies(struct store *s, struct summary *sum, struct error *err)
{
	struct latency_pass p = { { sum->window_open, sum->ramp_end, sum->window_close }, sum };
	for (int i = 0; i < SUMMARY_OPS; i++)
		sum->ops += sum->counts.op[i] > 0;
	if (store_each_io(s, sum->run.run, add_chunk, &p, err))
		return -1;
	int failed = dist_seal(&sum->service) | dist_seal(&sum->response);
	for (int i = 0; i < SUMMARY_OPS; i++)
		failed |= dist_seal(&sum->op[i]);
	return failed ? error_set(err, ERR_LIMIT, "out of memory") : 0;
}

/* ---- the clock ---- */

struct clock_pass {
	struct summary *sum;
	uint64_t start;                /* host TSC of the window */
	bool covered;
	double before, after;          /* half-widths next to the window, cycles */
};

static int add_epoch(void *ctx, const struct store_epoch *e)
{
	struct clock_pass *p = ctx;
	struct summary_clock *c = &p->sum->clock;
	double half = (double)((uint64_t)e->hi - (uint64_t)e->lo) / 2;
	c->epochs++;
	c->samples += e->samples;
	if (!c->tier || e->tier < c->tier)
		c->tier = e->tier;
	if (e->first_host <= p->start && e->last_host >= p->start)
		p->covered = true;
	if (e->first_host <= p->start)
		p->before = half;
	else if (p->after == 0)
		p->after = half;
	return 0;
}

static int load_clock(struct store *s, struct summary *sum, struct error *err)
{
	struct clock_pass p = { .sum = sum, .start = summary_attr_u64(s, sum->run.run, "window.start") };
	if (store_each_epoch(s, sum->run.run, add_epoch, &p, err))
		return -1;
	double half = p.covered || p.before > p.after ? p.before : p.after;
	sum->clock.jumped = !p.covered && sum->clock.epochs > 1;
	sum->clock.bound_ns = sum->host_hz ? half * 1e9 / (double)sum->host_hz : 0;
	return 0;
}

/* ---- probe samples ---- */

struct series_pass {
	struct summary *sum;
	enum store_side side;
	size_t first;                  /* where this side's series begin */
};

static int add_series(void *ctx, uint32_t series, const char *metric, const char *dims, const char *kind, const char *unit)
{
	struct series_pass *p = ctx;
	if (p->sum->n_series == SUMMARY_SERIES_MAX)
		return 1;
	struct summary_series *v = &p->sum->series[p->sum->n_series++];
	*v = (struct summary_series){ .side = p->side, .series = series };
	snprintf(v->metric, sizeof(v->metric), "%s", metric);
	snprintf(v->dims, sizeof(v->dims), "%s", dims);
	snprintf(v->kind, sizeof(v->kind), "%s", kind);
	snprintf(v->unit, sizeof(v->unit), "%s", unit);
	return 0;
}

/* Series come in ascending order from the store, so that halving finds one. */
static struct summary_series *find_series(struct series_pass *p, uint32_t series)
{
	size_t lo = p->first, hi = p->sum->n_series;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (p->sum->series[mid].series < series)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < p->sum->n_series && p->sum->series[lo].series == series ? &p->sum->series[lo] : NULL;
}

static int add_samples(void *ctx, const struct sample *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct summary_series *s = find_series(ctx, v[i].series);
		if (!s)
			continue;
		if (!s->n++) {
			s->min = s->max = s->first = v[i].value;
			s->first_tsc = v[i].tsc;
		}
		s->min = v[i].value < s->min ? v[i].value : s->min;
		s->max = v[i].value > s->max ? v[i].value : s->max;
		s->sum += v[i].value;
		s->last = v[i].value;
		s->last_tsc = v[i].tsc;
	}
	return 0;
}

static int load_series(struct store *s, struct summary *sum, struct error *err)
{
	sum->series = calloc(SUMMARY_SERIES_MAX, sizeof(*sum->series));
	if (!sum->series)
		return error_set(err, ERR_LIMIT, "out of memory");
	for (int side = SIDE_GUEST; side <= SIDE_HOST; side++) {
		struct series_pass p = { sum, (enum store_side)side, sum->n_series };
		if (store_each_series(s, sum->run.run, p.side, add_series, &p, err) < 0 ||
		    store_each_sample(s, sum->run.run, p.side, add_samples, &p, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- all of it ---- */

static void load_window(struct store *s, struct summary *sum)
{
	struct window w = read_window(s, sum->run.run);
	sum->window_open = w.open;
	sum->ramp_end = w.ramp_end;
	sum->window_close = w.close;
	sum->host_hz = summary_attr_u64(s, sum->run.run, "host.tsc_hz");
	sum->guest_hz = summary_attr_u64(s, sum->run.run, "guest.tsc_hz");
	if (sum->guest_hz && w.close > w.ramp_end)
		sum->seconds = tsc_to_ns(w.close - w.ramp_end, sum->guest_hz) / 1e9;
}

int summary_load(struct store *s, uint64_t run, struct summary *out, struct error *err)
{
	*out = (struct summary){ 0 };
	if (store_get_run(s, run, &out->run, err))
		return -1;
	load_window(s, out);
	if (summary_count(s, out->run.run, &out->counts, err) || store_io_bytes(s, out->run.run, &out->io_bytes, err) || load_latencies(s, out, err) ||
	    load_clock(s, out, err) || load_series(s, out, err)) {
		summary_fini(out);
		return -1;
	}
	return 0;
}

void summary_fini(struct summary *sum)
{
	dist_fini(&sum->service);
	dist_fini(&sum->response);
	for (int i = 0; i < SUMMARY_OPS; i++)
		dist_fini(&sum->op[i]);
	free(sum->series);
	sum->series = NULL;
}

double summary_iops(const struct summary *sum)
{
	return sum->seconds > 0 ? (double)sum->counts.counted / sum->seconds : 0;
}

double summary_ns(const struct summary *sum, double cycles)
{
	return sum->guest_hz ? cycles * 1e9 / (double)sum->guest_hz : 0;
}

double summary_in_flight(const struct summary *sum)
{
	return sum->service.n ? summary_iops(sum) * summary_ns(sum, dist_mean(&sum->service)) / 1e9 : 0;
}
