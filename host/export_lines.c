/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One line an I/O: CSV and JSON lines. */
#include <inttypes.h>
#include <stdio.h>

#include "host/export.h"

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
	C(submit_ns, "%.1f", export_signed_ns(e, r->submit - e->open)) \
	C(service_ns, "%.1f", export_ns(e, r->reap - r->submit)) \
	C(response_ns, "%.1f", export_ns(e, r->reap - r->intended))

static double boundary_ns(const struct export *e, const struct attributed *v, unsigned b)
{
	return export_signed_ns(e, v->at[b] - v->at[AT_APP_SUBMIT]);
}

/* The clocks were related at all. */
static bool bound_known(const struct attributed *v)
{
	return !(v->offset_err >> 62);
}

static int csv_line(void *ctx, const struct attributed *v)
{
	const struct export *e = ctx;
	const struct io_record *r = &v->io;
	printf("%" PRIu64, e->run);
#define C(name, format, value) printf("," format, value);
	COLUMNS(C)
#undef C
	for (unsigned b = 0; b < BOUNDARIES; b++) {
		if (!(e->columns & 1u << b))
			continue;
		putchar(',');
		if (v->seen & 1u << b)
			printf("%.1f", boundary_ns(e, v, b));
	}
	if (e->columns && bound_known(v))
		printf(",%.1f", export_ns(e, v->offset_err));
	else if (e->columns)
		putchar(',');
	if (e->columns)
		printf(",%s,%s", served_name(v->served), cause_name(v->cause));
	putchar('\n');
	return 0;
}

static int jsonl_line(void *ctx, const struct attributed *v)
{
	const struct export *e = ctx;
	const struct io_record *r = &v->io;
	printf("{\"run\":%" PRIu64, e->run);
#define C(name, format, value) printf(",\"" #name "\":" format, value);
	COLUMNS(C)
#undef C
	for (unsigned b = 0; b < BOUNDARIES; b++) {
		if (!(e->columns & 1u << b))
			continue;
		if (v->seen & 1u << b)
			printf(",\"%s_ns\":%.1f", boundary_name(b), boundary_ns(e, v, b));
		else
			printf(",\"%s_ns\":null", boundary_name(b));
	}
	if (e->columns && bound_known(v))
		printf(",\"clock_bound_ns\":%.1f", export_ns(e, v->offset_err));
	else if (e->columns)
		printf(",\"clock_bound_ns\":null");
	if (e->columns)
		printf(",\"served_from\":\"%s\",\"cause\":\"%s\"", served_name(v->served), cause_name(v->cause));
	puts("}");
	return 0;
}

int export_csv(struct export *e, struct error *err)
{
	printf("run");
#define C(name, format, value) printf("," #name);
	COLUMNS(C)
#undef C
	for (unsigned b = 0; b < BOUNDARIES; b++)
		if (e->columns & 1u << b)
			printf(",%s_ns", boundary_name(b));
	puts(e->columns ? ",clock_bound_ns,served_from,cause" : "");
	return export_each(e, csv_line, e, err);
}

int export_jsonl(struct export *e, struct error *err)
{
	return export_each(e, jsonl_line, e, err);
}
