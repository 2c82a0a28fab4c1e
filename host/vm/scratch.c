/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/vm/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "host/run/stop.h"
#include "host/vm/process.h"
#include "host/vm/qemu.h"

enum {
	FILL_BLOCK = 1 << 20,          /* large enough that the system call is lost in the copying */
	FILL_ALIGN = 4096,             /* O_DIRECT: no device we know wants more */
	QEMU_IMG_MS = 60000,
	QEMU_IMG_OUTPUT = 4 << 20,
};

/* splitmix64's finaliser over a counter: full speed without state, so any block can be made anew. */
static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

void scratch_pattern(uint64_t offset, void *buf, size_t len)
{
	uint64_t *w = buf;

	for (size_t i = 0; i < len / 8; i++)
		w[i] = mix(offset + i * 8 + 0x9e3779b97f4a7c15u) | 1;
}

static bool is(const struct config *c, enum config_key k, const char *value)
{
	return strcmp(config_str(c, k), value) == 0;
}

static bool wants_direct(const struct config *c)
{
	return is(c, CFG_DISK_CACHE, "none") || is(c, CFG_DISK_CACHE, "directsync");
}

struct rundir_need scratch_need(const struct config *c)
{
	if (is(c, CFG_DISK_BACKEND, "null-co") || !is(c, CFG_DISK_DIR, "auto"))
		return (struct rundir_need){ 0 };
	return (struct rundir_need){ .disk = true, .direct = wants_direct(c), .bytes = config_uint(c, CFG_DISK_SIZE) };
}

static int write_all(int fd, const char *p, size_t len, uint64_t offset, const char *path, struct error *err)
{
	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_sys(err, n ? errno : ENOSPC, "%s: fill the scratch disk", path);
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* Fills [offset, offset + len); len a multiple of FILL_ALIGN. `seed` is where the guest sees it. */
static int fill_range(int fd, uint64_t offset, uint64_t len, uint64_t seed, const char *path, struct error *err)
{
	autofree void *buf = NULL;

	if (posix_memalign(&buf, FILL_ALIGN, FILL_BLOCK))
		return error_set(err, ERR_LIMIT, "out of memory");
	while (len) {
		size_t n = len < FILL_BLOCK ? (size_t)len : FILL_BLOCK;

		if (stop_check(err))
			return -1;
		scratch_pattern(seed, buf, n);
		if (write_all(fd, buf, n, offset, path, err))
			return -1;
		offset += n;
		seed += n;
		len -= n;
	}
	return 0;
}

/* O_DIRECT where the place takes it, so that filling leaves the page cache alone. */
static int open_for_fill(const char *path, struct error *err)
{
	int fd = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == EINVAL)
		fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		error_sys(err, errno, "%s", path);
	return fd;
}

static int settle(int fd, const char *path, struct error *err)
{
	if (fdatasync(fd))
		return error_sys(err, errno, "%s: sync", path);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return 0;
}

static int fill_raw(const char *path, uint64_t size, struct error *err)
{
	autoclose int fd = open_for_fill(path, err);

	if (fd < 0)
		return -1;
	/* Reserving first shows a full disk before time is spent; file systems that cannot are no worse off. */
	if (fallocate(fd, 0, 0, (off_t)size) && (errno == ENOSPC || errno == EFBIG || errno == EDQUOT))
		return error_sys(err, errno, "%s: reserve the scratch disk's space", path);
	if (fill_range(fd, 0, size, 0, path, err))
		return -1;
	return settle(fd, path, err);
}

/* ---- qcow2: qemu-img lays out all clusters, the map says where they are, and they are filled like a raw file ---- */

static int run_qemu_img(const char *args[], char *out, struct error *err)
{
	char tool[256], *argv[12];
	size_t n = 0;

	if (program_find("qemu-img", tool, sizeof(tool)))
		return error_set(err, ERR_NOT_FOUND, "qemu-img: not found, and disk.format=qcow2 needs it; "
				 "install qemu-utils, or take disk.format=raw");
	argv[n++] = tool;
	for (; *args && n < 11; args++)
		argv[n++] = (char *)*args;
	argv[n] = NULL;
	int rc = process_capture(argv, out, QEMU_IMG_OUTPUT, QEMU_IMG_MS, err);
	if (rc > 0)
		return error_set(err, ERR_FAILED, "qemu-img %s: exit %d: %.*s", argv[1], rc, (int)strcspn(out, "\n") % 300, out);
	return rc;
}

static int fill_extent(int fd, const json_t *extent, const char *path, struct error *err)
{
	json_int_t start = json_integer_value(json_object_get(extent, "start"));
	json_int_t length = json_integer_value(json_object_get(extent, "length"));
	const json_t *offset = json_object_get(extent, "offset");

	if (!json_is_integer(offset) || start < 0 || length < 0 || json_integer_value(offset) < 0 || length % FILL_ALIGN)
		return error_set(err, ERR_FAILED, "%s: qemu-img map shows an extent without a place; take disk.format=raw", path);
	return fill_range(fd, (uint64_t)json_integer_value(offset), (uint64_t)length, (uint64_t)start, path, err);
}

static int fill_map(const char *path, const char *map, struct error *err)
{
	json_t *extents = json_loads(map, 0, NULL);
	autoclose int fd = open_for_fill(path, err);
	int rc = fd < 0 ? -1 : 0;

	if (!json_is_array(extents))
		rc = error_set(err, ERR_FAILED, "%s: qemu-img map gives no list of extents", path);
	for (size_t i = 0; rc == 0 && i < json_array_size(extents); i++)
		rc = fill_extent(fd, json_array_get(extents, i), path, err);
	if (rc == 0)
		rc = settle(fd, path, err);
	json_decref(extents);
	return rc;
}

static int fill_qcow2(const char *path, uint64_t size, struct error *err)
{
	autofree char *out = malloc(QEMU_IMG_OUTPUT);
	char bytes[32];

	if (!out)
		return error_set(err, ERR_LIMIT, "out of memory");
	snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)size);
	const char *create[] = { "create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", path, bytes, NULL };
	const char *map[] = { "map", "-f", "qcow2", "--output=json", path, NULL };
	if (run_qemu_img(create, out, err) || run_qemu_img(map, out, err))
		return -1;
	return fill_map(path, out, err);
}

/* ---- where ---- */

static int make_elsewhere(const struct config *c, const char *rundir, char *path, size_t cap, struct error *err)
{
	const struct rundir_need need = { true, wants_direct(c), config_uint(c, CFG_DISK_SIZE) };
	autofree char *dir = realpath(config_str(c, CFG_DISK_DIR), NULL);
	char link[160];

	if (!dir)
		return error_sys(err, errno, "disk.dir=%s: make it, or name another directory", config_str(c, CFG_DISK_DIR));
	if (place_check(dir, &need, err))
		return error_prefix(err, "disk.dir");
	int n = snprintf(path, cap, "%s/" SCRATCH_PREFIX "XXXXXX", dir);
	if (n < 0 || (size_t)n >= cap)
		return error_set(err, ERR_LIMIT, "disk.dir=%s: path too long", dir);
	autoclose int fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return error_sys(err, errno, "%s", path);
	snprintf(link, sizeof(link), "%s/" RUNDIR_ELSEWHERE, rundir);
	if (symlink(path, link) == 0)
		return 0;
	unlink(path);
	return error_sys(err, errno, "%s", link);
}

static int make_here(const char *rundir, char *path, size_t cap, struct error *err)
{
	snprintf(path, cap, "%s/scratch", rundir);
	autoclose int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd < 0 ? error_sys(err, errno, "%s", path) : 0;
}

int scratch_make(const struct config *c, const char *rundir, char *path, size_t cap, struct error *err)
{
	uint64_t size = config_uint(c, CFG_DISK_SIZE);

	path[0] = '\0';
	if (is(c, CFG_DISK_BACKEND, "null-co"))
		return 0;
	if (is(c, CFG_DISK_DIR, "auto") ? make_here(rundir, path, cap, err) : make_elsewhere(c, rundir, path, cap, err))
		return -1;
	if (is(c, CFG_DISK_FORMAT, "qcow2"))
		return fill_qcow2(path, size, err);
	return fill_raw(path, size, err);
}
