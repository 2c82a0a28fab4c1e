/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which PTP clock is KVM's, in a made-up root; and that a guest without one says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "guest/ptp.h"

static char root[] = "/tmp/bifocal-ptp.XXXXXX";

static void put(const char *path, const char *text)
{
	char full[512];

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(full, 0700);
		*p = '/';
	}
	FILE *f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void test_find(void **state)
{
	(void)state;
	struct msg_clock_paired m;

	assert_int_equal(ptp_find(root), -1);
	ptp_read(root, &m);
	assert_int_equal(m.ok, 0);
	put("/sys/class/ptp/ptp0/clock_name", "e1000e 0000:00:1f.6\n");
	put("/sys/class/ptp/ptp1/clock_name", "");
	assert_int_equal(ptp_find(root), -1);
	put("/sys/class/ptp/ptp3/clock_name", "KVM virtual PTP\n");
	assert_int_equal(ptp_find(root), 3);
	/* Its device is missing, or none that can be read as a clock. */
	ptp_read(root, &m);
	assert_int_equal(m.ok, 0);
	put("/dev/ptp3", "no clock");
	ptp_read(root, &m);
	assert_int_equal(m.ok, 0);
	assert_int_equal(m.before | m.after, 0);
}

static int begin(void **state)
{
	(void)state;
	return mkdtemp(root) ? 0 : -1;
}

static int end(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf -- %s", root);
	return strncmp(root, "/tmp/bifocal-ptp.", 17) ? -1 : system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_find) };

	return cmocka_run_group_tests(tests, begin, end);
}
