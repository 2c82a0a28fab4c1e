/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A template put to a database: the runs it selects, grouped, with their statistics; what report and charts draw from. */
#ifndef BIFOCAL_MINE_ANALYSIS_H
#define BIFOCAL_MINE_ANALYSIS_H

#include "mine/chart/frame.h"
#include "mine/cpu.h"
#include "mine/owncost.h"
#include "mine/phases.h"
#include "mine/query.h"
#include "mine/stats.h"
#include "mine/template.h"

struct analysis {
	const struct template *t;
	struct dataset data;
	/* One of each a group: */
	struct stats *service;       /* submission to reaping */
	struct stats *response;      /* due instant to reaping; n is 0 where load was closed-loop */
	struct series_look *look;
	struct cpu_account *cpu;
	struct phases_set phases;    /* attributions, where the template asks for any; empty else */
	struct own_cost own;         /* likewise */
	bool open_loop;              /* any group has response times */
	char *context;               /* "randread, blocks of 4k, …": what all runs share */
};

/* `where`: the command line's filters, after the template's. */
int analysis_run(struct analysis *a, struct store *s, const struct template *t, const struct filter *where, size_t n_where, struct error *err);
void analysis_fini(struct analysis *a);

struct estimate statistic_of_stats(const struct stats *s, const struct statistic *what);

/* One pair of configurations that differ in a key alone. */
struct pair {
	const struct group *baseline, *other;
	char *label;                 /* "ahci against virtio-blk, depth 8" */
};

/* Whether two groups agree in every key but that one. */
bool groups_alike_but(const struct dataset *d, const struct group *a, const struct group *b, size_t key);
/* malloc'd pairs in *out (free with pairs_free); returns how many or -1 with err. */
int analysis_pairs(const struct analysis *a, const struct item *compare, struct pair **out, struct error *err);
void pairs_free(struct pair *p, size_t n);
/* other / baseline */
struct estimate pair_ratio(const struct analysis *a, const struct pair *p, const struct statistic *what);

#endif
