/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/trace/host_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"

/* Mappings on mappings: deeper is a loop, or nothing that anybody built. */
enum { DEPTH_MAX = 8 };

/* ---- sysfs ---- */

static bool read_line(const char *dir, const char *file, char *dst, size_t cap)
{
	char path[PATH_MAX + 64];

	dst[0] = '\0';
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	autofclose FILE *f = fopen(path, "re");
	if (!f || !fgets(dst, (int)cap, f))
		return false;
	dst[strcspn(dst, "\n")] = '\0';
	return true;
}

static bool read_number(const char *dir, uint32_t *out)
{
	char text[32];
	unsigned major, minor;

	if (!read_line(dir, "dev", text, sizeof(text)) || sscanf(text, "%u:%u", &major, &minor) != 2)
		return false;
	*out = major << 20 | (minor & 0xfffff);
	return true;
}

/* How many disks a mapping lies on; the name of one. */
static unsigned count_slaves(const char *dir, char name[NAME_MAX + 1])
{
	char path[PATH_MAX + 64];
	unsigned n = 0;

	snprintf(path, sizeof(path), "%s/slaves", dir);
	DIR *d = opendir(path);
	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(name, NAME_MAX + 1, "%s", e->d_name);
		n++;
	}
	if (d)
		closedir(d);
	return n;
}

static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* From `dir`, a device's real directory in sysfs, one step down the stack, in place. 0: it is the disk; 1: one step done. */
static int step_down(char dir[PATH_MAX], struct error *err)
{
	char line[64], slave[NAME_MAX + 1], next[PATH_MAX + NAME_MAX + 64];

	if (read_line(dir, "partition", line, sizeof(line))) {
		*strrchr(dir, '/') = '\0';
		return 1;
	}
	if (strstr(dir, "/nvme-subsystem/"))
		return error_set(err, ERR_NOT_FOUND, "%s is reached over NVMe multipath, whose paths have no number to watch", last_name(dir));
	unsigned slaves = count_slaves(dir, slave);
	/* Multipath of requests: the mapping has the queue, and its paths are one disk. */
	if (!slaves || (read_line(dir, "dm/uuid", line, sizeof(line)) && strncmp(line, "mpath-", 6) == 0))
		return 0;
	if (slaves > 1)
		return error_set(err, ERR_NOT_FOUND, "%s lies on %u disks", last_name(dir), slaves);
	snprintf(next, sizeof(next), "%s/slaves/%s", dir, slave);
	if (!realpath(next, dir))
		return error_sys(err, errno, "%s", next);
	return 1;
}

int host_disk_of_number(const char *sys, dev_t number, struct host_disk *out, struct error *err)
{
	char path[256], dir[PATH_MAX];
	int more = 1;

	*out = (struct host_disk){ 0 };
	snprintf(path, sizeof(path), "%s/dev/block/%u:%u", sys, major(number), minor(number));
	if (!realpath(path, dir))
		return error_set(err, ERR_NOT_FOUND, "%u:%u is no block device", major(number), minor(number));
	for (int depth = 0; more > 0 && depth < DEPTH_MAX; depth++)
		more = step_down(dir, err);
	if (more < 0)
		return -1;
	if (more || !read_number(dir, &out->device))
		return error_set(err, ERR_NOT_FOUND, "%s: not a disk that sysfs describes", dir);
	out->part = major(number) << 20 | (minor(number) & 0xfffff);
	snprintf(out->name, sizeof(out->name), "%.*s", DISK_NAME_MAX - 1, last_name(dir));
	return 0;
}

/* ---- file systems without a device of their own ---- */

struct mount_line {
	char type[32], source[PATH_MAX], upper[PATH_MAX];
};

/* The value of "upperdir=…" among comma-separated options. */
static void take_upper(const char *options, char dst[PATH_MAX])
{
	const char *at = strstr(options, "upperdir=");

	dst[0] = '\0';
	if (at)
		snprintf(dst, PATH_MAX, "%.*s", (int)strcspn(at + 9, ",\n"), at + 9);
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue": the words behind " - " of one mount. */
static bool find_mount(uint64_t id, struct mount_line *m)
{
	autofclose FILE *f = fopen("/proc/self/mountinfo", "re");
	autofree char *line = NULL;
	size_t cap = 0;

	while (f && getline(&line, &cap, f) > 0) {
		const char *dash = strstr(line, " - ");
		if (strtoull(line, NULL, 10) != id || !dash)
			continue;
		char options[8] = "";
		if (sscanf(dash + 3, "%31s %4095s %7s", m->type, m->source, options) < 2)
			return false;
		take_upper(dash, m->upper);
		return true;
	}
	return false;
}

/* btrfs lists its devices in /sys/fs/btrfs/UUID/devices. */
static bool btrfs_alone(const char *source)
{
	bool mine = false;
	unsigned n = 0;
	DIR *all = opendir("/sys/fs/btrfs");

	for (struct dirent *e = all ? readdir(all) : NULL; e && !mine; e = readdir(all)) {
		char path[NAME_MAX + 64], real[PATH_MAX];
		snprintf(path, sizeof(path), "/sys/fs/btrfs/%s/devices", e->d_name);
		DIR *devices = opendir(path);
		n = 0;
		for (struct dirent *d = devices ? readdir(devices) : NULL; d; d = readdir(devices)) {
			n += d->d_name[0] != '.';
			mine |= realpath(source, real) && strcmp(d->d_name, last_name(real)) == 0;
		}
		if (devices)
			closedir(devices);
	}
	if (all)
		closedir(all);
	return mine && n == 1;
}

static int of_mount(const char *path, struct host_disk *out, struct error *err)
{
	struct statx sx;
	struct stat st;
	struct mount_line m = { .type = "" };

	if (statx(AT_FDCWD, path, 0, STATX_MNT_ID, &sx) || !(sx.stx_mask & STATX_MNT_ID) || !find_mount(sx.stx_mnt_id, &m))
		return error_set(err, ERR_NOT_FOUND, "%s lies on a file system without a block device", path);
	if (strcmp(m.type, "overlay") == 0 && m.upper[0] && stat(m.upper, &st) == 0 && major(st.st_dev))
		return host_disk_of_number("/sys", st.st_dev, out, err);
	if (strcmp(m.type, "btrfs") == 0 && stat(m.source, &st) == 0 && S_ISBLK(st.st_mode)) {
		if (btrfs_alone(m.source))
			return host_disk_of_number("/sys", st.st_rdev, out, err);
		return error_set(err, ERR_NOT_FOUND, "%s lies on a btrfs of several disks", path);
	}
	return error_set(err, ERR_NOT_FOUND, "%s lies on %s, which shows no block device of its own", path, m.type);
}

int host_disk_of_file(const char *path, struct host_disk *out, struct error *err)
{
	struct stat st;

	*out = (struct host_disk){ 0 };
	if (stat(path, &st))
		return error_sys(err, errno, "%s", path);
	if (S_ISBLK(st.st_mode))
		return host_disk_of_number("/sys", st.st_rdev, out, err);
	return major(st.st_dev) ? host_disk_of_number("/sys", st.st_dev, out, err) : of_mount(path, out, err);
}

/* ---- descriptors ---- */

static bool same_file(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode))
		return a->st_rdev == b->st_rdev;
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool open_for_writing(pid_t pid, const char *fd)
{
	char path[96], line[128];
	unsigned flags = 0;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.16s", (int)pid, fd);
	autofclose FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "flags: %o", &flags) == 1)
			break;
	return (flags & O_ACCMODE) == O_RDWR;
}

/* What the guest may write to: the scratch disk, if that is all. */
static bool disk_like(pid_t pid, const char *fd, const struct stat *st)
{
	return (S_ISBLK(st->st_mode) || (S_ISREG(st->st_mode) && st->st_size >= 1 << 20)) && open_for_writing(pid, fd);
}

struct search {
	pid_t pid;
	bool known;                    /* the file that is looked for: `want` is it */
	bool several;
	struct stat want;
	char *fds;
	size_t cap, len;
};

static void look_at(struct search *s, const char *fd)
{
	char path[96];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fd/%.16s", (int)s->pid, fd);
	if (fd[0] == '.' || stat(path, &st) || (!s->known && !disk_like(s->pid, fd, &st)))
		return;
	if (!s->known && s->len && !same_file(&st, &s->want)) {
		s->several = true;
		return;
	}
	if (!s->known)
		s->want = st;
	else if (!same_file(&st, &s->want))
		return;
	int n = snprintf(s->fds + s->len, s->cap - s->len, "%s%.16s", s->len ? "," : "", fd);
	if (n > 0 && (size_t)n < s->cap - s->len)
		s->len += (size_t)n;
	else
		s->fds[s->len] = '\0';
}

int host_disk_descriptors(pid_t pid, const char *path, char *fds, size_t fds_cap, char *found, size_t found_cap, struct error *err)
{
	char dir[64], link[96];
	struct search s = { .pid = pid, .known = path != NULL, .fds = fds, .cap = fds_cap };

	fds[0] = found[0] = '\0';
	if (path && stat(path, &s.want))
		return error_sys(err, errno, "%s", path);
	snprintf(dir, sizeof(dir), "/proc/%d/fd", (int)pid);
	DIR *d = opendir(dir);
	if (!d)
		return error_sys(err, errno, "%s", dir);
	for (struct dirent *e = readdir(d); e; e = readdir(d))
		look_at(&s, e->d_name);
	closedir(d);
	if (s.several) {
		fds[0] = '\0';
		return error_set(err, ERR_NOT_FOUND, "process %d has several files open for writing; which is the scratch disk cannot be told", (int)pid);
	}
	if (path || !s.len)
		return 0;
	/* Through /proc, so that a file in another mount namespace, or a deleted one, is reached too. */
	snprintf(link, sizeof(link), "/proc/%d/fd/%.*s", (int)pid, (int)strcspn(fds, ","), fds);
	snprintf(found, found_cap, "%s", link);
	return 0;
}
