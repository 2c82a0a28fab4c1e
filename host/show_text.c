/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/tsc.h"
#include "common/units.h"
#include "host/run/loss.h"
#include "host/page.h"

enum { CELL = 10, BARS = 14 };

static const char *rw_words(const char *rw)
{
	static const struct { const char *rw, *words; } table[] = {
		{ "read", "sequential reads" }, { "write", "sequential writes" }, { "randread", "random reads" },
		{ "randwrite", "random writes" }, { "rw", "sequential reads and writes" }, { "randrw", "random reads and writes" },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (!strcmp(table[i].rw, rw))
			return table[i].words;
	return rw;
}

static void load_line(const struct page *p)
{
	struct facts f;
	const struct attrs *a = p->a;
	facts_begin(&f, p, "load");
	fact(&f, "%s %s", attrs_text(a, "workload.bs"), rw_words(attrs_text(a, "workload.rw")));
	fact(&f, "iodepth %s", attrs_text(a, "workload.iodepth"));
	fact(&f, "%s job%s", attrs_text(a, "workload.numjobs"), strcmp(attrs_text(a, "workload.numjobs"), "1") ? "s" : "");
	fact(&f, "%s", attrs_text(a, "workload.ioengine"));
	fact(&f, "%s", strcmp(attrs_text(a, "workload.direct"), "0") ? "O_DIRECT" : "through the guest's page cache");
	if (attrs_u64(a, "workload.rate_iops"))
		fact(&f, "open loop, %s IOPS a job, %s", attrs_text(a, "workload.rate_iops"), attrs_text(a, "workload.rate_process"));
	facts_end();
}

static void disk_line(const struct page *p)
{
	struct facts f;
	const struct attrs *a = p->a;
	if (!attrs_get(a, "config.disk.bus") && !attrs_get(a, "prov.guest.disk.name"))
		return;
	facts_begin(&f, p, "disk");
	fact(&f, "%s", attrs_text(a, "config.disk.bus"));
	if (attrs_get(a, "config.disk.cache"))
		fact(&f, "cache %s", attrs_text(a, "config.disk.cache"));
	if (attrs_get(a, "config.disk.aio"))
		fact(&f, "aio %s", attrs_text(a, "config.disk.aio"));
	if (!strcmp(attrs_text(a, "config.disk.iothread"), "on"))
		fact(&f, "own I/O thread");
	if (attrs_get(a, "config.disk.size"))
		fact(&f, "%s %s %s", attrs_text(a, "config.disk.size"), attrs_text(a, "config.disk.format"), attrs_text(a, "config.disk.backend"));
	if (attrs_get(a, "prov.guest.disk.name"))
		fact(&f, "in the guest %s by %s, scheduler %s", attrs_text(a, "prov.guest.disk.name"), attrs_text(a, "prov.guest.disk.driver"),
		     attrs_text(a, "prov.guest.disk.scheduler"));
	facts_end();
}

static void machine_lines(const struct page *p)
{
	struct facts f;
	const struct attrs *a = p->a;
	if (attrs_get(a, "prov.guest.cpus")) {
		facts_begin(&f, p, "guest");
		fact(&f, "%s vCPU%s", attrs_text(a, "prov.guest.cpus"), attrs_u64(a, "prov.guest.cpus") == 1 ? "" : "s");
		fact(&f, "%s", attrs_text(a, "config.vm.memory"));
		fact(&f, "%s", attrs_text(a, "config.vm.machine"));
		fact(&f, "Linux %.*s", (int)strcspn(attrs_text(a, "prov.guest.kernel"), " "), attrs_text(a, "prov.guest.kernel"));
		facts_end();
	}
	facts_begin(&f, p, "host");
	fact(&f, "%s", attrs_text(a, "prov.host.cpu"));
	fact(&f, "Linux %.*s", (int)strcspn(attrs_text(a, "prov.host.kernel"), " "), attrs_text(a, "prov.host.kernel"));
	if (attrs_get(a, "prov.qemu.version"))
		fact(&f, "QEMU %.*s", (int)strcspn(attrs_text(a, "prov.qemu.version"), " "), attrs_text(a, "prov.qemu.version"));
	fact(&f, "%s", attrs_text(a, "prov.accel_why"));
	facts_end();
}

static enum ink status_ink(enum run_status s)
{
	return s == RUN_COMPLETE ? INK_GOOD : s == RUN_FAILED ? INK_BAD : INK_WARN;
}

static void title(const struct page *p)
{
	const struct store_run *r = &p->sum->run;
	char when[32];
	time_t t = (time_t)(r->created_ns / 1000000000);
	struct tm tm;
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", localtime_r(&t, &tm));
	printf("%sRun %llu%s  %s%s%s  %s%s, study %llu%s\n", page_ink(p, INK_TITLE), (unsigned long long)r->run, page_plain(p), page_ink(p, status_ink(r->status)),
	       run_status_name(r->status), page_plain(p), page_ink(p, INK_DIM), when, (unsigned long long)r->study, page_plain(p));
	const char *cell = attrs_text(p->a, "study.cell");
	if (*cell)
		printf("  %s\n", cell);
	if (attrs_get(p->a, "error.text"))
		printf("  %s%s%s\n", page_ink(p, INK_BAD), attrs_text(p->a, "error.text"), page_plain(p));
	putchar('\n');
}

/* ---- latency ---- */

/* Four quantiles stand beside 44 columns of other things; in 80 columns there is no room for all the words. */
static int quantile_width(const struct page *p)
{
	return p->width < 44 + 4 * (CELL + 2) ? CELL - 1 : CELL + 2;
}

static void quantile_cell(const struct page *p, const struct dist *d, double q)
{
	char text[32];
	if (!quantile_supported(d->n, q)) {
		printf("%s", page_ink(p, INK_DIM));
		page_right(quantile_width(p) < CELL ? "too few" : "n too small", quantile_width(p));
		printf("%s", page_plain(p));
		return;
	}
	page_right(format_ns(summary_ns(p->sum, (double)dist_quantile(d, q)), text, sizeof(text)), quantile_width(p));
}

static void latency_row(const struct page *p, const char *name, const struct dist *d)
{
	char text[32];
	if (!d->n)
		return;
	printf("  ");
	page_left(name, LABEL);
	page_right(page_grouped(d->n, text, sizeof(text)), CELL);
	page_right(format_ns(summary_ns(p->sum, dist_mean(d)), text, sizeof(text)), CELL);
	quantile_cell(p, d, 0.50);
	quantile_cell(p, d, 0.90);
	quantile_cell(p, d, 0.99);
	quantile_cell(p, d, 0.999);
	page_right(format_ns(summary_ns(p->sum, (double)d->max), text, sizeof(text)), CELL);
	putchar('\n');
}

static void latency_head(const struct page *p)
{
	printf("%s  ", page_ink(p, INK_DIM));
	page_left("", LABEL);
	page_right("n", CELL);
	page_right("mean", CELL);
	page_right("p50", quantile_width(p));
	page_right("p90", quantile_width(p));
	page_right("p99", quantile_width(p));
	page_right("p99.9", quantile_width(p));
	page_right("max", CELL);
	printf("%s\n", page_plain(p));
}

static void rate_line(const struct page *p)
{
	const struct summary *sum = p->sum;
	char n[32];
	struct facts f;
	facts_begin(&f, p, "rate");
	fact(&f, "%s IOPS", page_grouped((uint64_t)(summary_iops(sum) + 0.5), n, sizeof(n)));
	if (sum->seconds > 0)
		fact(&f, "%.1f MiB/s", (double)sum->counts.bytes / sum->seconds / 1048576);
	fact(&f, "%.2f in flight on average", summary_in_flight(sum));
	fact(&f, "window %.3g s", sum->seconds);
	if (sum->counts.errors)
		fact(&f, "%s%s I/Os went wrong, not counted%s", page_ink(p, INK_BAD), page_grouped(sum->counts.errors, n, sizeof(n)), page_plain(p));
	facts_end();
}

/* From one row to the next: equal on a logarithmic scale, so that body and tail both have a shape. */
static double bar_ratio(double lo, double hi)
{
	double ratio = pow(hi / lo, 1.0 / BARS);
	return ratio < 1.02 ? 1.02 : ratio;
}

/* One row: from this latency on, up to the next row's. */
static void bar_row(const struct page *p, double from, uint64_t count, uint64_t most)
{
	char text[32], bar[256];
	int columns = p->width - 28 < 60 ? p->width - 28 : 60;
	page_right(format_ns(summary_ns(p->sum, from), text, sizeof(text)), LABEL + 2);
	printf(" %s│%s%s%s", page_ink(p, INK_DIM), page_ink(p, INK_BAR), term_bar((double)count / (double)most, columns, bar, sizeof(bar)), page_plain(p));
	printf("%s%7.2f %%%s\n", page_ink(p, INK_DIM), 100 * (double)count / (double)p->sum->service.n, page_plain(p));
}

static void histogram(const struct page *p)
{
	const struct dist *d = &p->sum->service;
	if (d->n < 20)
		return;
	double lo = (double)dist_quantile(d, 0.001), hi = (double)dist_quantile(d, 0.999);
	if (lo < 1)
		lo = 1;
	double ratio = bar_ratio(lo, hi > lo ? hi : lo + 1);
	uint64_t count[BARS], most = 1;
	for (int i = 0; i < BARS; i++) {
		/* The first row takes all that is below, the last one all that is above. */
		double from = i ? lo * pow(ratio, i) : 0;
		double to = i < BARS - 1 ? lo * pow(ratio, i + 1) : INFINITY;
		count[i] = dist_count(d, from, to);
		most = count[i] > most ? count[i] : most;
	}
	putchar('\n');
	for (int i = 0; i < BARS; i++)
		bar_row(p, i ? lo * pow(ratio, i) : (double)d->min, count[i], most);
}

static void latency(const struct page *p)
{
	static const char *const names[SUMMARY_OPS] = { "read", "write", "flush", "discard" };
	const struct summary *sum = p->sum;
	page_heading(p, "Latency");
	if (!sum->service.n && sum->counts.errors) {
		char n[32];
		printf("  %snone of %s I/Os went well%s\n", page_ink(p, INK_BAD), page_grouped(sum->counts.errors, n, sizeof(n)), page_plain(p));
		return;
	}
	if (!sum->service.n) {
		printf("  no I/O of this run's window is in the database\n");
		return;
	}
	rate_line(p);
	putchar('\n');
	latency_head(p);
	latency_row(p, "service", &sum->service);
	latency_row(p, "response", &sum->response);
	for (int i = 0; i < SUMMARY_OPS; i++)
		latency_row(p, names[i], &sum->op[i]);
	/* That neighbours resemble each other is told by blocks and repeats, which are mine's. */
	printf("  %swhat this run's requests took; how sure that is: `bifocal mine latency -o DIR`%s\n", page_ink(p, INK_DIM), page_plain(p));
	if (sum->service.hist)
		printf("  %squantiles by histogram, within 0.2 %%: more than %d I/Os%s\n", page_ink(p, INK_DIM), DIST_EXACT_MAX, page_plain(p));
	histogram(p);
}

/* ---- losses ---- */

static const char *loss_text(const char *name)
{
	static const struct { const char *name, *text; } table[] = {
#define LOSS(n, t) { #n, t },
		LOSS_TABLE(LOSS)
#undef LOSS
		{ "collector", "collectors that died while the run was under way" },
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (!strcmp(table[i].name, name))
			return table[i].text;
	return name;
}

static void losses(const struct page *p)
{
	bool any = false;
	char n[32];
	page_heading(p, "Losses");
	for (size_t i = 0; i < p->a->n; i++) {
		const struct attr *it = &p->a->item[i];
		if (strncmp(it->key, "lost.", 5) || !strcmp(it->text, "0"))
			continue;
		any = true;
		printf("  %s", page_ink(p, INK_WARN));
		page_right(it->text, LABEL);
		printf("%s  %s\n", page_plain(p), loss_text(it->key + 5));
	}
	struct facts f;
	facts_begin(&f, p, "account");
	if (!any)
		fact(&f, "%snothing lost%s", page_ink(p, INK_GOOD), page_plain(p));
	if (attrs_get(p->a, "window.issued"))
		fact(&f, "%s I/Os issued", page_grouped(attrs_u64(p->a, "window.issued"), n, sizeof(n)));
	else
		fact(&f, attrs_get(p->a, "window.start") ? "the guest never said how many I/Os it issued" : "no window was opened");
	if (p->sum->counts.seen)
		fact(&f, "%s in the database, %.1f bytes each", page_grouped(p->sum->counts.seen, n, sizeof(n)),
		     (double)p->sum->io_bytes / (double)p->sum->counts.seen);
	if (p->sum->counts.seen || attrs_get(p->a, "window.issued"))
		fact(&f, "%s of them in the ramp, not counted", page_grouped(p->sum->counts.ramp, n, sizeof(n)));
	if (attrs_u64(p->a, "window.verified") || attrs_u64(p->a, "window.verify_bad")) {
		fact(&f, "%s blocks verified", page_grouped(attrs_u64(p->a, "window.verified"), n, sizeof(n)));
		fact(&f, "%s bad", page_grouped(attrs_u64(p->a, "window.verify_bad"), n, sizeof(n)));
	}
	facts_end();
}

void show_text(const struct summary *sum, const struct attrs *a, const struct attribution *at)
{
	const struct page p = { sum, a, at, term_width(STDOUT_FILENO), term_colour(STDOUT_FILENO) };
	title(&p);
	load_line(&p);
	disk_line(&p);
	machine_lines(&p);
	if (sum->run.status != RUN_FAILED || sum->service.n) {
		latency(&p);
		show_phases(&p);
		show_account(&p);
		show_probes(&p);
		show_clock(&p);
	}
	losses(&p);
}
