/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The choice of accelerator in made-up worlds: a root directory with a cpuinfo and a file for /dev/kvm. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/vm/accel.h"

static char root[64];

static void path_in_root(char *path, size_t cap, const char *name)
{
	snprintf(path, cap, "%s%s", root, name);
}

static void put(const char *name, const char *text)
{
	char path[128];

	path_in_root(path, sizeof(path), name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void drop(const char *name)
{
	char path[128];

	path_in_root(path, sizeof(path), name);
	unlink(path);
}

static int good_kvm(int fd)
{
	(void)fd;
	return 12;
}

/* What a plain file, or a device of somebody else's, does. */
static int wrong_device(int fd)
{
	(void)fd;
	errno = ENOTTY;
	return -1;
}

static struct accel_choice choose(const char *asked, bool remembered, int (*api)(int))
{
	const struct accel_world w = { root, api };
	struct accel_choice choice = { 0 };
	struct error err = { 0 };
	struct config c;

	config_default(&c);
	config_set(&c, "vm.accel", asked, NULL);
	if (accel_choose_in(&w, &c, remembered, &choice, &err))
		fail_msg("%s", err.text);
	return choice;
}

static void assert_choice(struct accel_choice c, bool kvm, const char *words)
{
	assert_int_equal(c.kvm, kvm);
	assert_int_equal(strncmp(c.why, kvm ? "kvm: " : "tcg: ", 5), 0);
	if (!strstr(c.why, words))
		fail_msg("\"%s\" should hold \"%s\"", c.why, words);
}

static const char capable[] = "processor\t: 0\nflags\t\t: fpu vme svm nonstop_tsc\nbugs\t\t: vmx_of_a_kind\n";
static const char incapable[] = "processor\t: 0\nflags\t\t: fpu vme hypervisor vmx_almost\nvmx flags\t: vnmi\n";

static void test_auto(void **state)
{
	(void)state;
	put("/proc/cpuinfo", capable);
	put("/dev/kvm", "");
	assert_choice(choose("auto", false, good_kvm), true, "answers");
	/* Opens and cannot run a kernel: the flags tell. */
	put("/proc/cpuinfo", incapable);
	assert_choice(choose("auto", false, good_kvm), false, "neither vmx nor svm");
	put("/proc/cpuinfo", capable);
	assert_choice(choose("auto", false, wrong_device), false, "API version -1, not 12");
	assert_choice(choose("auto", true, good_kvm), false, "never greeted");
	drop("/dev/kvm");
	assert_choice(choose("auto", false, good_kvm), false, "No such file");
	drop("/proc/cpuinfo");
	assert_choice(choose("auto", false, good_kvm), false, "neither");
}

static void test_asked(void **state)
{
	(void)state;
	put("/proc/cpuinfo", incapable);
	put("/dev/kvm", "");
	/* Whoever asks for kvm by name is taken at their word. */
	assert_choice(choose("kvm", true, wrong_device), true, "asked for");
	assert_choice(choose("tcg", false, good_kvm), false, "asked for");
}

static void test_asked_in_vain(void **state)
{
	(void)state;
	const struct accel_world w = { root, good_kvm };
	struct accel_choice choice;
	struct error err = { 0 };
	struct config c;

	drop("/dev/kvm");
	config_default(&c);
	config_set(&c, "vm.accel", "kvm", NULL);
	assert_int_equal(accel_choose_in(&w, &c, false, &choice, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "vm.accel=auto"));
}

static void test_icount(void **state)
{
	(void)state;
	const struct accel_world w = { root, good_kvm };
	struct accel_choice choice;
	struct config c;

	put("/proc/cpuinfo", capable);
	put("/dev/kvm", "");
	config_default(&c);
	config_set(&c, "vm.icount", "on", NULL);
	assert_int_equal(accel_choose_in(&w, &c, false, &choice, NULL), 0);
	assert_choice(choice, false, "vm.icount");
}

static void test_flags(void **state)
{
	(void)state;
	put("/proc/cpuinfo", capable);
	assert_true(cpu_has_flag(root, "nonstop_tsc"));
	assert_true(cpu_has_flag(root, "fpu"));
	assert_false(cpu_has_flag(root, "nonstop"));
	assert_false(cpu_has_flag(root, "vmx_of_a_kind"));
	assert_false(cpu_has_flag("/nowhere", "fpu"));
}

static int make_root(void **state)
{
	(void)state;
	char path[128];

	snprintf(root, sizeof(root), "/tmp/bfaccel-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	path_in_root(path, sizeof(path), "/dev");
	if (mkdir(path, 0700))
		return -1;
	path_in_root(path, sizeof(path), "/proc");
	return mkdir(path, 0700);
}

static int remove_root(void **state)
{
	(void)state;
	char path[128];

	drop("/dev/kvm");
	drop("/proc/cpuinfo");
	path_in_root(path, sizeof(path), "/dev");
	rmdir(path);
	path_in_root(path, sizeof(path), "/proc");
	rmdir(path);
	return rmdir(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_auto),
		cmocka_unit_test(test_asked),
		cmocka_unit_test(test_asked_in_vain),
		cmocka_unit_test(test_icount),
		cmocka_unit_test(test_flags),
	};
	return cmocka_run_group_tests(tests, make_root, remove_root);
}
