/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <math.h>
#include <string.h>

#include "common/clock_tier.h"
#include "common/version.h"
#include "mine/emit.h"
#include "mine/report.h"

/* Every statistic that any table of the template asks for, each once. */
static size_t statistics_of(const struct template *t, struct statistic *out, size_t cap)
{
	size_t n = 0;
	for (size_t i = 0; i < t->items; i++)
		for (size_t k = 0; k < t->item[i].statistics; k++) {
			const struct statistic *s = &t->item[i].statistic[k];
			size_t j = 0;
			while (j < n && strcmp(out[j].name, s->name) != 0)
				j++;
			if (j == n && n < cap)
				out[n++] = *s;
		}
	return n;
}

static void write_statistic(FILE *f, const struct stats *s, const struct statistic *what)
{
	struct estimate e = statistic_of_stats(s, what);
	/* A quantile that n does not support has no value either. */
	if (what->kind == STAT_PERCENTILE && !e.supported)
		e.value = NAN;
	json_text(f, what->name);
	fputs(": ", f);
	json_estimate(f, e);
}

static void write_stats(FILE *f, const struct analysis *a, const struct stats *s)
{
	struct statistic list[4 * TEMPLATE_STATISTICS];
	size_t n = statistics_of(a->t, list, sizeof(list) / sizeof(*list));
	fprintf(f, "{\"count\": %zu, \"seconds\": ", s->n);
	json_number(f, s->seconds);
	fprintf(f, ", \"clusters\": %zu, \"clusters_are\": \"%s\"", s->clusters, s->by_run ? "repeats" : "time blocks");
	for (size_t i = 0; i < n; i++) {
		fputs(", ", f);
		write_statistic(f, s, &list[i]);
	}
	putc('}', f);
}

static void write_cpu(FILE *f, const struct cpu_account *c)
{
	fputs("\"cpu\": {\"host_ns_per_request\": {", f);
	for (size_t i = 0; i < c->n_host; i++) {
		fputs(i ? ", " : "", f);
		json_text(f, c->host[i].name);
		fputs(": ", f);
		json_number(f, cpu_ns_per_request(c, &c->host[i]));
	}
	fputs("}, \"guest_cpus\": {", f);
	for (size_t i = 0; i < c->n_guest; i++) {
		fputs(i ? ", " : "", f);
		json_text(f, c->guest[i].name);
		fputs(": ", f);
		json_number(f, c->guest[i].cpus);
	}
	fputs("}}", f);
}

void report_json_runs(FILE *f, const struct group *g)
{
	putc('[', f);
	for (size_t i = 0; i < g->runs; i++)
		fprintf(f, "%s%llu", i ? ", " : "", (unsigned long long)g->run[i]->meta.run);
	putc(']', f);
}

static void write_configuration(FILE *f, const struct analysis *a, size_t g)
{
	const struct group *group = &a->data.group[g];
	fputs("    {\"label\": ", f);
	json_text(f, group->label);
	fputs(", \"config\": {", f);
	for (size_t k = 0; k < a->data.keys; k++) {
		fputs(k ? ", " : "", f);
		json_text(f, a->data.key[k]);
		fputs(": ", f);
		json_text(f, group->value[k]);
	}
	fputs("}, \"runs\": ", f);
	report_json_runs(f, group);
	fputs(",\n     \"service_ns\": ", f);
	write_stats(f, a, &a->service[g]);
	if (a->response[g].n) {
		fputs(",\n     \"response_ns\": ", f);
		write_stats(f, a, &a->response[g]);
	}
	fputs(",\n     ", f);
	write_cpu(f, &a->cpu[g]);
	fputs("}", f);
}

static int write_comparison(FILE *f, const struct analysis *a, const struct item *item, bool *first, struct error *err)
{
	struct pair *pairs;
	int n = analysis_pairs(a, item, &pairs, err);
	for (int p = 0; p < n; p++) {
		fputs(*first ? "\n    {\"label\": " : ",\n    {\"label\": ", f);
		*first = false;
		json_text(f, pairs[p].label);
		fputs(", \"key\": ", f);
		json_text(f, item->key);
		fputs(", \"baseline\": ", f);
		json_text(f, pairs[p].baseline->label);
		fputs(", \"other\": ", f);
		json_text(f, pairs[p].other->label);
		fputs(", \"ratio\": {", f);
		for (size_t k = 0; k < item->statistics; k++) {
			struct estimate r = pair_ratio(a, &pairs[p], &item->statistic[k]);
			fputs(k ? ", " : "", f);
			json_text(f, item->statistic[k].name);
			fputs(": ", f);
			enum statistic_kind kind = item->statistic[k].kind;
			if (!r.supported && kind != STAT_N && kind != STAT_MAX)
				r.value = NAN;
			json_estimate(f, r);
		}
		fputs("}}", f);
	}
	pairs_free(pairs, n > 0 ? (size_t)n : 0);
	return n < 0 ? -1 : 0;
}

/* The loss account as the run's attributes have it, zeros included: what was looked for and not found. */
static void write_lost(FILE *f, const struct mine_run *r)
{
	bool first = true;
	fputs(", \"lost\": {", f);
	for (size_t i = 0; i < r->n_attr; i++) {
		double v;
		if (strncmp(r->attr[i].key, "lost.", 5) != 0 || !run_attr_number(r, r->attr[i].key, &v))
			continue;
		fputs(first ? "" : ", ", f);
		first = false;
		json_text(f, r->attr[i].key + 5);
		fputs(": ", f);
		json_number(f, v);
	}
	putc('}', f);
}

static void write_run(FILE *f, const struct analysis *a, const struct mine_run *r)
{
	fprintf(f, "    {\"run\": %llu, \"study\": %llu, \"status\": \"%s\", \"counted\": %zu, \"ramp\": %zu, \"failed\": %llu, \"impossible\": %llu, "
		"\"flushes\": %llu, \"seconds\": ", (unsigned long long)r->meta.run, (unsigned long long)r->meta.study,
		run_status_name(r->meta.status), r->n, r->n_ramp, (unsigned long long)r->failed, (unsigned long long)r->impossible,
		(unsigned long long)r->flushes);
	json_number(f, r->seconds);
	fprintf(f, ", \"clock\": {\"epochs\": %u, \"tier\": \"%s\", \"bound_ns\": ", r->epochs, r->epochs ? clock_tier_name(r->tier) : "none");
	json_number(f, r->epochs ? r->bound_ns : NAN);
	fputs("}, \"op\": ", f);
	json_text(f, r->op ? r->op : "all");
	write_lost(f, r);
	report_json_attribution(f, a, r->meta.run);
	fputs("}", f);
}

int report_write_json(FILE *f, const struct analysis *a, struct error *err)
{
	int rc = 0;
	bool first = true;
	fputs("{\n  \"version\": \"" BIFOCAL_VERSION "\",\n  \"template\": ", f);
	json_text(f, a->t->name);
	fprintf(f, ",\n  \"template_hash\": \"%016llx\",\n  \"configuration_hash\": \"%016llx\",\n  \"level\": ",
		(unsigned long long)a->t->hash, (unsigned long long)dataset_hash(&a->data));
	json_number(f, a->t->level);
	fputs(",\n  \"configurations\": [\n", f);
	for (size_t g = 0; g < a->data.groups; g++) {
		write_configuration(f, a, g);
		fputs(g + 1 < a->data.groups ? ",\n" : "\n", f);
	}
	fputs("  ],\n", f);
	if (template_wants_phases(a->t))
		report_json_attributions(f, a);
	if (template_wants_own_cost(a->t))
		report_json_own_cost(f, a);
	fputs("  \"comparisons\": [", f);
	for (size_t i = 0; i < a->t->items && !rc; i++)
		if (a->t->item[i].kind == ITEM_COMPARE)
			rc = write_comparison(f, a, &a->t->item[i], &first, err);
	fputs(first ? "],\n  \"runs\": [\n" : "\n  ],\n  \"runs\": [\n", f);
	for (size_t i = 0; i < a->data.runs; i++) {
		write_run(f, a, &a->data.run[i]);
		fputs(i + 1 < a->data.runs ? ",\n" : "\n", f);
	}
	fputs("  ],\n  \"notes\": [", f);
	for (size_t i = 0; i < a->data.notes; i++) {
		fputs(i ? ", " : "", f);
		json_text(f, a->data.note[i].text);
	}
	fputs("]\n}\n", f);
	return rc;
}
