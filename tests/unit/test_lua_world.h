/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A made-up world for probes: what they emit and log is kept, clock and threads are the test's. */
#ifndef TEST_LUA_WORLD_H
#define TEST_LUA_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lua/internal.h"

struct world {
	struct { char metric[32], dims[64]; double value; } got[512];
	size_t n;
	char log[512];
	enum log_level level;
	uint64_t clock;
	int pid;
	struct probe_thread threads[8];
	size_t n_threads;
	struct probe_env env;
};

static inline void world_emit(void *ctx, struct probe *p, const struct probe_metric *m, const char *dims, double value)
{
	struct world *w = ctx;
	(void)p;
	assert_true(w->n < sizeof(w->got) / sizeof(w->got[0]));
	snprintf(w->got[w->n].metric, sizeof(w->got[0].metric), "%s", m->name);
	snprintf(w->got[w->n].dims, sizeof(w->got[0].dims), "%s", dims);
	w->got[w->n++].value = value;
}

static inline uint64_t world_now(void *ctx) { (void)ctx; return 0x123456789abcdefu; }
static inline uint64_t world_clock(void *ctx) { return ((struct world *)ctx)->clock; }
static inline int world_pid(void *ctx) { return ((struct world *)ctx)->pid; }

static inline void world_log(void *ctx, struct probe *p, enum log_level level, const char *line)
{
	struct world *w = ctx;
	(void)p;
	w->level = level;
	snprintf(w->log, sizeof(w->log), "%s", line);
}

static inline size_t world_threads(void *ctx, struct probe_thread *out, size_t cap)
{
	const struct world *w = ctx;
	size_t n = w->n_threads < cap ? w->n_threads : cap;
	memcpy(out, w->threads, n * sizeof(*out));
	return w->n_threads;
}

static inline void world_init(struct world *w, const char *root)
{
	memset(w, 0, sizeof(*w));
	w->env = (struct probe_env){
		.ctx = w, .emit = world_emit, .now = world_now, .clock = world_clock, .log = world_log, .root = root,
		.vm_pid = world_pid, .vm_threads = world_threads,
	};
}

/* The last value of a series; NaN if there is none. */
static inline double world_value(const struct world *w, const char *metric, const char *dims)
{
	for (size_t i = w->n; i-- > 0; )
		if (strcmp(w->got[i].metric, metric) == 0 && strcmp(w->got[i].dims, dims) == 0)
			return w->got[i].value;
	return strtod("nan", NULL);
}

/* A probe "t" whose sample() is `body`; it begins on line 2. Metrics: g, c (counter), d (dims b, a). */
static inline char *world_probe(const char *body)
{
	static const char format[] =
		"local probe = require 'bifocal.probe'\nlocal function sample(ctx) %s\nend\n"
		"return probe { api = 1, name = 't', version = '1', license = 'MIT', summary = 's',\n"
		" options = { interval = { type = 'duration', default = '10ms', help = 'h' } },\n"
		" metrics = { g = { kind = 'gauge', unit = 'count', help = 'h' }, c = { kind = 'counter', unit = 'ns', help = 'h' },\n"
		"  d = { kind = 'gauge', unit = 'percent', dims = { 'b', 'a' }, help = 'h' } },\n"
		" guest = { sample = sample } }\n";
	size_t cap = sizeof(format) + strlen(body) + 1;
	char *text = malloc(cap);
	assert_non_null(text);
	snprintf(text, cap, format, body);
	return text;
}

static inline struct probe *world_load(struct world *w, const char *source, struct error *err)
{
	return probe_new(PROBE_GUEST, "t.lua", source, strlen(source), "", &w->env, err);
}

/* Runs `body` as sample(); 0, or -1 with err. */
static inline int world_run(struct world *w, const char *body, struct error *err)
{
	char *source = world_probe(body);
	struct probe *p = world_load(w, source, err);
	free(source);
	if (!p)
		return -1;
	int r = probe_sample(p, err);
	assert_int_equal(probe_quarantined(p), r < 0);
	if (r < 0) {
		struct error again;
		assert_int_equal(probe_sample(p, &again), -1);
		assert_non_null(strstr(again.text, "quarantined"));
	}
	probe_free(p);
	return r;
}

static inline void assert_text(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' does not contain '%s'", text, part);
}

#endif
