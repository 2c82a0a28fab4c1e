/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attributions in stats.json. */
#include <math.h>

#include "common/clock_tier.h"
#include "mine/emit.h"
#include "mine/report.h"

static void number(FILE *f, const char *key, double v)
{
	fprintf(f, ", \"%s\": ", key);
	json_number(f, v);
}

static void write_levels(FILE *f, const struct phases *p)
{
	fputs("\"levels\": {", f);
	for (size_t k = 0; k < LEVELS; k++) {
		const struct phases_level *l = &p->level[k];
		struct estimate total = l->total;
		total.value = l->runs ? total.value : NAN;
		fprintf(f, "%s\"%s\": {\"n\": %llu, \"runs\": %zu, \"total_ns\": ", k ? ", " : "", level_name[k], (unsigned long long)l->n, l->runs);
		json_estimate(f, total);
		putc('}', f);
	}
	putc('}', f);
}

/* The middle run's, and the runs' range, which is no interval. */
static void write_range(FILE *f, const char *key, struct estimate e)
{
	fprintf(f, ", \"%s\": {\"value\": ", key);
	json_number(f, e.value);
	number(f, "least", e.supported ? e.lo : e.value);
	number(f, "most", e.supported ? e.hi : e.value);
	putc('}', f);
}

static void write_span(FILE *f, const struct phases *p, const struct phases_span *s)
{
	fputs("       {\"name\": ", f);
	json_text(f, s->name);
	fprintf(f, ", \"from\": \"%s\", \"to\": \"%s\", \"merged\": %s, \"crosses\": %s, \"count\": %llu, \"mean_ns\": ", boundary_name(s->from),
		boundary_name(s->to), s->merged ? "true" : "false", s->crosses ? "true" : "false", (unsigned long long)s->count);
	json_estimate(f, s->mean);
	write_range(f, "p50_ns", s->p50);
	write_range(f, "p99_ns", s->p99);
	number(f, "least_ns", s->least);
	number(f, "bound_ns", s->bound_ns);
	fputs(", \"part_ns\": {", f);
	for (size_t k = 0; k < LEVELS; k++) {
		fprintf(f, "%s\"%s\": ", k ? ", " : "", level_name[k]);
		json_number(f, p->level[k].runs ? s->part[k] : NAN);
	}
	fputs("}}", f);
}

static void write_group(FILE *f, const struct phases *p)
{
	fputs("    {\"label\": ", f);
	json_text(f, p->label);
	fputs(", \"runs\": [", f);
	for (size_t r = 0; r < p->runs; r++)
		fprintf(f, "%s%llu", r ? ", " : "", (unsigned long long)p->run[r].run->meta.run);
	fprintf(f, "], \"counted\": %llu, \"matched\": %llu,\n     ", (unsigned long long)p->counted, (unsigned long long)p->matched);
	write_levels(f, p);
	fputs(",\n     \"phases\": [\n", f);
	for (size_t i = 0; i < p->spans; i++) {
		write_span(f, p, &p->span[i]);
		fputs(i + 1 < p->spans ? ",\n" : "\n", f);
	}
	fputs("     ]}", f);
}

void report_json_attributions(FILE *f, const struct analysis *a)
{
	fputs("  \"attributions\": [\n", f);
	for (size_t g = 0; g < a->phases.groups; g++) {
		write_group(f, &a->phases.group[g]);
		fputs(g + 1 < a->phases.groups ? ",\n" : "\n", f);
	}
	fputs("  ],\n", f);
}

/* ---- of one run ---- */

static void write_counts(FILE *f, const char *key, const uint64_t *count, unsigned from, unsigned to, const char *(*word)(unsigned))
{
	fprintf(f, ", \"%s\": {", key);
	for (unsigned i = from; i < to; i++)
		fprintf(f, "%s\"%s\": %llu", i > from ? ", " : "", word(i), (unsigned long long)count[i]);
	putc('}', f);
}

static void write_tiers(FILE *f, const struct attribution *x)
{
	double bound = attribution_bound_ns(x);
	fprintf(f, ", \"clock\": {\"epochs\": %u, \"tier\": \"%s\", \"bound_ns\": ", x->epochs, isnan(bound) ? "none" : clock_tier_name(attribution_tier(x)));
	json_number(f, bound);
	fputs(", \"tiers\": {", f);
	for (unsigned tier = TIER_EXACT; tier <= TIER_EXCHANGE; tier++) {
		const struct tier_facts t = report_tier(x, tier);
		fprintf(f, "%s\"%s\": {\"samples\": %llu, \"bound_ns\": ", tier > TIER_EXACT ? ", " : "", clock_tier_name(tier),
			(unsigned long long)t.samples);
		json_number(f, t.bound_ns);
		fprintf(f, ", \"epochs\": %u", t.epochs);
		putc('}', f);
	}
	fputs("}}", f);
}

static void write_vantages(FILE *f, const struct attribution *x)
{
	fputs(", \"vantages\": {", f);
	for (unsigned v = VANTAGE_GUEST; v <= VANTAGE_HOST; v++) {
		const struct vantage_note *n = &x->vantage[v];
		fprintf(f, "%s\"%s\": {\"there\": %s, \"source\": ", v > VANTAGE_GUEST ? ", " : "", vantage_name(v), n->there ? "true" : "false");
		json_text(f, n->text);
		fprintf(f, ", \"sightings\": %llu, \"lost\": %llu}", (unsigned long long)n->sightings, (unsigned long long)n->lost);
	}
	putc('}', f);
}

void report_json_attribution(FILE *f, const struct analysis *a, uint64_t run)
{
	for (size_t i = 0; i < a->phases.n; i++) {
		const struct attribution *x = a->phases.of[i];
		if (a->phases.run[i] != run)
			continue;
		fprintf(f, ", \"attribution\": {\"seen\": %llu, \"counted\": %llu, \"matched\": %llu", (unsigned long long)x->seen,
			(unsigned long long)x->counted, (unsigned long long)x->matched);
		write_counts(f, "unmatched", x->unmatched, CAUSE_MATCHED + 1, CAUSES, cause_name);
		write_counts(f, "served_from", x->served, 0, SERVED, served_name);
		write_counts(f, "suppressed", x->suppressed, 0, BOUNDARIES, boundary_name);
		fprintf(f, ", \"splits\": %llu, \"merges\": %llu, \"requeues\": %llu, \"quarantined\": %llu, \"causality_violations\": %llu, \"violation\": ",
			(unsigned long long)x->splits, (unsigned long long)x->merges, (unsigned long long)x->requeues, (unsigned long long)x->quarantined,
			(unsigned long long)x->violations);
		json_text(f, x->violation_example);
		fprintf(f, ", \"residual_cycles\": %llu", (unsigned long long)x->residual_max);
		write_tiers(f, x);
		write_vantages(f, x);
		putc('}', f);
	}
}
