/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Run directories: where they go, what a sweep takes and what it must leave alone. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
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
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/vm/rundir.h"

static char top[64], runs[80];
static const struct rundir_need nothing = { 0 };

static void touch(const char *dir, const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static bool there(const char *path)
{
	return access(path, F_OK) == 0;
}

static struct rundir make(void)
{
	struct rundir d;
	struct error err = { 0 };

	if (rundir_make(&nothing, &d, &err))
		fail_msg("%s", err.text);
	return d;
}

static void test_make_and_remove(void **state)
{
	(void)state;
	struct rundir d = make(), e = make();
	struct stat st;

	assert_int_equal(strncmp(d.path, runs, strlen(runs)), 0);
	assert_string_not_equal(d.path, e.path);
	assert_int_equal(stat(d.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_true(strlen(d.path) <= RUNDIR_PATH_MAX);
	touch(d.path, "a file");
	rundir_remove(&d);
	rundir_remove(&d);
	rundir_remove(&e);
	assert_int_equal(rmdir(runs), 0);
	assert_int_equal(mkdir(runs, 0700), 0);
}

/* A directory as a collector leaves it that died by SIGKILL. */
static void make_orphan(char *path, size_t cap, const char *elsewhere)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	pid_t child = fork();
	if (child == 0) {
		struct rundir d = make();
		char link[160];
		snprintf(link, sizeof(link), "%s/" RUNDIR_ELSEWHERE, d.path);
		touch(d.path, "scratch");
		if (elsewhere && symlink(elsewhere, link))
			_exit(1);
		if (write(fds[1], d.path, sizeof(d.path)) < 0)
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	assert_true(read(fds[0], path, cap) > 0);
	waitpid(child, NULL, 0);
	close(fds[0]);
	close(fds[1]);
	assert_true(there(path));
}

static void test_sweep(void **state)
{
	(void)state;
	char orphan[128], scratch[128], precious[128];
	struct rundir alive = make();

	snprintf(scratch, sizeof(scratch), "%s/" SCRATCH_PREFIX "abcdef", top);
	touch(top, SCRATCH_PREFIX "abcdef");
	make_orphan(orphan, sizeof(orphan), scratch);
	assert_true(rundir_sweep() >= 1);       /* /var/tmp may hold other people's orphans */
	assert_false(there(orphan));
	assert_false(there(scratch));
	assert_true(there(alive.path));
	/* A link that leads to something else is not followed. */
	snprintf(precious, sizeof(precious), "%s/precious", top);
	touch(top, "precious");
	make_orphan(orphan, sizeof(orphan), precious);
	rundir_sweep();
	assert_false(there(orphan));
	assert_true(there(precious));
	unlink(precious);
	rundir_remove(&alive);
}

/* What merely looks like ours: somebody just starting, another mode, a link, another name. */
static void test_sweep_leaves(void **state)
{
	(void)state;
	static const char *const names[] = { "bifocal-abcdef", "bifocal-ABCDEF", "bifocal-abc", "bifocal-other1" };
	char path[4][128];

	for (int i = 0; i < 4; i++)
		snprintf(path[i], sizeof(path[i]), "%s/%s", runs, names[i]);
	assert_int_equal(mkdir(path[0], 0700), 0);       /* no pid file yet */
	assert_int_equal(mkdir(path[1], 0755), 0);
	touch(path[1], "pid");
	assert_int_equal(mkdir(path[2], 0700), 0);
	touch(path[2], "pid");
	assert_int_equal(symlink(path[2], path[3]), 0);
	rundir_sweep();
	for (int i = 0; i < 4; i++)
		assert_true(there(path[i]));
	/* Grown old without a pid file, the first is nobody's. */
	const struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	assert_int_equal(utimensat(AT_FDCWD, path[0], old, 0), 0);
	rundir_sweep();
	assert_false(there(path[0]));
	unlink(path[3]);
	for (int i = 1; i < 3; i++) {
		char pid[140];
		snprintf(pid, sizeof(pid), "%s/pid", path[i]);
		unlink(pid);
		rmdir(path[i]);
	}
}

/* A scratch disk never goes into memory, and never where it does not fit. */
static void test_needs(void **state)
{
	(void)state;
	const struct rundir_need small = { .disk = true, .direct = true, .bytes = 1 << 20 };
	const struct rundir_need huge = { .disk = true, .bytes = (uint64_t)1 << 60 };
	struct rundir d;
	struct error err = { 0 };
	struct statfs fs;

	assert_int_equal(rundir_make(&huge, &d, &err), -1);
	assert_int_equal(err.code, ERR_NO_SPACE);
	assert_non_null(strstr(err.text, "disk.dir=DIR"));
	assert_string_equal(d.path, "");
	if (statfs("/dev/shm", &fs) || fs.f_type != TMPFS_MAGIC)
		skip();
	setenv("XDG_RUNTIME_DIR", "/dev/shm", 1);
	assert_int_equal(rundir_make(&small, &d, &err), 0);
	assert_int_equal(strncmp(d.path, runs, strlen(runs)), 0);
	rundir_remove(&d);
	d = make();                     /* sockets and logs alone are welcome there */
	assert_int_equal(strncmp(d.path, "/dev/shm/", 9), 0);
	rundir_remove(&d);
	unsetenv("XDG_RUNTIME_DIR");
}

/* Places too long for a socket's name, not there, or not absolute are passed over. */
static void test_bad_places(void **state)
{
	(void)state;
	char far[200];
	struct rundir d;

	snprintf(far, sizeof(far), "%s/%0*d", runs, 80, 0);
	assert_int_equal(mkdir(far, 0700), 0);
	const char *const bad[] = { far, "/nowhere/at/all", "relative", "" };
	for (int i = 0; i < 4; i++) {
		setenv("TMPDIR", bad[i], 1);
		assert_int_equal(rundir_make(&nothing, &d, NULL), 0);
		assert_int_equal(strncmp(d.path, "/var/tmp/", 9), 0);
		rundir_remove(&d);
	}
	setenv("TMPDIR", runs, 1);
	rmdir(far);
}

static int make_world(void **state)
{
	(void)state;
	snprintf(top, sizeof(top), "/var/tmp/bfrun-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	snprintf(runs, sizeof(runs), "%s/runs", top);
	unsetenv("XDG_RUNTIME_DIR");
	setenv("TMPDIR", runs, 1);
	return mkdir(runs, 0700);
}

static int remove_world(void **state)
{
	(void)state;
	return rmdir(runs) || rmdir(top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_make_and_remove),
		cmocka_unit_test(test_sweep),
		cmocka_unit_test(test_sweep_leaves),
		cmocka_unit_test(test_needs),
		cmocka_unit_test(test_bad_places),
	};
	return cmocka_run_group_tests(tests, make_world, remove_world);
}
