/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "common/message.h"

/* Each message, each field with a value of its own: filled, encoded, decoded, compared. */
static uint8_t next_byte;
static uint8_t text[26] = "abcdefghijklmnopqrstuvwxyz";

#define FILL_NUMBER(m) (m = (__typeof__(m))(0x0101010101010101u * ++next_byte))
static struct span fill_span(void)
{
	next_byte++;
	return (struct span){ text + next_byte % 20, next_byte % 6 };
}
static struct id16 fill_id(void)
{
	struct id16 id;
	memset(&id, ++next_byte, sizeof(id));
	return id;
}

#define FILL_u8(m) FILL_NUMBER(m)
#define FILL_u32(m) FILL_NUMBER(m)
#define FILL_u64(m) FILL_NUMBER(m)
#define FILL_i64(m) FILL_NUMBER(m)
#define FILL_str(m) (m = fill_span())
#define FILL_blob(m) (m = fill_span())
#define FILL_id16(m) (m = fill_id())

static void same_span(struct span a, struct span b)
{
	assert_int_equal(a.len, b.len);
	if (a.len)
		assert_memory_equal(a.p, b.p, a.len);
}
#define SAME_u8(a, b) assert_true(a == b)
#define SAME_u32(a, b) assert_true(a == b)
#define SAME_u64(a, b) assert_true(a == b)
#define SAME_i64(a, b) assert_true(a == b)
#define SAME_str(a, b) same_span(a, b)
#define SAME_blob(a, b) same_span(a, b)
#define SAME_id16(a, b) assert_memory_equal(&(a), &(b), sizeof(a))

#define FILL(type, name, txt) FILL_##type(in.name);
#define SAME(type, name, txt) SAME_##type(in.name, out.name);
#define MSG(number, NAME, name, direction, delivery, since, txt) \
	static void name##_survives_the_way(void **state) \
	{ \
		(void)state; \
		struct msg_##name in, out; \
		struct error err = { 0 }; \
		memset(&in, 0, sizeof(in)); \
		MSG_##NAME##_FIELDS(FILL) \
		uint8_t mem[1024]; \
		struct wbuf w; \
		wbuf_fixed(&w, mem, sizeof(mem)); \
		msg_##name##_encode(&w, &in); \
		assert_false(w.bad); \
		assert_int_equal(msg_##name##_decode((struct span){ mem, w.len }, &out, &err), 0); \
		MSG_##NAME##_FIELDS(SAME) \
		for (size_t cut = 0; cut < w.len; cut++) \
			assert_int_equal(msg_##name##_decode((struct span){ mem, cut }, &out, &err), -1); \
		mem[w.len] = 0; \
		assert_int_equal(msg_##name##_decode((struct span){ mem, w.len + 1 }, &out, &err), -1); \
		assert_int_equal(err.code, ERR_PROTOCOL); \
		assert_non_null(strstr(err.text, #name)); \
		assert_non_null(strstr(err.text, "too many")); \
	}
MSG_TABLE(MSG)
#undef MSG

static void numbers_and_names_are_unique(void **state)
{
	(void)state;
	unsigned known = 0;
	for (unsigned a = 0; a <= UINT16_MAX; a++) {
		const struct msg_info *info = msg_info((uint16_t)a);
		if (!info)
			continue;
		known++;
		assert_int_equal(info->type, a);
		assert_string_equal(msg_name((uint16_t)a), info->name);
		assert_true(info->since >= 1 && info->since <= PROTOCOL_VERSION);
		assert_true(strlen(info->text) > 0);
		for (unsigned b = 0; b < a && b < 256; b++)
			if (msg_info((uint16_t)b))
				assert_string_not_equal(info->name, msg_info((uint16_t)b)->name);
	}
	unsigned in_table = 0;
#define MSG(number, NAME, name, direction, delivery, since, txt) in_table++;
	MSG_TABLE(MSG)
#undef MSG
	assert_int_equal(known, in_table);
}

/* Recorded runs and old peers know these by number: they never change. */
static void numbers_are_permanent(void **state)
{
	(void)state;
	static const char *const names[] = {
		"sync", "ack", "gap", "greet", "hello", "disk", "hello_end", "clock_ping", "clock_pong", "probe_load",
		"probe_state", "run_prepare", "run_ready", "run_start", "run_done", "run_abort", "io_chunk", "series",
		"samples", "run_drained", "log", "error", "poweroff", "probe_clear",
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_string_equal(msg_name((uint16_t)(i + 1)), names[i]);
}

static void names_the_unknown_by_number(void **state)
{
	(void)state;
	assert_null(msg_info(0));
	assert_string_equal(msg_name(65535), "message 65535");
}

static void refuses_a_nul_in_text(void **state)
{
	(void)state;
	struct msg_log m = { .level = 1, .text = { (const uint8_t *)"a\0b", 3 } }, out;
	uint8_t mem[64];
	struct wbuf w;
	wbuf_fixed(&w, mem, sizeof(mem));
	msg_log_encode(&w, &m);
	assert_true(w.bad);
	static const uint8_t sent[] = { 1, 3, 0, 'a', 0, 'b' };
	struct error err = { 0 };
	assert_int_equal(msg_log_decode((struct span){ sent, sizeof(sent) }, &out, &err), -1);
	assert_non_null(strstr(err.text, "malformed"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define MSG(number, NAME, name, direction, delivery, since, txt) cmocka_unit_test(name##_survives_the_way),
		MSG_TABLE(MSG)
#undef MSG
		cmocka_unit_test(numbers_and_names_are_unique),
		cmocka_unit_test(numbers_are_permanent),
		cmocka_unit_test(names_the_unknown_by_number),
		cmocka_unit_test(refuses_a_nul_in_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
