/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest halves of the probes: loaded by the collector, sampled by the main thread's timers
 * in the window into memory reserved at the first load.
 */
#ifndef BIFOCAL_GUEST_PROBES_H
#define BIFOCAL_GUEST_PROBES_H

#include "common/loop.h"
#include "common/message.h"
#include "common/samples.h"
#include "lua/probe.h"

enum {
	PROBES_MAX = 32,
	/* A sample takes 24 bytes: 3 MiB. Forty series at ten samples a second fill it in five minutes. */
	PROBES_SAMPLES_MAX = 1 << 17,
	/* A power of two; the table of series is kept at most half full. */
	PROBES_SERIES_MAX = 4096,
	PROBES_DIMS_MAX = 120,
};

struct series {
	const struct probe_metric *metric;    /* NULL: free place of the hash table */
	uint32_t probe;                       /* index into probes->slot */
	uint32_t number;
	char dims[PROBES_DIMS_MAX];
};

struct probe_slot {
	struct probes *owner;
	uint32_t number;                      /* the collector's */
	struct probe *probe;
	int timer;
	bool reported;                        /* its quarantine is known to the collector */
	struct error fault;
};

struct probes {
	struct loop *loop;
	const char *root;
	struct probe_slot slot[PROBES_MAX];
	unsigned n;
	struct sample *samples;
	struct series *series;                /* hash table by metric and dims */
	uint32_t order[PROBES_SERIES_MAX / 2];/* number → place in the table */
	size_t n_samples, n_series;
	uint64_t dropped;
	bool taking;                          /* start() to stop(): what is emitted belongs to the run */
	uint32_t current;                     /* index of the probe being called */
};

struct probe_verdict {
	enum probe_state state;
	struct error reason;                  /* text "" when loaded */
};

void probes_init(struct probes *p, struct loop *loop, const char *root);
void probes_fini(struct probes *p);
/* Forgets all probes, their series and samples. */
void probes_clear(struct probes *p);
void probes_load(struct probes *p, const struct msg_probe_load *m, struct probe_verdict *verdict);
/* Forgets the samples of the run before; start() of each, then their timers. */
void probes_start(struct probes *p);
/* Timers off, stop() of each. */
void probes_stop(struct probes *p);
/* The next probe that failed since its load and was not yet asked for; NULL when there is none. */
struct probe_slot *probes_next_fault(struct probes *p);
/* In order of number, 0 … n_series − 1. Fields borrow from the probe and from `name`, which gets the metric's name in full. */
void probes_series(const struct probes *p, uint32_t number, char *name, size_t cap, struct msg_series *m);

#endif
