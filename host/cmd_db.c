/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bifocal db check: reads all there is and verifies it. */
#include <stdio.h>

#include "host/args.h"
#include "host/cmd.h"
#include "host/json.h"
#include "host/open.h"

static void on_damage(void *ctx, const char *line)
{
	json_t *lines = ctx;
	if (lines)
		json_array_append_new(lines, json_string(line));
	else
		fprintf(stderr, "damaged: %s\n", line);
}

int cmd_db_check(int argc, char **argv, struct error *err)
{
	bool json = false;
	const char *db = NULL;
	const struct arg_option options[] = {
		ARG_DB(&db),
		ARG_JSON(&json),
		{ 0 },
	};
	const struct arg_spec spec = { "db check", "", "Reads every value and verifies every checksum and shape.", options, 0, 0, NULL };
	struct args rest;
	struct store_check c = { 0 };
	int r = args_parse(&spec, argc, argv, &rest, err);
	if (r)
		return r < 0 ? -1 : EXIT_DONE;
	struct store *s = open_database(db, STORE_READ, err);
	if (!s)
		return -1;
	json_t *lines = json ? json_array() : NULL;
	int failed = store_check(s, &c, on_damage, lines, err);
	if (!failed && json) {
		json_print(json_pack("{s:s, s:I, s:I, s:I, s:I, s:O}", "database", store_path(s), "runs", (json_int_t)c.runs, "values", (json_int_t)c.values,
				     "bytes", (json_int_t)c.bytes, "damaged", (json_int_t)c.damaged, "faults", lines));
	} else if (!failed) {
		printf("%s: %llu runs, %llu values, %llu bytes: %s\n", store_path(s), (unsigned long long)c.runs, (unsigned long long)c.values,
		       (unsigned long long)c.bytes, c.damaged ? "DAMAGED" : "all whole");
	}
	json_decref(lines);
	store_close(s);
	return failed ? -1 : c.damaged ? EXIT_FAILED : EXIT_DONE;
}
