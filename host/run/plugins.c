/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding, reading and checking the files behind --probe. */
#include <errno.h>
#include <sha2.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "host/paths.h"
#include "host/run/probes.h"

static char *out_of_memory(struct error *err)
{
	error_set(err, ERR_LIMIT, "out of memory");
	return NULL;
}

char *plugin_read(const char *path, size_t *len, struct error *err)
{
	autofclose FILE *f = fopen(path, "rb");
	if (!f) {
		error_sys(err, errno, "plugin %s", path);
		return NULL;
	}
	char *text = malloc(PROBE_SOURCE_MAX + 1);
	if (!text)
		return out_of_memory(err);
	*len = fread(text, 1, PROBE_SOURCE_MAX + 1, f);
	if (ferror(f))
		error_sys(err, EIO, "plugin %s", path);
	else if (*len > PROBE_SOURCE_MAX)
		error_set(err, ERR_LIMIT, "plugin %s: larger than the %d KiB a plugin may have", path, PROBE_SOURCE_MAX >> 10);
	else
		return text;
	free(text);
	return NULL;
}

/* "cpu" → the first DIR/cpu.lua there is. */
static char *search(const char *name, struct error *err)
{
	char **dirs = path_plugin_dirs(err);
	char looked[1024] = "";
	for (char **d = dirs; d && *d; d++) {
		char *path;
		if (asprintf(&path, "%s/%s.lua", *d, name) < 0)
			break;
		if (access(path, R_OK) == 0) {
			path_list_free(dirs);
			return path;
		}
		free(path);
		size_t used = strlen(looked);
		snprintf(looked + used, sizeof(looked) - used, "%s%s", used ? ", " : "", *d);
	}
	if (dirs)
		error_set(err, ERR_NOT_FOUND, "probe \"%s\": no %s.lua in %s; `bifocal plugin list` shows what there is", name, name, looked);
	path_list_free(dirs);
	return NULL;
}

static bool is_path(const char *name)
{
	size_t len = strlen(name);
	return strchr(name, '/') || (len > 4 && !strcmp(name + len - 4, ".lua"));
}

/* "interval=50ms,x=1" → one a line, as probe_new takes them. */
static char *option_lines(const char *text, struct error *err)
{
	char *lines = strdup(text);
	if (!lines)
		return out_of_memory(err);
	for (char *p = lines; *p; p++)
		if (*p == ',')
			*p = '\n';
	return lines;
}

static int describe(struct plugin *p, struct error *err)
{
	const struct probe_env none = { 0 };
	struct probe *probe = probe_new(PROBE_HOST, p->chunk, p->source, p->len, p->options, &none, err);
	if (!probe)
		return error_prefix(err, "plugin %s", p->path);
	const struct probe_info *info = probe_info(probe);
	snprintf(p->name, sizeof(p->name), "%s", info->name);
	snprintf(p->version, sizeof(p->version), "%s", info->version);
	p->has_guest = info->has_guest;
	p->has_host = info->has_host;
	probe_free(probe);
	return 0;
}

static void plugin_fini(struct plugin *p)
{
	free(p->path);
	free(p->source);
	free(p->options);
	*p = (struct plugin){ 0 };
}

static int plugin_load(struct plugin *p, const char *argument, struct error *err)
{
	size_t len = strcspn(argument, ":");
	autofree char *name = strndup(argument, len);
	if (!name) {
		out_of_memory(err);
		return -1;
	}
	if (!*name)
		return error_set(err, ERR_USAGE, "--probe \"%s\": a name or a path is wanted before the colon", argument);
	p->path = is_path(name) ? strdup(name) : search(name, err);
	p->options = p->path ? option_lines(argument[len] ? argument + len + 1 : "", err) : NULL;
	p->source = p->options ? plugin_read(p->path, &p->len, err) : NULL;
	if (!p->source)
		return -1;
	const char *slash = strrchr(p->path, '/');
	snprintf(p->chunk, sizeof(p->chunk), "%s", slash ? slash + 1 : p->path);
	SHA256Data((const uint8_t *)p->source, p->len, p->sha256);
	return describe(p, err);
}

int plugins_add(struct plugins *set, const char *argument, struct error *err)
{
	if (set->n == PLUGINS_MAX)
		return error_set(err, ERR_USAGE, "--probe: %d probes at most", PLUGINS_MAX);
	struct plugin *p = &set->item[set->n];
	*p = (struct plugin){ 0 };
	if (plugin_load(p, argument, err)) {
		plugin_fini(p);
		return -1;
	}
	for (size_t i = 0; i < set->n; i++) {
		if (strcmp(set->item[i].name, p->name) != 0)
			continue;
		error_set(err, ERR_USAGE, "--probe \"%s\": probe %s is there already, from %s", argument, p->name, set->item[i].path);
		plugin_fini(p);
		return -1;
	}
	set->n++;
	return 0;
}

void plugins_fini(struct plugins *set)
{
	for (size_t i = 0; i < set->n; i++)
		plugin_fini(&set->item[i]);
	set->n = 0;
}
