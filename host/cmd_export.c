/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bifocal export RUN: every request, streamed: a line each, or a trace for Perfetto. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/tsc.h"
#include "common/units.h"
#include "host/args.h"
#include "host/cmd.h"
#include "host/export.h"
#include "host/open.h"
#include "host/show.h"

double export_ns(const struct export *e, uint64_t cycles)
{
	return e->hz ? tsc_to_ns(cycles, e->hz) : 0;
}

double export_signed_ns(const struct export *e, uint64_t cycles)
{
	return (int64_t)cycles < 0 ? -export_ns(e, 0 - cycles) : export_ns(e, cycles);
}

/* ---- which requests ---- */

struct choice {
	struct export *e;
	attribute_fn *fn;
	void *ctx;
	bool failed;
};

static bool in_range(const struct export *e, const struct io_record *r)
{
	if (!e->ranged)
		return true;
	double ns = export_signed_ns(e, r->submit - e->open);
	return ns >= (double)e->from_ns && ns < (double)e->to_ns;
}

static int choose(void *ctx, const struct attributed *r)
{
	struct choice *c = ctx;
	struct export *e = c->e;
	if (!in_range(e, &r->io))
		return 0;
	if (e->limit && e->done == e->limit) {
		e->more = true;
		return 1;
	}
	e->done++;
	int stop = c->fn(c->ctx, r);
	c->failed = ferror(stdout) != 0;
	return stop || c->failed;
}

int export_each(struct export *e, attribute_fn *fn, void *ctx, struct error *err)
{
	struct choice c = { .e = e, .fn = fn, .ctx = ctx };
	int r = e->source(e, choose, &c, err);
	if (c.failed)
		return error_sys(err, errno, "write to standard output");
	return r < 0 ? -1 : 0;
}

/* ---- where they come from ---- */

static int from_attribution(struct export *e, attribute_fn *each, void *ctx, struct error *err)
{
	return attribute_run(e->store, e->run, each, ctx, NULL, err);
}

struct ends {
	attribute_fn *each;
	void *ctx;
	uint64_t index;
};

static int ends_of_chunk(void *ctx, const struct io_record *records, size_t n)
{
	struct ends *x = ctx;
	int stop = 0;
	for (size_t i = 0; i < n && !stop; i++) {
		struct attributed r = { .io = records[i], .index = x->index++, .seen = 1u << AT_APP_SUBMIT | 1u << AT_APP_REAP, .shared = 1 };
		r.at[AT_APP_SUBMIT] = r.io.submit;
		r.at[AT_APP_REAP] = r.io.reap;
		stop = x->each(x->ctx, &r);
	}
	return stop;
}

/* A run without sightings needs no attribution: each request is its two ends. */
static int from_records(struct export *e, attribute_fn *each, void *ctx, struct error *err)
{
	struct ends x = { each, ctx, 0 };
	return store_each_io(e->store, e->run, ends_of_chunk, &x, err);
}

/* ---- the run ---- */

static unsigned columns_of(const struct attribution *at)
{
	unsigned bits = 0;
	for (size_t i = 0; at && i < at->spans; i++)
		bits |= 1u << at->span[i].from | 1u << at->span[i].to;
	return bits & ~(1u << AT_APP_SUBMIT | 1u << AT_APP_REAP);
}

static int load(struct export *e, uint64_t run, struct error *err)
{
	struct store_run found;
	if (store_get_run(e->store, run, &found, err))
		return -1;
	e->run = found.run;
	e->hz = summary_attr_u64(e->store, e->run, "guest.tsc_hz");
	e->open = summary_attr_u64(e->store, e->run, "window.open");
	e->close = summary_attr_u64(e->store, e->run, "window.close");
	e->at = show_attribution(e->store, e->run);
	e->columns = columns_of(e->at);
	e->source = e->columns ? from_attribution : from_records;
	return 0;
}

struct format {
	const char *name;
	int (*write)(struct export *e, struct error *err);
};

static const struct format formats[] = { { "csv", export_csv }, { "jsonl", export_jsonl }, { "perfetto", export_perfetto } };
enum { FORMATS = sizeof(formats) / sizeof(formats[0]) };

static const struct format *find_format(const char *name, struct error *err)
{
	const char *names[FORMATS + 1] = { 0 };
	for (size_t i = 0; i < FORMATS; i++) {
		names[i] = formats[i].name;
		if (!strcmp(name, names[i]))
			return &formats[i];
	}
	args_unknown(err, "format", name, names, "there are csv, jsonl and perfetto");
	return NULL;
}

static int export(struct export *e, uint64_t run, const struct format *f, struct error *err)
{
	if (load(e, run, err) || f->write(e, err))
		return -1;
	if (e->more)
		fprintf(stderr, "bifocal: the first %" PRIu64 " of run %" PRIu64 "'s requests; --limit 0 exports all\n", e->done, e->run);
	return EXIT_DONE;
}

static int parse_range(struct export *e, const char *from, const char *to, struct error *err)
{
	e->ranged = from || to;
	e->to_ns = UINT64_MAX;
	if (from && parse_duration(from, &e->from_ns, err))
		return error_prefix(err, "--from");
	if (to && parse_duration(to, &e->to_ns, err))
		return error_prefix(err, "--to");
	if (e->from_ns >= e->to_ns)
		return error_set(err, ERR_USAGE, "--from %s is not before --to %s", from ? from : "0", to);
	return 0;
}

/* ui.perfetto.dev holds a trace in the browser's memory, and a request that every vantage saw is 3.4 kB of JSON: 340 MB. */
enum { PERFETTO_LIMIT = 100000 };

int cmd_export(int argc, char **argv, struct error *err)
{
	struct export e = { .limit = UINT64_MAX };
	const char *db = NULL, *format = "csv", *from = NULL, *to = NULL;
	const struct arg_option options[] = {
		{ "format", 'f', ARG_TEXT, "csv|jsonl|perfetto", "a line an I/O, with a head or as JSON objects; or a trace (csv)", &format },
		{ "from", 0, ARG_TEXT, "TIME", "requests submitted so long after the window opened, or later", &from },
		{ "to", 0, ARG_TEXT, "TIME", "requests submitted before that", &to },
		{ "limit", 'n', ARG_UINT, "N", "so many requests at most; 0: all (perfetto: 100000)", &e.limit },
		ARG_DB(&db),
		{ 0 },
	};
	const struct arg_spec spec = { "export", "RUN|last", "One run's requests, ramp included, to standard output.", options, 1, 1, NULL };
	struct args rest;
	uint64_t run;
	int r = args_parse(&spec, argc, argv, &rest, err);
	if (r)
		return r < 0 ? -1 : EXIT_DONE;
	const struct format *f = find_format(format, err);
	if (!f || parse_run(rest.operand[0], &run, err) || parse_range(&e, from, to, err))
		return -1;
	if (e.limit == UINT64_MAX)
		e.limit = f->write == export_perfetto ? PERFETTO_LIMIT : 0;
	e.store = open_database(db, STORE_READ, err);
	if (!e.store)
		return -1;
	int code = export(&e, run, f, err);
	free(e.at);
	store_close(e.store);
	return code;
}
