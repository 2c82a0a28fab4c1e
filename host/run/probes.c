/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host halves of a run's probes. */
#include "host/run/probes.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/tsc.h"

enum {
	SERIES_MAX = 4096,
	/* Grown by doubling, outside of a measured path; 24 MiB at most. */
	SAMPLES_FIRST = 4096,
	SAMPLES_MAX = 1 << 20,
	/* Of one packed chunk: series, time and value take 23 bytes at most. */
	SAMPLES_BYTES = 32 * SAMPLES_CHUNK,
};

struct series {
	char *metric, *dims;
	const char *kind, *unit;
};

struct half {
	struct host_probes *all;
	const struct plugin *plugin;
	struct probe *probe;           /* NULL: not running */
	int timer;
	char state[512];               /* "loaded", "skipped: …", "quarantined: …" */
};

struct host_probes {
	struct vm *vm;
	struct half half[PLUGINS_MAX];
	size_t n;
	struct series *series;
	size_t n_series;
	struct sample *samples;
	size_t n_samples, cap;
	uint64_t dropped, quarantined;
};

static const char *kind_name(enum metric_kind k)
{
	static const char *const names[] = { "counter", "gauge", "histogram", "event" };
	return names[k];
}

/* The number of (metric, dims), giving the next one when it is new; SERIES_MAX when there is no room. */
static size_t series_of(struct host_probes *h, struct probe *p, const struct probe_metric *m, const char *dims)
{
	char metric[256];
	snprintf(metric, sizeof(metric), "%s.%s", probe_info(p)->name, m->name);
	for (size_t i = 0; i < h->n_series; i++)
		if (!strcmp(h->series[i].metric, metric) && !strcmp(h->series[i].dims, dims))
			return i;
	if (h->n_series == SERIES_MAX)
		return SERIES_MAX;
	struct series s = { strdup(metric), strdup(dims), kind_name(m->kind), m->unit };
	if (!s.metric || !s.dims) {
		free(s.metric);
		free(s.dims);
		return SERIES_MAX;
	}
	h->series[h->n_series] = s;
	return h->n_series++;
}

static bool grow(struct host_probes *h)
{
	size_t cap = h->cap ? 2 * h->cap : SAMPLES_FIRST;
	if (cap > SAMPLES_MAX)
		return false;
	struct sample *p = realloc(h->samples, cap * sizeof(*p));
	if (!p)
		return false;
	h->samples = p;
	h->cap = cap;
	return true;
}

static void on_emit(void *ctx, struct probe *p, const struct probe_metric *metric, const char *dims, double value)
{
	struct half *half = ctx;
	struct host_probes *h = half->all;
	size_t series = series_of(h, p, metric, dims);
	if (series == SERIES_MAX || (h->n_samples == h->cap && !grow(h))) {
		h->dropped++;
		return;
	}
	h->samples[h->n_samples++] = (struct sample){ .series = (uint32_t)series, .tsc = host_tsc_now().cycles, .value = value };
}

static uint64_t on_now(void *ctx)
{
	(void)ctx;
	return host_tsc_now().cycles;
}

static void on_log(void *ctx, struct probe *p, enum log_level level, const char *line)
{
	(void)ctx;
	log_line(level, "%s: %s", probe_info(p)->name, line);
}

static int on_vm_pid(void *ctx)
{
	return (int)vm_pid(((struct half *)ctx)->all->vm);
}

static size_t on_vm_threads(void *ctx, struct probe_thread *out, size_t cap)
{
	return vm_threads(((struct half *)ctx)->all->vm, out, cap);
}

static void quarantine(struct half *half, const struct error *err)
{
	snprintf(half->state, sizeof(half->state), "quarantined: %.480s", err->text);
	half->all->quarantined++;
	log_warn("probe %s, host half: %s", half->plugin->name, half->state);
}

static int half_load(struct half *half, struct error *err)
{
	const struct plugin *pl = half->plugin;
	const struct probe_env env = {
		.ctx = half, .emit = on_emit, .now = on_now, .log = on_log, .root = "",
		.vm_pid = on_vm_pid, .vm_threads = on_vm_threads,
	};
	struct error why = { 0 };
	half->probe = probe_new(PROBE_HOST, pl->chunk, pl->source, pl->len, pl->options, &env, err);
	if (!half->probe)
		return -1;
	int available = probe_available(half->probe, &why);
	if (available == 0) {
		strcpy(half->state, "loaded");
		return 0;
	}
	snprintf(half->state, sizeof(half->state), "skipped: %.480s", available > 0 ? "it has no host half" : why.text);
	probe_free(half->probe);
	half->probe = NULL;
	return 0;
}

struct host_probes *host_probes_new(const struct plugins *set, struct vm *vm, struct error *err)
{
	struct host_probes *h = calloc(1, sizeof(*h));
	if (h)
		h->series = calloc(SERIES_MAX, sizeof(*h->series));
	if (!h || !h->series) {
		error_set(err, ERR_LIMIT, "out of memory");
		goto fail;
	}
	h->vm = vm;
	for (size_t i = 0; i < set->n; i++) {
		struct half *half = &h->half[h->n++];
		*half = (struct half){ .all = h, .plugin = &set->item[i], .timer = -1 };
		if (!vm)
			strcpy(half->state, "skipped: this guest's VMM was not started by bifocal");
		else if (half_load(half, err))
			goto fail;
	}
	return h;
fail:
	host_probes_free(h);
	return NULL;
}

void host_probes_free(struct host_probes *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->n; i++)
		probe_free(h->half[i].probe);
	for (size_t i = 0; i < h->n_series; i++) {
		free(h->series[i].metric);
		free(h->series[i].dims);
	}
	free(h->series);
	free(h->samples);
	free(h);
}

static void on_timer(void *ctx)
{
	struct half *half = ctx;
	struct error err = { 0 };
	if (probe_quarantined(half->probe))
		return;
	if (probe_sample(half->probe, &err))
		quarantine(half, &err);
}

void host_probes_start(struct host_probes *h, struct loop *loop)
{
	for (size_t i = 0; i < h->n; i++) {
		struct half *half = &h->half[i];
		struct error err = { 0 };
		if (!half->probe)
			continue;
		uint64_t period = probe_interval_ns(half->probe);
		if (probe_start(half->probe, &err)) {
			quarantine(half, &err);
			continue;
		}
		half->timer = loop_timer(loop, 0, period, on_timer, half, &err);
		if (half->timer < 0)
			quarantine(half, &err);
	}
}

void host_probes_stop(struct host_probes *h, struct loop *loop)
{
	for (size_t i = 0; i < h->n; i++) {
		struct half *half = &h->half[i];
		struct error err = { 0 };
		if (half->timer < 0)
			continue;
		loop_timer_remove(loop, half->timer);
		half->timer = -1;
		if (!probe_quarantined(half->probe) && probe_stop(half->probe, &err))
			quarantine(half, &err);
	}
}

static int store_samples(struct host_probes *h, struct store_batch *b, uint64_t run, struct error *err)
{
	struct wbuf w;
	uint32_t chunk = 0;
	int failed = 0;
	wbuf_heap(&w, SAMPLES_BYTES);
	for (size_t i = 0; i < h->n_samples && !failed; i += SAMPLES_CHUNK) {
		size_t n = h->n_samples - i < SAMPLES_CHUNK ? h->n_samples - i : SAMPLES_CHUNK;
		wbuf_reset(&w);
		samples_pack(&w, h->samples + i, n);
		if (w.bad)
			failed = error_set(err, ERR_LIMIT, "host samples do not fit their chunk");
		else
			failed = put_sample_chunk(b, run, SIDE_HOST, chunk++, (struct span){ w.p, w.len }, err);
	}
	wbuf_fini(&w);
	return failed;
}

int host_probes_store(struct host_probes *h, struct store_batch *b, uint64_t run, struct loss *loss, struct error *err)
{
	loss->host_sample += h->dropped;
	loss->probe += h->quarantined;
	for (size_t i = 0; i < h->n; i++) {
		char key[STORE_KEY_MAX];
		snprintf(key, sizeof(key), "probe.%s.host", h->half[i].plugin->name);
		if (put_attr(b, run, key, h->half[i].state, err))
			return -1;
	}
	for (size_t i = 0; i < h->n_series; i++) {
		const struct series *s = &h->series[i];
		if (put_series(b, run, SIDE_HOST, (uint32_t)i, s->metric, s->dims, s->kind, s->unit, err))
			return -1;
	}
	return store_samples(h, b, run, err);
}
