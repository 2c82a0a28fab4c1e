/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/args.h"
#include "host/open.h"
#include "host/paths.h"

struct parsed {
	bool flag;
	const char *text;
	uint64_t number;
	struct args_list list;
	struct args rest;
	struct error err;
};

static int parse(struct parsed *p, size_t min, size_t max, const char *const words[])
{
	*p = (struct parsed){ 0 };
	const struct arg_option options[] = {
		{ "flag", 'f', ARG_FLAG, NULL, "a flag", &p->flag },
		{ "text", 't', ARG_TEXT, "TEXT", "some text", &p->text },
		{ "number", 0, ARG_UINT, "N", "a number", &p->number },
		{ "list", 'l', ARG_LIST, "X", "a list", &p->list },
		{ 0 },
	};
	const struct arg_spec spec = { "verb", "THING", "Does something.", options, min, max, NULL };
	char *argv[16] = { (char *)"verb" };
	int argc = 1;
	for (; words[argc - 1]; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
	return args_parse(&spec, argc, argv, &p->rest, &p->err);
}

#define PARSE(p, min, max, ...) parse(p, min, max, (const char *const[]){ __VA_ARGS__, NULL })

static void test_forms(void **state)
{
	struct parsed p;
	(void)state;
	assert_int_equal(PARSE(&p, 0, 2, "--flag", "--text=a=b", "one", "-l", "x", "--list", "y", "-lz", "two", "--number", "7"), 0);
	assert_true(p.flag);
	assert_string_equal(p.text, "a=b");
	assert_int_equal(p.number, 7);
	assert_int_equal(p.list.n, 3);
	assert_string_equal(p.list.item[2], "z");
	assert_int_equal(p.rest.n, 2);
	assert_string_equal(p.rest.operand[1], "two");
}

static void test_double_dash_and_single_dash(void **state)
{
	struct parsed p;
	(void)state;
	assert_int_equal(PARSE(&p, 0, 2, "-", "--", "--flag"), 0);
	assert_false(p.flag);
	assert_string_equal(p.rest.operand[0], "-");
	assert_string_equal(p.rest.operand[1], "--flag");
}

static void expect_error(struct parsed *p, int r, const char *part)
{
	assert_int_equal(r, -1);
	assert_int_equal(p->err.code, ERR_USAGE);
	if (!strstr(p->err.text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, p->err.text);
}

static void test_errors(void **state)
{
	struct parsed p;
	(void)state;
	expect_error(&p, PARSE(&p, 0, 0, "--numbr", "3"), "did you mean \"--number\"");
	expect_error(&p, PARSE(&p, 0, 0, "--xyzzyplugh"), "verb --help");
	expect_error(&p, PARSE(&p, 0, 0, "-x"), "\"-x\"");
	expect_error(&p, PARSE(&p, 0, 0, "--number", "many"), "--number");
	expect_error(&p, PARSE(&p, 0, 0, "--text"), "needs a value");
	expect_error(&p, PARSE(&p, 0, 0, "--flag=yes"), "takes no value");
	expect_error(&p, PARSE(&p, 0, 1, "a", "b"), "\"b\"");
	expect_error(&p, PARSE(&p, 1, 1, "--flag"), "missing");
}

static void test_list_is_bounded(void **state)
{
	struct parsed p = { 0 };
	const struct arg_option options[] = { { "list", 'l', ARG_LIST, "X", "a list", &p.list }, { 0 } };
	const struct arg_spec spec = { "verb", "", "", options, 0, 0, NULL };
	char *argv[ARGS_LIST_MAX + 2] = { (char *)"verb" };
	(void)state;
	for (int i = 1; i <= ARGS_LIST_MAX + 1; i++)
		argv[i] = (char *)"-lx";
	assert_int_equal(args_parse(&spec, ARGS_LIST_MAX + 1, argv, &p.rest, &p.err), 0);
	p.list.n = 0;
	expect_error(&p, args_parse(&spec, ARGS_LIST_MAX + 2, argv, &p.rest, &p.err), "at most");
}

static void test_run_numbers(void **state)
{
	uint64_t run;
	struct error err = { 0 };
	(void)state;
	assert_int_equal(parse_run("12", &run, &err), 0);
	assert_int_equal(run, 12);
	assert_int_equal(parse_run("last", &run, &err), 0);
	assert_true(run == UINT64_MAX);
	assert_int_equal(parse_run("0", &run, &err), -1);
	assert_int_equal(parse_run("18446744073709551615", &run, &err), -1);
	assert_int_equal(err.code, ERR_USAGE);
}

static void test_command_line_is_quoted(void **state)
{
	char *argv[] = { (char *)"run", (char *)"--vm", (char *)"a=b c", (char *)"it's", (char *)"" };
	char *line = command_line(5, argv, NULL);
	(void)state;
	assert_string_equal(line, "bifocal run --vm 'a=b c' 'it'\\''s' ''");
	free(line);
}

static void test_database_path(void **state)
{
	(void)state;
	setenv("XDG_DATA_HOME", "/xdg", 1);
	unsetenv("BIFOCAL_DB");
	char *p = path_database(NULL, NULL);
	assert_string_equal(p, "/xdg/bifocal/db");
	free(p);
	unsetenv("XDG_DATA_HOME");
	setenv("HOME", "/home/x", 1);
	p = path_database(NULL, NULL);
	assert_string_equal(p, "/home/x/.local/share/bifocal/db");
	free(p);
	setenv("BIFOCAL_DB", "/env/db", 1);
	p = path_database(NULL, NULL);
	assert_string_equal(p, "/env/db");
	free(p);
	p = path_database("/option/db", NULL);
	assert_string_equal(p, "/option/db");
	free(p);
}

static void test_plugin_path_order(void **state)
{
	(void)state;
	setenv("BIFOCAL_PLUGIN_PATH", "/a::/b:", 1);
	setenv("XDG_DATA_HOME", "/xdg", 1);
	setenv("BIFOCAL_DATA", "/data", 1);
	char **dirs = path_plugin_dirs(NULL);
	const char *const want[] = { "./plugins", "/a", "/b", "/xdg/bifocal/plugins", "/data/plugins" };
	for (size_t i = 0; i < 5; i++)
		assert_string_equal(dirs[i], want[i]);
	assert_null(dirs[5]);
	path_list_free(dirs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_double_dash_and_single_dash),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_list_is_bounded),
		cmocka_unit_test(test_run_numbers),
		cmocka_unit_test(test_command_line_is_quoted),
		cmocka_unit_test(test_database_path),
		cmocka_unit_test(test_plugin_path_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
