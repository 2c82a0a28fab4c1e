// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/probes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/tsc.h"

void probes_init(struct probes *p, struct loop *loop, const char *root)
{
	memset(p, 0, sizeof(*p));
	p->loop = loop;
	p->root = root;
}

static void forget_samples(struct probes *p)
{
	if (p->series)
		memset(p->series, 0, PROBES_SERIES_MAX * sizeof(*p->series));
	p->n_samples = p->n_series = 0;
	p->dropped = 0;
}

void probes_clear(struct probes *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		loop_timer_remove(p->loop, p->slot[i].timer);
		probe_free(p->slot[i].probe);
	}
	p->n = 0;
	p->taking = false;
	/* Series point into the probes that are gone. */
	forget_samples(p);
}

void probes_fini(struct probes *p)
{
	probes_clear(p);
	free(p->samples);
	free(p->series);
	p->samples = NULL;
	p->series = NULL;
}

static bool reserve(struct probes *p)
{
	if (!p->samples) {
		p->samples = malloc(PROBES_SAMPLES_MAX * sizeof(*p->samples));
		if (p->samples)
			memset(p->samples, 0, PROBES_SAMPLES_MAX * sizeof(*p->samples));
	}
	if (!p->series)
		p->series = calloc(PROBES_SERIES_MAX, sizeof(*p->series));
	return p->samples && p->series;
}

/* FNV-1a over the metric's address and the dimensions. */
static uint32_t hash(const struct probe_metric *metric, const char *dims)
{
	uint64_t h = 0xcbf29ce484222325 ^ (uintptr_t)metric;

	for (; *dims; dims++)
		h = (h ^ (uint8_t)*dims) * 0x100000001b3;
	return (uint32_t)(h ^ h >> 29);
}

/* NULL when the table is as full as it may be, or dims are over their bound. */
static const struct series *find_series(struct probes *p, const struct probe_metric *metric, const char *dims)
{
	uint32_t at = hash(metric, dims) % PROBES_SERIES_MAX;
	struct series *s;

	for (; (s = &p->series[at])->metric; at = (at + 1) % PROBES_SERIES_MAX)
		if (s->metric == metric && strcmp(s->dims, dims) == 0)
			return s;
	if (p->n_series == PROBES_SERIES_MAX / 2 || strlen(dims) >= PROBES_DIMS_MAX)
		return NULL;
	s->metric = metric;
	s->probe = p->current;
	s->number = (uint32_t)p->n_series;
	strcpy(s->dims, dims);
	p->order[p->n_series++] = at;
	return s;
}

static void on_emit(void *ctx, struct probe *probe, const struct probe_metric *metric, const char *dims, double value)
{
	struct probes *p = ctx;

	(void)probe;
	if (!p->taking)
		return;
	const struct series *s = p->n_samples < PROBES_SAMPLES_MAX ? find_series(p, metric, dims) : NULL;
	if (!s) {
		p->dropped++;
		return;
	}
	p->samples[p->n_samples++] = (struct sample){ s->number, tsc_read(), value };
}

static uint64_t on_now(void *ctx)
{
	(void)ctx;
	return tsc_read();
}

static void on_log(void *ctx, struct probe *probe, enum log_level level, const char *line)
{
	(void)ctx;
	log_line(level, "probe %s: %s", probe_info(probe)->name, line);
}

static void take_fault(struct probe_slot *s, const struct error *err)
{
	if (s->fault.code)
		return;
	s->fault = *err;
	log_warn("probe %s is quarantined: %s", probe_info(s->probe)->name, err->text);
}

static const struct probe_env *make_env(struct probes *p, struct probe_env *env)
{
	*env = (struct probe_env){ .ctx = p, .emit = on_emit, .now = on_now, .log = on_log, .root = p->root };
	return env;
}

static struct probe *new_probe(struct probes *p, const struct msg_probe_load *m, struct error *err)
{
	struct probe_env env;
	char name[128];
	autofree char *options = malloc(m->options.len + 1);

	if (!options || !reserve(p)) {
		error_set(err, ERR_LIMIT, "no memory for the probe");
		return NULL;
	}
	if (m->options.len)
		memcpy(options, m->options.p, m->options.len);
	options[m->options.len] = '\0';
	span_text(m->name, name, sizeof(name));
	return probe_new(PROBE_GUEST, name, (const char *)m->source.p, m->source.len, options, make_env(p, &env), err);
}

void probes_load(struct probes *p, const struct msg_probe_load *m, struct probe_verdict *v)
{
	*v = (struct probe_verdict){ .state = PROBE_QUARANTINED };
	if (p->n == PROBES_MAX) {
		error_set(&v->reason, ERR_LIMIT, "the agent holds %d probes already; load fewer", PROBES_MAX);
		return;
	}
	struct probe *probe = new_probe(p, m, &v->reason);
	if (!probe)
		return;
	int available = probe_available(probe, &v->reason);
	if (available != 0) {
		v->state = PROBE_SKIPPED;
		if (available > 0)
			error_set(&v->reason, ERR_NONE, "it has no guest half");
		probe_free(probe);
		return;
	}
	v->state = PROBE_LOADED;
	p->slot[p->n++] = (struct probe_slot){ .owner = p, .number = m->probe, .probe = probe, .timer = -1 };
}

static void call(struct probe_slot *s, int (*fn)(struct probe *, struct error *))
{
	struct error err = { 0 };

	if (s->fault.code)
		return;
	s->owner->current = (uint32_t)(s - s->owner->slot);
	if (fn(s->probe, &err))
		take_fault(s, &err);
}

static void on_timer(void *ctx)
{
	struct probe_slot *s = ctx;

	call(s, probe_sample);
	if (s->fault.code) {
		loop_timer_remove(s->owner->loop, s->timer);
		s->timer = -1;
	}
}

void probes_start(struct probes *p)
{
	forget_samples(p);
	p->taking = true;
	for (unsigned i = 0; i < p->n; i++) {
		struct probe_slot *s = &p->slot[i];
		struct error err = { 0 };
		call(s, probe_start);
		if (s->fault.code)
			continue;
		uint64_t period = probe_interval_ns(s->probe);
		s->timer = loop_timer(p->loop, period, period, on_timer, s, &err);
		if (s->timer < 0)
			take_fault(s, &err);
	}
}

void probes_stop(struct probes *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		loop_timer_remove(p->loop, p->slot[i].timer);
		p->slot[i].timer = -1;
		call(&p->slot[i], probe_stop);
	}
	p->taking = false;
}

struct probe_slot *probes_next_fault(struct probes *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		if (p->slot[i].fault.code && !p->slot[i].reported) {
			p->slot[i].reported = true;
			return &p->slot[i];
		}
	}
	return NULL;
}

void probes_series(const struct probes *p, uint32_t number, char *name, size_t cap, struct msg_series *m)
{
	static const char *const kinds[] = {
		[METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram", [METRIC_EVENT] = "event",
	};
	const struct series *s = &p->series[p->order[number]];
	const struct probe_slot *slot = &p->slot[s->probe];

	snprintf(name, cap, "%s.%s", probe_info(slot->probe)->name, s->metric->name);
	m->probe = slot->number;
	m->series = number;
	m->metric = span_of(name);
	m->dims = span_of(s->dims);
	m->kind = span_of(kinds[s->metric->kind]);
	m->unit = span_of(s->metric->unit);
}
