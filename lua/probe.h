/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One half of one probe, in a Lua state of its own. The same code runs in the guest and
 * on the host; what differs is the side and the environment's functions.
 *
 * The sandbox (sandbox.h inside this room): text chunks only; base library less load, dofile, loadfile,
 * collectgarbage's knobs, print; string less dump and with patterns under a step budget; table, math, utf8; coroutine;
 * `require` knows only "bifocal.probe" and "bifocal.*". Memory is capped; each call has an instruction budget whose end pcall,
 * coroutines and metamethods cannot swallow; __gc and __mode are refused. A fault ends in an error with file and line.
 *
 * Functions return 0 or -1 with err (code ERR_PLUGIN or ERR_LIMIT, text "cpu.lua:12: …"; ERR_USAGE for
 * an option's value, ERR_NOT_FOUND for a requirement).
 * After a fault in a call the probe is quarantined: further calls return -1 at once.
 */
#ifndef BIFOCAL_LUA_PROBE_H
#define BIFOCAL_LUA_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/log.h"

enum probe_side { PROBE_GUEST, PROBE_HOST };

enum {
	PROBE_MEMORY_MAX = 16 << 20,       /* bytes of Lua heap: a few parsed /proc files, not a database */
	PROBE_SOURCE_MAX = 512 << 10,      /* fits a message with room to spare */
	PROBE_READ_MAX = 1 << 20,          /* bytes of one file that ctx:read gives */
	PROBE_BLOCK_MAX = 2 << 20,         /* bytes of one string or table: bounds what a single operation can take */
	PROBE_BUDGET = 2000000,            /* VM instructions a call: some 10 ms */
	/* CPU time of a call, for instructions slower than their count. An emulated guest on a busy node needs ten times what
	 * the host does, and is charged for the time that others took. */
	PROBE_CPU_MS = 1000,
	PROBE_METRICS_MAX = 256,
	PROBE_OPTIONS_MAX = 64,
};

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_EVENT };

struct probe_metric {
	const char *name;                  /* as declared, without the probe's name */
	enum metric_kind kind;
	const char *unit;
	const char *help;
	const char *const *dims;           /* NULL-terminated, sorted */
};

struct probe_option {
	const char *name, *type, *help;
	const char *def;                   /* as text; NULL if there is none */
	const char *const *values;         /* of an enum; NULL-terminated, else empty */
};

struct probe_info {
	const char *name, *version, *license, *summary;
	unsigned api;
	const struct probe_metric *metrics;
	size_t n_metrics;
	const struct probe_option *options;
	size_t n_options;
	bool has_guest, has_host;
	/* requires.guest / requires.host: "file:/proc/stat", NULL-terminated */
	const char *const *requires_guest;
	const char *const *requires_host;
};

/* A thread of the VMM as the host half sees it in ctx.vm.threads. */
struct probe_thread {
	int tid;
	const char *role;                  /* vcpu iothread worker main */
	int index;                         /* vCPU or I/O thread number, else 0 */
	const char *name;
};

/* "counter" …; "unknown" for a number that is no kind. */
const char *metric_kind_name(enum metric_kind kind);
/* All units a metric can have; NULL-terminated. */
const char *const *metric_unit_names(void);

struct probe;

/* What a probe may reach. Any member may be NULL: then the call gives an error that says so. */
struct probe_env {
	void *ctx;
	/* A checked value of a declared metric. `dims` is "cpu=0,mode=user": sorted, comma-separated, "" for none. */
	void (*emit)(void *ctx, struct probe *p, const struct probe_metric *metric, const char *dims, double value);
	/* Raw TSC of this side; ctx:now() gives it as an integer. */
	uint64_t (*now)(void *ctx);
	/* CLOCK_MONOTONIC in ns for ctx:clock(); NULL: the system's own. */
	uint64_t (*clock)(void *ctx);
	void (*log)(void *ctx, struct probe *p, enum log_level level, const char *line);
	/* Prefix for every path that read, lines, glob and requires open: "" or a made-up root for tests. Copied. */
	const char *root;
	/* Host only: QEMU's pid (0: none) and threads by role, filled into `out`; returns how many there are. */
	int (*vm_pid)(void *ctx);
	size_t (*vm_threads)(void *ctx, struct probe_thread *out, size_t cap);
};

/* Loads and checks a probe. `chunk` is its file's name for messages, `source` is copied. `options` is "key=value" lines
 * (may be ""); unknown ones are errors. Loads metadata only; runs the file's top level once. NULL with err. */
struct probe *probe_new(enum probe_side side, const char *chunk, const char *source, size_t len,
			const char *options, const struct probe_env *env, struct error *err);
void probe_free(struct probe *p);
const struct probe_info *probe_info(const struct probe *p);

/* 0: can run here. 1: it has no half for this side. -1: a requirement is missing; err says which. */
int probe_available(struct probe *p, struct error *err);
/* Sampling period in ns (option `interval`, else 100 ms). */
uint64_t probe_interval_ns(const struct probe *p);
int probe_start(struct probe *p, struct error *err);
int probe_sample(struct probe *p, struct error *err);
int probe_stop(struct probe *p, struct error *err);
bool probe_quarantined(const struct probe *p);
/* Bytes of Lua heap in use. */
size_t probe_memory(const struct probe *p);

#endif
