/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bifocal export RUN: every I/O record, one line each, streamed chunk by chunk. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/tsc.h"
#include "host/args.h"
#include "host/cmd.h"
#include "host/open.h"
#include "host/run/summary.h"

/* C(name, printf format, value of record r in export e): one table for CSV's head and lines and for JSON's keys. */
#define COLUMNS(C) \
	C(job, "%u", (unsigned)r->job) \
	C(op, "%u", (unsigned)r->op) \
	C(in_ramp, "%u", (unsigned)(r->flags & IO_IN_RAMP)) \
	C(sector, "%" PRIu64, r->sector) \
	C(length, "%" PRIu32, r->length) \
	C(result, "%" PRId32, r->result) \
	C(intended_tsc, "%" PRIu64, r->intended) \
	C(submit_tsc, "%" PRIu64, r->submit) \
	C(reap_tsc, "%" PRIu64, r->reap) \
	C(submit_ns, "%.1f", from_open(e, r->submit)) \
	C(service_ns, "%.1f", ns(e, r->reap - r->submit)) \
	C(response_ns, "%.1f", ns(e, r->reap - r->intended))

struct export {
	uint64_t run, hz, open;
	bool failed;
};

static double ns(const struct export *e, uint64_t cycles)
{
	return e->hz ? tsc_to_ns(cycles, e->hz) : 0;
}

/* Since the window opened; negative for a stamp before it. */
static double from_open(const struct export *e, uint64_t tsc)
{
	int64_t d = (int64_t)(tsc - e->open);
	return d < 0 ? -ns(e, (uint64_t)-d) : ns(e, (uint64_t)d);
}

static int csv_chunk(void *ctx, const struct io_record *records, size_t n)
{
	struct export *e = ctx;
	for (size_t i = 0; i < n; i++) {
		const struct io_record *r = &records[i];
		printf("%" PRIu64, e->run);
#define C(name, format, value) printf("," format, value);
		COLUMNS(C)
#undef C
		putchar('\n');
	}
	e->failed = ferror(stdout) != 0;
	return e->failed;
}

static int jsonl_chunk(void *ctx, const struct io_record *records, size_t n)
{
	struct export *e = ctx;
	for (size_t i = 0; i < n; i++) {
		const struct io_record *r = &records[i];
		printf("{\"run\":%" PRIu64, e->run);
#define C(name, format, value) printf(",\"" #name "\":" format, value);
		COLUMNS(C)
#undef C
		puts("}");
	}
	e->failed = ferror(stdout) != 0;
	return e->failed;
}

static void csv_head(void)
{
	printf("run");
#define C(name, format, value) printf("," #name);
	COLUMNS(C)
#undef C
	putchar('\n');
}

static int export(struct store *s, uint64_t run, bool csv, struct error *err)
{
	struct store_run found;
	if (store_get_run(s, run, &found, err))
		return -1;
	struct export e = {
		.run = found.run, .hz = summary_attr_u64(s, found.run, "guest.tsc_hz"), .open = summary_attr_u64(s, found.run, "window.open"),
	};
	if (csv)
		csv_head();
	int r = store_each_io(s, found.run, csv ? csv_chunk : jsonl_chunk, &e, err);
	if (e.failed)
		return error_sys(err, errno, "write to standard output");
	return r < 0 ? -1 : EXIT_DONE;
}

int cmd_export(int argc, char **argv, struct error *err)
{
	static const char *const formats[] = { "csv", "jsonl", NULL };
	const char *db = NULL, *format = "csv";
	const struct arg_option options[] = {
		{ "format", 'f', ARG_TEXT, "csv|jsonl", "one line an I/O: comma-separated with a head, or JSON objects (csv)", &format },
		ARG_DB(&db),
		{ 0 },
	};
	const struct arg_spec spec = { "export", "RUN|last", "One run's I/O records, ramp included, to standard output.", options, 1, 1, NULL };
	struct args rest;
	uint64_t run;
	int r = args_parse(&spec, argc, argv, &rest, err);
	if (r)
		return r < 0 ? -1 : EXIT_DONE;
	bool csv = !strcmp(format, "csv");
	if (!csv && strcmp(format, "jsonl") != 0)
		return args_unknown(err, "format", format, formats, "there are csv and jsonl");
	if (parse_run(rest.operand[0], &run, err))
		return -1;
	struct store *s = open_database(db, STORE_READ, err);
	if (!s)
		return -1;
	int code = export(s, run, csv, err);
	store_close(s);
	return code;
}
