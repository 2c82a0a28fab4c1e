/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Studies: cells, order, seeds, plugins. What a run does is tested with the real program, in tests/scenario. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/run/study.h"

static void vary(struct study *st, const char *text)
{
	struct error err = { 0 };
	if (study_vary(st, text, &err))
		fail_msg("%s", err.text);
}

static void test_cells_are_the_product(void **state)
{
	struct study st;
	struct config c;
	struct error err = { 0 };
	static const char *const want[] = {
		"disk.bus=virtio-blk workload.iodepth=1", "disk.bus=virtio-blk workload.iodepth=8", "disk.bus=virtio-blk workload.iodepth=32",
		"disk.bus=ahci workload.iodepth=1", "disk.bus=ahci workload.iodepth=8", "disk.bus=ahci workload.iodepth=32",
	};
	static const uint64_t depth[] = { 1, 8, 32 };
	(void)state;
	study_init(&st);
	vary(&st, "disk.bus=virtio-blk,ahci");
	vary(&st, "iodepth=1,8,32");
	assert_int_equal(study_cells(&st), 6);
	for (size_t i = 0; i < 6; i++) {
		char cell[STUDY_CELL_TEXT];
		assert_int_equal(study_cell(&st, i, &c, cell, sizeof(cell), &err), 0);
		assert_string_equal(cell, want[i]);
		assert_int_equal(c.workload.iodepth, depth[i % 3]);
		assert_string_equal(config_str(&c, CFG_DISK_BUS), i < 3 ? "virtio-blk" : "ahci");
	}
	study_fini(&st);
}

static void test_one_cell_without_vary(void **state)
{
	struct study st;
	struct config c;
	char cell[STUDY_CELL_TEXT];
	(void)state;
	study_init(&st);
	assert_int_equal(study_cells(&st), 1);
	assert_int_equal(study_cell(&st, 0, &c, cell, sizeof(cell), NULL), 0);
	assert_string_equal(cell, "");
	study_fini(&st);
}

static void expect_refused(struct study *st, const char *text, const char *part)
{
	struct error err = { 0 };
	assert_int_equal(study_vary(st, text, &err), -1);
	assert_int_equal(err.code, ERR_USAGE);
	if (!strstr(err.text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, err.text);
}

static void test_bad_vary(void **state)
{
	struct study st;
	(void)state;
	study_init(&st);
	expect_refused(&st, "disk.bus", "KEY=VALUE");
	expect_refused(&st, "=x", "KEY=VALUE");
	expect_refused(&st, "disk.bus=", "no values");
	expect_refused(&st, "disk.bus=,,", "no values");
	expect_refused(&st, "disk.buss=ahci", "disk.bus");
	expect_refused(&st, "disk.bus=ahci,nvm", "nvme");
	expect_refused(&st, "iodepth=1,8,1", "1 is there twice");
	vary(&st, "disk.bus=ahci,nvme");
	expect_refused(&st, "bus=ide", "disk.bus is given twice");
	study_fini(&st);
}

/* "KEY=1,2,3 … 64" */
static void vary_64(struct study *st, const char *key)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "%s=1", key);
	for (int i = 2; i <= 64; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, ",%d", i);
	vary(st, text);
}

static void test_too_many_cells(void **state)
{
	struct study st;
	(void)state;
	study_init(&st);
	vary_64(&st, "vm.cpus");
	vary_64(&st, "iodepth");
	assert_int_equal(study_cells(&st), STUDY_CELLS_MAX);
	expect_refused(&st, "disk.bus=ahci,ide", "combinations");
	study_fini(&st);
}

static void test_order(void **state)
{
	struct study st;
	(void)state;
	study_init(&st);
	vary(&st, "iodepth=1,2,3,4,5,6,7,8");
	st.repeats = 3;
	st.seed = 42;
	struct study_run *a = study_order(&st, NULL), *b = study_order(&st, NULL);
	assert_memory_equal(a, b, 24 * sizeof(*a));
	bool shuffled = false, different = false;
	for (unsigned rep = 0; rep < 3; rep++) {
		unsigned seen = 0;
		for (size_t i = 0; i < 8; i++) {
			/* Interleaved: every cell once in a repeat before the next begins. */
			assert_int_equal(a[rep * 8 + i].repeat, rep);
			seen |= 1u << a[rep * 8 + i].cell;
			shuffled = shuffled || a[rep * 8 + i].cell != i;
			different = different || a[rep * 8 + i].cell != a[i].cell;
		}
		assert_int_equal(seen, 0xff);
	}
	assert_true(shuffled);
	assert_true(different);
	free(a);
	free(b);
	study_fini(&st);
}

static void test_seeds(void **state)
{
	struct study st;
	(void)state;
	study_init(&st);
	/* Cells of a repeat that are compared see the same numbers; repeats see others. */
	uint64_t first = study_run_seed(&st, &(struct study_run){ 0, 0 });
	assert_true(first == study_run_seed(&st, &(struct study_run){ 5, 0 }));
	assert_true(first != study_run_seed(&st, &(struct study_run){ 0, 1 }));
	st.seed = 2;
	assert_true(first != study_run_seed(&st, &(struct study_run){ 0, 0 }));
	study_fini(&st);
}

static void test_impossible_cell(void **state)
{
	struct study st;
	struct config c;
	struct error err = { 0 };
	char cell[STUDY_CELL_TEXT];
	(void)state;
	study_init(&st);
	assert_int_equal(config_assign(&st.base, "disk.iothread=on", &err), 0);
	vary(&st, "disk.bus=virtio-blk,ahci");
	assert_int_equal(study_cell(&st, 0, &c, cell, sizeof(cell), &err), 0);
	assert_int_equal(study_cell(&st, 1, &c, cell, sizeof(cell), &err), -1);
	assert_non_null(strstr(err.text, "disk.bus=ahci"));
	study_fini(&st);
}

/* ---- plugins ---- */

static void test_plugin_by_path_with_options(void **state)
{
	struct plugins set = { 0 };
	struct error err = { 0 };
	(void)state;
	if (plugins_add(&set, TEST_SRCDIR "/plugins/cpu.lua:interval=50ms", &err))
		fail_msg("%s", err.text);
	assert_int_equal(set.n, 1);
	assert_string_equal(set.item[0].name, "cpu");
	assert_string_equal(set.item[0].chunk, "cpu.lua");
	assert_string_equal(set.item[0].options, "interval=50ms");
	assert_true(set.item[0].has_guest && set.item[0].has_host);
	assert_int_equal(strlen(set.item[0].sha256), 64);
	assert_int_equal(plugins_add(&set, TEST_SRCDIR "/plugins/cpu.lua", &err), -1);
	assert_non_null(strstr(err.text, "there already"));
	plugins_fini(&set);
}

static char *write_plugin(const char *text, size_t len, char path[64])
{
	strcpy(path, "/tmp/bifocal-test-XXXXXX.lua");
	int fd = mkstemps(path, 4);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
	return path;
}

static void expect_bad_plugin(const char *text, size_t len, enum err_code code, const char *part)
{
	struct plugins set = { 0 };
	struct error err = { 0 };
	char path[64];
	assert_int_equal(plugins_add(&set, write_plugin(text, len, path), &err), -1);
	assert_int_equal(err.code, code);
	if (!strstr(err.text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, err.text);
	assert_int_equal(set.n, 0);
	unlink(path);
}

static void test_bad_plugins(void **state)
{
	static char big[PROBE_SOURCE_MAX + 1];
	static const char broken[] = "return require 'bifocal.probe' {\n api = }\n", bytecode[] = "\033Lua\x54\x00", loop[] = "while true do end";
	(void)state;
	memset(big, ' ', sizeof(big));
	expect_bad_plugin(broken, sizeof(broken) - 1, ERR_PLUGIN, ":2:");
	expect_bad_plugin(bytecode, sizeof(bytecode) - 1, ERR_PLUGIN, "");
	expect_bad_plugin(loop, sizeof(loop) - 1, ERR_LIMIT, ".lua");
	expect_bad_plugin(big, sizeof(big), ERR_LIMIT, "512 KiB");
}

static void test_missing_plugin(void **state)
{
	struct plugins set = { 0 };
	struct error err = { 0 };
	(void)state;
	setenv("BIFOCAL_PLUGIN_PATH", "/nowhere/else", 1);
	assert_int_equal(plugins_add(&set, "no-such", &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "/nowhere/else"));
	assert_int_equal(plugins_add(&set, ":x=1", &err), -1);
	assert_int_equal(err.code, ERR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cells_are_the_product),
		cmocka_unit_test(test_one_cell_without_vary),
		cmocka_unit_test(test_bad_vary),
		cmocka_unit_test(test_too_many_cells),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_seeds),
		cmocka_unit_test(test_impossible_cell),
		cmocka_unit_test(test_plugin_by_path_with_options),
		cmocka_unit_test(test_bad_plugins),
		cmocka_unit_test(test_missing_plugin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
