/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A study: every combination of the varied keys' values (cells), each as often as asked. Repeats are interleaved and the
 * cells' order is shuffled anew in each repeat, from the seed, so that a drift of the node falls on all cells alike.
 */
#ifndef BIFOCAL_HOST_RUN_STUDY_H
#define BIFOCAL_HOST_RUN_STUDY_H

#include "host/run/run.h"

enum { STUDY_VARY_MAX = 16, STUDY_VALUES_MAX = 64, STUDY_CELLS_MAX = 4096, STUDY_CELL_TEXT = 512 };

struct vary {
	char key[64];                  /* full dotted name */
	char *text;                    /* owns the values */
	const char *value[STUDY_VALUES_MAX];
	size_t n;
};

struct study {
	struct config base;
	struct vary vary[STUDY_VARY_MAX];
	size_t n_vary;
	unsigned repeats;
	uint64_t seed;
	struct plugins plugins;
	struct run_events events;
	const char *disk;
	bool destructive;
	const char *control, *data;    /* as in struct run_request */
	uint64_t greet_ns;
	bool self_check;               /* trace.enabled is varied: say at the end what tracing cost */
};

struct study_run {
	size_t cell;
	unsigned repeat;
};

void study_init(struct study *st);
void study_fini(struct study *st);
/* "disk.bus=ahci,nvme": every value is tried on the configuration at once. */
int study_vary(struct study *st, const char *assignment, struct error *err);
/* Every cell with tracing and without. -1 when trace.enabled is varied already. */
int study_self_check(struct study *st, struct error *err);
size_t study_cells(const struct study *st);
/* A cell's configuration, and its text "disk.bus=ahci workload.iodepth=8" ("" if nothing varies), cap >= STUDY_CELL_TEXT. -1 when the
 * combination is impossible. */
int study_cell(const struct study *st, size_t cell, struct config *out, char *text, size_t cap, struct error *err);
/* All runs in their order; malloc'd, study_cells() × repeats of them. */
struct study_run *study_order(const struct study *st, struct error *err);
/* The seed of one run's random numbers; never 0. */
uint64_t study_run_seed(const struct study *st, const struct study_run *r);

/* Runs it all. Prints a line for each finished run to stdout, or with `json` one object at the end. Returns an exit code, or -1 with err. */
int study_execute(struct study *st, struct store *store, const char *command, bool json, struct error *err);
/* Prints what study_execute() would do. */
int study_print(const struct study *st, bool json, struct error *err);

#endif
