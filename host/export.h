/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `bifocal export`: what all formats share. Everything is streamed: memory does not grow with the run. */
#ifndef BIFOCAL_HOST_EXPORT_H
#define BIFOCAL_HOST_EXPORT_H

#include "attribute/attribute.h"

struct export;
/* Where requests come from, in the store's order: attribution, or the I/O records alone. As attribute_run(). */
typedef int export_source(struct export *e, attribute_fn *each, void *ctx, struct error *err);

struct export {
	struct store *store;
	export_source *source;
	uint64_t run, hz;              /* of the guest's TSC */
	uint64_t open, close;          /* the window, guest TSC; both 0 when there was none */
	struct attribution *at;        /* NULL: not attributed */
	unsigned columns;              /* boundaries between submit and reap that the run has, as bits */
	uint64_t from_ns, to_ns;       /* submitted in [from, to) since the window opened */
	bool ranged;                   /* a from or to was given */
	uint64_t limit;                /* at most so many requests; 0: all */
	uint64_t done;                 /* written */
	bool more;                     /* the limit left some out */
};

/* Calls fn for the requests chosen, in the store's order, until it returns non-zero. 0; -1 with err, also when standard output
 * could not be written. */
int export_each(struct export *e, attribute_fn *fn, void *ctx, struct error *err);
/* Cycles in ns; 0 when the clock's rate is not known. */
double export_ns(const struct export *e, uint64_t cycles);
double export_signed_ns(const struct export *e, uint64_t cycles);

int export_csv(struct export *e, struct error *err);
int export_jsonl(struct export *e, struct error *err);
/* Trace events that ui.perfetto.dev and chrome://tracing read. */
int export_perfetto(struct export *e, struct error *err);

#endif
