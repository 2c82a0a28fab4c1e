/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/cpu.h"

#include <stdlib.h>
#include <string.h>

#include "common/tsc.h"

/* One counter while its samples pass by. */
struct track {
	uint32_t series;
	const char *name;            /* column that it belongs to */
	double unit;                 /* of one, in ns */
	bool seen;
	uint64_t first_tsc, last_tsc;
	double first, last;
};

struct reader {
	enum store_side side;
	struct track *track;
	size_t n;
	uint64_t from, to;           /* the counted window in this side's TSC */
	bool no_memory;
};

/* The probe's counters, and the columns they are added up to. Its gauges say the same less exactly. */
static const struct {
	enum store_side side;
	const char *metric, *dim, *value, *name;
} columns[] = {
	{ SIDE_HOST, "cpu.vmm_cpu", "role", "vcpu", "vCPU" },
	{ SIDE_HOST, "cpu.vmm_cpu", "role", "iothread", "I/O thread" },
	{ SIDE_HOST, "cpu.vmm_cpu", "role", "worker", "Workers" },
	{ SIDE_HOST, "cpu.vmm_cpu", "role", "main", "Main loop" },
	{ SIDE_GUEST, "cpu.time", "mode", "user", "User" },
	{ SIDE_GUEST, "cpu.time", "mode", "nice", "User" },
	{ SIDE_GUEST, "cpu.time", "mode", "system", "System" },
	{ SIDE_GUEST, "cpu.time", "mode", "irq", "Interrupts" },
	{ SIDE_GUEST, "cpu.time", "mode", "softirq", "Interrupts" },
	{ SIDE_GUEST, "cpu.time", "mode", "idle", "Idle" },
	{ SIDE_GUEST, "cpu.time", "mode", "iowait", "Idle" },
	{ SIDE_GUEST, "cpu.time", "mode", "steal", "Steal" },
};

static double time_unit(const char *unit)
{
	static const struct { const char *name; double ns; } units[] = { { "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 } };
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (strcmp(unit, units[i].name) == 0)
			return units[i].ns;
	return 0;
}

/* Whether "cpu=0,mode=user" has mode=user. */
static bool has_dimension(const char *dims, const char *key, const char *value)
{
	size_t k = strlen(key), v = strlen(value);
	for (const char *d = dims; *d;) {
		size_t n = strcspn(d, ",");
		if (n == k + 1 + v && strncmp(d, key, k) == 0 && d[k] == '=' && strncmp(d + k + 1, value, v) == 0)
			return true;
		d += n;
		d += *d == ',';
	}
	return false;
}

static const char *column_of(enum store_side side, const char *metric, const char *dims)
{
	for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++)
		if (columns[i].side == side && strcmp(columns[i].metric, metric) == 0 && has_dimension(dims, columns[i].dim, columns[i].value))
			return columns[i].name;
	return NULL;
}

static int take_series(void *ctx, uint32_t series, const char *metric, const char *dims, const char *kind, const char *unit)
{
	struct reader *r = ctx;
	struct track t = { .series = series, .name = column_of(r->side, metric, dims), .unit = time_unit(unit) };
	if (!t.name || t.unit == 0 || strcmp(kind, "counter") != 0)
		return 0;
	struct track *grown = reallocarray(r->track, r->n + 1, sizeof(*grown));
	r->no_memory = !grown;
	if (!grown)
		return 1;
	r->track = grown;
	grown[r->n++] = t;
	return 0;
}

static struct track *find_track(struct reader *r, uint32_t series)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->track[i].series == series)
			return &r->track[i];
	return NULL;
}

static int take_samples(void *ctx, const struct sample *v, size_t n)
{
	struct reader *r = ctx;
	for (size_t i = 0; i < n; i++) {
		struct track *t = find_track(r, v[i].series);
		/* Modulo 2^64, like all stamps. */
		if (!t || v[i].tsc - r->from > r->to - r->from)
			continue;
		if (!t->seen) {
			t->first_tsc = v[i].tsc;
			t->first = v[i].value;
		}
		t->seen = true;
		t->last_tsc = v[i].tsc;
		t->last = v[i].value;
	}
	return 0;
}

/* CPUs kept busy between the first and the last sample within the window; negative where that cannot be told. */
static double track_cpus(const struct track *t, uint64_t hz)
{
	double ns = t->seen ? tsc_to_ns(t->last_tsc - t->first_tsc, hz) : 0;
	return ns > 0 && t->last >= t->first ? (t->last - t->first) * t->unit / ns : -1;
}

static struct cpu_share *share_of(struct cpu_share *share, size_t *n, const char *name)
{
	for (size_t i = 0; i < *n; i++)
		if (strcmp(share[i].name, name) == 0)
			return &share[i];
	if (*n == CPU_ROLES_MAX)
		return NULL;
	share[*n].name = name;
	return &share[(*n)++];
}

/* Adds one run's tracks to the group's shares: threads of one role together, then the run to the sum of runs. */
static void add_run(struct cpu_account *a, const struct reader *r, uint64_t hz)
{
	struct cpu_share mine[CPU_ROLES_MAX] = { 0 };
	size_t n = 0;
	for (size_t i = 0; i < r->n; i++) {
		double cpus = track_cpus(&r->track[i], hz);
		struct cpu_share *s = cpus >= 0 ? share_of(mine, &n, r->track[i].name) : NULL;
		if (s)
			s->cpus += cpus;
	}
	for (size_t i = 0; i < n; i++) {
		struct cpu_share *s = r->side == SIDE_HOST ? share_of(a->host, &a->n_host, mine[i].name)
							   : share_of(a->guest, &a->n_guest, mine[i].name);
		if (s) {
			s->cpus += mine[i].cpus;
			s->runs++;
		}
	}
}

/* The counted window on the host's clock. A run may have several epochs: each stamp is told by the last one that had begun by then. */
struct window {
	uint64_t guest_from, guest_to, from, to;
	size_t epochs;
};

static void place_stamp(uint64_t *host, uint64_t guest, const struct store_epoch *e, bool first)
{
	int64_t offset = e->lo + (int64_t)((uint64_t)e->hi - (uint64_t)e->lo) / 2;
	uint64_t at = guest - (uint64_t)offset;
	if (first || (int64_t)(at - e->first_host) >= 0)
		*host = at;
}

static int take_epoch(void *ctx, const struct store_epoch *e)
{
	struct window *w = ctx;
	place_stamp(&w->from, w->guest_from, e, w->epochs == 0);
	place_stamp(&w->to, w->guest_to, e, w->epochs == 0);
	w->epochs++;
	return 0;
}

static uint64_t number(const struct mine_run *r, const char *key, uint64_t otherwise)
{
	const char *text = run_attr(r, key);
	return text ? strtoull(text, NULL, 10) : otherwise;
}

static int read_side(struct cpu_account *a, struct store *s, const struct mine_run *run, enum store_side side, struct error *err)
{
	struct reader r = { .side = side };
	uint64_t hz = run->hz;
	int rc = 0;
	r.to = number(run, "window.close", 0);
	r.from = number(run, "window.ramp_end", number(run, "window.open", r.to));
	if (side == SIDE_HOST) {
		struct window w = { .guest_from = r.from, .guest_to = r.to };
		rc = store_each_epoch(s, run->meta.run, take_epoch, &w, err);
		/* Nobody related the clocks: then nobody can say which samples were within the window. */
		if (rc || !w.epochs)
			return rc;
		r.from = w.from;
		r.to = w.to;
		hz = number(run, "host.tsc_hz", hz);
	}
	rc = store_each_series(s, run->meta.run, side, take_series, &r, err);
	if (!rc && r.n)
		rc = store_each_sample(s, run->meta.run, side, take_samples, &r, err);
	if (!rc && hz)
		add_run(a, &r, hz);
	free(r.track);
	return r.no_memory ? error_set(err, ERR_LIMIT, "no memory for probe series") : rc;
}

int cpu_account_group(struct cpu_account *a, struct store *s, const struct group *g, struct error *err)
{
	*a = (struct cpu_account){ 0 };
	for (size_t i = 0; i < g->runs; i++) {
		if (read_side(a, s, g->run[i], SIDE_HOST, err) || read_side(a, s, g->run[i], SIDE_GUEST, err))
			return -1;
		if (g->run[i]->seconds > 0)
			a->iops += (double)g->run[i]->n_both / g->run[i]->seconds / (double)g->runs;
	}
	for (size_t i = 0; i < a->n_host; i++)
		a->host[i].cpus /= (double)a->host[i].runs;
	for (size_t i = 0; i < a->n_guest; i++)
		a->guest[i].cpus /= (double)a->guest[i].runs;
	return 0;
}

double cpu_ns_per_request(const struct cpu_account *a, const struct cpu_share *s)
{
	return a->iops > 0 ? s->cpus / a->iops * 1e9 : 0;
}
