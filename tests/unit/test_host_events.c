/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --event: what is understood, in which order, and what is refused before a guest is booted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/run/events.h"

static void add(struct run_events *e, const char *text)
{
	struct error err = { 0 };

	if (run_events_add(e, text, &err))
		fail_msg("%s: %s", text, err.text);
}

static void test_order(void **state)
{
	(void)state;
	struct run_events e = { 0 };

	add(&e, "700ms:cont");
	add(&e, "1s:savevm");
	add(&e, "500ms:stop");
	add(&e, "1s:loadvm");
	add(&e, "0s:savevm");
	const struct { uint64_t at; enum run_event_kind what; } want[] = {
		{ 0, RUN_EVENT_SAVEVM }, { 500000000, RUN_EVENT_STOP }, { 700000000, RUN_EVENT_CONT },
		{ 1000000000, RUN_EVENT_SAVEVM }, { 1000000000, RUN_EVENT_LOADVM },      /* the same time: in the order given */
	};
	assert_int_equal(e.n, 5);
	for (size_t i = 0; i < e.n; i++) {
		assert_int_equal(e.item[i].at_ns, want[i].at);
		assert_int_equal(e.item[i].what, want[i].what);
	}
}

static void test_refused_words(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"", ":", "stop", "500ms", "500ms:", ":stop", "500ms:halt", "500ms:STOP", "500ms:stop ", "x:stop", "-1s:stop", "500:stop:", "1e999s:stop",
		"99999999999999999999s:stop", "123456789012345678901234567890123456789ms:stop", "1s:migrates",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct run_events e = { 0 };
		struct error err = { 0 };
		if (run_events_add(&e, bad[i], &err) == 0)
			fail_msg("\"%s\" is taken", bad[i]);
		assert_int_equal(err.code, ERR_USAGE);
		assert_int_equal(e.n, 0);
	}
	struct run_events e = { 0 };
	struct error err = { 0 };
	for (int i = 0; i < RUN_EVENTS_MAX; i++)
		add(&e, "1s:savevm");
	assert_int_equal(run_events_add(&e, "1s:savevm", &err), -1);
	assert_non_null(strstr(err.text, "at most"));
}

static struct config qcow2(void)
{
	struct config c;

	config_default(&c);
	assert_int_equal(config_set(&c, "disk.format", "qcow2", NULL), 0);
	c.workload.runtime = 3000000000;
	c.workload.ramp_time = 0;
	return c;
}

/* The words of the refusal, "" where there is none. Events are given blank-separated. */
static const char *judged(const char *events, const struct config *c)
{
	static struct error err;
	struct run_events e = { 0 };
	char copy[256], *save = NULL;

	err = (struct error){ 0 };
	snprintf(copy, sizeof(copy), "%s", events);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		add(&e, w);
	int r = run_events_check(&e, c, &err);
	assert_int_equal(r ? -1 : 0, err.code ? -1 : 0);
	assert_true(!r || err.code == ERR_USAGE);
	return err.text;
}

static void test_sense(void **state)
{
	(void)state;
	struct config c = qcow2(), raw = c, nvme = c, null = c, open_ended = c;

	assert_string_equal(judged("", &c), "");
	assert_string_equal(judged("1s:stop 2s:cont", &c), "");
	assert_string_equal(judged("1s:savevm 2s:loadvm 2500ms:loadvm", &c), "");
	assert_string_equal(judged("1s:stop 1s:cont 1s:savevm 1s:stop 2s:cont 2s:loadvm", &c), "");
	static const struct { const char *events, *word; } bad[] = {
		{ "1s:stop", "no cont" }, { "1s:cont", "without a stop" }, { "1s:stop 2s:stop", "a stop of a VM that is stopped" },
		{ "1s:stop 2s:savevm 2s:cont", "a savevm of a VM that is stopped" }, { "1s:loadvm", "without a savevm" },
		{ "1s:loadvm 2s:savevm", "without a savevm" }, { "1s:stop 3s:cont", "3.000 s long" }, { "1s:stop 2s:cont 2s:cont", "without a stop" },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!strstr(judged(bad[i].events, &c), bad[i].word))
			fail_msg("%s: \"%s\" does not say \"%s\"", bad[i].events, judged(bad[i].events, &c), bad[i].word);
	assert_int_equal(config_set(&raw, "disk.format", "raw", NULL), 0);
	assert_non_null(strstr(judged("1s:savevm", &raw), "disk.format=qcow2"));
	assert_string_equal(judged("1s:stop 2s:cont", &raw), "");
	assert_int_equal(config_set(&nvme, "disk.bus", "nvme", NULL), 0);
	assert_non_null(strstr(judged("1s:savevm", &nvme), "NVMe"));
	assert_non_null(strstr(judged("1s:migrate", &nvme), "NVMe"));
	assert_string_equal(judged("1s:migrate 2s:migrate", &raw), "");
	assert_non_null(strstr(judged("1s:stop 1500ms:migrate 2s:cont", &raw), "a migrate of a VM that is stopped"));
	assert_int_equal(config_set(&raw, "vm.boot", "bios", NULL), 0);
	assert_non_null(strstr(judged("1s:migrate", &raw), "vm.boot=direct"));
	assert_int_equal(config_set(&null, "disk.backend", "null-co", NULL), 0);
	assert_non_null(strstr(judged("1s:savevm", &null), "disk.backend=file"));
	open_ended.workload.runtime = 0;
	assert_string_equal(judged("100s:savevm", &open_ended), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_refused_words),
		cmocka_unit_test(test_sense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
