/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the time of a configuration's requests went: the attributions of its repeats, side by side and pooled.
 *
 * A repeat is one observation. At every level (mean, p50, p99, p99.9) total and parts are means over the repeats that support the
 * level, so that parts still sum to the total; from three repeats on with Student's t interval over them, which covers what
 * varies from boot to boot. Percentiles of single phases are never averaged: the middle repeat's stands, with the repeats' range.
 */
#ifndef BIFOCAL_MINE_PHASES_H
#define BIFOCAL_MINE_PHASES_H

#include "attribute/result.h"
#include "mine/query.h"
#include "mine/stats.h"

enum { LEVEL_MEAN, LEVEL_P50, LEVEL_P99, LEVEL_P999 };
/* Two give t = 12.7, an interval that says nothing; the repeats themselves are drawn then. */
enum { PHASES_REPEATS_MIN = 3 };

/* One repeat. */
struct phases_run {
	const struct mine_run *run;
	const struct attribution *of;
};

struct phases_span {
	uint8_t from, to;
	char name[PHASE_SPAN_MAX];
	bool merged, crosses;
	uint64_t count;
	struct estimate mean;        /* ns, of the requests that have it */
	/* ns: the middle repeat's; lo and hi are the range over repeats (not an interval), supported from two on; NAN: n too small */
	struct estimate p50, p99;
	double least;                /* ns, the smallest seen; below 0 where a stamp's bound allows it */
	double bound_ns;             /* the largest of its requests' bounds */
	bool tick;                   /* that bound is no more than one cycle */
	double part[LEVELS];         /* ns of each level's total */
};

struct phases_level {
	size_t runs;                 /* repeats that support it; 0: none does */
	uint64_t n;                  /* requests around it, all repeats together */
	struct estimate total;       /* ns */
	double most;                 /* the largest of the repeats' totals */
};

struct phases {
	char *label;                 /* the configuration's, less the direction: reads and writes are attributed together */
	size_t group;                /* its place in the dataset; the first, where reads and writes are two */
	struct phases_run *run;
	size_t runs;
	struct phases_span *span;    /* by from, then to */
	size_t spans;
	struct phases_level level[LEVELS];
	uint64_t counted, matched;
	bool there[4];               /* by enum vantage; in all repeats. [0] is the application */
};

/* Attributions of a dataset's runs, each once. */
struct phases_set {
	struct attribution **of;     /* one a run that has one */
	uint64_t *run;
	size_t n;
	struct phases *group;
	size_t groups;
};

/* Runs without tracing are left out with a note. Runs whose result cannot be read are left out with a note of loss that names run and remedy; a configuration without any run
 * left is left out too. -1 with err when memory ends. */
int phases_load(struct phases_set *p, struct store *s, struct dataset *d, const struct key_style *by, size_t n_by, double level,
		struct error *err);
void phases_fini(struct phases_set *p);

/* One configuration from attributions at hand; `run` and label are copied. For phases_load and tests. */
int phases_pool(struct phases *p, const char *label, const struct phases_run *run, size_t runs, double level, struct error *err);
void phases_free(struct phases *p);

/* The repeat whose example of that role is to be shown: of `worst` and `violation` the longest, else the middle one; NULL when none
 * has it. */
const struct phases_run *phases_example(const struct phases *p, enum example_role role);
/* "guest.kernel, host.kernel": vantages that no repeat, or not every one, had; "" when all were there. */
char *phases_absent(const struct phases *p, char *dst, size_t cap);
/* "one tick" or "0.48 µs": what stands behind a crossing phase's ±. */
char *phases_bound_text(const struct phases_span *s, char *dst, size_t cap);
/* A length of that phase: "113 ± 27 µs" where it crosses, else "113 µs". `cap` of 8 at least. */
char *phases_value_text(const struct phases_span *s, double ns, char *dst, size_t cap);

#endif
