/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bifocal show RUN, bifocal list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "host/args.h"
#include "host/cmd.h"
#include "host/json.h"
#include "host/open.h"
#include "host/show.h"

static int show(struct store *s, uint64_t run, bool json, struct error *err)
{
	struct summary sum;
	struct attrs a;
	if (summary_load(s, run, &sum, err))
		return -1;
	if (attrs_load(&a, s, sum.run.run, err)) {
		summary_fini(&sum);
		return -1;
	}
	if (json)
		json_print(show_json(&sum, &a));
	else
		show_text(&sum, &a);
	attrs_fini(&a);
	summary_fini(&sum);
	return EXIT_DONE;
}

int cmd_show(int argc, char **argv, struct error *err)
{
	bool json = false;
	const char *db = NULL;
	const struct arg_option options[] = {
		ARG_DB(&db),
		ARG_JSON(&json),
		{ 0 },
	};
	const struct arg_spec spec = { "show", "RUN|last", "One run: latency, CPU time, clock and losses.", options, 1, 1, NULL };
	struct args rest;
	uint64_t run;
	int r = args_parse(&spec, argc, argv, &rest, err);
	if (r)
		return r < 0 ? -1 : EXIT_DONE;
	if (parse_run(rest.operand[0], &run, err))
		return -1;
	struct store *s = open_database(db, STORE_READ, err);
	if (!s)
		return -1;
	int code = show(s, run, json, err);
	store_close(s);
	return code;
}

/* ---- list ---- */

struct list {
	struct store *store;
	json_t *json;                  /* NULL: text */
	unsigned n;
};

static void list_text(struct list *l, const struct store_run *r, const char *rw, const char *bs, const char *what)
{
	char when[32];
	time_t t = (time_t)(r->created_ns / 1000000000);
	struct tm tm;
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", localtime_r(&t, &tm));
	if (!l->n)
		printf("%6s %6s  %-9s %-19s  %8s  %-15s %s\n", "RUN", "STUDY", "STATUS", "BEGUN", "I/OS", "LOAD", "CELL");
	char load[64];
	snprintf(load, sizeof(load), "%s %s", bs, rw);
	printf("%6llu %6llu  %-9s %-19s  %8llu  %-15s %s\n", (unsigned long long)r->run, (unsigned long long)r->study, run_status_name(r->status), when,
	       (unsigned long long)summary_attr_u64(l->store, r->run, "window.issued"), load, what);
}

static void list_json(struct list *l, const struct store_run *r, const char *cell)
{
	json_t *o = json_object();
	json_object_set_new(o, "run", json_integer((json_int_t)r->run));
	json_object_set_new(o, "study", json_integer((json_int_t)r->study));
	json_object_set_new(o, "status", json_string(run_status_name(r->status)));
	json_object_set_new(o, "created_ns", json_integer((json_int_t)r->created_ns));
	json_object_set_new(o, "issued", json_integer((json_int_t)summary_attr_u64(l->store, r->run, "window.issued")));
	json_object_set_new(o, "cell", json_assignments(cell));
	json_array_append_new(l->json, o);
}

static int list_one(void *ctx, const struct store_run *r)
{
	struct list *l = ctx;
	autofree char *cell = store_attr(l->store, r->run, "study.cell", NULL);
	autofree char *rw = store_attr(l->store, r->run, "workload.rw", NULL);
	autofree char *bs = store_attr(l->store, r->run, "workload.bs", NULL);
	if (l->json)
		list_json(l, r, cell ? cell : "");
	else
		list_text(l, r, rw ? rw : "", bs ? bs : "", cell ? cell : "");
	l->n++;
	return 0;
}

int cmd_list(int argc, char **argv, struct error *err)
{
	bool json = false;
	const char *db = NULL;
	const struct arg_option options[] = {
		ARG_DB(&db),
		ARG_JSON(&json),
		{ 0 },
	};
	const struct arg_spec spec = { "list", "", "The runs in the database.", options, 0, 0, NULL };
	struct args rest;
	int r = args_parse(&spec, argc, argv, &rest, err);
	if (r)
		return r < 0 ? -1 : EXIT_DONE;
	struct store *s = open_database(db, STORE_READ, err);
	if (!s)
		return -1;
	struct list l = { .store = s, .json = json ? json_array() : NULL };
	int failed = store_each_run(s, list_one, &l, err);
	if (json && !failed)
		json_print(json_pack("{s:s, s:O}", "database", store_path(s), "runs", l.json));
	else if (!failed && !l.n)
		printf("%s: no runs yet; `bifocal run` makes some\n", store_path(s));
	json_decref(l.json);
	store_close(s);
	return failed ? -1 : EXIT_DONE;
}
