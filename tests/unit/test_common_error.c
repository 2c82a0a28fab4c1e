/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "common/error.h"

static void says_code_and_text(void **state)
{
	(void)state;
	struct error e = { 0 };
	assert_int_equal(error_set(&e, ERR_LIMIT, "ring of %d bytes", 7), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_int_equal(e.sys, 0);
	assert_string_equal(e.text, "ring of 7 bytes");
}

static void names_the_system_error(void **state)
{
	(void)state;
	static const struct { int sys; enum err_code code; } known[] = {
		{ EIO, ERR_IO }, { ENOSPC, ERR_NO_SPACE }, { EDQUOT, ERR_NO_SPACE }, { ENOENT, ERR_NOT_FOUND },
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct error e = { 0 };
		assert_int_equal(error_sys(&e, known[i].sys, "%s", "/dev/vdb"), -1);
		assert_int_equal(e.code, known[i].code);
		assert_int_equal(e.sys, known[i].sys);
		assert_memory_equal(e.text, "/dev/vdb: ", 10);
		assert_string_equal(e.text + 10, strerror(known[i].sys));
	}
}

static void puts_context_in_front(void **state)
{
	(void)state;
	struct error e = { 0 };
	error_sys(&e, EIO, "disk vdb");
	char before[sizeof(e.text)];
	strcpy(before, e.text);
	assert_int_equal(error_prefix(&e, "run %d", 7), -1);
	assert_memory_equal(e.text, "run 7: ", 7);
	assert_string_equal(e.text + 7, before);
	assert_int_equal(e.code, ERR_IO);
	assert_int_equal(e.sys, EIO);
}

static void may_quote_its_own_old_text(void **state)
{
	(void)state;
	struct error e = { 0 };
	error_set(&e, ERR_IO, "it broke");
	error_set(&e, ERR_PLUGIN, "cpu.lua: %s", e.text);
	assert_string_equal(e.text, "cpu.lua: it broke");
}

static void cuts_between_characters(void **state)
{
	(void)state;
	struct error e = { 0 };
	char euros[2 * sizeof(e.text)];
	for (size_t i = 0; i + 3 < sizeof(euros); i += 3)
		memcpy(euros + i, "€", 4);
	for (int shift = 0; shift < 3; shift++) {
		error_set(&e, ERR_IO, "%.*s%s", shift, "ab", euros);
		size_t len = strlen(e.text), rest = (len - (size_t)shift % 3) % 3;
		assert_true(len >= sizeof(e.text) - 4 && len < sizeof(e.text));
		assert_int_equal(rest, 0);
	}
	error_set(&e, ERR_IO, "%s", euros);
	error_prefix(&e, "x");
	size_t len = strlen(e.text);
	assert_int_equal((len - 3) % 3, 0);
}

static void accepts_no_error(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, ERR_IO, "x"), -1);
	assert_int_equal(error_sys(NULL, EIO, "x"), -1);
	assert_int_equal(error_prefix(NULL, "x"), -1);
	assert_int_equal(error_exit_code(NULL), EXIT_DONE);
}

static void turns_into_an_exit_code(void **state)
{
	(void)state;
	struct error e = { 0 };
	assert_int_equal(error_exit_code(&e), EXIT_DONE);
	error_set(&e, ERR_USAGE, "x");
	assert_int_equal(error_exit_code(&e), EXIT_USAGE);
	error_set(&e, ERR_TIMEOUT, "x");
	assert_int_equal(error_exit_code(&e), EXIT_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_code_and_text),
		cmocka_unit_test(names_the_system_error),
		cmocka_unit_test(puts_context_in_front),
		cmocka_unit_test(may_quote_its_own_old_text),
		cmocka_unit_test(cuts_between_characters),
		cmocka_unit_test(accepts_no_error),
		cmocka_unit_test(turns_into_an_exit_code),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
