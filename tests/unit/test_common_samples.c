/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packed probe samples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/samples.h"

static void round_trip(void **state)
{
	(void)state;
	enum { N = SAMPLES_CHUNK };
	static struct sample in[N], out[N];
	struct wbuf w;
	struct error err;
	unsigned seed = 3;
	wbuf_heap(&w, 1 << 20);
	for (size_t i = 0; i < N; i++) {
		in[i].series = i % 9 ? (uint32_t)(i % 9) : UINT32_MAX;
		in[i].tsc = i % 100 ? in[i - 1].tsc + (uint64_t)rand_r(&seed) : (uint64_t)rand_r(&seed) << 33;
		in[i].value = (double)rand_r(&seed) / 7 - 1e8;
	}
	in[1].value = INFINITY;
	in[2].value = -0.0;
	samples_pack(&w, in, N);
	assert_false(w.bad);
	assert_int_equal(samples_unpack((struct span){ w.p, w.len }, out, N, &err), N);
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(in[i].series, out[i].series);
		assert_int_equal(in[i].tsc, out[i].tsc);
		assert_memory_equal(&in[i].value, &out[i].value, sizeof(double));
	}
	assert_int_equal(samples_unpack((struct span){ w.p, w.len }, out, N - 1, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	for (size_t n = 0; n < w.len; n += 13)
		assert_int_equal(samples_unpack((struct span){ w.p, n }, out, N, &err), -1);
	put_u8(&w, 0);
	assert_int_equal(samples_unpack((struct span){ w.p, w.len }, out, N, &err), -1);
	wbuf_fini(&w);
}

static void an_empty_chunk(void **state)
{
	(void)state;
	struct wbuf w;
	struct error err;
	uint8_t mem[16];
	wbuf_fixed(&w, mem, sizeof(mem));
	samples_pack(&w, NULL, 0);
	assert_int_equal(samples_unpack((struct span){ w.p, w.len }, NULL, 0, &err), 0);
}

static void what_is_no_number_is_refused(void **state)
{
	(void)state;
	struct sample s = { 1, 2, 3.0 };
	struct wbuf w;
	struct error err;
	uint8_t mem[64];
	double nan_value = NAN;
	wbuf_fixed(&w, mem, sizeof(mem));
	samples_pack(&w, &s, 1);
	memcpy(mem + w.len - 8, &nan_value, 8);
	assert_int_equal(samples_unpack((struct span){ w.p, w.len }, &s, 1, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	s.value = NAN;
	wbuf_reset(&w);
	samples_pack(&w, &s, 1);
	assert_true(w.bad);
}

static void made_up_ones_are_refused(void **state)
{
	(void)state;
	static const uint8_t version[] = { 2, 0 }, count[] = { 1, 0xff, 0xff, 0x03, 0, 0 }, series[] = { 1, 1, 0x80, 0x80, 0x80, 0x80, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	static struct sample out[SAMPLES_CHUNK];
	struct error err;
	assert_int_equal(samples_unpack((struct span){ version, sizeof(version) }, out, 1, &err), -1);
	assert_int_equal(err.code, ERR_VERSION);
	assert_int_equal(samples_unpack((struct span){ count, sizeof(count) }, out, SAMPLES_CHUNK, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	assert_int_equal(samples_unpack((struct span){ series, sizeof(series) }, out, SAMPLES_CHUNK, &err), -1);
	assert_non_null(strstr(err.text, "32 bits"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(an_empty_chunk),
		cmocka_unit_test(what_is_no_number_is_refused),
		cmocka_unit_test(made_up_ones_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
