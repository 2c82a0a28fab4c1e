/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The scratch disk's bytes: all written, none zero, no two blocks alike, the same for raw and qcow2. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/run/stop.h"
#include "host/vm/process.h"
#include "host/vm/scratch.h"

enum { SIZE = 3 << 20, SECTOR = 512 };

static char dir[64];

static struct config config_of(const char *format)
{
	struct config c;

	config_default(&c);
	config_set(&c, "disk.size", "3m", NULL);
	config_set(&c, "disk.format", format, NULL);
	return c;
}

static void make(const struct config *c, char *path, size_t cap)
{
	struct error err = { 0 };

	if (scratch_make(c, dir, path, cap, &err))
		fail_msg("%s", err.text);
}

static uint8_t *read_all(const char *path, size_t size)
{
	uint8_t *data = malloc(size);
	int fd = open(path, O_RDONLY);

	assert_non_null(data);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, data, size), size);
	close(fd);
	return data;
}

static int compare_words(const void *a, const void *b)
{
	return memcmp(a, b, 8);
}

static void test_pattern(void **state)
{
	(void)state;
	uint64_t a[1024], b[1024];

	scratch_pattern(0, a, sizeof(a));
	for (size_t i = 0; i < 1024; i++)
		assert_true(a[i] != 0);
	/* A function of the offset alone. */
	scratch_pattern(4096, b, 4096);
	assert_memory_equal(a + 512, b, 4096);
}

static void test_raw(void **state)
{
	(void)state;
	struct config c = config_of("raw");
	char path[160];
	struct stat st;

	make(&c, path, sizeof(path));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, SIZE);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(st.st_blocks * 512 >= SIZE);             /* no hole */
	uint8_t *data = read_all(path, SIZE), *wanted = malloc(SIZE);
	scratch_pattern(0, wanted, SIZE);
	assert_memory_equal(data, wanted, SIZE);
	/* The first words of all sectors: sorted, no two neighbours are equal. */
	uint64_t first[SIZE / SECTOR];
	for (size_t i = 0; i < SIZE / SECTOR; i++)
		memcpy(&first[i], data + i * SECTOR, 8);
	qsort(first, SIZE / SECTOR, 8, compare_words);
	for (size_t i = 1; i < SIZE / SECTOR; i++)
		assert_true(first[i] != first[i - 1]);
	free(wanted);
	free(data);
	unlink(path);
}

/* What the guest sees through the format is what it sees on a raw disk. */
static void test_qcow2(void **state)
{
	(void)state;
	struct config c = config_of("qcow2");
	char path[160], raw[160], out[4096];
	struct error err = { 0 };

	make(&c, path, sizeof(path));
	snprintf(raw, sizeof(raw), "%s/raw", dir);
	char *check[] = { "qemu-img", "check", "-q", path, NULL };
	assert_int_equal(process_capture(check, out, sizeof(out), 30000, &err), 0);
	char *convert[] = { "qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw, NULL };
	assert_int_equal(process_capture(convert, out, sizeof(out), 30000, &err), 0);
	uint8_t *data = read_all(raw, SIZE), *wanted = malloc(SIZE);
	scratch_pattern(0, wanted, SIZE);
	assert_memory_equal(data, wanted, SIZE);
	free(wanted);
	free(data);
	unlink(raw);
	unlink(path);
}

static void test_null(void **state)
{
	(void)state;
	struct config c = config_of("raw");
	char path[160] = "x";

	config_set(&c, "disk.backend", "null-co", NULL);
	make(&c, path, sizeof(path));
	assert_string_equal(path, "");
	struct rundir_need need = scratch_need(&c);
	assert_false(need.disk);
}

static void test_needs(void **state)
{
	(void)state;
	struct config c = config_of("raw");

	assert_true(scratch_need(&c).disk && scratch_need(&c).direct);
	assert_int_equal(scratch_need(&c).bytes, SIZE);
	config_set(&c, "disk.cache", "writeback", NULL);
	assert_true(scratch_need(&c).disk && !scratch_need(&c).direct);
	config_set(&c, "disk.dir", "/var/tmp", NULL);
	assert_false(scratch_need(&c).disk);
}

static void test_no_qemu_img(void **state)
{
	(void)state;
	struct config c = config_of("qcow2");
	char path[160], *before = strdup(getenv("PATH"));
	struct error err = { 0 };

	setenv("PATH", "/nowhere", 1);
	assert_int_equal(scratch_make(&c, dir, path, sizeof(path), &err), -1);
	setenv("PATH", before, 1);
	free(before);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "qemu-utils"));
	unlink(path);
}

/* SIGINT while a large disk is being filled ends it at once. Last: the note stays taken. */
static void test_interrupted(void **state)
{
	(void)state;
	struct config c = config_of("raw");
	char path[160];
	struct error err = { 0 };

	stop_watch();
	raise(SIGINT);
	assert_int_equal(scratch_make(&c, dir, path, sizeof(path), &err), -1);
	assert_int_equal(err.code, ERR_INTERRUPTED);
	unlink(path);
}

static int make_world(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/var/tmp/bfscr-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_world(void **state)
{
	(void)state;
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pattern),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_qcow2),
		cmocka_unit_test(test_null),
		cmocka_unit_test(test_needs),
		cmocka_unit_test(test_no_qemu_img),
		cmocka_unit_test(test_interrupted),
	};
	return cmocka_run_group_tests(tests, make_world, remove_world);
}
