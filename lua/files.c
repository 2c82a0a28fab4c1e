/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lua/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

int files_init(struct files *f, const char *root, struct error *err)
{
	*f = (struct files){ 0 };
	size_t n = strlen(root);
	if (n >= sizeof(f->root))
		return error_set(err, ERR_USAGE, "root %.40s…: longer than %zu bytes", root, sizeof(f->root) - 1);
	memcpy(f->root, root, n + 1);
	return 0;
}

static void forget_found(struct files *f)
{
	for (size_t i = 0; i < f->n_found; i++)
		free(f->found[i]);
	f->n_found = 0;
}

void files_fini(struct files *f)
{
	forget_found(f);
	free(f->found);
	free(f->buf);
	*f = (struct files){ 0 };
}

static bool component_is(const char *c, size_t n, const char *name)
{
	return strlen(name) == n && memcmp(c, name, n) == 0;
}

static const char *component_fault(const char *c, size_t n, bool proc)
{
	static const char *const closed[] = { "root", "cwd", "exe", "fd", "map_files", "mem", "environ", "kcore", "kmsg", NULL };
	if (n == 0 || component_is(c, n, ".") || component_is(c, n, ".."))
		return "empty, . and .. components are refused";
	for (size_t i = 0; proc && closed[i]; i++)
		if (component_is(c, n, closed[i]))
			return "it leads out of /proc, or into a process's memory, and is refused";
	return NULL;
}

static int check_path(const char *path, struct error *err)
{
	bool proc = strncmp(path, "/proc/", 6) == 0;
	if (!proc && strncmp(path, "/sys/", 5) != 0)
		return error_set(err, ERR_REFUSED, "%.200s: a probe reads absolute paths under /proc and /sys only", path);
	if (strlen(path) >= FILES_PATH_MAX)
		return error_set(err, ERR_REFUSED, "%.80s…: path longer than %d bytes", path, FILES_PATH_MAX - 1);
	for (const char *c = path + 1, *end; *c; c = *end ? end + 1 : end) {
		end = strchrnul(c, '/');
		const char *fault = component_fault(c, (size_t)(end - c), proc);
		if (fault)
			return error_set(err, ERR_REFUSED, "%.200s: %s", path, fault);
	}
	return 0;
}

/* Opens root/proc or root/sys, or what lies beneath. `path` has passed check_path(), or is the start of one that has. */
static int open_beneath(const struct files *f, const char *path, int flags)
{
	char top[sizeof(f->root) + 8];
	const char *rest = strchrnul(path + 1, '/');
	snprintf(top, sizeof(top), "%s%.*s", f->root, (int)(rest - path), path);
	if (!*rest)
		return open(top, flags | O_CLOEXEC);
	autoclose int dir = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -1;
	struct open_how how = {
		.flags = (unsigned)(flags | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dir, rest + 1, &how, sizeof(how));
	if (fd < 0 && errno == ENOSYS)
		fd = openat(dir, rest + 1, flags | O_CLOEXEC);
	return (int)fd;
}

static int grow_buffer(struct files *f, size_t max)
{
	size_t cap = f->cap ? f->cap * 2 : 16384;
	cap = cap > max + 1 ? max + 1 : cap;
	char *p = realloc(f->buf, cap);
	if (!p)
		return -1;
	f->buf = p;
	f->cap = cap;
	return 0;
}

int files_read(struct files *f, const char *path, size_t max, struct error *err)
{
	f->len = 0;
	if (check_path(path, err) < 0)
		return -1;
	/* trace_pipe and the like must not block. */
	autoclose int fd = open_beneath(f, path, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return error_sys(err, errno, "%s", path);
	for (;;) {
		if (f->len == f->cap && grow_buffer(f, max) < 0)
			return error_sys(err, ENOMEM, "%s", path);
		ssize_t n = read(fd, f->buf + f->len, f->cap - f->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_sys(err, errno, "%s", path);
		if (n == 0)
			return 0;
		f->len += (size_t)n;
		if (f->len > max)
			return error_set(err, ERR_LIMIT, "%s: longer than %zu bytes", path, max);
	}
}

int files_exists(struct files *f, const char *path, struct error *err)
{
	if (check_path(path, err) < 0)
		return -1;
	autoclose int fd = open_beneath(f, path, O_PATH);
	return fd < 0 ? error_sys(err, errno, "%s", path) : 0;
}

static int add_found(struct files *f, const char *path, struct error *err)
{
	if (f->n_found == FILES_FOUND_MAX)
		return error_set(err, ERR_LIMIT, "more than %d files found", FILES_FOUND_MAX);
	if (f->n_found == f->cap_found) {
		size_t cap = f->cap_found ? f->cap_found * 2 : 64;
		char **p = realloc(f->found, cap * sizeof(*p));
		if (!p)
			return error_sys(err, ENOMEM, "glob");
		f->found = p;
		f->cap_found = cap;
	}
	char *copy = strdup(path);
	if (!copy)
		return error_sys(err, ENOMEM, "glob");
	f->found[f->n_found++] = copy;
	return 0;
}

static int glob_from(struct files *f, char *path, const char *pattern, struct error *err);

/* Appends "/name" to path, goes on with the rest of the pattern, takes it off again. */
static int glob_into(struct files *f, char *path, const char *name, size_t len, const char *rest, struct error *err)
{
	size_t n = strlen(path);
	if (n + 1 + len >= FILES_PATH_MAX)
		return 0;
	path[n] = '/';
	memcpy(path + n + 1, name, len);
	path[n + 1 + len] = 0;
	int r = glob_from(f, path, rest, err);
	path[n] = 0;
	return r;
}

static void close_dir(DIR **d) { if (*d) closedir(*d); }

static int glob_directory(struct files *f, char *path, const char *want, const char *rest, struct error *err)
{
	int fd = open_beneath(f, path, O_RDONLY | O_DIRECTORY);
	__attribute__((cleanup(close_dir))) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return 0;                /* it went away, or is none: no match */
	}
	for (struct dirent *e; (e = readdir(dir)); ) {
		if (++f->scanned > FILES_SCAN_MAX)
			return error_set(err, ERR_LIMIT, "glob looks at more than %d directory entries", FILES_SCAN_MAX);
		if (fnmatch(want, e->d_name, FNM_PERIOD) != 0)
			continue;
		if (glob_into(f, path, e->d_name, strlen(e->d_name), rest, err) < 0)
			return -1;
	}
	return 0;
}

/* `path` holds what is matched so far, `pattern` what is not, without its leading slash. */
static int glob_from(struct files *f, char *path, const char *pattern, struct error *err)
{
	if (!*pattern)
		return files_exists(f, path, NULL) == 0 ? add_found(f, path, err) : 0;
	const char *end = strchrnul(pattern, '/'), *rest = *end ? end + 1 : end;
	size_t n = (size_t)(end - pattern);
	char want[256];
	if (n >= sizeof(want))
		return 0;                /* no file has so long a name */
	memcpy(want, pattern, n);
	want[n] = 0;
	if (!strpbrk(want, "*?["))
		return glob_into(f, path, want, n, rest, err);
	return glob_directory(f, path, want, rest, err);
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int files_glob(struct files *f, const char *pattern, struct error *err)
{
	char path[FILES_PATH_MAX] = "";
	size_t depth = 0;
	forget_found(f);
	f->scanned = 0;
	if (check_path(pattern, err) < 0)
		return -1;
	for (const char *c = pattern; *c; c++)
		depth += *c == '/';
	if (depth > FILES_DEPTH_MAX)
		return error_set(err, ERR_LIMIT, "%s: more than %d components", pattern, FILES_DEPTH_MAX);
	const char *rest = strchr(pattern + 1, '/');
	memcpy(path, pattern, (size_t)(rest - pattern));
	if (glob_from(f, path, rest + 1, err) < 0)
		return error_prefix(err, "%s", pattern);
	if (f->n_found)
		qsort(f->found, f->n_found, sizeof(*f->found), compare_paths);
	return 0;
}
