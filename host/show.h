/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two faces of `bifocal show`: a table for people, an object for programs. */
#ifndef BIFOCAL_HOST_SHOW_H
#define BIFOCAL_HOST_SHOW_H

#include <jansson.h>

#include "attribute/attribute.h"
#include "host/run/summary.h"

/* Attributes by name, gathered once. */
struct attrs {
	struct attr { char *key, *text; } *item;
	size_t n, cap;
	bool failed;
};

int attrs_load(struct attrs *a, struct store *s, uint64_t run, struct error *err);
void attrs_fini(struct attrs *a);
const char *attrs_get(const struct attrs *a, const char *key);      /* NULL when absent */
const char *attrs_text(const struct attrs *a, const char *key);     /* "" when absent */
uint64_t attrs_u64(const struct attrs *a, const char *key);         /* 0 when absent */

/* `at` may be NULL: nothing is said of phases then but that there is one. */
void show_text(const struct summary *sum, const struct attrs *a, const struct attribution *at);
/* Everything DESIGN section 8 names, and the attributes. */
json_t *show_json(const struct summary *sum, const struct attrs *a, const struct attribution *at);

/* The run's attribution; malloc'd. NULL when there is none to be had, which is said on stderr with the remedy: the rest of a run is
 * worth showing all the same. */
struct attribution *show_attribution(struct store *s, uint64_t run);
/* Some request shows a boundary between submit and reap. */
bool show_has_phases(const struct attribution *at);
/* The epoch that stands for the run: the widest of those with requests, else the first; NULL without any. */
const struct epoch_bound *show_epoch(const struct attribution *at);
/* Half of an interval of cycles, in ns. */
double show_half_ns(const struct attribution *at, int64_t lo, int64_t hi);
/* A bound in ns; infinite where the clocks were not related at all. */
double show_bound_ns(const struct attribution *at, uint64_t cycles);
/* Where a boundary was seen, by what showed it: "guest.app", "guest.kernel", "vmm", "host.kernel". Static. */
const char *show_vantage(unsigned kind);

/* The keys of `show --json` that attribution fills. */
json_t *show_phases_json(const struct attribution *at);
json_t *show_levels_json(const struct attribution *at);
json_t *show_vantages_json(const struct attribution *at);
void show_clock_json(json_t *clock, const struct attribution *at);
void show_requests_json(json_t *requests, const struct attribution *at);

/* One request: its waterfall, or an object. `role`: "worst", or "" for one asked for by its number. */
void show_request_text(const struct summary *sum, const struct attrs *a, const struct attribution *at, const struct attributed *r, const char *role);
json_t *show_request_json(const struct summary *sum, const struct attribution *at, const struct attributed *r, const char *role);

/* What a probe series says in one number: a counter's growth a second, else the mean. */
double series_value(const struct summary *sum, const struct summary_series *s);

#endif
