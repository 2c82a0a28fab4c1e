/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mine/search.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

enum { PLACES = 3 };

char *file_read(const char *path, size_t max, size_t *len, struct error *err)
{
	/* O_NONBLOCK: a FIFO must not hang us before we can refuse it. */
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	if (fd < 0 || fstat(fd, &st)) {
		error_sys(err, errno, "%s", path);
		return NULL;
	}
	if (!S_ISREG(st.st_mode)) {
		error_set(err, ERR_USAGE, "%s: not a regular file", path);
		return NULL;
	}
	if (st.st_size < 0 || (uintmax_t)st.st_size > max) {
		error_set(err, ERR_LIMIT, "%s: %jd bytes; at most %zu are read", path, (intmax_t)st.st_size, max);
		return NULL;
	}
	size_t size = (size_t)st.st_size, got = 0;
	char *text = malloc(size + 1);
	if (!text) {
		error_set(err, ERR_LIMIT, "%s: no memory for %zu bytes", path, size);
		return NULL;
	}
	while (got < size) {
		ssize_t n = read(fd, text + got, size - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			error_sys(err, errno, "%s", path);
			free(text);
			return NULL;
		}
		if (n == 0)
			break;
		got += (size_t)n;
	}
	text[got] = '\0';
	*len = got;
	return text;
}

/* The i-th template folder; false where there is none of that number. */
static bool place(size_t i, char dst[PATH_MAX])
{
	if (i == 0)
		return snprintf(dst, PATH_MAX, "templates") > 0;
	if (i == 1) {
		const char *data = getenv("BIFOCAL_DATA");
		return data && *data && snprintf(dst, PATH_MAX, "%s/templates", data) < PATH_MAX;
	}
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (n <= 0)
		return false;
	exe[n] = '\0';
	*strrchr(exe, '/') = '\0';
	return snprintf(dst, PATH_MAX, "%s/../share/bifocal/templates", exe) < PATH_MAX;
}

char *search_template_places(char *dst, size_t cap)
{
	char dir[PATH_MAX];
	size_t len = 0;
	dst[0] = '\0';
	for (size_t i = 0; i < PLACES; i++)
		if (place(i, dir) && len < cap)
			len += (size_t)snprintf(dst + len, cap - len, "%s%s", len ? ", " : "", dir);
	return dst;
}

char *search_template_file(const char *file, struct error *err)
{
	char dir[PATH_MAX];
	for (size_t i = 0; i < PLACES; i++) {
		char *path;
		if (!place(i, dir) || asprintf(&path, "%s/%s", dir, file) < 0)
			continue;
		if (access(path, F_OK) == 0)
			return path;
		free(path);
	}
	char places[1024];
	error_set(err, ERR_NOT_FOUND, "%s is in none of %s; set BIFOCAL_DATA to the folder that holds templates/", file,
		  search_template_places(places, sizeof(places)));
	return NULL;
}

static int add_name(char ***names, size_t *n, const char *file)
{
	const char *dot = strrchr(file, '.');
	if (!dot || dot == file || strcmp(dot, ".xml") != 0)
		return 0;
	size_t len = (size_t)(dot - file);
	for (size_t i = 0; i < *n; i++)
		if (strncmp((*names)[i], file, len) == 0 && (*names)[i][len] == '\0')
			return 0;
	char **grown = reallocarray(*names, *n + 2, sizeof(*grown));
	if (!grown)
		return -1;
	*names = grown;
	grown[*n] = strndup(file, len);
	if (!grown[*n])
		return -1;
	grown[++*n] = NULL;
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **search_template_names(struct error *err)
{
	char **names = calloc(1, sizeof(*names));
	size_t n = 0;
	int rc = names ? 0 : -1;
	for (size_t i = 0; i < PLACES && !rc; i++) {
		char dir[PATH_MAX];
		DIR *d = place(i, dir) ? opendir(dir) : NULL;
		for (struct dirent *e = d ? readdir(d) : NULL; e && !rc; e = readdir(d))
			rc = add_name(&names, &n, e->d_name);
		if (d)
			closedir(d);
	}
	if (rc) {
		search_names_free(names);
		error_set(err, ERR_LIMIT, "no memory");
		return NULL;
	}
	qsort(names, n, sizeof(*names), by_text);
	return names;
}

void search_names_free(char **names)
{
	for (size_t i = 0; names && names[i]; i++)
		free(names[i]);
	free(names);
}
