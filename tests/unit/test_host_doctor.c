/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The doctor's JSON: its keys, what decides over the exit code, and a remedy wherever something is missing. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "host/cmd.h"
#include "tests/fixtures/qemu_kernel.h"

static char top[64], image_option[96], database[96];

/* Runs the verb in a child; its stdout as JSON (owned by the caller; NULL when it is none) and its exit code. */
static json_t *doctor(const char *const more[], int *code)
{
	char *argv[16] = { "doctor", "--json", "--db", database }, text[65536];
	int argc = 4, fds[2], status;
	size_t len = 0;

	for (size_t i = 0; more[i]; i++)
		argv[argc++] = (char *)more[i];
	assert_int_equal(pipe(fds), 0);
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		struct error err = { 0 };
		dup2(fds[1], STDOUT_FILENO);
		int rc = cmd_doctor(argc, argv, &err);
		fflush(stdout);
		_exit(rc < 0 ? 100 + (int)err.code : rc);
	}
	close(fds[1]);
	for (ssize_t n = 1; n > 0 && len < sizeof(text); len += n > 0 ? (size_t)n : 0)
		n = read(fds[0], text + len, sizeof(text) - len);
	close(fds[0]);
	waitpid(child, &status, 0);
	*code = WEXITSTATUS(status);
	return json_loadb(text, len, 0, NULL);
}

static const json_t *check_of(const json_t *report, const char *name)
{
	const json_t *checks = json_object_get(report, "checks");

	for (size_t i = 0; i < json_array_size(checks); i++) {
		const json_t *c = json_array_get(checks, i);
		if (strcmp(json_string_value(json_object_get(c, "name")), name) == 0)
			return c;
	}
	fail_msg("no check \"%s\"", name);
	return NULL;
}

static const char *status_of(const json_t *report, const char *name)
{
	return json_string_value(json_object_get(check_of(report, name), "status"));
}

/* Every check has its keys; whatever is not ok has a remedy. */
static void assert_shape(const json_t *report)
{
	const json_t *checks = json_object_get(report, "checks");

	assert_true(json_is_boolean(json_object_get(report, "ok")));
	assert_true(json_is_string(json_object_get(report, "accel")));
	assert_true(json_is_string(json_object_get(report, "version")));
	assert_true(json_array_size(checks) >= 10);
	for (size_t i = 0; i < json_array_size(checks); i++) {
		const json_t *c = json_array_get(checks, i);
		bool ok = strcmp(json_string_value(json_object_get(c, "status")), "ok") == 0;

		assert_true(json_is_boolean(json_object_get(c, "needed")));
		assert_true(strlen(json_string_value(json_object_get(c, "text"))) > 0);
		assert_true(json_is_string(json_object_get(c, "remedy")) || json_is_null(json_object_get(c, "remedy")));
		if (!ok && !json_is_string(json_object_get(c, "remedy")))
			fail_msg("%s: no remedy", json_string_value(json_object_get(c, "name")));
	}
}

#define MORE(...) (const char *const[]){ __VA_ARGS__, NULL }

static void test_can_run(void **state)
{
	(void)state;
	int code;
	json_t *report = doctor(MORE("--vm", image_option), &code);

	assert_int_equal(code, 0);
	assert_shape(report);
	assert_true(json_is_true(json_object_get(report, "ok")));
	assert_string_equal(status_of(report, "qemu"), "ok");
	assert_string_equal(status_of(report, "image"), "ok");
	assert_string_equal(status_of(report, "place"), "ok");
	json_decref(report);
}

static void assert_missing(const char *const more[], const char *name)
{
	int code;
	json_t *report = doctor(more, &code);

	assert_int_equal(code, 1);
	assert_shape(report);
	assert_true(json_is_false(json_object_get(report, "ok")));
	assert_string_equal(status_of(report, name), "missing");
	json_decref(report);
}

static void test_missing(void **state)
{
	(void)state;
	char broken[128];

	assert_missing(MORE("--vm", image_option, "--vm", "vm.qemu=qemu-nowhere"), "qemu");
	assert_missing(MORE("--vm", image_option, "--vm", "vm.qemu=" TEST_SRCDIR "/tests/fixtures/qemu-old"), "qemu");
	assert_missing(MORE("--vm", "vm.image=/nowhere/at/all"), "image");
	assert_missing(MORE("--vm", image_option, "--vm", "disk.size=16t"), "place");
	/* A database that is there and cannot be one. */
	snprintf(broken, sizeof(broken), "%s/data.mdb", database);
	assert_int_equal(mkdir(database, 0700), 0);
	assert_int_equal(write_file(broken, "no database at all", 18), 0);
	assert_missing(MORE("--vm", image_option), "database");
	unlink(broken);
	snprintf(broken, sizeof(broken), "%s/lock.mdb", database);
	unlink(broken);
	assert_int_equal(rmdir(database), 0);
}

static void test_usage(void **state)
{
	(void)state;
	int code;

	assert_null(doctor(MORE("--vm", "disk.buss=ide"), &code));
	assert_int_equal(code, 100 + ERR_USAGE);
	assert_null(doctor(MORE("--jsn"), &code));
	assert_int_equal(code, 100 + ERR_USAGE);
	assert_null(doctor(MORE("operand"), &code));
	assert_int_equal(code, 100 + ERR_USAGE);
}

static int make_world(void **state)
{
	(void)state;
	snprintf(top, sizeof(top), "/var/tmp/bfdoc-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	snprintf(image_option, sizeof(image_option), "vm.image=%s", top);
	snprintf(database, sizeof(database), "%s/db", top);
	return write_tiny_image(top);
}

static int remove_world(void **state)
{
	(void)state;
	static const char *const files[] = { "vmlinux", "initrd", "bifocal.img" };
	char path[120];

	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", top, files[i]);
		unlink(path);
	}
	return rmdir(top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_can_run),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_usage),
	};
	return cmocka_run_group_tests(tests, make_world, remove_world);
}
