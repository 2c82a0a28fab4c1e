/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report.html: one file that needs no other, for screens of any width and for paper. */
#ifndef BIFOCAL_MINE_REPORT_H
#define BIFOCAL_MINE_REPORT_H

#include <stdio.h>

#include "mine/analysis.h"
#include "mine/draw.h"

/* Writes the whole page. `drawn` has one entry an item of the template; those of charts are filled. */
int report_write(FILE *f, const struct analysis *a, const struct drawn *drawn, struct error *err);
/* stats.json: every figure of the report, in base units. */
int report_write_json(FILE *f, const struct analysis *a, struct error *err);

/* The sections: report_tables.c, report_account.c. */
void report_table(FILE *f, const struct analysis *a, const struct item *item);
int report_compare(FILE *f, const struct analysis *a, const struct item *item, struct error *err);
void report_cpu(FILE *f, const struct analysis *a);
void report_clock(FILE *f, const struct analysis *a);
void report_loss(FILE *f, const struct analysis *a);
void report_provenance(FILE *f, const struct analysis *a);
/* report_owncost.c, and as a member of stats.json: "own_cost": [ … ]. */
void report_own_cost(FILE *f, const struct analysis *a);
void report_json_own_cost(FILE *f, const struct analysis *a);
/* report_phases.c, report_requests.c: what attribution found. */
void report_phases(FILE *f, const struct analysis *a);
/* "641 µs in the mean, 18 % of it cross.kick, …": a sentence a configuration, for the top of the page. */
void report_phase_findings(FILE *f, const struct analysis *a);
void report_requests(FILE *f, const struct analysis *a);
void report_tiers(FILE *f, const struct analysis *a);
/* One tier of a run, over the epochs that have requests. */
struct tier_facts {
	double bound_ns;             /* half-width of the widest; NAN where it has none */
	uint64_t samples;
	uint32_t epochs, of;         /* those that it bounds, of so many */
};
struct tier_facts report_tier(const struct attribution *x, unsigned tier);
/* report_phases_json.c: "attributions": [ … ], and one run's as a further member. */
void report_json_attributions(FILE *f, const struct analysis *a);
void report_json_attribution(FILE *f, const struct analysis *a, uint64_t run);
/* "This takes 2.5 times as long as that": the comparison in one sentence a pair, for the top of the page. */
int report_findings(FILE *f, const struct analysis *a, struct error *err);
/* Parts of them. A table with a row a run, folded away where it is long: `what` names it then; the heads of its further columns follow. */
void report_open_runs(FILE *f, size_t runs, const char *what);
void report_close_runs(FILE *f, size_t runs);
/* Opens a row: the run's number and its configuration. */
void report_run_head(FILE *f, uint64_t run, const char *label);
/* A count in a cell; a dash where it is not finite. */
void report_count_cell(FILE *f, const char *name, double v);
/* "2.52 ×" and small the interval, where there is one; bold where that leaves out 1. */
void report_ratio(FILE *f, struct estimate r);
/* Says so and returns true where nothing was attributed. */
bool report_no_phases(FILE *f, const struct analysis *a);
/* "[1, 4]": a configuration's runs. */
void report_json_runs(FILE *f, const struct group *g);
/* A configuration's name with its colour and marker. */
void report_label(FILE *f, const struct series_look *look);

extern const char report_style[];

#endif
