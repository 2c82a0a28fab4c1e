/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A study on its way: one run after another, a line for each, an exit code for all. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/units.h"
#include "host/json.h"
#include "host/run/owncost.h"
#include "host/run/stop.h"
#include "host/run/study.h"
#include "host/run/summary.h"

struct outcome {
	unsigned complete, partial, failed;
	uint64_t first, last;          /* run numbers */
	bool interrupted;
	json_t *runs;                  /* NULL: text */
	struct own_cost *own_cost;     /* NULL: not asked for */
};

/* "disk.bus=ahci workload.iodepth=8" → "disk.bus=ahci iodepth=8": nobody types the long form. */
static void shorten(const char *cell, char *dst, size_t cap)
{
	static const char prefix[] = "workload.";
	size_t used = 0;
	for (const char *p = cell; *p && used + 1 < cap;) {
		if ((p == cell || p[-1] == ' ') && !strncmp(p, prefix, sizeof(prefix) - 1)) {
			p += sizeof(prefix) - 1;
			continue;
		}
		dst[used++] = *p++;
	}
	dst[used] = 0;
}

static void quantile_text(const struct summary *sum, double q, char *dst, size_t cap)
{
	if (quantile_supported(sum->service.n, q))
		format_ns(summary_ns(sum, (double)dist_quantile(&sum->service, q)), dst, cap);
	else
		snprintf(dst, cap, "n too small");
}

static void print_line(const struct run_result *res, const char *cell, const struct summary *sum)
{
	char p50[32], p99[32];
	if (!sum->counts.counted) {
		printf("run %-4llu %-36s %s  %s\n", (unsigned long long)res->run, *cell ? cell : "single cell",
		       sum->counts.errors ? "no I/O went well" : "no I/O recorded", run_status_name(res->status));
		return;
	}
	quantile_text(sum, 0.50, p50, sizeof(p50));
	quantile_text(sum, 0.99, p99, sizeof(p99));
	printf("run %-4llu %-36s n %-8llu %8.0f IOPS  p50 %-9s p99 %-9s%s%s\n", (unsigned long long)res->run, *cell ? cell : "single cell",
	       (unsigned long long)sum->counts.counted, summary_iops(sum), p50, p99,
	       res->status == RUN_COMPLETE ? "" : "  ", res->status == RUN_COMPLETE ? "" : run_status_name(res->status));
	fflush(stdout);
}

static void add_json(struct outcome *o, const struct run_result *res, const char *cell, const struct study_run *r, const struct summary *sum)
{
	json_t *run = json_object();
	json_object_set_new(run, "run", json_integer((json_int_t)res->run));
	json_object_set_new(run, "status", json_string(run_status_name(res->status)));
	json_object_set_new(run, "cell", json_assignments(cell));
	json_object_set_new(run, "repeat", json_integer(r->repeat));
	if (sum) {
		json_object_set_new(run, "count", json_integer((json_int_t)sum->counts.counted));
		json_object_set_new(run, "iops", json_real(summary_iops(sum)));
		json_object_set_new(run, "p50_ns", json_quantile(sum, &sum->service, 0.50));
		json_object_set_new(run, "p99_ns", json_quantile(sum, &sum->service, 0.99));
	}
	if (res->error.code)
		json_object_set_new(run, "error", json_string(res->error.text));
	json_array_append_new(o->runs, run);
}

static void report_run(struct outcome *o, struct store *store, const struct run_result *res, const char *cell, const struct study_run *r)
{
	struct summary sum;
	char brief[STUDY_CELL_TEXT];
	bool have = res->status != RUN_FAILED && !summary_load(store, res->run, &sum, NULL);
	shorten(cell, brief, sizeof(brief));
	if (have && o->own_cost)
		own_cost_add(o->own_cost, cell, r->repeat, &sum);
	if (o->runs)
		add_json(o, res, cell, r, have ? &sum : NULL);
	else if (have)
		print_line(res, brief, &sum);
	if (res->error.code)
		fprintf(stderr, "bifocal: run %llu%s%s%s: %s\n", (unsigned long long)res->run, *brief ? " (" : "", brief, *brief ? ")" : "", res->error.text);
	if (have)
		summary_fini(&sum);
}

static void tally(struct outcome *o, const struct run_result *res)
{
	o->complete += res->status == RUN_COMPLETE;
	o->partial += res->status == RUN_PARTIAL;
	o->failed += res->status == RUN_FAILED;
	o->interrupted |= res->error.code == ERR_INTERRUPTED;
	o->first = o->first ? o->first : res->run;
	o->last = res->run ? res->run : o->last;
}

static int execute_one(struct study *st, struct runner *runner, const struct study_run *r, unsigned place, struct outcome *o, struct error *err)
{
	struct config config;
	struct run_result res;
	char cell[STUDY_CELL_TEXT], brief[STUDY_CELL_TEXT];
	if (study_cell(st, r->cell, &config, cell, sizeof(cell), err))
		return -1;
	const struct run_request req = {
		.config = &config, .cell = cell, .repeat = r->repeat, .place = place, .seed = study_run_seed(st, r),
		.disk = st->disk, .events = &st->events, .destructive = st->destructive, .control = st->control, .data = st->data, .greet_ns = st->greet_ns,
	};
	shorten(cell, brief, sizeof(brief));
	progress_run(&runner->progress, place + 1, brief);
	run_one(runner, &req, &res);
	progress_clear(&runner->progress);
	tally(o, &res);
	if (!res.run) {
		*err = res.error;
		return -1;
	}
	report_run(o, runner->store, &res, cell, r);
	return 0;
}

/* A first run that fails is what all would do; once some have worked, one that fails is a finding. */
static bool goes_on(const struct outcome *o)
{
	return !o->interrupted && !stop_signal() && !(o->failed && !o->complete && !o->partial);
}

static int exit_of(const struct outcome *o)
{
	if (o->failed || o->interrupted)
		return EXIT_FAILED;
	return o->partial ? EXIT_PARTIAL : EXIT_DONE;
}

static void print_end(const struct outcome *o, const struct runner *runner, uint64_t seed)
{
	static const char *const words[] = { [EXIT_DONE] = "complete", [EXIT_FAILED] = "failed", [EXIT_PARTIAL] = "partial" };
	if (o->runs) {
		json_t *out = json_object();
		json_object_set_new(out, "study", json_integer((json_int_t)runner->study));
		json_object_set_new(out, "status", json_string(words[exit_of(o)]));
		json_object_set_new(out, "seed", json_integer((json_int_t)seed));
		json_object_set_new(out, "database", json_string(store_path(runner->store)));
		json_object_set(out, "runs", o->runs);
		if (o->own_cost)
			json_object_set_new(out, "own_cost", own_cost_json(o->own_cost));
		json_print(out);
		return;
	}
	if (!o->last || !(o->complete + o->partial))
		return;
	if (o->own_cost)
		own_cost_print(o->own_cost, stdout);
	if (o->first == o->last)
		printf("\nRun %llu is in %s; `bifocal show %llu` shows it.\n", (unsigned long long)o->last, store_path(runner->store), (unsigned long long)o->last);
	else
		printf("\nRuns %llu to %llu are in %s; `bifocal show RUN` shows one,\n"
		       "`bifocal mine latency --where study=%llu -o DIR` draws all, and `mine attribution` where the time went.\n",
		       (unsigned long long)o->first, (unsigned long long)o->last, store_path(runner->store), (unsigned long long)runner->study);
}

int study_execute(struct study *st, struct store *store, const char *command, bool json, struct error *err)
{
	size_t n = study_cells(st) * st->repeats;
	struct runner runner = { .store = store, .plugins = &st->plugins, .command = command };
	struct outcome o = { 0 };
	int failed = 0;
	autofree struct study_run *order = study_order(st, err);
	if (!order || (st->self_check && !(o.own_cost = own_cost_new(err))))
		return -1;
	o.runs = json ? json_array() : NULL;
	stop_watch();
	progress_init(&runner.progress, (unsigned)n);
	size_t done = 0;
	for (; done < n && !failed && goes_on(&o); done++)
		failed = execute_one(st, &runner, &order[done], (unsigned)done, &o, err);
	o.interrupted |= done < n && stop_signal();
	print_end(&o, &runner, st->seed);
	json_decref(o.runs);
	own_cost_free(o.own_cost);
	return failed ? -1 : exit_of(&o);
}

/* ---- --dry-run ---- */

static json_t *plan_json(const struct study *st, const struct study_run *order, size_t n)
{
	json_t *runs = json_array();
	for (size_t i = 0; i < n; i++) {
		struct config c;
		char cell[STUDY_CELL_TEXT], workload[WORKLOAD_TEXT_MAX];
		if (study_cell(st, order[i].cell, &c, cell, sizeof(cell), NULL))
			continue;
		json_t *run = json_object();
		json_object_set_new(run, "cell", json_assignments(cell));
		json_object_set_new(run, "repeat", json_integer(order[i].repeat));
		json_object_set_new(run, "workload", json_string(workload_print(&c.workload, workload, sizeof(workload))));
		json_array_append_new(runs, run);
	}
	return runs;
}

/* The keys that are not at their defaults: "rw=randwrite runtime=3s". */
static char *changed_keys(const struct workload *w, char *dst, size_t cap)
{
	struct workload plain;
	size_t used = 0;
	workload_default(&plain);
	dst[0] = 0;
	for (const struct workload_key *k = workload_keys(); k->key; k++) {
		char is[64], was[64];
		if (strcmp(workload_get(w, k->key, is, sizeof(is)), workload_get(&plain, k->key, was, sizeof(was))) && used < cap)
			used += (size_t)snprintf(dst + used, cap - used, "%s%s=%s", used ? " " : "", k->key, is);
	}
	return dst;
}

static double load_seconds(const struct study *st, const struct study_run *order, size_t n)
{
	double ns = 0;
	for (size_t i = 0; i < n; i++) {
		struct config c;
		char cell[STUDY_CELL_TEXT];
		if (!study_cell(st, order[i].cell, &c, cell, sizeof(cell), NULL))
			ns += (double)(c.workload.runtime + c.workload.ramp_time);
	}
	return ns / 1e9;
}

int study_print(const struct study *st, bool json, struct error *err)
{
	size_t n = study_cells(st) * st->repeats;
	autofree struct study_run *order = study_order(st, err);
	if (!order)
		return -1;
	if (json) {
		json_t *out = json_object();
		json_object_set_new(out, "dry_run", json_true());
		json_object_set_new(out, "seed", json_integer((json_int_t)st->seed));
		json_object_set_new(out, "load_seconds", json_real(load_seconds(st, order, n)));
		json_object_set_new(out, "runs", plan_json(st, order, n));
		json_print(out);
		return EXIT_DONE;
	}
	printf("%zu run%s: %zu cell%s, %u time%s each; %.1f s of load, seed %llu\n", n, n == 1 ? "" : "s", study_cells(st),
	       study_cells(st) == 1 ? "" : "s", st->repeats, st->repeats == 1 ? "" : "s", load_seconds(st, order, n), (unsigned long long)st->seed);
	for (size_t i = 0; i < n; i++) {
		struct config c;
		char cell[STUDY_CELL_TEXT], brief[STUDY_CELL_TEXT], workload[WORKLOAD_TEXT_MAX];
		if (study_cell(st, order[i].cell, &c, cell, sizeof(cell), err))
			return -1;
		shorten(cell, brief, sizeof(brief));
		printf("%4zu. %-40s %s\n", i + 1, *brief ? brief : "single cell", changed_keys(&c.workload, workload, sizeof(workload)));
	}
	return EXIT_DONE;
}
