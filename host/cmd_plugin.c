/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bifocal plugin list: every probe on the search path, and what is wrong with those that do not load. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "host/args.h"
#include "host/cmd.h"
#include "host/json.h"
#include "host/paths.h"
#include "host/run/probes.h"

struct listing {
	json_t *json;                  /* NULL: text */
	json_t *seen;                  /* file name → its path: the first on the way is the one that --probe finds */
	unsigned shown;
};

static const char *sides(const struct probe_info *i)
{
	return i->has_guest ? i->has_host ? "guest+host" : "guest" : i->has_host ? "host" : "none";
}

static void show_good(struct listing *l, const char *path, const struct probe_info *i, bool hidden)
{
	if (!l->json) {
		printf("%-16s %-8s %-11s %s%s\n%-16s %s\n", i->name, i->version, sides(i), i->summary, hidden ? " (hidden by one of that file name before it)" : "", "", path);
		return;
	}
	json_t *o = json_object();
	json_object_set_new(o, "name", json_string(i->name));
	json_object_set_new(o, "version", json_string(i->version));
	json_object_set_new(o, "license", json_string(i->license));
	json_object_set_new(o, "summary", json_string(i->summary));
	json_object_set_new(o, "guest", json_boolean(i->has_guest));
	json_object_set_new(o, "host", json_boolean(i->has_host));
	json_object_set_new(o, "hidden", json_boolean(hidden));
	json_object_set_new(o, "path", json_string(path));
	json_t *metrics = json_array();
	for (size_t m = 0; m < i->n_metrics; m++) {
		char full[256];
		snprintf(full, sizeof(full), "%s.%s", i->name, i->metrics[m].name);
		json_array_append_new(metrics, json_string(full));
	}
	json_object_set_new(o, "metrics", metrics);
	json_array_append_new(l->json, o);
}

static void show_bad(struct listing *l, const char *path, const struct error *why)
{
	if (!l->json) {
		printf("%-16s %s\n%-16s %s\n", "(does not load)", why->text, "", path);
		return;
	}
	json_t *o = json_object();
	json_object_set_new(o, "path", json_string(path));
	json_object_set_new(o, "error", json_string(why->text));
	json_array_append_new(l->json, o);
}

/* ./plugins may well be the data directory's own. */
static bool same_file(const char *a, const char *b)
{
	struct stat x, y;
	return a && !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void show_file(struct listing *l, const char *dir, const char *file)
{
	static const struct probe_env none;
	struct error err = { 0 };
	size_t len = 0;
	autofree char *path = path_join(dir, file, &err);
	autofree char *source = path ? plugin_read(path, &len, &err) : NULL;
	const char *first = json_string_value(json_object_get(l->seen, file));
	if (!path || same_file(first, path))
		return;
	struct probe *p = source ? probe_new(PROBE_HOST, file, source, len, "", &none, &err) : NULL;
	l->shown++;
	if (p)
		show_good(l, path, probe_info(p), first != NULL);
	else
		show_bad(l, path, &err);
	probe_free(p);
	if (!first)
		json_object_set_new(l->seen, file, json_string(path));
}

static int is_lua(const struct dirent *d)
{
	size_t len = strlen(d->d_name);
	return d->d_name[0] != '.' && len > 4 && !strcmp(d->d_name + len - 4, ".lua");
}

static void show_dir(struct listing *l, const char *dir)
{
	struct dirent **names;
	int n = scandir(dir, &names, is_lua, alphasort);
	for (int i = 0; i < n; i++) {
		show_file(l, dir, names[i]->d_name);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

int cmd_plugin_list(int argc, char **argv, struct error *err)
{
	bool json = false;
	const struct arg_option options[] = {
		ARG_JSON(&json),
		{ 0 },
	};
	const struct arg_spec spec = { "plugin list", "", "The probes that --probe finds, in the order of the search path.", options, 0, 0, NULL };
	struct args rest;
	int r = args_parse(&spec, argc, argv, &rest, err);
	if (r)
		return r < 0 ? -1 : EXIT_DONE;
	char **dirs = path_plugin_dirs(err);
	if (!dirs)
		return -1;
	struct listing l = { .json = json ? json_array() : NULL, .seen = json_object() };
	for (char **d = dirs; *d; d++)
		show_dir(&l, *d);
	if (json) {
		json_print(json_pack("{s:o}", "plugins", l.json));
	} else if (!l.shown) {
		printf("No plugins in:\n");
		for (char **d = dirs; *d; d++)
			printf("  %s\n", *d);
	}
	json_decref(l.seen);
	path_list_free(dirs);
	return EXIT_DONE;
}
