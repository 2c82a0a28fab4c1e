/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real program on the command line: every mistake gets its words and its exit code; verbs print what they promise. */
#include "scripted_guest.h"

#include <jansson.h>

struct mistake {
	const char *words[8];
	int code;
	const char *says;
};

#define TEN "aaaaaaaaaa"

static void test_mistakes(void **state)
{
	static const struct mistake table[] = {
		{ { "lsit" }, 2, "did you mean \"list\"" },
		{ { "db", "chekc" }, 2, "did you mean \"db check\"" },
		{ { "db" }, 2, "second word" },
		{ { "frobnicate" }, 2, "--help" },
		{ { "run", "--reapeat", "3" }, 2, "did you mean \"--repeat\"" },
		{ { "run", "--repeat", "0" }, 2, "between 1 and" },
		{ { "run", "--repeat" }, 2, "needs a value" },
		{ { "run", "extra" }, 2, "one argument too many" },
		{ { "run", "--vm", "disk.cahce=none" }, 2, "disk.cache" },
		{ { "run", "--vm", "disk.cache=nonne" }, 2, "did you mean \"none\"" },
		{ { "run", "--vm", "disk.cache" }, 2, "KEY=VALUE" },
		{ { "run", "--vm", "iodepth=4" }, 2, "--workload iodepth=4" },
		{ { "run", "--vm", "disk.size=3parsec" }, 2, "parsec" },
		{ { "run", "--workload", "iodpeth=4" }, 2, "did you mean \"iodepth\"" },
		{ { "run", "--workload", "rw=randreed" }, 2, "did you mean \"randread\"" },
		{ { "run", "--workload", "runtime=3lightyears" }, 2, "lightyears" },
		{ { "run", "--vary", "disk.bus=ahci,ahcy" }, 2, "did you mean \"ahci\"" },
		{ { "run", "--vary", "disk.bus" }, 2, "KEY=VALUE" },
		{ { "run", "--vm", "disk.iothread=on", "--vary", "disk.bus=virtio-blk,ahci" }, 2, "disk.bus=ahci" },
		{ { "run", "--probe", "no-such-probe" }, 1, "no-such-probe.lua" },
		{ { "run", "--vm", "vm.qemu=/nonexistent/qemu", "--workload", "runtime=1s" }, 1, "apt-get install" },
		{ { "attach" }, 2, "--socket" },
		{ { "attach", "--socket", "" }, 2, "empty path" },
		{ { "attach", "--socket", "/x", "--data", TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN }, 2, "110 bytes" },
		{ { "attach", "--socket", "/x", "--timeout", "soon" }, 2, "--timeout" },
		{ { "list", "--db", "" }, 2, "empty path" },
		{ { "list", "--db", "/proc/self/status" }, 2, "not a directory" },
		{ { "show", "" }, 2, "bifocal list" },
		{ { "run", "--repeat", "-1" }, 2, "whole number" },
		{ { "run", "--vm", "" }, 2, "KEY=VALUE" },
		{ { "run", "--vm", "vm.image=" }, 2, "empty" },
		{ { "run", "--vm", "disk.size=-1" }, 2, "disk.size" },
		{ { "run", "--vm", "disk.size=99999999999999999999" }, 2, "too large" },
		{ { "run", "--workload", "iodepth=99999999999" }, 2, "out of range" },
		{ { "run", "--vary", "disk.bus=,," }, 2, "no values" },
		{ { "show" }, 2, "missing" },
		{ { "show", "yesterday" }, 2, "bifocal list" },
		{ { "export", "1", "--format", "cvs" }, 2, "did you mean \"csv\"" },
	};
	struct sguest *g = sg_new(&(const struct script){ .chunks = 1 });
	char db[128];
	(void)state;
	snprintf(db, sizeof(db), "%s/mistakes", g->dir);
	setenv("BIFOCAL_DB", db, 1);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int code = sg_command(g, table[i].words);
		if (code != table[i].code || !strstr(g->output, table[i].says))
			fail_msg("%s %s %s: exit %d, not %d with \"%s\": %s", table[i].words[0], table[i].words[1] ? table[i].words[1] : "",
				 table[i].words[2] ? table[i].words[2] : "", code, table[i].code, table[i].says, g->output);
	}
	unsetenv("BIFOCAL_DB");
	sg_free(g);
}

static void test_no_image(void **state)
{
	struct sguest *g = sg_new(&(const struct script){ .chunks = 1 });
	const char *args[] = { "run", "--db", g->db, "--workload", "runtime=1s", "--vm", "vm.image=/nonexistent", NULL };
	(void)state;
	assert_int_equal(sg_command(g, args), 1);
	sg_expect_output(g, "/nonexistent");
	sg_expect_output(g, "make image");
	assert_int_equal(sg_stored(g, 1).run.status, RUN_FAILED);
	sg_free(g);
}

/* No bifocal-mine beside it, nor in PATH. */
static void test_no_mine(void **state)
{
	struct sguest *g = sg_new(&(const struct script){ .chunks = 1 });
	const char *args[] = { "mine", "latency", NULL };
	char command[1200], *path = strdup(getenv("PATH")), *bin = getenv("BIFOCAL_BIN") ? strdup(getenv("BIFOCAL_BIN")) : NULL;
	(void)state;
	snprintf(command, sizeof(command), "cp '%s' '%s/bifocal'", sg_program(), g->dir);
	assert_int_equal(system(command), 0);
	setenv("PATH", "/nonexistent", 1);
	setenv("BIFOCAL_BIN", g->dir, 1);
	int code = sg_command(g, args);
	setenv("PATH", path, 1);
	if (bin)
		setenv("BIFOCAL_BIN", bin, 1);
	else
		unsetenv("BIFOCAL_BIN");
	free(path);
	free(bin);
	assert_int_equal(code, 1);
	sg_expect_output(g, "bifocal-mine");
	sg_expect_output(g, "PATH");
	sg_free(g);
}

static void test_help_and_version(void **state)
{
	struct sguest *g = sg_new(&(const struct script){ .chunks = 1 });
	static const char *const verbs[][4] = {
		{ "run", "--help" }, { "attach", "--help" }, { "list", "--help" }, { "show", "--help" }, { "export", "--help" },
		{ "plugin", "list", "--help" }, { "db", "check", "--help" }, { "doctor", "--help" },
	};
	const char *version[] = { "--version", NULL }, *nothing[] = { NULL };
	(void)state;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		assert_int_equal(sg_command(g, verbs[i]), 0);
		sg_expect_output(g, "Usage: bifocal ");
		sg_expect_output(g, "Options:");
	}
	assert_int_equal(sg_command(g, version), 0);
	sg_expect_output(g, BIFOCAL_VERSION);
	assert_int_equal(sg_command(g, nothing), 2);
	sg_expect_output(g, "Verbs:");
	sg_free(g);
}

static void test_dry_run(void **state)
{
	struct sguest *g = sg_new(&(const struct script){ .chunks = 1 });
	const char *args[] = { "run", "--dry-run", "--json", "--db", g->db, "--vary", "iodepth=1,2,3", "--repeat", "2", NULL };
	(void)state;
	assert_int_equal(sg_command(g, args), 0);
	json_t *o = json_loads(g->output, 0, NULL);
	assert_non_null(o);
	assert_int_equal(json_array_size(json_object_get(o, "runs")), 6);
	json_decref(o);
	/* It leaves nothing behind. */
	assert_int_not_equal(access(g->db, F_OK), 0);
	sg_free(g);
}

static unsigned lines(const char *text)
{
	unsigned n = 0;
	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void test_list_and_export(void **state)
{
	struct sguest *g = sg_new(&(const struct script){ .chunks = 1, .per_chunk = 300 });
	const char *list[] = { "list", "--json", "--db", g->db, NULL };
	const char *csv[] = { "export", "last", "--format", "csv", "--db", g->db, NULL };
	const char *jsonl[] = { "export", "1", "-f", "jsonl", "--db", g->db, NULL };
	(void)state;
	sg_attach(g, NULL, 0);
	assert_int_equal(sg_serve(g, NULL), 0);
	assert_int_equal(sg_command(g, list), 0);
	json_t *o = json_loads(g->output, 0, NULL);
	json_t *run = json_array_get(json_object_get(o, "runs"), 0);
	assert_int_equal(json_integer_value(json_object_get(run, "issued")), 300);
	json_decref(o);
	assert_int_equal(sg_command(g, csv), 0);
	assert_int_equal(lines(g->output), 301);
	sg_expect_output(g, "run,job,op,in_ramp,sector,length,result,intended_tsc,submit_tsc,reap_tsc,submit_ns,service_ns,response_ns\n1,0,");
	assert_int_equal(sg_command(g, jsonl), 0);
	assert_int_equal(lines(g->output), 300);
	*strchr(g->output, '\n') = 0;
	o = json_loads(g->output, 0, NULL);
	assert_int_equal(json_integer_value(json_object_get(o, "length")), 4096);
	uint64_t submit = (uint64_t)json_integer_value(json_object_get(o, "submit_tsc"));
	uint64_t reap = (uint64_t)json_integer_value(json_object_get(o, "reap_tsc"));
	assert_int_equal(reap - submit, 1000);
	json_decref(o);
	sg_free(g);
}

static void test_plugin_list(void **state)
{
	struct sguest *g = sg_new(&(const struct script){ .chunks = 1 });
	const char *args[] = { "plugin", "list", "--json", NULL };
	char path[128];
	bool cpu = false, broken = false;
	(void)state;
	snprintf(path, sizeof(path), "%s/bad.lua", g->dir);
	FILE *f = fopen(path, "w");
	fputs("return 7\n", f);
	fclose(f);
	setenv("BIFOCAL_PLUGIN_PATH", g->dir, 1);
	setenv("BIFOCAL_DATA", TEST_SRCDIR, 1);
	assert_int_equal(sg_command(g, args), 0);
	unsetenv("BIFOCAL_PLUGIN_PATH");
	unsetenv("BIFOCAL_DATA");
	json_t *o = json_loads(g->output, 0, NULL), *p;
	size_t i;
	json_array_foreach(json_object_get(o, "plugins"), i, p) {
		const char *name = json_string_value(json_object_get(p, "name")), *where = json_string_value(json_object_get(p, "path"));
		cpu = cpu || (name && !strcmp(name, "cpu"));
		broken = broken || (!strcmp(where, path) && json_object_get(p, "error"));
	}
	json_decref(o);
	assert_true(cpu);
	assert_true(broken);
	sg_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_no_image),
		cmocka_unit_test(test_no_mine),
		cmocka_unit_test(test_help_and_version),
		cmocka_unit_test(test_dry_run),
		cmocka_unit_test(test_list_and_export),
		cmocka_unit_test(test_plugin_list),
	};
	signal(SIGPIPE, SIG_IGN);
	cmocka_set_test_filter(getenv("ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
