/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real program on databases made here: show, its requests, attribute and export, as a user meets them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/fixtures/attributed_world.h"

enum { RECORDS = 600 };

struct world {
	char dir[64], db[80];
	char *out;                     /* what the last command printed */
	int code;
};

static void put_records(struct store_batch *b, uint64_t run)
{
	struct io_record *r = calloc(RECORDS, sizeof(*r));
	struct wbuf w;
	for (unsigned i = 0; i < RECORDS; i++)
		r[i] = world_request(i, i * 2000, 1 + i % 10, ALL_BOUNDARIES).io;
	wbuf_heap(&w, IOREC_CHUNK_BYTES);
	iorec_pack(&w, r, RECORDS);
	assert_int_equal(put_io_chunk(b, run, 0, (struct span){ w.p, w.len }, NULL), 0);
	wbuf_fini(&w);
	free(r);
}

/* As if the engine had found all of it. */
static void put_made_up_result(struct store_batch *b, uint64_t run)
{
	struct attribution *a = world_attribution(RECORDS, 10, ALL_BOUNDARIES);
	struct wbuf w;
	a->example[EXAMPLE_WORST] = (struct example){ true, world_request(17, 34000, 10, ALL_BOUNDARIES) };
	wbuf_heap(&w, 4 << 20);
	attribution_pack(&w, a);
	assert_false(w.bad);
	assert_int_equal(put_result(b, run, (struct span){ w.p, w.len }, NULL), 0);
	wbuf_fini(&w);
	free(a);
}

static uint64_t put_run(struct store *s, bool result, enum run_status status)
{
	struct store_batch *b = store_batch_new(s, NULL);
	uint64_t run;
	assert_int_equal(store_run_create(s, 0, &run, NULL), 0);
	put_records(b, run);
	put_attr_u64(b, run, "host.tsc_hz", WORLD_HZ, NULL);
	put_attr_u64(b, run, "guest.tsc_hz", WORLD_HZ, NULL);
	put_attr_u64(b, run, "window.open", WORLD_OPEN, NULL);
	put_attr_u64(b, run, "window.ramp_end", WORLD_OPEN, NULL);
	put_attr_u64(b, run, "window.close", WORLD_OPEN + 10000000, NULL);
	put_attr_u64(b, run, "window.issued", RECORDS, NULL);
	if (result)
		put_made_up_result(b, run);
	put_run_status(b, run, status, NULL);
	assert_int_equal(store_commit(b, NULL), 0);
	store_batch_free(b);
	return run;
}

/* Run 1 has a result made up, run 2 none, run 3 is under way. */
static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct error err = { 0 };
	strcpy(w->dir, "/tmp/bifocal-attribution.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->db, sizeof(w->db), "%s/db", w->dir);
	struct store *s = store_open(w->db, STORE_WRITE, &err);
	if (!s)
		fail_msg("%s", err.text);
	assert_int_equal(put_run(s, true, RUN_COMPLETE), 1);
	assert_int_equal(put_run(s, false, RUN_COMPLETE), 2);
	assert_int_equal(put_run(s, false, RUN_RUNNING), 3);
	store_close(s);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	char command[128];
	snprintf(command, sizeof(command), "rm -rf '%s'", w->dir);
	assert_int_equal(system(command), 0);
	free(w->out);
	free(w);
	return 0;
}

/* Runs `bifocal WORDS` on the database; `environment`: "LC_ALL=C ". Standard error is in w->out, too. */
static int bifocal(struct world *w, const char *environment, const char *words)
{
	char command[512];
	const char *bin = getenv("BIFOCAL_BIN");
	size_t n = 0, cap = 1 << 22;
	assert_non_null(bin);
	snprintf(command, sizeof(command), "%s '%s/bifocal' %s --db '%s' 2>&1", environment, bin, words, w->db);
	free(w->out);
	w->out = calloc(1, cap);
	FILE *f = popen(command, "r");
	assert_non_null(f);
	n = fread(w->out, 1, cap - 1, f);
	w->out[n] = 0;
	w->code = WEXITSTATUS(pclose(f));
	return w->code;
}

static void has(const struct world *w, const char *part)
{
	if (!strstr(w->out, part))
		fail_msg("\"%s\" is not in:\n%.6000s", part, w->out);
}

static json_t *object(struct world *w, const char *words)
{
	json_error_t why;
	bifocal(w, "", words);
	json_t *o = json_loads(w->out, 0, &why);
	if (!o)
		fail_msg("%s: %s: %.2000s", words, why.text, w->out);
	return o;
}

static json_int_t integer(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static bool ascii(const char *text)
{
	for (; *text; text++)
		if (*text & 0x80)
			return false;
	return true;
}

/* ---- show ---- */

static void test_show(void **state)
{
	struct world *w = *state;
	assert_int_equal(bifocal(w, "LC_ALL=C.UTF-8", "show 1"), 0);
	has(w, "Phases");
	has(w, "cross.kick");
	has(w, "600 of 600 (100 %)");
	has(w, "± 40.0 ns");
	has(w, "█");
	assert_null(strchr(w->out, '\033'));
	assert_int_equal(bifocal(w, "LC_ALL=C", "show 1"), 0);
	has(w, "+- 40.0 ns");
	has(w, "##");
	assert_true(ascii(w->out));
	assert_int_equal(bifocal(w, "LC_ALL=C LC_CTYPE=C.UTF-8", "show 1 --request worst"), 0);
	assert_true(ascii(w->out));
	has(w, "request 17");
	has(w, "host_notify");
	json_t *o = object(w, "show 1 --json");
	assert_int_equal(json_array_size(json_object_get(o, "phases")), PHASES);
	assert_int_equal(integer(json_object_get(o, "requests"), "matched"), RECORDS);
	json_decref(o);
	o = object(w, "show 1 --request worst --json");
	assert_int_equal(integer(o, "request"), 17);
	assert_string_equal(json_string_value(json_object_get(o, "role")), "worst");
	json_decref(o);
}

static void test_requests(void **state)
{
	struct world *w = *state;
	json_t *o = object(w, "show 2 --request 599 --json");
	assert_int_equal(integer(o, "request"), 599);
	assert_int_equal(integer(o, "sector"), 599 * 8);
	json_decref(o);
	o = object(w, "show 2 -r 0 --json");
	assert_int_equal(integer(o, "request"), 0);
	json_decref(o);
	assert_int_equal(bifocal(w, "", "show 2 --request 600"), 1);
	has(w, "run 2 has no request 600: its I/O records are 0 to 599");
	assert_int_equal(bifocal(w, "", "show 1 --request violation"), 1);
	has(w, "no request of it violates causality");
	assert_int_equal(bifocal(w, "", "show 1 --request p99"), 1);
	has(w, "too few");
	assert_int_equal(bifocal(w, "", "show 1 --request wurst"), 2);
	has(w, "did you mean \"worst\"");
	assert_int_equal(bifocal(w, "", "show 1 --request -1"), 2);
	assert_int_equal(bifocal(w, "", "show 1 --request ''"), 2);
	assert_int_equal(bifocal(w, "", "show 1 --request 18446744073709551616"), 2);
}

/* Nobody but the application saw run 2. */
static void test_without_sightings(void **state)
{
	struct world *w = *state;
	assert_int_equal(bifocal(w, "LC_ALL=C", "show 2"), 0);
	assert_null(strstr(w->out, "Phases"));
	has(w, "Vantages");
	has(w, "host.kernel");
	json_t *o = object(w, "show 2 --json"), *p = json_array_get(json_object_get(o, "phases"), 0);
	assert_int_equal(json_array_size(json_object_get(o, "phases")), 1);
	assert_string_equal(json_string_value(json_object_get(p, "name")), "guest.submit..guest.reap");
	assert_true(json_is_true(json_object_get(p, "exact")));
	json_decref(o);
	assert_int_equal(bifocal(w, "", "export 2"), 0);
	assert_null(strstr(w->out, "guest_queue_ns"));
}

/* ---- attribute ---- */

static void test_attribute(void **state)
{
	struct world *w = *state;
	assert_int_equal(bifocal(w, "", "attribute 2"), 0);
	has(w, "run 2: stored: there was no result yet");
	assert_int_equal(bifocal(w, "", "attribute last"), 1);
	has(w, "run 3 is still under way");
	/* The result that was made up is not what the stamps say. */
	json_t *o = object(w, "attribute --all --json"), *runs = json_object_get(o, "runs");
	assert_int_equal(json_array_size(runs), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(runs, 0), "result")), "changed");
	assert_string_equal(json_string_value(json_object_get(json_array_get(runs, 1), "result")), "same");
	json_decref(o);
	assert_int_equal(bifocal(w, "", "attribute 1 2"), 0);
	has(w, "run 1: the same as stored");
	has(w, "run 2: the same as stored");
	assert_int_equal(bifocal(w, "", "db check"), 0);
}

static void test_attribute_mistakes(void **state)
{
	struct world *w = *state;
	char path[96];
	assert_int_equal(bifocal(w, "", "attribute"), 2);
	has(w, "--all");
	assert_int_equal(bifocal(w, "", "attribute 1 --all"), 2);
	assert_int_equal(bifocal(w, "", "attribute 17"), 1);
	has(w, "17");
	has(w, "3");
	assert_int_equal(bifocal(w, "", "attribute 1 yesterday"), 2);
	/* Asking about a database that is not there makes none. */
	snprintf(path, sizeof(path), "%s/none", w->dir);
	strcpy(w->db, path);
	assert_int_equal(bifocal(w, "", "attribute --all"), 1);
	struct stat st;
	assert_int_not_equal(stat(path, &st), 0);
}

/* ---- export ---- */

static void test_export(void **state)
{
	struct world *w = *state;
	assert_int_equal(bifocal(w, "", "export 2 --limit 3"), 0);
	has(w, "the first 3 of run 2's requests");
	assert_int_equal(bifocal(w, "", "export 2 -f jsonl --from 10us --to 20us"), 0);
	has(w, "\"submit_ns\":10000.0");
	has(w, "\"submit_ns\":18000.0");
	assert_null(strstr(w->out, "\"submit_ns\":20000.0"));
	json_t *o = object(w, "export 2 -f perfetto");
	assert_int_equal(integer(json_object_get(o, "otherData"), "requests"), RECORDS);
	json_decref(o);
	assert_int_equal(bifocal(w, "", "export 2 -f perfeto"), 2);
	has(w, "did you mean \"perfetto\"");
	assert_int_equal(bifocal(w, "", "export 2 --from 2s --to 1s"), 2);
	assert_int_equal(bifocal(w, "", "export 2 --from soon"), 2);
	assert_int_equal(bifocal(w, "", "export 2 -f perfetto >/dev/full"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_show, setup, teardown),
		cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_sightings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_attribute, setup, teardown),
		cmocka_unit_test_setup_teardown(test_attribute_mistakes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_export, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
