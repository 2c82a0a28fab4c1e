/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/paths.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

static char *out_of_memory(struct error *err)
{
	error_set(err, ERR_LIMIT, "out of memory");
	return NULL;
}

char *path_join(const char *dir, const char *name, struct error *err)
{
	char *s;
	if (asprintf(&s, "%s/%s", dir, name) < 0)
		return out_of_memory(err);
	return s;
}

/* A variable that is set to something. */
static const char *env(const char *name)
{
	const char *v = getenv(name);
	return v && *v ? v : NULL;
}

static char *copy(const char *text, struct error *err)
{
	char *s = strdup(text);
	return s ? s : out_of_memory(err);
}

/* The running executable's directory. */
static char *self_dir(struct error *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0) {
		error_sys(err, errno, "read /proc/self/exe");
		return NULL;
	}
	self[n] = 0;
	char *slash = strrchr(self, '/');
	if (slash && slash != self)
		*slash = 0;
	return copy(self, err);
}

char *path_data_dir(struct error *err)
{
	const char *set = env("BIFOCAL_DATA");
	if (set)
		return copy(set, err);
	autofree char *dir = self_dir(err);
	return dir ? path_join(dir, "../share/bifocal", err) : NULL;
}

static const char *home_dir(void)
{
	const char *home = env("HOME");
	if (home)
		return home;
	const struct passwd *pw = getpwuid(getuid());
	return pw && pw->pw_dir ? pw->pw_dir : "/";
}

/* $XDG_DATA_HOME/bifocal */
static char *user_dir(struct error *err)
{
	const char *xdg = env("XDG_DATA_HOME");
	if (xdg)
		return path_join(xdg, "bifocal", err);
	return path_join(home_dir(), ".local/share/bifocal", err);
}

char *path_database(const char *option, struct error *err)
{
	if (option)
		return copy(option, err);
	if (env("BIFOCAL_DB"))
		return copy(env("BIFOCAL_DB"), err);
	autofree char *dir = user_dir(err);
	return dir ? path_join(dir, "db", err) : NULL;
}

void path_list_free(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
}

static size_t count_colons(const char *s)
{
	size_t n = 0;
	for (; s && *s; s++)
		n += *s == ':';
	return n;
}

char **path_plugin_dirs(struct error *err)
{
	const char *extra = env("BIFOCAL_PLUGIN_PATH");
	char **list = calloc(count_colons(extra) + 5, sizeof(*list));
	if (!list) {
		out_of_memory(err);
		return NULL;
	}
	size_t n = 0;
	autofree char *user = user_dir(err);
	autofree char *data = path_data_dir(err);
	if (!(list[n++] = copy("./plugins", err)))
		goto fail;
	for (const char *p = extra; p && *p;) {
		size_t len = strcspn(p, ":");
		if (len && !(list[n++] = strndup(p, len))) {
			out_of_memory(err);
			goto fail;
		}
		p += len + (p[len] == ':');
	}
	if (!user || !(list[n++] = path_join(user, "plugins", err)))
		goto fail;
	if (!data || !(list[n++] = path_join(data, "plugins", err)))
		goto fail;
	return list;
fail:
	path_list_free(list);
	return NULL;
}

static bool runnable(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *path_program(const char *name, struct error *err)
{
	autofree char *dir = self_dir(err);
	char *beside = dir ? path_join(dir, name, err) : NULL;
	if (!beside || runnable(beside))
		return beside;
	for (const char *p = env("PATH"); p && *p;) {
		size_t len = strcspn(p, ":");
		char found[PATH_MAX];
		int n = snprintf(found, sizeof(found), "%.*s/%s", (int)len, p, name);
		if (len && n > 0 && (size_t)n < sizeof(found) && runnable(found)) {
			free(beside);
			return copy(found, err);
		}
		p += len + (p[len] == ':');
	}
	error_set(err, ERR_NOT_FOUND, "%s: neither at %s nor in PATH; build it with `make`, or install it beside bifocal", name, beside);
	free(beside);
	return NULL;
}
