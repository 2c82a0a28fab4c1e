/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host/config.h"

static struct config fresh(void)
{
	struct config c;

	config_default(&c);
	return c;
}

static void ok(struct config *c, const char *assignment)
{
	struct error err = { 0 };

	if (config_assign(c, assignment, &err))
		fail_msg("%s: %s", assignment, err.text);
}

static void refused(struct config *c, const char *assignment, const char *words)
{
	struct error err = { 0 };

	assert_int_equal(config_assign(c, assignment, &err), -1);
	if (err.code != ERR_USAGE || !strstr(err.text, words))
		fail_msg("%s: code %d, \"%s\" should hold \"%s\"", assignment, err.code, err.text, words);
}

/* Every default must pass its own key's check and come back unchanged. */
static void test_defaults_are_normal(void **state)
{
	(void)state;
	struct config a = fresh(), b = fresh();
	struct error err = { 0 };

	for (int k = 0; k < CONFIG_KEYS; k++) {
		const struct config_info *i = config_info((enum config_key)k);
		if (config_set(&b, i->key, i->def, &err))
			fail_msg("%s: %s", i->key, err.text);
		assert_string_equal(b.value[k], a.value[k]);
		assert_string_equal(config_str(&a, (enum config_key)k), i->def);
		assert_true(i->help[0] && strchr(i->key, '.'));
	}
	if (config_check(&a, &err))
		fail_msg("%s", err.text);
}

static void test_values(void **state)
{
	(void)state;
	struct config c = fresh();

	ok(&c, "vm.memory=1GiB");
	assert_string_equal(config_str(&c, CFG_VM_MEMORY), "1g");
	assert_true(config_uint(&c, CFG_VM_MEMORY) == 1 << 30);
	ok(&c, "disk.latency=100000ns");
	assert_true(config_uint(&c, CFG_DISK_LATENCY) == 100000);
	assert_string_equal(config_str(&c, CFG_DISK_LATENCY), "100us");
	ok(&c, "disk.iothread=yes");
	assert_true(config_bool(&c, CFG_DISK_IOTHREAD));
	assert_string_equal(config_str(&c, CFG_DISK_IOTHREAD), "on");
	ok(&c, "vm.cpus=255");
	assert_int_equal(config_uint(&c, CFG_VM_CPUS), 255);
	ok(&c, "vm.image=/a=b");
	assert_string_equal(config_str(&c, CFG_VM_IMAGE), "/a=b");
}

static void test_bad_values(void **state)
{
	(void)state;
	struct config c = fresh();
	char longer[CONFIG_TEXT_MAX + 32];

	refused(&c, "disk.bus=virtio-blc", "did you mean \"virtio-blk\"");
	refused(&c, "disk.bus=", "one of: virtio-blk");
	refused(&c, "disk.bus=Virtio-Blk", "did you mean");
	refused(&c, "vm.cpus=0", "1..255");
	refused(&c, "vm.cpus=256", "1..255");
	refused(&c, "vm.cpus=two", "vm.cpus");
	refused(&c, "vm.cpus=-1", "vm.cpus");
	refused(&c, "vm.cpus=18446744073709551617", "vm.cpus");
	refused(&c, "vm.memory=1m", "128m..1t");
	refused(&c, "vm.memory=512q", "vm.memory");
	refused(&c, "vm.boot_timeout=1d", "vm.boot_timeout");
	refused(&c, "vm.console=maybe", "vm.console");
	refused(&c, "vm.image=", "empty");
	refused(&c, "vm.image=a\nb", "control character");
	snprintf(longer, sizeof(longer), "vm.image=%0*d", CONFIG_TEXT_MAX, 0);
	refused(&c, longer, "at most");
	refused(&c, "workload.iodepth=0", "iodepth");
	/* None of that changed anything. */
	struct config d = fresh();
	assert_memory_equal(c.value, d.value, sizeof(c.value));
}

static void test_names(void **state)
{
	(void)state;
	struct config c = fresh();
	char full[64], buf[64];

	ok(&c, "cpus=2");
	assert_int_equal(config_uint(&c, CFG_VM_CPUS), 2);
	ok(&c, "bs=8k");
	assert_int_equal(c.workload.bs, 8192);
	ok(&c, "workload.iodepth=8");
	assert_int_equal(c.workload.iodepth, 8);
	assert_string_equal(config_get(&c, "workload.bs", buf, sizeof(buf)), "8k");
	assert_string_equal(config_get(&c, "vm.cpus", buf, sizeof(buf)), "2");
	assert_null(config_get(&c, "workload.nonsense", buf, sizeof(buf)));
	assert_null(config_get(&c, "nonsense", buf, sizeof(buf)));
	assert_int_equal(config_resolve("iodepth", full, sizeof(full), NULL), 0);
	assert_string_equal(full, "workload.iodepth");
	assert_int_equal(config_resolve("bus", full, sizeof(full), NULL), 0);
	assert_string_equal(full, "disk.bus");
	assert_int_equal(config_resolve("disk.bus", full, 4, NULL), -1);
}

static void test_bad_names(void **state)
{
	(void)state;
	struct config c = fresh();

	refused(&c, "disk.buss=ide", "did you mean \"disk.bus\"");
	refused(&c, "iodepht=1", "did you mean \"iodepth\"");
	refused(&c, "workload.iodeth=1", "did you mean \"workload.iodepth\"");
	refused(&c, "size=1m", "ambiguous: workload.size or disk.size");
	refused(&c, "qqqqqqqqqqqq=1", "unknown key");
	refused(&c, "vm.cpus", "expected key=value");
	refused(&c, "=3", "expected key=value");
	refused(&c, "", "expected key=value");
	refused(&c, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=1", "so long a name");
}

static void count_key(void *ctx, const char *key, const char *text)
{
	struct config *c = ctx;
	struct error err = { 0 };

	/* What it gives can be set again under the name it gives. */
	assert_non_null(strchr(key, '.'));
	if (config_set(c, key, text, &err))
		fail_msg("%s=%s: %s", key, text, err.text);
}

static void test_each(void **state)
{
	(void)state;
	struct config a = fresh(), b = fresh();

	ok(&a, "vm.cpus=4");
	ok(&a, "disk.cache=writeback");
	ok(&a, "workload.rw=randwrite");
	ok(&a, "workload.iodepth=16");
	config_each(&a, count_key, &b);
	assert_memory_equal(a.value, b.value, sizeof(a.value));
	assert_memory_equal(&a.workload, &b.workload, sizeof(a.workload));
}

static void test_clashes(void **state)
{
	(void)state;
	static const struct { const char *set[3], *words; } cases[] = {
		{ { "disk.bus=ahci", "disk.iothread=on" }, "disk.iothread=on does not go with disk.bus=ahci" },
		{ { "disk.bus=ide", "disk.queues=2" }, "disk.queues=2 does not go with disk.bus=ide" },
		{ { "disk.backend=null-co", "disk.format=qcow2" }, "disk.format=raw" },
		{ { "disk.latency=1ms" }, "null-co" },
		{ { "disk.aio=native", "disk.cache=writeback" }, "disk.cache=none or directsync" },
		{ { "vm.icount=on", "vm.accel=kvm" }, "vm.accel=tcg" },
		{ { "disk.size=1234567" }, "multiple of 4k" },
		{ { "vm.memory=134217729" }, "multiple of 1m" },
		{ { "workload.size=1g" }, "larger than disk.size" },
		{ { "vm.boot=bios", "guest.idle=poll" }, "vm.boot=direct" },
		{ { "vm.boot=uefi", "vm.console=on" }, "vm.boot=direct" },
		{ { "disk.backend=null-co", "rw=write", "verify=crc32c" }, "disk.backend=file" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config c = fresh();
		struct error err = { 0 };
		for (size_t k = 0; k < 3 && cases[i].set[k]; k++)
			ok(&c, cases[i].set[k]);
		assert_int_equal(config_check(&c, &err), -1);
		if (err.code != ERR_USAGE || !strstr(err.text, cases[i].words))
			fail_msg("case %zu: \"%s\" should hold \"%s\"", i, err.text, cases[i].words);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults_are_normal),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_bad_names),
		cmocka_unit_test(test_each),
		cmocka_unit_test(test_clashes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
