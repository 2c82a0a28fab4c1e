/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the probes saw: the cpu probe's figures as a table of their own, all others line by line. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/tsc.h"
#include "common/units.h"
#include "host/page.h"

enum { METRIC = 24, DIMS = 26, VALUE = 14 };

double series_value(const struct summary *sum, const struct summary_series *s)
{
	uint64_t hz = s->side == SIDE_GUEST ? sum->guest_hz : sum->host_hz;
	if (strcmp(s->kind, "counter") != 0)
		return s->n ? s->sum / (double)s->n : 0;
	double seconds = hz && s->last_tsc > s->first_tsc ? tsc_to_ns(s->last_tsc - s->first_tsc, hz) / 1e9 : 0;
	return seconds > 0 ? (s->last - s->first) / seconds : 0;
}

/* ---- the cpu probe ---- */

static bool is_cpu(const struct summary_series *s)
{
	return !strncmp(s->metric, "cpu.", 4);
}

/* The value of one dimension: "role" in "role=vcpu" gives "vcpu". */
static bool dim_value(const char *dims, const char *key, char *dst, size_t cap)
{
	size_t len = strlen(key);
	for (const char *p = dims; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
		if (strncmp(p, key, len) || p[len] != '=')
			continue;
		snprintf(dst, cap, "%.*s", (int)strcspn(p + len + 1, ","), p + len + 1);
		return true;
	}
	return false;
}

static const char *role_words(const char *role)
{
	static const struct { const char *role, *words; } table[] = {
		{ "vcpu", "vCPU threads" }, { "iothread", "I/O threads" }, { "worker", "worker threads" }, { "main", "main loop" },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (!strcmp(table[i].role, role))
			return table[i].words;
	return role;
}

/* `rate`: ns of CPU time a second. */
static void cpu_row(const struct page *p, const char *who, double rate)
{
	char text[32], bar[128];
	double iops = summary_iops(p->sum);
	printf("  ");
	page_left(who, METRIC);
	snprintf(text, sizeof(text), "%.1f %%", rate / 1e7);
	page_right(text, 10);
	page_right(iops > 0 ? format_ns(rate / iops, text, sizeof(text)) : "", 12);
	/* A full bar is one host CPU. */
	printf("  %s%s%s\n", page_ink(p, INK_BAR), term_bar(rate / 1e9, 24, bar, sizeof(bar)), page_plain(p));
}

static const struct summary_series *find(const struct page *p, const char *metric, const char *key, const char *value)
{
	for (size_t i = 0; i < p->sum->n_series; i++) {
		const struct summary_series *s = &p->sum->series[i];
		char dim[64];
		if (s->n && !strcmp(s->metric, metric) && (!key || (dim_value(s->dims, key, dim, sizeof(dim)) && !strcmp(dim, value))))
			return s;
	}
	return NULL;
}

static void vmm_rows(const struct page *p)
{
	double all = 0;
	unsigned rows = 0;
	for (size_t i = 0; i < p->sum->n_series; i++) {
		const struct summary_series *s = &p->sum->series[i];
		char role[64];
		if (!s->n || strcmp(s->metric, "cpu.vmm_cpu") || !dim_value(s->dims, "role", role, sizeof(role)))
			continue;
		if (!rows++) {
			printf("%s  ", page_ink(p, INK_DIM));
			page_left("QEMU on the host", METRIC);
			page_right("of a CPU", 10);
			page_right("per I/O", 12);
			printf("%s\n", page_plain(p));
		}
		cpu_row(p, role_words(role), series_value(p->sum, s));
		all += series_value(p->sum, s);
	}
	if (rows > 1)
		cpu_row(p, "all", all);
}

static void guest_rows(const struct page *p)
{
	for (size_t i = 0; i < p->sum->n_series; i++) {
		const struct summary_series *s = &p->sum->series[i];
		char cpu[64], who[80], label[80];
		if (!s->n || strcmp(s->metric, "cpu.busy") || !dim_value(s->dims, "cpu", cpu, sizeof(cpu)))
			continue;
		const struct summary_series *steal = find(p, "cpu.steal", "cpu", cpu);
		struct facts f;
		snprintf(label, sizeof(label), "guest CPU %s ", cpu);
		snprintf(who, sizeof(who), "%.0f samples", (double)s->n);
		facts_begin(&f, p, label);
		fact(&f, "busy %.1f %% on average, %.0f %% at most", series_value(p->sum, s), s->max);
		if (steal)
			fact(&f, "steal %.1f %%, %.0f %% at most", series_value(p->sum, steal), steal->max);
		fact(&f, "%s", who);
		facts_end();
	}
}

/* ---- all others ---- */

/* A number with four digits, or all that stand before its point: a PID or a count keeps its last ones. */
static char *number_text(double v, char *dst, size_t cap)
{
	snprintf(dst, cap, fabs(v) >= 9999.5 && fabs(v) < 1e10 ? "%.0f" : "%.4g", v);
	return dst;
}

static char *value_text(const struct page *p, const struct summary_series *s, char *dst, size_t cap)
{
	double v = series_value(p->sum, s);
	const char *per = strcmp(s->kind, "counter") ? "" : "/s";
	char text[32];
	if (!strcmp(s->unit, "ns"))
		snprintf(dst, cap, "%s%s", format_ns(v, text, sizeof(text)), per);
	else
		snprintf(dst, cap, "%s %s%s", number_text(v, text, sizeof(text)), !strcmp(s->unit, "percent") ? "%" : s->unit, per);
	return dst;
}

/* In the unit of the value before it. */
static char *max_text(const struct summary_series *s, char *dst, size_t cap)
{
	char text[32];
	snprintf(dst, cap, "max %s", !strcmp(s->unit, "ns") ? format_ns(s->max, text, sizeof(text)) : number_text(s->max, text, sizeof(text)));
	return dst;
}

static void series_row(const struct page *p, const struct summary_series *s)
{
	char text[96];
	printf("  ");
	page_left(s->side == SIDE_GUEST ? "guest" : "host", 7);
	page_left(s->metric, METRIC);
	page_left(s->dims, DIMS);
	page_right(value_text(p, s, text, sizeof(text)), VALUE);
	if (strcmp(s->kind, "counter") != 0)
		page_right(max_text(s, text, sizeof(text)), VALUE);
	putchar('\n');
}

static void state_rows(const struct page *p)
{
	for (size_t i = 0; i < p->a->n; i++) {
		const struct attr *it = &p->a->item[i];
		if (strncmp(it->key, "probe.", 6) || !strcmp(it->text, "loaded"))
			continue;
		enum ink ink = strncmp(it->text, "quarantined", 11) ? INK_DIM : INK_WARN;
		printf("  %s%s: %s%s\n", page_ink(p, ink), it->key + 6, it->text, page_plain(p));
	}
}

void show_probes(const struct page *p)
{
	size_t cpu = 0, others = 0;
	for (size_t i = 0; i < p->sum->n_series; i++) {
		const struct summary_series *s = &p->sum->series[i];
		cpu += s->n && is_cpu(s);
		others += s->n && !is_cpu(s);
	}
	if (cpu) {
		page_heading(p, "CPU time");
		vmm_rows(p);
		guest_rows(p);
	}
	if (others)
		page_heading(p, "Probes");
	for (size_t i = 0; i < p->sum->n_series; i++)
		if (p->sum->series[i].n && !is_cpu(&p->sum->series[i]))
			series_row(p, &p->sum->series[i]);
	state_rows(p);
}
