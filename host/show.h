/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two faces of `bifocal show`: a table for people, an object for programs. */
#ifndef BIFOCAL_HOST_SHOW_H
#define BIFOCAL_HOST_SHOW_H

#include <jansson.h>

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

void show_text(const struct summary *sum, const struct attrs *a);
/* Everything DESIGN section 8 names, and the attributes. */
json_t *show_json(const struct summary *sum, const struct attrs *a);

/* What a probe series says in one number: a counter's growth a second, else the mean. */
double series_value(const struct summary *sum, const struct summary_series *s);

#endif
