// SPDX-License-Identifier: GPL-2.0-or-later
/* The disk of a run: checked, then opened. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/disk.h"
#include "guest/sys.h"

static int check_permission(const struct disk *d, const struct workload *w, bool destructive, struct error *err)
{
	if (!workload_writes(w) || d->scratch || destructive)
		return 0;
	return error_set(err, ERR_REFUSED, "disk %s: its serial is \"%s\", not " DISK_SCRATCH_SERIAL "; pass --destructive to write to it",
			 d->name, d->serial);
}

/* A plain file stands for a disk in tests. */
static int measure(int fd, uint64_t *size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	if (!S_ISREG(st.st_mode))
		return ioctl(fd, BLKGETSIZE64, size);
	*size = (uint64_t)st.st_size;
	return 0;
}

static int choose_region(struct target *t, const struct disk *d, const struct workload *w, uint64_t size, struct error *err)
{
	t->size = w->size ? w->size : size;
	if (t->size > size)
		return error_set(err, ERR_USAGE, "disk %s: size=%llu is more than its %llu bytes", d->name,
				 (unsigned long long)t->size, (unsigned long long)size);
	if (t->size < w->bs)
		return error_set(err, ERR_USAGE, "disk %s: %llu bytes hold no block of bs=%llu", d->name,
				 (unsigned long long)t->size, (unsigned long long)w->bs);
	if (w->direct && d->logical_block && w->bs % d->logical_block)
		return error_set(err, ERR_USAGE, "disk %s: bs=%llu is no multiple of its logical block of %u bytes", d->name,
				 (unsigned long long)w->bs, d->logical_block);
	return 0;
}

/* "254:16" */
static uint32_t device_number(const char *root, const char *name)
{
	char text[32];
	unsigned major, minor;

	sys_read(text, sizeof(text), root, "/sys/block/%s/dev", name);
	return sscanf(text, "%u:%u", &major, &minor) == 2 && major < 1 << 12 && minor < 1 << 20 ? major << 20 | minor : 0;
}

static int open_disk(const char *path, const struct workload *w)
{
	int flags = O_CLOEXEC | (workload_writes(w) ? O_RDWR : O_RDONLY) | (w->direct ? O_DIRECT : 0);

	return open(path, flags);
}

int target_open(struct target *t, const char *root, const char *wanted, const struct workload *w, bool destructive, struct error *err)
{
	struct disk d;
	char path[SYS_PATH_MAX];
	uint64_t size = 0;

	*t = (struct target){ .fd = -1 };
	if (disk_find(root, wanted, &d, err) || check_permission(&d, w, destructive, err))
		return -1;
	snprintf(t->name, sizeof(t->name), "%s", d.name);
	snprintf(t->driver, sizeof(t->driver), "%s", d.driver);
	t->device = device_number(root, d.name);
	if (sys_path(path, root, "/dev/%s", d.name))
		return error_set(err, ERR_FAILED, "disk %s: path too long", d.name);
	t->fd = open_disk(path, w);
	if (t->fd < 0)
		return error_sys(err, errno, "disk %s: open %s%s", d.name, path, w->direct ? " with direct=1" : "");
	if (measure(t->fd, &size) < 0) {
		error_sys(err, errno, "disk %s: size", d.name);
		goto fail;
	}
	if (choose_region(t, &d, w, size, err))
		goto fail;
	return 0;
fail:
	target_close(t);
	return -1;
}

void target_close(struct target *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}
