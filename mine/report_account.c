/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands behind the figures: CPU cost, clocks, losses, provenance. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "common/clock_tier.h"
#include "mine/chart/text.h"
#include "mine/emit.h"
#include "mine/report.h"

/* The label of the group that a run belongs to. */
static const struct series_look *look_of(const struct analysis *a, const struct mine_run *r)
{
	for (size_t g = 0; g < a->data.groups; g++)
		for (size_t i = 0; i < a->data.group[g].runs; i++)
			if (a->data.group[g].run[i] == r)
				return &a->look[g];
	return &a->look[0];
}

void report_run_head(FILE *f, uint64_t run, const char *label)
{
	fprintf(f, "<tr><th>%llu</th><td class=\"text\" data-name=\"Configuration\">", (unsigned long long)run);
	html_text(f, label);
	fputs("</td>", f);
}

static void run_head(FILE *f, const struct analysis *a, const struct mine_run *r)
{
	report_run_head(f, r->meta.run, look_of(a, r)->label);
}

/* Reads and writes of one run are two series and one run. */
static bool is_new_run(const struct analysis *a, size_t i)
{
	return !i || a->data.run[i].meta.run != a->data.run[i - 1].meta.run;
}

/* Long lists fold away. */
enum { RUNS_SHOWN = 8 };

void report_open_runs(FILE *f, size_t runs, const char *what)
{
	if (runs > RUNS_SHOWN)
		fprintf(f, "<details><summary>%s of each of the %zu runs</summary>\n", what, runs);
	fputs("<div class=\"scroll\"><table class=\"cards\"><thead><tr><th>Run</th><th class=\"text\">Configuration</th>", f);
}

void report_close_runs(FILE *f, size_t runs)
{
	fputs("</tbody></table></div>\n", f);
	if (runs > RUNS_SHOWN)
		fputs("</details>\n", f);
}

/* ---- CPU ---- */

static bool has_name(const struct cpu_share *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].name, name) == 0)
			return true;
	return false;
}

/* Names over all groups, in order of appearance. */
static size_t all_names(const struct analysis *a, bool host, struct cpu_share out[CPU_ROLES_MAX])
{
	size_t n = 0;
	for (size_t g = 0; g < a->data.groups; g++) {
		const struct cpu_account *c = &a->cpu[g];
		const struct cpu_share *list = host ? c->host : c->guest;
		for (size_t i = 0; i < (host ? c->n_host : c->n_guest) && n < CPU_ROLES_MAX; i++)
			if (!has_name(out, n, list[i].name))
				out[n++] = list[i];
	}
	return n;
}

static void share_cell(FILE *f, const struct cpu_account *c, bool host, const char *name)
{
	const struct cpu_share *list = host ? c->host : c->guest;
	for (size_t i = 0; i < (host ? c->n_host : c->n_guest); i++) {
		if (strcmp(list[i].name, name) != 0)
			continue;
		char value[96];
		struct estimate cost = { .value = cpu_ns_per_request(c, &list[i]) };
		text_estimate_ns(cost, value, sizeof(value), NULL, 0);
		fputs("<td data-name=\"", f);
		html_text(f, name);
		if (host)
			fprintf(f, "\">%s<small>%.1f&nbsp;%% of a CPU</small></td>", value, list[i].cpus * 100);
		else
			fprintf(f, "\">%.1f&nbsp;%%</td>", list[i].cpus * 100);
		return;
	}
	fputs("<td class=\"few\" data-name=\"", f);
	html_text(f, name);
	fputs("\">–</td>", f);
}

static void cpu_table(FILE *f, const struct analysis *a, bool host, const struct cpu_share *names, size_t n)
{
	fprintf(f, "<div class=\"scroll\"><table class=\"cards%s\"><thead><tr><th>%s</th>", n < 3 ? " narrow" : "",
		host ? "Host CPU time a request, by QEMU’s threads" : "Guest CPU time, all vCPUs together");
	for (size_t i = 0; i < n; i++) {
		fputs("<th>", f);
		html_text(f, names[i].name);
		fputs("</th>", f);
	}
	fputs("</tr></thead>\n<tbody>\n", f);
	for (size_t g = 0; g < a->data.groups; g++) {
		fputs("<tr><th>", f);
		report_label(f, &a->look[g]);
		fputs("</th>", f);
		for (size_t i = 0; i < n; i++)
			share_cell(f, &a->cpu[g], host, names[i].name);
		fputs("</tr>\n", f);
	}
	fputs("</tbody></table></div>\n", f);
}

void report_cpu(FILE *f, const struct analysis *a)
{
	struct cpu_share host[CPU_ROLES_MAX], guest[CPU_ROLES_MAX];
	size_t n_host = all_names(a, true, host), n_guest = all_names(a, false, guest);
	if (!n_host && !n_guest) {
		fputs("<p class=\"muted\">No samples of probe “cpu” lie within these runs’ windows. "
		      "<code>bifocal run --probe cpu</code> takes them.</p>\n", f);
		return;
	}
	if (n_host)
		cpu_table(f, a, true, host, n_host);
	if (n_host && n_guest)
		fputs("<p></p>\n", f);
	if (n_guest)
		cpu_table(f, a, false, guest, n_guest);
	fputs("<p class=\"hint after\">From the probe’s counters within the counted window, reads and writes together; 100&nbsp;% is "
	      "one CPU all the time. The guest’s kernel counts in ticks of 10&nbsp;ms.</p>\n", f);
}

/* ---- clock ---- */

static void clock_row(FILE *f, const struct analysis *a, const struct mine_run *r)
{
	run_head(f, a, r);
	if (!r->epochs) {
		fputs("<td class=\"text\" data-name=\"Tier\">none</td><td data-name=\"Bound\">unknown</td><td data-name=\"Epochs\">0</td></tr>\n", f);
		return;
	}
	char value[96];
	text_bound_ns(r->bound_ns, value, sizeof(value));
	fprintf(f, "<td class=\"text\" data-name=\"Tier\">%s</td><td data-name=\"Bound\">±&nbsp;%s</td><td data-name=\"Epochs\">%u</td></tr>\n",
		clock_tier_name(r->tier), value, r->epochs);
}

/* "exchange, ±20.1 µs to ±22.4 µs" in a sentence. */
static void say_bounds(FILE *f, const struct analysis *a)
{
	double least = INFINITY, most = 0;
	size_t n = 0;
	for (size_t i = 0; i < a->data.runs; i++) {
		const struct mine_run *r = &a->data.run[i];
		if (!r->epochs)
			continue;
		least = fmin(least, r->bound_ns);
		most = fmax(most, r->bound_ns);
		n++;
	}
	if (!n) {
		fputs("<p>No run here has related the two clocks.</p>\n", f);
		return;
	}
	char from[96], to[96];
	text_bound_ns(least, from, sizeof(from));
	text_bound_ns(most, to, sizeof(to));
	fprintf(f, "<p>The guest’s clock is known against the host’s to within ±&nbsp;%s", from);
	if (strcmp(from, to) != 0)
		fprintf(f, " to ±&nbsp;%s", to);
	fputs(", by what the two sides told each other; the requests themselves may narrow it, as the template “attribution” shows. "
	      "The latencies above are differences of the guest’s clock alone and carry none of it; "
	      "every figure that crosses to the host’s clock does.</p>\n", f);
}

void report_clock(FILE *f, const struct analysis *a)
{
	say_bounds(f, a);
	report_open_runs(f, a->data.runs, "Tier and bound");
	fputs("<th class=\"text\">Tier</th><th>Bound</th><th>Epochs</th></tr></thead>\n<tbody>\n", f);
	for (size_t i = 0; i < a->data.runs; i++)
		if (is_new_run(a, i))
			clock_row(f, a, &a->data.run[i]);
	report_close_runs(f, a->data.runs);
}

/* ---- losses ---- */

static double count_attr(const struct mine_run *r, const char *a, const char *b)
{
	double v;
	return run_attr_number(r, a, &v) || run_attr_number(r, b, &v) ? v : NAN;
}

void report_count_cell(FILE *f, const char *name, double v)
{
	char text[64];
	fprintf(f, "<td data-name=\"%s\">%s</td>", name, isfinite(v) ? text_count(v, text, sizeof(text)) : "–");
}

/* Little's law: requests in flight = rate × latency. What is asked for is known where load is closed-loop. */
static void flight_cell(FILE *f, const struct mine_run *r)
{
	double depth, jobs, sum = 0;
	for (size_t i = 0; i < r->n; i++)
		sum += (double)r->latency[i];
	double flight = r->seconds > 0 ? sum / 1e9 / r->seconds : 0;
	fprintf(f, "<td data-name=\"In flight\">%.2f", flight);
	if (!r->op && !r->response && run_attr_number(r, "workload.iodepth", &depth)) {
		if (!run_attr_number(r, "workload.numjobs", &jobs))
			jobs = 1;
		/* DESIGN and the statistics page ask for a flag above 5 %. */
		double off = flight / (depth * jobs) - 1;
		fprintf(f, "<small>of %g%s</small>", depth * jobs, fabs(off) > 0.05 ? ", off by more than 5&nbsp;%" : "");
	}
	fputs("</td>", f);
}

static void lost_cell(FILE *f, const struct mine_run *r)
{
	bool any = false;
	fputs("<td class=\"text\" data-name=\"Lost\">", f);
	for (size_t i = 0; i < r->n_attr; i++) {
		const struct attr *at = &r->attr[i];
		if (strncmp(at->key, "lost.", 5) != 0 || strcmp(at->text, "0") == 0)
			continue;
		fputs(any ? ", " : "", f);
		html_text(f, at->key + 5);
		putc(' ', f);
		html_text(f, at->text);
		any = true;
	}
	if (r->impossible)
		fprintf(f, "%s%llu reaped before submitted", any ? ", " : "", (unsigned long long)r->impossible);
	fputs(any || r->impossible ? "</td>" : "nothing</td>", f);
}

static bool lost_any(const struct mine_run *r)
{
	for (size_t i = 0; i < r->n_attr; i++)
		if (strncmp(r->attr[i].key, "lost.", 5) == 0 && strcmp(r->attr[i].text, "0") != 0)
			return true;
	return r->impossible || r->failed;
}

/* What attribution could not use of the vantages' streams; the runs' own account has what never arrived. */
static uint64_t sightings_lost(const struct analysis *a)
{
	uint64_t n = 0;
	for (size_t i = 0; i < a->phases.n; i++)
		for (unsigned v = VANTAGE_GUEST; v <= VANTAGE_HOST; v++)
			n += a->phases.of[i]->vantage[v].lost;
	return n;
}

static void say_losses(FILE *f, const struct analysis *a)
{
	const uint64_t sightings = sightings_lost(a);
	size_t lost = 0, runs = 0;
	bool counted = false;
	for (size_t i = 0; i < a->data.runs; i++) {
		runs += is_new_run(a, i);
		counted &= !is_new_run(a, i);
		if (!counted && lost_any(&a->data.run[i])) {
			lost++;
			counted = true;
		}
	}
	if (lost)
		fprintf(f, "<p>In %zu of %zu run%s something failed or was lost; it is counted below.</p>\n", lost, runs, runs == 1 ? "" : "s");
	else
		fprintf(f, "<p>%s was lost, and no request failed.</p>\n", sightings ? "No record" : "Nothing");
	if (sightings)
		fprintf(f, "<p>Of what the vantages saw, %llu sighting%s lost; the account of requests has them by run and vantage.</p>\n",
			(unsigned long long)sightings, sightings == 1 ? " was" : "s were");
}

static void loss_row(FILE *f, const struct analysis *a, const struct mine_run *r, bool flushes)
{
	run_head(f, a, r);
	report_count_cell(f, "Issued", count_attr(r, "requests.issued", "window.issued"));
	report_count_cell(f, "Recorded", count_attr(r, "requests.recorded", "window.recorded"));
	report_count_cell(f, "Counted", (double)r->n);
	report_count_cell(f, "Ramp", (double)r->n_ramp);
	if (flushes)
		report_count_cell(f, "Flushes", (double)r->flushes);
	report_count_cell(f, "Failed", (double)r->failed);
	flight_cell(f, r);
	lost_cell(f, r);
	fputs("</tr>\n", f);
}

void report_loss(FILE *f, const struct analysis *a)
{
	bool flushes = false;
	for (size_t i = 0; i < a->data.runs; i++)
		flushes |= a->data.run[i].flushes > 0;
	say_losses(f, a);
	report_open_runs(f, a->data.runs, "The account");
	fprintf(f, "<th>Issued</th><th>Recorded</th><th>Counted</th><th>Ramp</th>%s<th>Failed</th>"
		"<th>In flight</th><th class=\"text\">Lost</th></tr></thead>\n<tbody>\n", flushes ? "<th>Flushes</th>" : "");
	for (size_t i = 0; i < a->data.runs; i++)
		loss_row(f, a, &a->data.run[i], flushes);
	report_close_runs(f, a->data.runs);
	fputs("<p class=\"hint after\">In flight: rate times mean latency (Little’s law), beside what the workload asked "
	      "for; where it is less, the load generator spent time between reaping and submitting.", f);
	if (flushes)
		fputs(" Flushes are recorded, and not among the latencies here; <code>bifocal show</code> has theirs.", f);
	fputs("</p>\n", f);
}

/* ---- provenance ---- */

static void write_utc(FILE *f, uint64_t ns)
{
	time_t t = (time_t)(ns / 1000000000);
	struct tm tm;
	char text[40];
	if (gmtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm))
		fputs(text, f);
}

static void run_row(FILE *f, const struct analysis *a, const struct mine_run *r)
{
	run_head(f, a, r);
	fprintf(f, "<td class=\"text\" data-name=\"Status\">%s</td><td data-name=\"Begun (UTC)\">", run_status_name(r->meta.status));
	write_utc(f, r->meta.created_ns);
	fprintf(f, "</td><td data-name=\"Counted window\">%.2f&nbsp;s</td></tr>\n", r->seconds);
}

static bool wanted(const char *key)
{
	static const char *const prefix[] = { "config.", "workload.", "prov." };
	for (size_t i = 0; i < sizeof(prefix) / sizeof(*prefix); i++)
		if (strncmp(key, prefix[i], strlen(prefix[i])) == 0)
			return true;
	return false;
}

/* What all runs share, once. */
static void shared_list(FILE *f, const struct analysis *a)
{
	const struct mine_run *r = &a->data.run[0];
	fputs("<dl>\n", f);
	for (size_t i = 0; i < r->n_attr; i++) {
		if (!wanted(r->attr[i].key) || !dataset_common(&a->data, r->attr[i].key))
			continue;
		fputs("<dt>", f);
		html_text(f, r->attr[i].key);
		fputs("</dt><dd>", f);
		html_text(f, *r->attr[i].text ? r->attr[i].text : "–");
		fputs("</dd>\n", f);
	}
	fputs("</dl>\n", f);
}

static void own_list(FILE *f, const struct analysis *a, const struct mine_run *r)
{
	fprintf(f, "<details><summary>Run %llu, what only it has</summary>\n<dl>\n", (unsigned long long)r->meta.run);
	for (size_t i = 0; i < r->n_attr; i++) {
		if (!wanted(r->attr[i].key) || dataset_common(&a->data, r->attr[i].key))
			continue;
		fputs("<dt>", f);
		html_text(f, r->attr[i].key);
		fputs("</dt><dd>", f);
		html_text(f, r->attr[i].text);
		fputs("</dd>\n", f);
	}
	fputs("</dl></details>\n", f);
}

void report_provenance(FILE *f, const struct analysis *a)
{
	report_open_runs(f, a->data.runs, "Status and time");
	fputs("<th class=\"text\">Status</th><th>Begun (UTC)</th><th>Counted window</th></tr></thead>\n<tbody>\n", f);
	for (size_t i = 0; i < a->data.runs; i++)
		run_row(f, a, &a->data.run[i]);
	report_close_runs(f, a->data.runs);
	fputs("<details><summary>What all runs share</summary>\n", f);
	shared_list(f, a);
	fputs("</details>\n", f);
	for (size_t i = 0; a->data.runs > 1 && i < a->data.runs; i++)
		if (is_new_run(a, i))
			own_list(f, a, &a->data.run[i]);
}
