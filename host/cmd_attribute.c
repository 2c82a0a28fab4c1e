/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bifocal attribute RUN…: attribution again, from the raw stamps alone, and whether it says the same as what is stored. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attribute/attribute.h"
#include "common/clock_tier.h"
#include "common/units.h"
#include "host/args.h"
#include "host/cmd.h"
#include "host/json.h"
#include "host/open.h"
#include "host/show.h"
#include "host/term.h"

/* How the result compares with the one that was stored. */
enum outcome { OUTCOME_NEW, OUTCOME_SAME, OUTCOME_CHANGED, OUTCOME_OTHER_VERSION, OUTCOME_UNREADABLE };

static const char *const outcome_names[] = { "new", "same", "changed", "other_version", "unreadable" };
static const char *const outcome_texts[] = {
	"stored: there was no result yet", "the same as stored", "stored: it differs from the one before", "stored: the one before was another version's",
	"stored: the one before could not be read",
};

struct job {
	const char *db;
	struct store *store;
	struct attribution *now, *old;
	struct wbuf packed, stored;
	json_t *list;                  /* NULL: text */
};

/* All but the memory it took is the run's, and must be the same anywhere. */
static int compare(struct job *j, uint64_t run, enum outcome *out, struct error *err)
{
	struct error why = { 0 };
	int have = store_result(j->store, run, &j->stored, &why);
	*out = have ? OUTCOME_UNREADABLE : OUTCOME_NEW;
	if (have < 0 && why.code != ERR_CORRUPT) {
		if (err)
			*err = why;
		return -1;
	}
	struct span before = { j->stored.p, j->stored.len };
	if (have > 0 && !attribution_unpack(before, j->old, &why)) {
		uint64_t peak = j->now->peak_bytes;
		j->now->peak_bytes = j->old->peak_bytes;
		wbuf_reset(&j->packed);
		attribution_pack(&j->packed, j->now);
		j->now->peak_bytes = peak;
		*out = j->packed.len == before.len && !memcmp(j->packed.p, before.p, before.len) ? OUTCOME_SAME : OUTCOME_CHANGED;
	} else if (have > 0 && why.code == ERR_VERSION) {
		*out = OUTCOME_OTHER_VERSION;
	}
	return 0;
}

static int put(struct job *j, uint64_t run, struct error *err)
{
	struct store_batch *b = store_batch_new(j->store, err);
	if (!b)
		return -1;
	wbuf_reset(&j->packed);
	attribution_pack(&j->packed, j->now);
	int failed = j->packed.bad ? error_set(err, ERR_LIMIT, "the result does not fit into memory")
				   : put_result(b, run, (struct span){ j->packed.p, j->packed.len }, err) || store_commit(b, err);
	store_batch_free(b);
	return failed ? -1 : 0;
}

/* A process opens a database once: for writing only when there is something to write, so that a copy that may only be read can be
 * checked, too. */
static int store_result_of(struct job *j, uint64_t run, struct error *err)
{
	store_close(j->store);
	j->store = open_database(j->db, STORE_WRITE, err);
	if (j->store && !put(j, run, err))
		return 0;
	return error_prefix(err, "run %llu was attributed, but its result cannot be stored", (unsigned long long)run);
}

/* ---- saying it ---- */

static json_t *outcome_json(const struct attribution *a, uint64_t run, enum outcome o, uint64_t sightings, double seconds)
{
	json_t *v = json_object(), *requests = json_pack("{s:I, s:{}}", "seen", (json_int_t)a->seen, "unmatched");
	show_requests_json(requests, a);
	json_object_set_new(v, "run", json_integer((json_int_t)run));
	json_object_set_new(v, "result", json_string(outcome_names[o]));
	json_object_set_new(v, "requests", requests);
	json_object_set_new(v, "sightings", json_integer((json_int_t)sightings));
	json_object_set_new(v, "causality_violations", json_integer((json_int_t)a->violations));
	json_object_set_new(v, "residual_cycles", json_integer((json_int_t)a->residual_max));
	json_object_set_new(v, "tier", attribution_tier(a) ? json_string(clock_tier_name(attribution_tier(a))) : json_null());
	json_object_set_new(v, "bound_ns", attribution_tier(a) ? json_real(attribution_bound_ns(a)) : json_null());
	json_object_set_new(v, "epochs", json_integer((json_int_t)a->epochs));
	json_object_set_new(v, "seconds", json_real(seconds));
	json_object_set_new(v, "peak_bytes", json_integer((json_int_t)a->peak_bytes));
	return v;
}

static void outcome_text(const struct attribution *a, uint64_t run, enum outcome o, uint64_t sightings, double seconds)
{
	char bound[32], took[32];
	printf("run %" PRIu64 ": %s\n", run, outcome_texts[o]);
	printf("  %" PRIu64 " of %" PRIu64 " requests matched", a->matched, a->counted);
	if (a->counted)
		printf(" (%.4g %%)", 100 * (double)a->matched / (double)a->counted);
	printf(", %" PRIu64 " causality violation%s\n", a->violations, a->violations == 1 ? "" : "s");
	for (unsigned c = CAUSE_MATCHED + 1; c < CAUSES; c++)
		if (a->unmatched[c])
			printf("  %" PRIu64 " %s: %s\n", a->unmatched[c], cause_name(c), cause_text(c));
	if (attribution_tier(a))
		printf("  clocks related by %s, ± %s, %u epoch%s\n", clock_tier_name(attribution_tier(a)),
		       format_ns(attribution_bound_ns(a), bound, sizeof(bound)), a->epochs, a->epochs == 1 ? "" : "s");
	printf("  %" PRIu64 " records and %" PRIu64 " sightings in %s, %.1f MiB of memory\n", a->seen, sightings, format_ns(seconds * 1e9, took, sizeof(took)),
	       (double)a->peak_bytes / 1048576);
}

/* ---- doing it ---- */

static int add_events(void *ctx, const struct store_stream *st)
{
	*(uint64_t *)ctx += st->events;
	return 0;
}

static int attribute_one(struct job *j, uint64_t asked, struct error *err)
{
	struct store_run run;
	struct timespec a, b;
	uint64_t sightings = 0;
	enum outcome o;
	if (store_get_run(j->store, asked, &run, err))
		return -1;
	if (run.status == RUN_RUNNING)
		return error_set(err, ERR_REFUSED, "run %llu is still under way: attribute it when it has ended", (unsigned long long)run.run);
	clock_gettime(CLOCK_MONOTONIC, &a);
	if (attribute_run(j->store, run.run, NULL, NULL, j->now, err) || store_each_stream(j->store, run.run, add_events, &sightings, err) < 0 ||
	    compare(j, run.run, &o, err))
		return error_prefix(err, "run %llu", (unsigned long long)run.run);
	clock_gettime(CLOCK_MONOTONIC, &b);
	if (o != OUTCOME_SAME && store_result_of(j, run.run, err))
		return -1;
	double seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	if (j->list)
		json_array_append_new(j->list, outcome_json(j->now, run.run, o, sightings, seconds));
	else
		outcome_text(j->now, run.run, o, sightings, seconds);
	return 0;
}

struct numbers {
	uint64_t *run;
	size_t n;
	bool failed;
};

/* Runs under way are left alone: --all is for those that can be attributed. */
static int add_number(void *ctx, const struct store_run *r)
{
	struct numbers *l = ctx;
	if (r->status == RUN_RUNNING)
		return 0;
	uint64_t *p = realloc(l->run, (l->n + 1) * sizeof(*p));
	l->failed = !p;
	if (!p)
		return 1;
	l->run = p;
	l->run[l->n++] = r->run;
	return 0;
}

static int attribute_listed(struct job *j, const struct numbers *l, struct error *err)
{
	for (size_t i = 0; i < l->n; i++)
		if (attribute_one(j, l->run[i], err))
			return -1;
	if (j->list)
		json_print(json_pack("{s:s, s:O}", "database", store_path(j->store), "runs", j->list));
	else if (!l->n)
		printf("%s: no runs to attribute\n", store_path(j->store));
	return EXIT_DONE;
}

static int with_memory(struct job *j, const struct numbers *l, struct error *err)
{
	j->now = calloc(1, sizeof(*j->now));
	j->old = calloc(1, sizeof(*j->old));
	/* Some 100 KiB as a struct; packed it is less. */
	wbuf_heap(&j->packed, 16 * sizeof(struct attribution));
	wbuf_heap(&j->stored, 16 * sizeof(struct attribution));
	int code = j->now && j->old ? attribute_listed(j, l, err) : error_set(err, ERR_LIMIT, "out of memory");
	wbuf_fini(&j->packed);
	wbuf_fini(&j->stored);
	free(j->now);
	free(j->old);
	return code;
}

static int collect(struct job *j, bool all, const struct args *rest, struct numbers *l, struct error *err)
{
	if (all && store_each_run(j->store, add_number, l, err))
		return l->failed ? error_set(err, ERR_LIMIT, "out of memory") : -1;
	for (size_t i = 0; !all && i < rest->n; i++) {
		struct store_run r;
		uint64_t run;
		if (parse_run(rest->operand[i], &run, err) || store_get_run(j->store, run, &r, err))
			return -1;
		/* Those asked for by name are kept even while under way, so that their refusal is said. */
		r.status = RUN_COMPLETE;
		if (add_number(l, &r))
			return error_set(err, ERR_LIMIT, "out of memory");
	}
	return 0;
}

int cmd_attribute(int argc, char **argv, struct error *err)
{
	bool json = false, all = false;
	struct job j = { 0 };
	struct numbers list = { 0 };
	const struct arg_option options[] = {
		{ "all", 'a', ARG_FLAG, NULL, "every run of the database that is not under way", &all },
		ARG_DB(&j.db),
		ARG_JSON(&json),
		{ 0 },
	};
	const struct arg_spec spec = { "attribute", "RUN...|last", "Runs' requests again from their raw stamps; the result is stored.", options, 0, ARGS_OPERANDS_MAX, NULL };
	struct args rest;
	int r = args_parse(&spec, argc, argv, &rest, err);
	if (r)
		return r < 0 ? -1 : EXIT_DONE;
	if (all == (rest.n > 0))
		return error_set(err, ERR_USAGE, all ? "attribute: either --all or runs, not both" : "attribute: which run is missing: give numbers from `bifocal list`, \"last\", or --all");
	j.store = open_database(j.db, STORE_READ, err);
	if (!j.store)
		return -1;
	if (!json && !term_utf8())
		term_ascii_stdout();
	j.list = json ? json_array() : NULL;
	int code = collect(&j, all, &rest, &list, err) ? -1 : with_memory(&j, &list, err);
	json_decref(j.list);
	free(list.run);
	store_close(j.store);
	return code;
}
