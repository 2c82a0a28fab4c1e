/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One run, read from the store: attributes, and its requests in nanoseconds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/tsc.h"
#include "mine/emit.h"
#include "mine/query.h"

enum {
	/* A request or window longer than this is a broken stamp, not a measurement. */
	SECONDS_MAX = 30 * 86400,
};

struct attr_reader {
	struct mine_run *run;
	size_t cap;
};

static int take_attr(void *ctx, const char *key, const char *text)
{
	struct attr_reader *a = ctx;
	struct mine_run *r = a->run;
	if (r->n_attr == a->cap) {
		size_t cap = a->cap ? 2 * a->cap : 32;
		struct attr *grown = reallocarray(r->attr, cap, sizeof(*grown));
		if (!grown)
			return 1;
		r->attr = grown;
		a->cap = cap;
	}
	struct attr *at = &r->attr[r->n_attr];
	at->key = strdup(key);
	at->text = strdup(text);
	/* What comes from a guest goes to charts, HTML and terminals. */
	if (at->text)
		text_clean(at->text);
	r->n_attr++;
	return at->key && at->text ? 0 : 1;
}

int run_read_attrs(struct mine_run *r, struct store *s, struct error *err)
{
	struct attr_reader a = { .run = r };
	int rc = store_each_attr(s, r->meta.run, "", take_attr, &a, err);
	if (rc > 0)
		return error_set(err, ERR_LIMIT, "no memory for the attributes of run %llu", (unsigned long long)r->meta.run);
	return rc;
}

const char *run_attr(const struct mine_run *r, const char *key)
{
	if (r->op && strcmp(key, "op") == 0)
		return r->op;
	size_t lo = 0, hi = r->n_attr;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int order = strcmp(r->attr[mid].key, key);
		if (order == 0)
			return r->attr[mid].text;
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

bool run_attr_number(const struct mine_run *r, const char *key, double *v)
{
	const char *text = run_attr(r, key);
	if (!text)
		return false;
	char *end;
	*v = strtod(text, &end);
	return end != text && *end == '\0' && isfinite(*v);
}

/* Stamps have 64 bits; a double would drop the low ones. */
static bool attr_cycles(const struct mine_run *r, const char *key, uint64_t *v)
{
	const char *text = run_attr(r, key);
	char *end;
	if (!text || *text < '0' || *text > '9')
		return false;
	*v = strtoull(text, &end, 10);
	return *end == '\0';
}

void run_fini(struct mine_run *r)
{
	for (size_t i = 0; i < r->n_attr; i++) {
		free(r->attr[i].key);
		free(r->attr[i].text);
	}
	free(r->attr);
	free(r->at);
	free(r->latency);
	free(r->response);
	free(r->ramp_before);
	free(r->ramp_latency);
	*r = (struct mine_run){ 0 };
}

/* Requests of one direction while they are read. */
struct side {
	struct mine_run *run;
	size_t cap, ramp_cap;
	bool open_loop;
};

struct io_reader {
	struct side side[2];         /* reads, writes */
	uint64_t flushes;
	uint64_t hz, ramp_end;
	bool no_memory;
};

static bool grow(uint64_t **a, size_t cap)
{
	uint64_t *grown = reallocarray(*a, cap, sizeof(**a));
	if (grown)
		*a = grown;
	return grown;
}

static bool take_ramp(struct side *s, uint64_t before, uint64_t latency)
{
	struct mine_run *r = s->run;
	if (r->n_ramp == s->ramp_cap) {
		size_t cap = s->ramp_cap ? 2 * s->ramp_cap : 4096;
		if (!grow(&r->ramp_before, cap) || !grow(&r->ramp_latency, cap))
			return false;
		s->ramp_cap = cap;
	}
	r->ramp_before[r->n_ramp] = before;
	r->ramp_latency[r->n_ramp++] = latency;
	return true;
}

static bool take_counted(struct side *s, uint64_t at, uint64_t latency, uint64_t response)
{
	struct mine_run *r = s->run;
	if (r->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 4096;
		if (!grow(&r->at, cap) || !grow(&r->latency, cap) || !grow(&r->response, cap))
			return false;
		s->cap = cap;
	}
	r->at[r->n] = at;
	r->latency[r->n] = latency;
	r->response[r->n++] = response;
	s->open_loop |= response != latency;
	return true;
}

static uint64_t to_ns(uint64_t cycles, uint64_t hz)
{
	return (uint64_t)llround(tsc_to_ns(cycles, hz));
}

/* `later` is not before `earlier`, and not absurdly far behind it. */
static bool plausible(uint64_t earlier, uint64_t later, uint64_t hz)
{
	return (later - earlier) / hz < SECONDS_MAX;
}

static bool take_record(struct io_reader *in, const struct io_record *io)
{
	if (io->op != IO_READ && io->op != IO_WRITE) {
		in->flushes++;
		return true;
	}
	struct side *s = &in->side[io->op == IO_WRITE];
	if (io->result < 0 || (uint32_t)io->result != io->length) {
		s->run->failed++;
		return true;
	}
	if (!plausible(io->submit, io->reap, in->hz) || !plausible(io->intended, io->submit, in->hz)) {
		s->run->impossible++;
		return true;
	}
	uint64_t latency = to_ns(io->reap - io->submit, in->hz);
	bool after = plausible(in->ramp_end, io->submit, in->hz);
	if (!after && !plausible(io->submit, in->ramp_end, in->hz)) {
		s->run->impossible++;
		return true;
	}
	if (io->flags & IO_IN_RAMP)
		return take_ramp(s, after ? 0 : to_ns(in->ramp_end - io->submit, in->hz), latency);
	return take_counted(s, after ? to_ns(io->submit - in->ramp_end, in->hz) : 0, latency,
			    to_ns(io->reap - io->intended, in->hz));
}

static int take_records(void *ctx, const struct io_record *io, size_t n)
{
	struct io_reader *in = ctx;
	for (size_t i = 0; i < n && !in->no_memory; i++)
		in->no_memory = !take_record(in, &io[i]);
	return in->no_memory;
}

static int read_window(struct mine_run *r, uint64_t *ramp_end, struct error *err)
{
	unsigned long long id = r->meta.run;
	uint64_t open, close;
	if (!attr_cycles(r, "guest.tsc_hz", &r->hz) && !attr_cycles(r, "host.tsc_hz", &r->hz))
		return error_set(err, ERR_CORRUPT, "run %llu has neither guest.tsc_hz nor host.tsc_hz: its cycles cannot be told in seconds", id);
	if (r->hz < 1000000 || r->hz > 100000000000)
		return error_set(err, ERR_CORRUPT, "run %llu: a TSC of %llu Hz is not plausible", id, (unsigned long long)r->hz);
	if (!attr_cycles(r, "window.open", &open) || !attr_cycles(r, "window.close", &close))
		return error_set(err, ERR_NOT_FOUND, "run %llu has no window.open and window.close: it ended before its load did", id);
	if (!attr_cycles(r, "window.ramp_end", ramp_end))
		*ramp_end = open;
	if (!plausible(open, *ramp_end, r->hz) || !plausible(*ramp_end, close, r->hz))
		return error_set(err, ERR_CORRUPT, "run %llu: its window (open %llu, ramp end %llu, close %llu) is not in order", id,
				 (unsigned long long)open, (unsigned long long)*ramp_end, (unsigned long long)close);
	r->ramp_seconds = tsc_to_ns(*ramp_end - open, r->hz) / 1e9;
	r->seconds = tsc_to_ns(close - *ramp_end, r->hz) / 1e9;
	return 0;
}

static int take_epoch(void *ctx, const struct store_epoch *e)
{
	struct mine_run *r = ctx;
	double half = tsc_to_ns((uint64_t)e->hi - (uint64_t)e->lo, r->hz) / 2;
	r->epochs++;
	r->bound_ns = fmax(r->bound_ns, half);
	r->tier = e->tier > r->tier ? e->tier : r->tier;
	return 0;
}

static int compare_at(const void *pa, const void *pb, void *ctx)
{
	const uint64_t *at = ctx;
	size_t a = *(const size_t *)pa, b = *(const size_t *)pb;
	if (at[a] != at[b])
		return at[a] < at[b] ? -1 : 1;
	return a < b ? -1 : a > b;
}

static bool in_order(const uint64_t *at, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (at[i] < at[i - 1])
			return false;
	return true;
}

static void permute(uint64_t *v, const size_t *order, uint64_t *tmp, size_t n)
{
	for (size_t i = 0; i < n; i++)
		tmp[i] = v[order[i]];
	memcpy(v, tmp, n * sizeof(*v));
}

/* The jobs' records come one job after another. */
static int order_by_time(struct mine_run *r)
{
	if (in_order(r->at, r->n))
		return 0;
	autofree size_t *order = calloc(r->n, sizeof(*order));
	autofree uint64_t *tmp = calloc(r->n, sizeof(*tmp));
	if (!order || !tmp)
		return -1;
	for (size_t i = 0; i < r->n; i++)
		order[i] = i;
	qsort_r(order, r->n, sizeof(*order), compare_at, r->at);
	permute(r->latency, order, tmp, r->n);
	permute(r->response, order, tmp, r->n);
	permute(r->at, order, tmp, r->n);
	return 0;
}

static int finish_side(struct side *s)
{
	if (order_by_time(s->run))
		return -1;
	if (!s->open_loop) {
		free(s->run->response);
		s->run->response = NULL;
	}
	return 0;
}

static bool has_any(const struct mine_run *r)
{
	return r->n || r->n_ramp || r->failed || r->impossible;
}

/* A run that only writes: its series moves to the front, with the attributes read into the other. */
static void keep_writes(struct mine_run out[2])
{
	out[1].attr = out[0].attr;
	out[1].n_attr = out[0].n_attr;
	out[0].attr = NULL;
	out[0].n_attr = 0;
	run_fini(&out[0]);
	out[0] = out[1];
	out[1] = (struct mine_run){ 0 };
}

static int settle_sides(struct mine_run out[2], size_t *n_out, struct store *s, struct error *err)
{
	out[1].hz = out[0].hz;
	out[1].seconds = out[0].seconds;
	out[1].ramp_seconds = out[0].ramp_seconds;
	out[0].direction = "read";
	out[1].direction = "write";
	out[1].epochs = out[0].epochs;
	out[1].tier = out[0].tier;
	out[1].bound_ns = out[0].bound_ns;
	out[0].n_both = out[1].n_both = out[0].n + out[1].n;
	*n_out = 1;
	if (!has_any(&out[1])) {
		run_fini(&out[1]);
		return 0;
	}
	if (!has_any(&out[0])) {
		keep_writes(out);
		return 0;
	}
	*n_out = 2;
	out[0].op = out[0].direction;
	out[1].op = out[1].direction;
	return run_read_attrs(&out[1], s, err);
}

/* Fills one or two series: reads and writes. */
int run_read(struct mine_run out[2], size_t *n_out, struct store *s, const struct store_run *meta, struct error *err)
{
	out[0] = out[1] = (struct mine_run){ .meta = *meta };
	struct io_reader in = { .side = { { .run = &out[0] }, { .run = &out[1] } } };
	if (run_read_attrs(&out[0], s, err) || read_window(&out[0], &in.ramp_end, err))
		goto fail;
	in.hz = out[0].hz;
	if (store_each_epoch(s, meta->run, take_epoch, &out[0], err))
		goto fail;
	int rc = store_each_io(s, meta->run, take_records, &in, err);
	if (rc == 0)
		rc = finish_side(&in.side[0]) || finish_side(&in.side[1]);
	if (rc > 0)
		error_set(err, ERR_LIMIT, "no memory for the requests of run %llu; narrow the selection with --where",
			  (unsigned long long)meta->run);
	if (rc)
		goto fail;
	if (settle_sides(out, n_out, s, err))
		goto fail;
	out[0].flushes = in.flushes;
	return 0;
fail:
	run_fini(&out[0]);
	run_fini(&out[1]);
	return -1;
}
