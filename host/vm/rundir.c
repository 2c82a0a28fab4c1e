/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/vm/rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/units.h"

enum { PLACES = 3, SPARE_BYTES = 32 << 20 };

/* Where run directories go, best first; unset ones are NULL. */
static void places(const char *out[PLACES])
{
	out[0] = getenv("XDG_RUNTIME_DIR");
	out[1] = getenv("TMPDIR");
	out[2] = "/var/tmp";
}

/* ---- what a place offers ---- */

static bool in_memory(const char *dir)
{
	struct statfs fs;

	return statfs(dir, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static bool takes_direct(const char *dir)
{
	char path[320];

	snprintf(path, sizeof(path), "%s/bifocal-probe-XXXXXX", dir);
	int fd = mkostemp(path, O_DIRECT | O_CLOEXEC);
	/* mkostemp leaves the name behind when open made the file and then refused O_DIRECT. */
	if (fd < 0) {
		if (!strstr(path, "XXXXXX"))
			unlink(path);
		return false;
	}
	unlink(path);
	close(fd);
	return true;
}

static int check_space(const char *dir, uint64_t need, struct error *err)
{
	struct statvfs fs;
	char want[32], have[32];

	if (statvfs(dir, &fs))
		return error_sys(err, errno, "%s", dir);
	uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (free_bytes >= SPARE_BYTES && free_bytes - SPARE_BYTES >= need)
		return 0;
	return error_set(err, ERR_NO_SPACE, "%s: %s free, the scratch disk takes %s and %dm must stay; "
			 "lower disk.size, or name another place with disk.dir=DIR",
			 dir, format_size(free_bytes >> 20 << 20, have, sizeof(have)), format_size(need, want, sizeof(want)),
			 SPARE_BYTES >> 20);
}

int place_check(const char *dir, const struct rundir_need *need, struct error *err)
{
	if (access(dir, W_OK | X_OK))
		return error_sys(err, errno, "%s: cannot write there", dir);
	if (!need->disk)
		return 0;
	if (need->direct && !takes_direct(dir))
		return error_set(err, ERR_FAILED, "%s: no O_DIRECT there, which disk.cache=none and directsync need; "
				 "name a place on a disk with disk.dir=DIR, or take disk.cache=writeback", dir);
	return check_space(dir, need->bytes, err);
}

/* ---- making ---- */

static int lock_pid_file(struct rundir *d, struct error *err)
{
	char fresh[160], final[160];

	snprintf(fresh, sizeof(fresh), "%s/pid.new", d->path);
	snprintf(final, sizeof(final), "%s/pid", d->path);
	d->lock_fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (d->lock_fd < 0)
		return error_sys(err, errno, "%s", fresh);
	if (dprintf(d->lock_fd, "%d\n", (int)getpid()) < 0 || flock(d->lock_fd, LOCK_EX | LOCK_NB) || rename(fresh, final))
		return error_sys(err, errno, "%s", final);
	return 0;
}

static int make_in(const char *place, struct rundir *d, struct error *err)
{
	int n = snprintf(d->path, sizeof(d->path), "%s/" RUNDIR_PREFIX "XXXXXX", place);

	d->lock_fd = -1;
	if (n < 0 || n > RUNDIR_PATH_MAX) {
		d->path[0] = '\0';
		return error_set(err, ERR_LIMIT, "%s: too long a path for a UNIX socket (%d bytes at most)", place, RUNDIR_PATH_MAX);
	}
	if (!mkdtemp(d->path)) {
		d->path[0] = '\0';
		return error_sys(err, errno, "%s: cannot make a run directory there", place);
	}
	if (lock_pid_file(d, err)) {
		rundir_remove(d);
		return -1;
	}
	return 0;
}

int rundir_make(const struct rundir_need *need, struct rundir *out, struct error *err)
{
	const char *place[PLACES];
	struct error why = { 0 };

	*out = (struct rundir){ .lock_fd = -1 };
	places(place);
	for (int i = 0; i < PLACES; i++) {
		if (!place[i] || place[i][0] != '/')
			continue;
		/* O_DIRECT on a recent tmpfs works, yet what it would measure is memory. */
		if (need->disk && in_memory(place[i]))
			error_set(&why, ERR_FAILED, "%s: in memory, and a disk there would measure memory; "
				  "name a place on a disk with disk.dir=DIR", place[i]);
		else if (place_check(place[i], need, &why) == 0 && make_in(place[i], out, &why) == 0)
			return 0;
	}
	return error_set(err, why.code, "no place for the run directory in $XDG_RUNTIME_DIR, $TMPDIR or /var/tmp: %s", why.text);
}

/* ---- removing ---- */

/* The scratch file outside: only a regular file of the name we give, and only where the link says. */
static void remove_elsewhere(int dirfd)
{
	char target[320];
	ssize_t n = readlinkat(dirfd, RUNDIR_ELSEWHERE, target, sizeof(target) - 1);
	struct stat st;

	if (n <= 0)
		return;
	target[n] = '\0';
	const char *slash = strrchr(target, '/');
	if (!slash || strncmp(slash + 1, SCRATCH_PREFIX, strlen(SCRATCH_PREFIX)))
		return;
	if (lstat(target, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid())
		unlink(target);
}

static void remove_entries(int dirfd)
{
	int fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (struct dirent *e = readdir(dir); e; e = readdir(dir))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			unlinkat(dirfd, e->d_name, 0);
	closedir(dir);
}

/* `fd` is open on `path`. */
static bool remove_dir(int fd, const char *path)
{
	remove_elsewhere(fd);
	remove_entries(fd);
	return rmdir(path) == 0;
}

static int open_dir(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

void rundir_remove(struct rundir *d)
{
	if (!d->path[0])
		return;
	autoclose int fd = open_dir(d->path);
	if (fd >= 0)
		remove_dir(fd, d->path);
	/* Last, so that nobody sweeps what is being removed. */
	if (d->lock_fd >= 0)
		close(d->lock_fd);
	*d = (struct rundir){ .lock_fd = -1 };
}

/* ---- sweeping ---- */

/* True when its collector is dead; then *lock_fd holds the lock, against another sweep. */
static bool is_dead(int dirfd, const struct stat *dir, int *lock_fd)
{
	*lock_fd = openat(dirfd, "pid", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (*lock_fd < 0)
		return errno == ENOENT && time(NULL) - dir->st_mtime > RUNDIR_GRACE_S;
	return flock(*lock_fd, LOCK_EX | LOCK_NB) == 0;
}

static bool sweep_one(const char *place, const char *name)
{
	char path[320];
	struct stat st;
	autoclose int lock_fd = -1;

	snprintf(path, sizeof(path), "%s/%s", place, name);
	autoclose int fd = open_dir(path);
	if (fd < 0 || fstat(fd, &st) || st.st_uid != geteuid() || (st.st_mode & 0777) != 0700)
		return false;
	return is_dead(fd, &st, &lock_fd) && remove_dir(fd, path);
}

static int sweep_place(const char *place)
{
	DIR *dir = opendir(place);
	int n = 0;

	if (!dir)
		return 0;
	for (struct dirent *e = readdir(dir); e; e = readdir(dir))
		if (strncmp(e->d_name, RUNDIR_PREFIX, strlen(RUNDIR_PREFIX)) == 0 &&
		    strlen(e->d_name) == strlen(RUNDIR_PREFIX) + 6)
			n += sweep_one(place, e->d_name);
	closedir(dir);
	return n;
}

int rundir_sweep(void)
{
	const char *place[PLACES];
	int n = 0;

	places(place);
	for (int i = 0; i < PLACES; i++)
		if (place[i] && place[i][0] == '/')
			n += sweep_place(place[i]);
	return n;
}
