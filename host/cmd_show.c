/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bifocal show RUN, bifocal list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attribute/attribute.h"
#include "common/cleanup.h"
#include "common/units.h"
#include "host/args.h"
#include "host/cmd.h"
#include "host/json.h"
#include "host/open.h"
#include "host/show.h"
#include "host/term.h"

/* What is shown, and how. */
struct view {
	struct store *store;
	struct summary sum;
	struct attrs attrs;
	struct attribution *at;
	bool json;
};

/* ---- one request ---- */

struct pick {
	uint64_t index;
	struct attributed *into;
	bool found;
};

static int pick_one(void *ctx, const struct attributed *r)
{
	struct pick *p = ctx;
	if (r->index != p->index)
		return 0;
	*p->into = *r;
	p->found = true;
	return 1;
}

/* By its number among the run's I/O records. */
static int request_by_index(const struct view *v, uint64_t index, struct attributed *out, struct error *err)
{
	struct pick p = { index, out, false };
	unsigned long long run = v->sum.run.run, seen = v->sum.counts.seen;
	if (index >= seen && !seen)
		return error_set(err, ERR_NOT_FOUND, "run %llu has no I/O record at all", run);
	if (index >= seen)
		return error_set(err, ERR_NOT_FOUND, "run %llu has no request %llu: its I/O records are 0 to %llu", run, (unsigned long long)index, seen - 1);
	if (attribute_run(v->store, v->sum.run.run, pick_one, &p, NULL, err) < 0)
		return -1;
	return p.found ? 0 : error_set(err, ERR_CORRUPT, "run %llu: request %llu could not be attributed; `bifocal db check` tells more", run,
				       (unsigned long long)index);
}

static int request_by_role(const struct view *v, unsigned role, struct attributed *out, struct error *err)
{
	unsigned long long run = v->sum.run.run;
	if (v->at->example[role].there) {
		*out = v->at->example[role].r;
		return 0;
	}
	if (role == EXAMPLE_VIOLATION)
		return error_set(err, ERR_NOT_FOUND, "run %llu: no request of it violates causality", run);
	return error_set(err, ERR_NOT_FOUND, "run %llu has no %s request: too few I/Os were matched", run, example_name(role));
}

static int show_request(const struct view *v, const char *which, struct error *err)
{
	const char *names[EXAMPLES + 1] = { 0 };
	struct attributed r;
	uint64_t index;
	unsigned role = 0;
	for (unsigned i = 0; i < EXAMPLES; i++)
		names[i] = example_name(i);
	while (role < EXAMPLES && strcmp(which, names[role]) != 0)
		role++;
	if (role == EXAMPLES && parse_uint(which, 0, UINT64_MAX - 1, &index, NULL))
		return args_unknown(err, "request", which, names, "give its number, counted from 0, or one of typical, p99, worst, violation");
	if (role < EXAMPLES ? request_by_role(v, role, &r, err) : request_by_index(v, index, &r, err))
		return -1;
	const char *word = role < EXAMPLES ? names[role] : "";
	if (v->json)
		json_print(show_request_json(&v->sum, v->at, &r, word));
	else
		show_request_text(&v->sum, &v->attrs, v->at, &r, word);
	return EXIT_DONE;
}

/* ---- the run ---- */

static int view_load(struct view *v, uint64_t run, struct error *err)
{
	if (summary_load(v->store, run, &v->sum, err) || attrs_load(&v->attrs, v->store, v->sum.run.run, err))
		return -1;
	v->at = show_attribution(v->store, v->sum.run.run);
	return 0;
}

static int show(struct view *v, uint64_t run, const char *request, struct error *err)
{
	if (view_load(v, run, err))
		return -1;
	if (!v->json && !term_utf8() && term_ascii_stdout())
		return error_set(err, ERR_LIMIT, "out of memory");
	if (request && !v->at)
		return error_set(err, ERR_FAILED, "run %llu: no request can be shown without attribution", (unsigned long long)v->sum.run.run);
	if (request)
		return show_request(v, request, err);
	if (v->json)
		json_print(show_json(&v->sum, &v->attrs, v->at));
	else
		show_text(&v->sum, &v->attrs, v->at);
	return EXIT_DONE;
}

int cmd_show(int argc, char **argv, struct error *err)
{
	struct view v = { 0 };
	const char *db = NULL, *request = NULL;
	const struct arg_option options[] = {
		{ "request", 'r', ARG_TEXT, "N|WORD", "one request: its number, from 0, or typical, p99, worst, violation", &request },
		ARG_DB(&db),
		ARG_JSON(&v.json),
		{ 0 },
	};
	const struct arg_spec spec = { "show", "RUN|last", "One run: latency, phases, CPU time, clock and losses; or one of its requests.", options, 1, 1, NULL };
	struct args rest;
	uint64_t run;
	int r = args_parse(&spec, argc, argv, &rest, err);
	if (r)
		return r < 0 ? -1 : EXIT_DONE;
	if (parse_run(rest.operand[0], &run, err))
		return -1;
	v.store = open_database(db, STORE_READ, err);
	if (!v.store)
		return -1;
	int code = show(&v, run, request, err);
	attrs_fini(&v.attrs);
	summary_fini(&v.sum);
	free(v.at);
	store_close(v.store);
	return code;
}

/* ---- list ---- */

enum { RESULT_MAX = 4 << 20 };     /* of a packed result, as attribute/ takes it */

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

/* What the stored result says; a run without one costs too much to attribute for a list. */
static void put_matched(struct list *l, json_t *o, uint64_t run)
{
	struct attribution *at = calloc(1, sizeof(*at));
	struct wbuf w;
	wbuf_heap(&w, RESULT_MAX);
	bool have = at && store_result(l->store, run, &w, NULL) > 0 && !attribution_unpack((struct span){ w.p, w.len }, at, NULL);
	json_object_set_new(o, "counted", have ? json_integer((json_int_t)at->counted) : json_null());
	json_object_set_new(o, "matched", have ? json_integer((json_int_t)at->matched) : json_null());
	wbuf_fini(&w);
	free(at);
}

static void list_json(struct list *l, const struct store_run *r, const char *cell)
{
	json_t *o = json_object();
	json_object_set_new(o, "run", json_integer((json_int_t)r->run));
	json_object_set_new(o, "study", json_integer((json_int_t)r->study));
	json_object_set_new(o, "status", json_string(run_status_name(r->status)));
	json_object_set_new(o, "created_ns", json_integer((json_int_t)r->created_ns));
	json_object_set_new(o, "issued", json_integer((json_int_t)summary_attr_u64(l->store, r->run, "window.issued")));
	put_matched(l, o, r->run);
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
