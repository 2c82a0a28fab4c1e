/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A template: which runs, how to tell them apart, what to draw. XML, checked against templates/bifocal-template.xsd.
 * The only file that includes libxml2.
 *
 * A template is hostile until proven otherwise: at most TEMPLATE_BYTES, no document type (so no entities), nothing
 * fetched from anywhere. A fault gives "file:line: element: what; remedy".
 */
#ifndef BIFOCAL_MINE_TEMPLATE_H
#define BIFOCAL_MINE_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "mine/query.h"

enum {
	/* A hundred times the longest that anyone would write by hand. */
	TEMPLATE_BYTES = 1 << 20,
	TEMPLATE_STATISTICS = 16,
};

enum statistic_kind { STAT_N, STAT_IOPS, STAT_MEAN, STAT_MAX, STAT_PERCENTILE };

struct statistic {
	enum statistic_kind kind;
	double q;                    /* of STAT_PERCENTILE */
	char name[16];               /* as the template has it: "p99.9" */
};

enum item_kind {
	ITEM_TEXT, ITEM_TABLE, ITEM_CHART, ITEM_COMPARE, ITEM_CLOCK, ITEM_CPU, ITEM_LOSS, ITEM_PROVENANCE, ITEM_PHASES, ITEM_REQUESTS, ITEM_TIERS,
	ITEM_OWN_COST,
};
enum chart_kind { CHART_PERCENTILE, CHART_TIMELINE, CHART_ATTRIBUTION, CHART_WATERFALL };

struct item {
	enum item_kind kind;
	char *title;                 /* of ITEM_TEXT: the text */
	char *id;                    /* of a chart: its file's name less .png */
	enum chart_kind chart;
	unsigned levels;             /* of CHART_ATTRIBUTION: a bit a level, as attribution.level[] has them */
	unsigned examples;           /* of CHART_WATERFALL: a bit an enum example_role */
	char *key, *baseline;        /* of a comparison */
	struct statistic statistic[TEMPLATE_STATISTICS];
	size_t statistics;
};

struct template {
	char *path, *name, *title, *summary;
	uint64_t hash;               /* FNV-1a of the file */
	double level;
	bool last_study;
	struct filter *where;
	size_t n_where;
	struct key_style *by, *show;
	size_t n_by, n_show;
	struct item *item;
	size_t items;
	char **owned;                /* the strings that filters and styles point to */
	size_t n_owned;
};

/* `name` is a path (it has a slash or ends in .xml) or a template's name, searched in ./templates, $BIFOCAL_DATA/templates and
 * ../share/bifocal/templates beside the program. An unknown name gives the nearest one known. */
int template_load(struct template *t, const char *name, struct error *err);
/* The same from memory; `xsd` is the schema's text, `path` stands in messages. */
int template_parse(struct template *t, const char *path, const void *text, size_t len, const void *xsd, size_t xsd_len, struct error *err);
void template_fini(struct template *t);
/* Whether anything in it is drawn from attributions. */
bool template_wants_phases(const struct template *t);
/* Whether it says what the measurement cost. */
bool template_wants_own_cost(const struct template *t);
/* Calls fn with path and name of every template found on the search path, in order of names. */
int template_each(int (*fn)(void *ctx, const char *path, const char *name), void *ctx, struct error *err);
/* Frees libxml2's own memory, at the very end. */
void template_cleanup(void);

#endif
