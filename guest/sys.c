// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/sys.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

static int path_v(char *dst, const char *root, const char *fmt, va_list ap)
{
	size_t n = strlen(root);

	if (n >= SYS_PATH_MAX)
		return -1;
	memcpy(dst, root, n + 1);
	int more = vsnprintf(dst + n, SYS_PATH_MAX - n, fmt, ap);
	return more < 0 || (size_t)more >= SYS_PATH_MAX - n ? -1 : 0;
}

int sys_path(char *dst, const char *root, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int r = path_v(dst, root, fmt, ap);
	va_end(ap);
	return r;
}

/* sysfs and procfs hand out a file in pieces of their own liking. */
static ssize_t read_whole(const char *path, char *dst, size_t cap)
{
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;

	if (fd < 0)
		return -1;
	while (n < cap - 1) {
		ssize_t got = read(fd, dst + n, cap - 1 - n);
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

ssize_t sys_read(char *dst, size_t cap, const char *root, const char *fmt, ...)
{
	char path[SYS_PATH_MAX];
	va_list ap;

	dst[0] = '\0';
	va_start(ap, fmt);
	int bad = path_v(path, root, fmt, ap);
	va_end(ap);
	ssize_t n = bad ? -1 : read_whole(path, dst, cap);
	while (n > 0 && isspace((unsigned char)dst[n - 1]))
		n--;
	dst[n > 0 ? n : 0] = '\0';
	return n;
}

uint64_t sys_read_u64(uint64_t otherwise, const char *root, const char *fmt, ...)
{
	char path[SYS_PATH_MAX], text[32], *end;
	va_list ap;

	va_start(ap, fmt);
	int bad = path_v(path, root, fmt, ap);
	va_end(ap);
	if (bad || sys_read(text, sizeof(text), "", "%s", path) <= 0)
		return otherwise;
	uint64_t v = strtoull(text, &end, 10);
	return end == text ? otherwise : v;
}

/* Not truncated: a tracefs file of definitions would forget those it has. Appended: a made-up one gathers what was written. */
int sys_write(const char *root, const char *text, const char *fmt, ...)
{
	char path[SYS_PATH_MAX];
	va_list ap;

	va_start(ap, fmt);
	int bad = path_v(path, root, fmt, ap);
	va_end(ap);
	errno = ENAMETOOLONG;
	autoclose int fd = bad ? -1 : open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = write(fd, text, strlen(text));
	if (n >= 0)
		errno = EIO;
	return n == (ssize_t)strlen(text) ? 0 : -1;
}

int sys_link_name(char *dst, size_t cap, const char *path)
{
	char target[SYS_PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	dst[0] = '\0';
	if (n <= 0)
		return -1;
	target[n] = '\0';
	const char *slash = strrchr(target, '/');
	snprintf(dst, cap, "%s", slash ? slash + 1 : target);
	return 0;
}

uint64_t sys_memory_available(const char *root)
{
	char text[4096];

	sys_read(text, sizeof(text), root, "/proc/meminfo");
	const char *line = strstr(text, "MemAvailable:");
	return line ? strtoull(line + strlen("MemAvailable:"), NULL, 10) * 1024 : 0;
}
