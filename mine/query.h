/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the store to series: which runs, and in which groups.
 *
 * A selection is a list of filters, each "key=value,value…". A key is a run's attribute (config.disk.bus), the same without
 * its first word (disk.bus, iodepth), or one of run, study, status. Runs that pass all of them are read whole; a
 * run that mixes reads and writes becomes two series, told apart by the attribute "op". Runs are then grouped by every
 * config.*, workload.* attribute, prov.accel and op in which they differ; repeats stay separate runs within their group.
 */
#ifndef BIFOCAL_MINE_QUERY_H
#define BIFOCAL_MINE_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/error.h"
#include "store/store.h"

/* off: the run left no trace; `bifocal run --self-check` has every configuration with and without. */
#define KEY_TRACED "config.trace.enabled"

struct filter {
	const char *key;
	const char *values;          /* comma-separated; for study also "all" and "last" */
	bool except;                 /* keep runs that do not have it */
	const char *origin;          /* for messages: "--where disk.bus=foo", "templates/latency.xml:12" */
};

/* How to show a key: "depth" for workload.iodepth; "" shows the bare value. */
struct key_style {
	const char *key;
	const char *label;
	const char *order;           /* blank-separated values in the order wanted; NULL: natural */
};

struct selection {
	const struct filter *filter;
	size_t n_filters;
	bool last_study;             /* only the newest study (when no filter of the user's says otherwise) */
	const struct key_style *by;
	size_t n_by;
};

struct attr {
	char *key, *text;
};

struct mine_run {
	struct store_run meta;
	struct attr *attr;           /* ascending keys */
	size_t n_attr;
	const char *direction;       /* "read" or "write" */
	const char *op;              /* the same where the run has both, else NULL; it is the attribute "op" */
	uint64_t hz;                 /* of the guest's TSC */
	double seconds, ramp_seconds;/* counted window; load before it */
	unsigned epochs;             /* stretches in which the clocks kept their relation; 0: nobody related them */
	unsigned tier;               /* enum clock_tier, the loosest of the epochs */
	double bound_ns;             /* ± of guest against host clock, the widest of the epochs */
	/* Counted requests in submission order: ns since counting began, service time in ns, and with open-loop
	 * load the response time, from the instant the request was due (else NULL). */
	uint64_t *at, *latency, *response;
	size_t n;
	size_t n_both;               /* reads and writes together, where they are two series */
	/* Ramp requests: ns before counting began. */
	uint64_t *ramp_before, *ramp_latency;
	size_t n_ramp;
	uint64_t failed;             /* results other than their length: counted, not timed */
	uint64_t flushes;            /* likewise */
	uint64_t impossible;         /* reaped before they were submitted */
};

struct group {
	char *label;                 /* "virtio-blk, depth 8"; "all runs" when there is but one */
	const char **value;          /* of each of the dataset's differing keys; "" where a run lacks it */
	const struct mine_run **run;
	size_t runs;
};

struct note {
	char *text;
	bool loss;                   /* something was left out */
};

struct dataset {
	struct mine_run *run;
	size_t runs;
	char **key;                  /* in which the runs differ, the template's first */
	size_t keys;
	struct group *group;
	size_t groups;
	struct note *note;           /* what a reader of the report must know */
	size_t notes;
};

/* ERR_NOT_FOUND says which filter emptied the selection and what would have matched. */
int dataset_load(struct dataset *d, struct store *s, const struct selection *sel, struct error *err);
void dataset_fini(struct dataset *d);
int dataset_note(struct dataset *d, bool loss, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* NULL when the run has no such attribute. */
const char *run_attr(const struct mine_run *r, const char *key);
/* The attribute as a number; false when there is none. */
bool run_attr_number(const struct mine_run *r, const char *key, double *v);
/* Text that all runs share, or NULL. */
const char *dataset_common(const struct dataset *d, const char *key);
/* 64-bit FNV-1a over the sorted configuration attributes of all runs: which experiment this was. */
uint64_t dataset_hash(const struct dataset *d);
/* A group's malloc'd label as the styles have it, its middle cut out where it is long, without the keys `less` (ends with NULL;
 * NULL: with all); NULL when memory ends. */
char *group_label(const struct group *g, const struct dataset *d, const struct key_style *by, size_t n_by, const char *const *less);
/* Two configurations never go by one label: where it is among the n `before`, a number is put behind it. -1 when memory ends. */
int label_number(char **label, const char *const *before, size_t n);
/* "depth 8", "virtio-blk", "untraced": one setting as labels have it, `blank` between name and value. */
void setting_write(FILE *f, const char *key, const char *value, const struct key_style *by, size_t n_by, const char *blank);

/* Below: used within query*.c. */
int run_read(struct mine_run out[2], size_t *n_out, struct store *s, const struct store_run *meta, struct error *err);
int run_read_attrs(struct mine_run *r, struct store *s, struct error *err);
void run_fini(struct mine_run *r);
int dataset_group(struct dataset *d, const struct key_style *by, size_t n_by, struct error *err);

#endif
