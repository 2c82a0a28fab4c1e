/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Templates: what a good one says, and what each kind of bad one is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mine/phases.h"
#include "mine/search.h"
#include "mine/template.h"

static char *xsd;
static size_t xsd_len;

#define HEAD "<template xmlns=\"urn:bifocal:template\" version=\"1\" name=\"t\">\n<title>T</title>\n"

static int parse(struct template *t, const char *text, struct error *err)
{
	*err = (struct error){ 0 };
	return template_parse(t, "bad.xml", text, strlen(text), xsd, xsd_len, err);
}

/* Refused, with every word of `words` (blank-separated groups are one each) in the message. */
static void refuse(const char *text, const char *const *words)
{
	struct template t;
	struct error err;
	assert_int_equal(parse(&t, text, &err), -1);
	assert_int_equal(err.code, ERR_USAGE);
	for (; *words; words++)
		if (!strstr(err.text, *words))
			fail_msg("\"%s\" is not in: %s", *words, err.text);
	template_fini(&t);
}
#define REFUSE(text, ...) refuse(text, (const char *const[]){ __VA_ARGS__, NULL })

static void test_reads_all(void **state)
{
	(void)state;
	struct template t;
	struct error err;
	assert_int_equal(parse(&t,
		"<?xml version=\"1.0\"?>\n" HEAD "<summary> Two\n  words </summary>\n"
		"<select study=\"last\"><where key=\"disk.bus\" value=\"ahci,ide\" except=\"true\"/></select>\n"
		"<group><by key=\"config.disk.bus\" label=\"\" order=\"a b\"/><by key=\"workload.iodepth\"/></group>\n"
		"<context><show key=\"workload.bs\" label=\"blocks of\"/></context>\n"
		"<report level=\"0.9\"><text>Hello</text><table title=\"Tab\" statistics=\"n iops mean max p50 p99.99\"/>\n"
		"<chart type=\"timeline\" id=\"time\" title=\"Line\"/><chart type=\"percentile\" id=\"perc\" title=\"P\"/>\n"
		"<compare title=\"C\" key=\"config.disk.bus\" baseline=\"virtio-blk\" statistics=\"p50\"/>\n"
		"<cpu title=\"c\"/><clock title=\"k\"/><loss title=\"l\"/><provenance title=\"p\"/></report></template>", &err), 0);
	assert_string_equal(t.name, "t");
	assert_string_equal(t.title, "T");
	assert_string_equal(t.summary, "Two words");
	assert_true(t.last_study && t.level == 0.9);
	assert_int_equal(t.n_where, 1);
	assert_string_equal(t.where[0].key, "disk.bus");
	assert_string_equal(t.where[0].values, "ahci,ide");
	assert_true(t.where[0].except);
	assert_string_equal(t.where[0].origin, "bad.xml:6: <where>");
	assert_int_equal(t.n_by, 2);
	assert_string_equal(t.by[0].order, "a b");
	assert_string_equal(t.by[0].label, "");
	assert_null(t.by[1].label);
	assert_string_equal(t.show[0].label, "blocks of");
	assert_int_equal(t.items, 9);
	assert_int_equal(t.item[1].statistics, 6);
	assert_int_equal(t.item[1].statistic[1].kind, STAT_IOPS);
	assert_int_equal(t.item[1].statistic[5].kind, STAT_PERCENTILE);
	assert_true(t.item[1].statistic[5].q > 0.99989 && t.item[1].statistic[5].q < 0.99991);
	assert_int_equal(t.item[2].chart, CHART_TIMELINE);
	assert_string_equal(t.item[2].id, "time");
	assert_int_equal(t.item[3].chart, CHART_PERCENTILE);
	assert_string_equal(t.item[4].baseline, "virtio-blk");
	static const enum item_kind kinds[] = { ITEM_TEXT, ITEM_TABLE, ITEM_CHART, ITEM_CHART, ITEM_COMPARE, ITEM_CPU, ITEM_CLOCK, ITEM_LOSS, ITEM_PROVENANCE };
	for (size_t i = 0; i < 9; i++)
		assert_int_equal(t.item[i].kind, kinds[i]);
	template_fini(&t);
	template_fini(&t);
}

static void test_attribution_items(void **state)
{
	(void)state;
	struct template t;
	struct error err;
	assert_int_equal(parse(&t, HEAD "<report><chart type=\"attribution\" id=\"a\" title=\"A\" levels=\"p99 mean\"/>"
		"<chart type=\"attribution\" id=\"b\" title=\"B\"/><chart type=\"waterfall\" id=\"w\" title=\"W\"/>"
		"<chart type=\"waterfall\" id=\"v\" title=\"V\" examples=\"violation worst\"/>"
		"<phases title=\"p\"/><requests title=\"r\"/><tiers title=\"t\"/></report></template>", &err), 0);
	assert_int_equal(t.item[0].chart, CHART_ATTRIBUTION);
	assert_int_equal(t.item[0].levels, 1 << LEVEL_MEAN | 1 << LEVEL_P99);
	assert_int_equal(t.item[1].levels, (1 << LEVELS) - 1);
	assert_int_equal(t.item[2].chart, CHART_WATERFALL);
	assert_int_equal(t.item[2].examples, 1 << EXAMPLE_TYPICAL | 1 << EXAMPLE_P99 | 1 << EXAMPLE_WORST);
	assert_int_equal(t.item[3].examples, 1 << EXAMPLE_WORST | 1 << EXAMPLE_VIOLATION);
	assert_int_equal(t.item[4].kind, ITEM_PHASES);
	assert_int_equal(t.item[5].kind, ITEM_REQUESTS);
	assert_int_equal(t.item[6].kind, ITEM_TIERS);
	assert_true(template_wants_phases(&t));
	template_fini(&t);
	assert_int_equal(parse(&t, HEAD "<report><chart type=\"timeline\" id=\"a\" title=\"A\"/><clock title=\"c\"/></report></template>", &err), 0);
	assert_false(template_wants_phases(&t));
	template_fini(&t);
	REFUSE(HEAD "<report><chart type=\"attribution\" id=\"a\" title=\"A\" levels=\"p95\"/></report></template>", "bad.xml:3:", "p95");
	REFUSE(HEAD "<report><chart type=\"attribution\" id=\"a\" title=\"A\" levels=\"\"/></report></template>", "bad.xml:3:", "levels");
	REFUSE(HEAD "<report><chart type=\"waterfall\" id=\"a\" title=\"A\" examples=\"best\"/></report></template>", "bad.xml:3:", "best");
	REFUSE(HEAD "<report>\n<chart type=\"timeline\" id=\"a\" title=\"A\" levels=\"mean\"/></report></template>", "bad.xml:4:", "takes no levels", "attribution");
	REFUSE(HEAD "<report>\n<chart type=\"attribution\" id=\"a\" title=\"A\" examples=\"worst\"/></report></template>", "bad.xml:4:", "takes no examples");
}

static void test_not_well_formed(void **state)
{
	(void)state;
	REFUSE("", "bad.xml", "well-formed");
	REFUSE("<template>\n<a></b></template>", "bad.xml:2:", "not well-formed", "mismatch");
	REFUSE(HEAD "<report><text>a & b</text></report></template>", "bad.xml:3:", "not well-formed");
	REFUSE("hello", "bad.xml:1:", "not well-formed");
	REFUSE("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a>\xff\xfe</a>", "bad.xml:2:", "not well-formed");
	REFUSE(HEAD "<report><text>&nothing;</text></report></template>", "bad.xml:3:", "nothing");
}

static void test_not_valid(void **state)
{
	(void)state;
	REFUSE("<template version=\"1\" name=\"t\"/>", "bad.xml:1:", "'template'", "xmlns=\"urn:bifocal:template\"");
	REFUSE("<html xmlns=\"urn:bifocal:template\"/>", "bad.xml:1:", "'html'");
	REFUSE("<template xmlns=\"urn:bifocal:template\" version=\"2\" name=\"t\"><title>x</title><report><text>x</text></report></template>",
	       "bad.xml:1:", "'version'", "newer");
	REFUSE(HEAD "<report>\n<chart type=\"pie\" id=\"x\" title=\"P\"/></report></template>", "bad.xml:4:", "'chart'", "'type'", "percentile");
	REFUSE(HEAD "<report>\n<chart type=\"timeline\" title=\"P\"/></report></template>", "bad.xml:4:", "'chart'", "'id'");
	REFUSE(HEAD "<report>\n\n<tabel title=\"x\"/></report></template>", "bad.xml:5:", "'tabel'", "table");
	REFUSE(HEAD "<report><table title=\"x\" statistics=\"p50 p0\"/></report></template>", "bad.xml:3:", "p0");
	REFUSE(HEAD "<report><table title=\"x\" statistics=\"p00.00\"/></report></template>", "bad.xml:3:", "p00.00");
	REFUSE(HEAD "<report><table title=\"x\" statistics=\"p50 p9999\"/></report></template>", "bad.xml:3:", "p9999");
	REFUSE(HEAD "<report><table title=\"x\" statistics=\"\"/></report></template>", "bad.xml:3:", "statistics");
	REFUSE(HEAD "<report level=\"NaN\"><text>x</text></report></template>", "bad.xml:3:", "'level'");
	REFUSE(HEAD "<report level=\"1.5\"><text>x</text></report></template>", "bad.xml:3:", "'level'");
	REFUSE(HEAD "<report><chart type=\"timeline\" id=\"../x\" title=\"P\"/></report></template>", "bad.xml:3:", "'id'");
	REFUSE(HEAD "</template>", "report");
	REFUSE(HEAD "<report><chart type=\"timeline\" id=\"x\" title=\"P\"/><chart type=\"timeline\" id=\"x\" title=\"P\"/></report></template>",
	       "two charts", "\"x\"");
}

static void test_doctype_is_refused(void **state)
{
	(void)state;
	const char *rest = HEAD "<report><text>&e;</text></report></template>";
	static const char *const types[] = {
		"<!DOCTYPE template>\n",
		"<!DOCTYPE template SYSTEM \"http://127.0.0.1:1/x.dtd\">\n",
		"<!DOCTYPE template [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>\n",
		"<!DOCTYPE template [<!ENTITY % p SYSTEM \"file:///etc/passwd\"> %p;]>\n",
		"<!DOCTYPE template [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY e \"&b;&b;&b;&b;&b;&b;&b;&b;&b;\">]>\n",
	};
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		char text[2048];
		snprintf(text, sizeof(text), "\n%s%s", types[i], rest);
		REFUSE(text, "bad.xml:2:", "<!DOCTYPE>", "no entities", "remove");
	}
}

static void test_bounds(void **state)
{
	(void)state;
	struct template t;
	struct error err = { 0 };
	size_t len = TEMPLATE_BYTES + 1;
	char *big = malloc(len);
	assert_non_null(big);
	memset(big, ' ', len);
	assert_int_equal(template_parse(&t, "big.xml", big, len, xsd, xsd_len, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	/* Nested deeper than any reader should follow. */
	for (size_t i = 0; i + 3 < TEMPLATE_BYTES; i += 3)
		memcpy(big + i, "<a>", 3);
	assert_int_equal(template_parse(&t, "deep.xml", big, TEMPLATE_BYTES - 1, xsd, xsd_len, &err), -1);
	assert_non_null(strstr(err.text, "deep.xml:1:"));
	free(big);
	/* A schema that is none. */
	assert_int_equal(template_parse(&t, "bad.xml", HEAD "</template>", strlen(HEAD "</template>"), "<x/>", 4, &err), -1);
	assert_non_null(strstr(err.text, "bifocal-template.xsd"));
}

static void test_finding(void **state)
{
	(void)state;
	struct template t;
	struct error err = { 0 };
	assert_int_equal(template_load(&t, "latency", &err), 0);
	assert_string_equal(t.name, "latency");
	template_fini(&t);
	assert_int_equal(template_load(&t, "latancy", &err), -1);
	assert_int_equal(err.code, ERR_USAGE);
	assert_non_null(strstr(err.text, "did you mean \"latency\""));
	assert_int_equal(template_load(&t, "/nowhere/x.xml", &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(template_load(&t, "/dev/null/", &err), -1);
	assert_int_equal(template_load(&t, "./templates", &err), -1);
	assert_non_null(strstr(err.text, "not a regular file"));
	char fifo[] = "/tmp/bifocal-template.XXXXXX";
	assert_non_null(mkdtemp(fifo));
	char path[64];
	snprintf(path, sizeof(path), "%s/f.xml", fifo);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(template_load(&t, path, &err), -1);
	unlink(path);
	rmdir(fifo);
}

static int count(void *ctx, const char *path, const char *name)
{
	assert_true(strlen(path) > strlen(name));
	++*(int *)ctx;
	return 0;
}

/* Every template that is shipped is good. */
static void test_shipped(void **state)
{
	(void)state;
	struct error err = { 0 };
	int n = 0;
	assert_int_equal(template_each(count, &n, &err), 0);
	assert_true(n >= 2);
	char **names = search_template_names(&err);
	for (size_t i = 0; names[i]; i++) {
		struct template t;
		if (template_load(&t, names[i], &err))
			fail_msg("%s", err.text);
		assert_string_equal(t.name, names[i]);
		template_fini(&t);
	}
	search_names_free(names);
}

static int set_up(void **state)
{
	(void)state;
	struct error err = { 0 };
	if (chdir(TEST_SRCDIR))
		return -1;
	xsd = file_read("templates/bifocal-template.xsd", TEMPLATE_BYTES, &xsd_len, &err);
	return xsd ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	free(xsd);
	template_cleanup();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_all),
		cmocka_unit_test(test_attribution_items),
		cmocka_unit_test(test_not_well_formed),
		cmocka_unit_test(test_not_valid),
		cmocka_unit_test(test_doctype_is_refused),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_finding),
		cmocka_unit_test(test_shipped),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
