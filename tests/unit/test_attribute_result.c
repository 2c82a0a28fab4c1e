/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The result of attribution as it is stored: it comes back as it was, and damage is told, whatever byte it hits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attribute/result.h"
#include "common/clock_tier.h"

static struct attribution *made(void)
{
	struct attribution *a = calloc(1, sizeof(*a));
	assert_non_null(a);
	a->version = ATTRIBUTION_VERSION;
	a->host_hz = 2100000000;
	a->guest_hz = 2000000000;
	a->seen = 1000;
	a->counted = 990;
	a->matched = 980;
	a->unmatched[CAUSE_NO_VMM] = 10;
	a->served[SERVED_DEVICE] = 980;
	a->suppressed[AT_GUEST_KICK] = 7;
	a->violations = 1;
	strcpy(a->violation_example, "request 3: cross.kick −12");
	strcpy(a->vantage[1].text, "tracefs");
	a->vantage[1].there = true;
	strcpy(a->absent[AT_HOST_ISSUE], "no block device under the scratch file");
	a->epochs = a->epochs_kept = 2;
	a->epoch[0] = (struct epoch_bound){ .epoch = 0, .lo = -100, .hi = 100, .tier = TIER_EXCHANGE, .requests = 5,
					    .by_tier[TIER_EXCHANGE] = { 3, -100, 100 } };
	a->epoch[1] = (struct epoch_bound){ .epoch = 1, .lo = 1000, .hi = 1010, .tier = TIER_CAUSAL, .requests = 5 };
	a->spans = 2;
	a->span[0] = (struct span_stat){ .from = 0, .to = 2, .count = 980, .min = -4, .max = 900, .sum = 12345, .p50 = 10,
					 .p999 = INT64_MIN, .bound = 4 };
	a->span[1] = (struct span_stat){ .from = 2, .to = 14, .count = 980, .min = 1, .max = 9, .sum = 1.5 };
	a->level[0] = (struct level){ .n = 980, .lo = 1, .hi = 2, .total = 12346.5, .part = { 12345, 1.5 } };
	struct attributed *r = &a->example[EXAMPLE_WORST].r;
	a->example[EXAMPLE_WORST].there = true;
	r->io = (struct io_record){ .submit = 5, .reap = UINT64_MAX, .sector = 8, .length = 4096, .result = -5, .job = 3, .op = IO_FLUSH };
	r->seen = 1 << AT_APP_SUBMIT | 1 << AT_GUEST_ISSUE | 1 << AT_APP_REAP;
	r->suppressed = 1 << AT_GUEST_KICK;
	r->at[AT_GUEST_ISSUE] = 77;
	r->kind[AT_GUEST_ISSUE] = SIGHT_G_ISSUE;
	r->offset_err = 100;
	return a;
}

static void packed(struct wbuf *w, const struct attribution *a)
{
	wbuf_heap(w, 4 << 20);
	attribution_pack(w, a);
	assert_false(w->bad);
}

static void comes_back(void **state)
{
	(void)state;
	struct attribution *a = made(), *b = malloc(sizeof(*b));
	struct wbuf w;
	struct error err;
	packed(&w, a);
	if (attribution_unpack((struct span){ w.p, w.len }, b, &err) < 0)
		fail_msg("%s", err.text);
	assert_memory_equal(a, b, sizeof(*a));
	wbuf_fini(&w);
	free(a);
	free(b);
}

static void damage_is_told(void **state)
{
	(void)state;
	struct attribution *a = made(), *b = malloc(sizeof(*b));
	struct wbuf w;
	struct error err;
	packed(&w, a);
	for (size_t i = 0; i < w.len; i++)
		assert_int_equal(attribution_unpack((struct span){ w.p, i }, b, &err), -1);
	for (size_t i = 0; i < w.len; i++) {
		w.p[i] ^= 0xff;
		(void)attribution_unpack((struct span){ w.p, w.len }, b, &err);
		w.p[i] ^= 0xff;
	}
	w.p[0] = ATTRIBUTION_VERSION + 1;
	assert_int_equal(attribution_unpack((struct span){ w.p, w.len }, b, &err), -1);
	assert_int_equal(err.code, ERR_VERSION);
	wbuf_fini(&w);
	free(a);
	free(b);
}

static void what_cannot_be_is_refused(void **state)
{
	(void)state;
	for (int fault = 0; fault < 6; fault++) {
		struct attribution *a = made();
		struct wbuf w;
		switch (fault) {
		case 0: a->spans = SPANS_MAX + 1; break;
		case 1: a->span[1].to = 2; break;
		case 2: a->epochs_kept = EPOCH_BOUNDS_MAX + 1; break;
		case 3: a->epoch[0].tier = 6; break;
		case 4: a->example[EXAMPLE_WORST].r.seen = 1; break;
		default: a->span[1].from = 0, a->span[1].to = 1; break;
		}
		wbuf_heap(&w, 4 << 20);
		attribution_pack(&w, a);
		assert_true(w.bad);
		wbuf_fini(&w);
		free(a);
	}
}

static void bounds_add_up(void **state)
{
	(void)state;
	struct attribution *a = made();
	struct attributed r = { .offset_err = 100, .own[AT_GUEST_KICK] = 0, .own[AT_HOST_NOTIFY] = 1000, .own[AT_DEVICE_START] = 1000 };
	assert_int_equal(attributed_bound(&r, AT_GUEST_KICK, AT_HOST_NOTIFY), 1100);
	assert_int_equal(attributed_bound(&r, AT_HOST_NOTIFY, AT_DEVICE_START), 2000);
	assert_int_equal(attributed_bound(&r, AT_APP_SUBMIT, AT_APP_REAP), 0);
	r.offset_err = UINT64_MAX;
	assert_true(attributed_bound(&r, AT_GUEST_KICK, AT_HOST_NOTIFY) == UINT64_MAX);
	/* The widest epoch that has requests: 200 cycles wide, at 2 GHz. */
	assert_true(attribution_bound_ns(a) == 50.0);
	assert_int_equal(attribution_tier(a), TIER_EXCHANGE);
	a->epoch[0].requests = 0;
	assert_int_equal(attribution_tier(a), TIER_CAUSAL);
	a->epoch[1].requests = 0;
	assert_true(isnan(attribution_bound_ns(a)));
	free(a);
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(served_name(SERVED_HOST_CACHE), "host_cache");
	assert_string_equal(cause_name(CAUSE_NO_VMM), "no_vmm");
	assert_string_equal(cause_name(99), "unknown");
	assert_string_equal(cause_text(99), "unknown");
	assert_string_equal(served_name(99), "unknown");
	assert_string_equal(level_name[3], "p99.9");
	assert_string_equal(example_name(EXAMPLE_TYPICAL), "typical");
	assert_string_equal(example_name(99), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back), cmocka_unit_test(damage_is_told), cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(bounds_add_up), cmocka_unit_test(names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
