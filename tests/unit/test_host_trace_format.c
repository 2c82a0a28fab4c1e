/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tracefs' format files: tracepoints, kprobes, header_page, and text that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/fixtures/trace_page.h"

static struct trace_format f;
static struct error err;

static int parse(const char *text)
{
	err = (struct error){ 0 };
	return format_parse((struct span){ (const uint8_t *)text, strlen(text) }, &f, &err);
}

static void expect(const char *name, unsigned offset, unsigned size, bool is_signed)
{
	const struct trace_field *g = format_field(&f, name);
	if (!g)
		fail_msg("no field %s", name);
	assert_int_equal(g->offset, offset);
	assert_int_equal(g->size, size);
	assert_int_equal(g->is_signed, is_signed);
}

static void parse_fixture(const char *bus, const char *name)
{
	size_t size;
	uint8_t *text = fixture(bus, name, &size);
	assert_non_null(text);
	if (format_parse((struct span){ text, size }, &f, &err))
		fail_msg("%s/%s: %s", bus, name, err.text);
	free(text);
}

static void test_tracepoint(void **state)
{
	(void)state;
	parse_fixture("virtio-blk", "block_rq_issue.format");
	assert_string_equal(f.name, "block_rq_issue");
	expect("common_type", 0, 2, false);
	expect("common_pid", 4, 4, true);
	expect("dev", 8, 4, false);
	expect("sector", 16, 8, false);
	expect("nr_sector", 24, 4, false);
	assert_true(format_field(&f, "rwbs")->array);
	assert_false(format_field(&f, "rwbs")->data_loc);
	assert_true(format_field(&f, "cmd")->data_loc);
	assert_null(format_field(&f, "char"));
	assert_null(format_field(&f, ""));
}

static void test_kprobe(void **state)
{
	(void)state;
	parse_fixture("virtio-blk", "kick.format");
	assert_string_equal(f.name, "kick");
	assert_int_equal(f.id, 1380);
	expect("key", 16, 8, false);
	parse_fixture("ahci", "irq.format");
	expect("key", 16, 4, true);
	parse_fixture("nvme", "kick.format");
	assert_null(format_field(&f, "key"));
}

static void test_declarations(void **state)
{
	(void)state;
	assert_int_equal(parse("name: x\nID: 65535\nformat:\n"
			       "\tfield:const struct iovec * vec;\toffset:24;\tsize:8;\tsigned:0;\n"
			       "\tfield:struct iocb * * iocbpp;\toffset:32;\tsize:8;\tsigned:0;\n"
			       "\tfield:u8 a[4];\toffset:40;\tsize:4;\tsigned:1;\n"
			       "\tfield:__rel_loc char[] r;\toffset:44;\tsize:4;\n"
			       "print fmt: \"field:int y;\"\n\tfield:nonsense\n"), 0);
	assert_int_equal(f.id, 65535);
	assert_int_equal(f.fields, 4);
	expect("vec", 24, 8, false);
	expect("iocbpp", 32, 8, false);
	expect("a", 40, 4, true);
	expect("r", 44, 4, false);
	assert_true(format_field(&f, "r")->data_loc);
	assert_false(format_field(&f, "vec")->array);
}

static void refused(const char *text, const char *why)
{
	assert_int_equal(parse(text), -1);
	assert_int_equal(err.code, ERR_PROTOCOL);
	if (!strstr(err.text, why))
		fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

#define HEAD "name: x\nID: 7\nformat:\n"

static void test_refused(void **state)
{
	(void)state;
	refused("", "lacks its name");
	refused("name: x\n\tfield:int a;\toffset:0;\tsize:4;\tsigned:1;\n", "lacks its ID");
	refused(HEAD, "lacks its fields");
	refused("name:\n", "not an event's name");
	refused("ID: 65536\n", "not an event's number");
	refused("ID: -1\n", "not an event's number");
	refused("ID: 99999999999999999999\n", "not an event's number");
	refused(HEAD "\tfield:int a\n", "line 4: not a field");
	refused(HEAD "\tfield:;\toffset:0;\tsize:4;\n", "not a field");
	refused(HEAD "\tfield:];\toffset:0;\tsize:4;\n", "not a field");
	refused(HEAD "\tfield:int a;\toffset:;\tsize:4;\n", "not a field");
	refused(HEAD "\tfield:int a;\toffset:65535;\tsize:4;\n", "not a field");
	refused(HEAD "\tfield:int a;\toffset:4294967296;\tsize:4;\n", "not a field");
	refused(HEAD "\tfield:int a;\toffset:0;\tsize:4;\tsigned:2;\n", "not a field");
	refused(HEAD "\tfield:int a;\toffset:0;\n", "not a field");
}

static void test_bounds(void **state)
{
	static char text[FORMAT_TEXT_MAX + 2];
	char name[FORMAT_NAME_MAX + 1], line[256];
	size_t n;
	(void)state;
	memset(text, '\n', sizeof(text) - 1);
	refused(text, "at most");
	memset(name, 'n', sizeof(name) - 1);
	name[FORMAT_NAME_MAX] = 0;
	snprintf(line, sizeof(line), HEAD "\tfield:int %s;\toffset:0;\tsize:4;\tsigned:0;\n", name);
	refused(line, "not a field");
	snprintf(line, sizeof(line), HEAD "\tfield:int %s;\toffset:0;\tsize:4;\tsigned:0;\n", name + 1);
	assert_int_equal(parse(line), 0);
	n = (size_t)snprintf(text, sizeof(text), HEAD);
	for (int i = 0; i <= FORMAT_FIELDS_MAX; i++) {
		if (i == FORMAT_FIELDS_MAX)
			assert_int_equal(parse(text), 0);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "\tfield:int f%d;\toffset:0;\tsize:4;\tsigned:0;\n", i);
	}
	refused(text, "more fields");
}

static void test_header_page(void **state)
{
	size_t size, page = 0;
	(void)state;
	uint8_t *text = fixture(".", "header_page", &size);
	assert_non_null(text);
	assert_int_equal(format_header_page((struct span){ text, size }, &page, &err), 0);
	assert_int_equal(page, 4096);
	/* A 32-bit kernel's. */
	char *commit = memmem(text, size, "offset:8;\tsize:8", 16);
	assert_non_null(commit);
	commit[14] = '4';
	assert_int_equal(format_header_page((struct span){ text, size }, &page, &err), -1);
	assert_non_null(strstr(err.text, "commit"));
	free(text);
	assert_int_equal(format_header_page((struct span){ (const uint8_t *)"", 0 }, &page, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tracepoint),
		cmocka_unit_test(test_kprobe),
		cmocka_unit_test(test_declarations),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_header_page),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
