/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Phases, accounts, clock boxes and waterfalls, from attributions made up by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/page.h"
#include "tests/fixtures/attributed_world.h"

static const struct attrs no_attrs;

static struct summary summary_of(const struct attribution *a)
{
	return (struct summary){ .run = { .run = 7 }, .host_hz = WORLD_HZ, .guest_hz = WORLD_HZ, .window_open = WORLD_OPEN, .counts = { .seen = a->seen } };
}

/* All that show prints of an attribution, on a page of that width. */
static char *shown(const struct attribution *a, int width)
{
	struct summary sum = summary_of(a);
	const struct page p = { &sum, &no_attrs, a, width, false };
	struct capture c = capture_begin();
	show_phases(&p);
	show_account(&p);
	show_clock(&p);
	return capture_end(&c);
}

static char *waterfall(const struct attribution *a, const struct attributed *r, const char *width)
{
	struct summary sum = summary_of(a);
	setenv("COLUMNS", width, 1);
	struct capture c = capture_begin();
	show_request_text(&sum, &no_attrs, a, r, "worst");
	unsetenv("COLUMNS");
	return capture_end(&c);
}

/* The widest line, in columns. */
static int widest(const char *text)
{
	int most = 0;
	while (*text) {
		size_t len = strcspn(text, "\n");
		char *line = strndup(text, len);
		int n = term_columns(line);
		most = n > most ? n : most;
		free(line);
		text += len + (text[len] == '\n');
	}
	return most;
}

static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void lacks(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("\"%s\" is in:\n%s", part, text);
}

static void look(const char *text)
{
	if (getenv("LOOK"))
		fprintf(stderr, "%s\n", text);
}

static void fits(const char *text, int width)
{
	look(text);
	if (widest(text) > width)
		fail_msg("%d columns are wider than %d:\n%s", widest(text), width, text);
}

/* ---- phases ---- */

static void test_all_boundaries(void **state)
{
	struct attribution *a = world_attribution(59871, 1000, ALL_BOUNDARIES);
	(void)state;
	for (int width = 80; width <= 160; width += 20) {
		char *text = shown(a, width);
		fits(text, width);
		for (unsigned i = 0; i < PHASES; i++)
			has(text, phase_name(i));
		has(text, "59,871 of 59,871 (100 %)");
		lacks(text, "merged");
		lacks(text, "not seen");
		has(text, "± 40.0 ns");
		has(text, "device 59,871");
		has(text, "no phase is negative");
		has(text, "mount -t tracefs");
		free(text);
	}
	free(a);
}

static void test_merged(void **state)
{
	struct attribution *a = world_attribution(400, 1000, ALL_BOUNDARIES & ~(1u << AT_GUEST_KICK | 1u << AT_HOST_NOTIFY | 1u << AT_HOST_ISSUE));
	char *text = shown(a, 80), *wide = shown(a, 120);
	(void)state;
	fits(text, 80);
	fits(wide, 120);
	/* In 80 columns a merged name takes two lines. */
	has(text, "guest.driver*");
	has(text, "\n   ..vmm.dispatch\n");
	has(wide, "guest.driver..vmm.dispatch*");
	has(text, "* merged");
	has(text, "guest_kick, host_notify, host_issue: tracefs is not mounted on the\n              host");
	/* 400 are too few for p99.9. */
	has(wide, "too few");
	lacks(text, "too few");
	free(text);
	free(wide);
	free(a);
}

/* A run that nobody but the application saw is shown as ever, with who is missing and why. */
static void test_no_sightings(void **state)
{
	struct attribution *a = world_attribution(1000, 1000, 1u << AT_APP_SUBMIT | 1u << AT_APP_REAP);
	(void)state;
	for (unsigned v = VANTAGE_GUEST; v <= VANTAGE_HOST; v++)
		a->vantage[v] = (struct vantage_note){ false, "absent: vantage is off", 0, 0 };
	a->vantage[VANTAGE_VMM].text[0] = 0;
	char *text = shown(a, 80);
	fits(text, 80);
	assert_false(show_has_phases(a));
	lacks(text, "Phases");
	lacks(text, "matched");
	has(text, "guest.kernel absent: vantage is off");
	has(text, "vmm          absent: this run was not traced");
	free(text);
	free(a);
}

static void test_none_one_and_very_many(void **state)
{
	static const uint64_t counts[] = { 0, 1, 12345678901234567890u };
	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct attribution *a = world_attribution(counts[i], counts[i] > 1 ? 5000000000000 : 1, ALL_BOUNDARIES);
		for (unsigned c = 1; c < CAUSES; c++)
			a->unmatched[c] = counts[i];
		char *text = shown(a, 80);
		fits(text, 80);
		free(text);
		free(a);
	}
}

static void test_violation(void **state)
{
	struct attribution *a = world_attribution(5000, 1000, ALL_BOUNDARIES);
	(void)state;
	a->violations = 1234;
	a->matched = 4999;
	a->unmatched[CAUSE_AMBIGUOUS] = 1;
	strcpy(a->violation_example, "request 17: cross.kick took -812 ns, bound 40 ns: guest_kick at 1 by g_kick,\033[2J host_notify at 2 by v_notify");
	char *text = shown(a, 80);
	fits(text, 80);
	has(text, "1,234 phases are negative");
	has(text, "request 17: cross.kick took -812 ns");
	lacks(text, "\033");
	has(text, "1 ambiguous: several requests fit");
	has(text, "4,999 of 5,000 (99.98 %)");
	free(text);
	free(a);
}

static void test_epochs(void **state)
{
	struct attribution *a = world_attribution(5000, 1000, ALL_BOUNDARIES);
	(void)state;
	a->epochs = 300;
	a->epochs_kept = EPOCH_BOUNDS_MAX;
	for (unsigned i = 1; i < EPOCH_BOUNDS_MAX; i++)
		a->epoch[i] = (struct epoch_bound){ .epoch = i, .lo = 0, .hi = 2 * (int64_t)i, .tier = TIER_EXCHANGE, .requests = i == 200 };
	/* The widest of those with requests stands for the run. */
	assert_ptr_equal(show_epoch(a), &a->epoch[200]);
	char *text = shown(a, 80);
	fits(text, 80);
	has(text, "known to ± 200 ns · tier exchange · 300 epochs");
	has(text, "292 more epochs");
	free(text);
	free(a);
}

/* ---- one request ---- */

static void test_waterfall(void **state)
{
	struct attribution *a = world_attribution(5000, 1000, ALL_BOUNDARIES);
	struct attributed r = world_request(17, 5000000, 1000, ALL_BOUNDARIES);
	static const char *const widths[] = { "80", "120", "200" };
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char *text = waterfall(a, &r, widths[i]);
		fits(text, atoi(widths[i]));
		has(text, "Run 7, request 17 · worst");
		has(text, "read · 4k · sector 136 · job 0");
		has(text, "took        105 µs · submitted 5.00 ms after the window opened");
		for (unsigned b = 0; b < BOUNDARIES; b++)
			has(text, boundary_name(b));
		for (unsigned b = 0; b < PHASES; b++)
			has(text, phase_name(b));
		has(text, "± 540 ns  host_notify     vmm               404  v_notify");
		has(text, "+14.0 µs");
		free(text);
	}
	free(a);
}

static void test_waterfall_of_few(void **state)
{
	struct attribution *a = world_attribution(1, 1000, ALL_BOUNDARIES & ~(1u << AT_HOST_SUBMIT));
	struct attributed r = world_request(0, 0, 0, 1u << AT_APP_SUBMIT | 1u << AT_GUEST_ISSUE | 1u << AT_DEVICE_START | 1u << AT_APP_REAP);
	(void)state;
	r.suppressed = 1u << AT_GUEST_KICK;
	r.cause = CAUSE_NO_COMPLETION;
	r.io.result = -5;
	char *text = waterfall(a, &r, "80");
	fits(text, 80);
	has(text, "Input/output error");
	has(text, "no_completion: it was seen on its way down only");
	has(text, "needless    guest_kick");
	has(text, "not seen    guest_queue, host_notify, host_issue");
	has(text, "not seen    host_submit: tracefs is not mounted on the host");
	has(text, "..vmm.dispatch");
	free(text);
	r.io.result = INT32_MIN;
	free(waterfall(a, &r, "80"));
	free(a);
}

/* A negative phase is shown as it is, where it is. */
static void test_waterfall_violation(void **state)
{
	struct attribution *a = world_attribution(5000, 1000, ALL_BOUNDARIES);
	struct attributed r = world_request(17, 0, 1000, ALL_BOUNDARIES);
	(void)state;
	r.at[AT_HOST_NOTIFY] = r.at[AT_GUEST_KICK] - 3000;
	r.violations = 1;
	char *text = waterfall(a, &r, "80");
	look(text);
	has(text, "-3.00 µs");
	has(text, "causality violated");
	free(text);
	/* Within its bound it is no violation. */
	r.at[AT_HOST_NOTIFY] = r.at[AT_GUEST_KICK] - 300;
	text = waterfall(a, &r, "80");
	has(text, "-300 ns");
	lacks(text, "violated");
	free(text);
	free(a);
}

static void test_request_json(void **state)
{
	struct attribution *a = world_attribution(5000, 1000, ALL_BOUNDARIES);
	struct attributed r = world_request(17, 5000, 1000, ALL_BOUNDARIES & ~(1u << AT_GUEST_IRQ));
	struct summary sum = summary_of(a);
	json_t *o = show_request_json(&sum, a, &r, ""), *phases = json_object_get(o, "phases"), *p;
	int64_t cycles = 0;
	size_t i;
	(void)state;
	assert_int_equal(json_integer_value(json_object_get(o, "request")), 17);
	assert_true(json_is_null(json_object_get(o, "role")));
	assert_true(json_real_value(json_object_get(o, "submit_ns")) == 5000);
	assert_int_equal(json_array_size(json_object_get(o, "boundaries")), 14);
	assert_int_equal(json_array_size(phases), 13);
	json_array_foreach(phases, i, p)
		cycles += json_integer_value(json_object_get(p, "cycles"));
	assert_int_equal(cycles, r.io.reap - r.io.submit);
	p = json_array_get(phases, 3);
	assert_string_equal(json_string_value(json_object_get(p, "name")), "cross.kick");
	assert_true(json_real_value(json_object_get(p, "bound_ns")) == 540);
	assert_true(json_is_true(json_object_get(p, "crosses_clocks")));
	assert_string_equal(json_string_value(json_array_get(json_object_get(o, "not_seen"), 0)), "guest_irq");
	json_decref(o);
	free(a);
}

/* ---- for programs ---- */

static void test_json(void **state)
{
	struct attribution *a = world_attribution(5000, 1000, ALL_BOUNDARIES & ~(1u << AT_GUEST_KICK));
	struct summary sum = summary_of(a);
	(void)state;
	a->matched = 4990;
	a->unmatched[CAUSE_NO_VMM] = 10;
	a->suppressed[AT_GUEST_KICK] = 44;
	a->residual_max = 2;
	json_t *o = show_json(&sum, &no_attrs, a), *requests = json_object_get(o, "requests"), *clock = json_object_get(o, "clock");
	assert_int_equal(json_integer_value(json_object_get(requests, "matched")), 4990);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(requests, "unmatched"), "no_vmm")), 10);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(requests, "served_from"), "device")), 5000);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(requests, "suppressed"), "guest_kick")), 44);
	assert_true(json_real_value(json_object_get(json_object_get(o, "residual_ns"), "max")) == 2);
	assert_string_equal(json_string_value(json_object_get(clock, "tier")), "causal");
	json_t *exchange = json_object_get(json_object_get(clock, "tiers"), "exchange");
	assert_true(json_real_value(json_object_get(exchange, "bound_ns")) == 75000);
	assert_int_equal(json_integer_value(json_object_get(exchange, "lo")), -60000);
	assert_null(json_object_get(json_object_get(clock, "tiers"), "exact"));
	json_t *phases = json_object_get(o, "phases"), *p = json_array_get(phases, 2);
	assert_int_equal(json_array_size(phases), 13);
	assert_string_equal(json_string_value(json_object_get(p, "name")), "guest.driver..cross.kick");
	assert_true(json_is_true(json_object_get(p, "merged")));
	assert_true(json_real_value(json_object_get(p, "mean_ns")) == 7000);
	assert_true(json_is_null(json_object_get(o, "causality_example")));
	json_t *vantages = json_object_get(o, "vantages");
	assert_true(json_is_true(json_object_get(json_object_get(vantages, "vmm"), "there")));
	has(json_string_value(json_object_get(json_object_get(vantages, "host.kernel"), "reason")), "mount");
	has(json_string_value(json_object_get(json_object_get(vantages, "absent"), "guest_kick")), "tracefs");
	json_decref(o);
	free(a);
}

/* ---- bars and signs ---- */

static void test_span(void **state)
{
	char bar[64];
	(void)state;
	assert_string_equal(term_span(0, 1, 4, bar, sizeof(bar)), "████");
	assert_string_equal(term_span(0.25, 0.75, 4, bar, sizeof(bar)), " ██");
	assert_string_equal(term_span(0.5, 0.5, 4, bar, sizeof(bar)), "  ▏");
	assert_string_equal(term_span(1, 1, 4, bar, sizeof(bar)), "   ▏");
	assert_string_equal(term_span(-3, 9, 2, bar, sizeof(bar)), "██");
	assert_string_equal(term_span(0, 0.625, 4, bar, sizeof(bar)), "██▌");
	assert_string_equal(term_span(0.125, 0.5, 4, bar, sizeof(bar)), "▐█");
	assert_string_equal(term_span(0.24, 0.5, 4, bar, sizeof(bar)), " █");
	assert_string_equal(term_span(0.24, 0.25, 4, bar, sizeof(bar)), "▏");
	assert_string_equal(term_span(0.0 / 0.0, 0.0 / 0.0, 2, bar, sizeof(bar)), "▏");
	assert_string_equal(term_span(0, 1, 0, bar, sizeof(bar)), "");
}

static void test_locale(void **state)
{
	(void)state;
	setenv("LC_ALL", "", 1);
	setenv("LC_CTYPE", "de_DE.UTF-8", 1);
	setenv("LANG", "C", 1);
	assert_true(term_utf8());
	setenv("LC_ALL", "POSIX", 1);
	assert_false(term_utf8());
	unsetenv("LC_ALL");
	unsetenv("LC_CTYPE");
	assert_false(term_utf8());
	setenv("LANG", "en_GB.utf8", 1);
	assert_true(term_utf8());
	unsetenv("LANG");
	assert_false(term_utf8());
}

/* What reaches the terminal is ASCII even where a sign is cut by the end of a buffer. */
static void test_ascii(void **state)
{
	struct capture c = capture_begin();
	FILE *before = stdout;
	(void)state;
	assert_int_equal(term_ascii_stdout(), 0);
	printf("± 12.4 µs · a−b │██▍ ü€\n");
	fflush(stdout);
	fwrite("\xc2", 1, 1, stdout);
	fflush(stdout);
	fwrite("\xb5s\n", 1, 3, stdout);
	for (unsigned i = 0; i < 5000; i++)
		fputs("█", stdout);
	fflush(stdout);
	fclose(stdout);
	stdout = before;
	char *text = capture_end(&c);
	has(text, "+- 12.4 us | a-b |##. ??\nus\n####");
	assert_int_equal(strspn(strchr(strchr(text, '\n') + 1, '\n') + 1, "#"), 5000);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_boundaries),
		cmocka_unit_test(test_merged),
		cmocka_unit_test(test_no_sightings),
		cmocka_unit_test(test_none_one_and_very_many),
		cmocka_unit_test(test_violation),
		cmocka_unit_test(test_epochs),
		cmocka_unit_test(test_waterfall),
		cmocka_unit_test(test_waterfall_of_few),
		cmocka_unit_test(test_waterfall_violation),
		cmocka_unit_test(test_request_json),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_span),
		cmocka_unit_test(test_locale),
		cmocka_unit_test(test_ascii),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
