/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose instances and uprobes are, and the end of those that nobody owns any more. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "host/trace/owner.h"
#include "host/trace/tracefs.h"
#include "host/trace/vantage.h"

/* ---- owners ---- */

/* 0 when there is no such process, or only its zombie. */
static uint64_t start_time(uint32_t pid)
{
	char path[64], stat[1024];

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, stat, sizeof(stat) - 1);
	stat[n > 0 ? n : 0] = '\0';
	/* The name in parentheses may hold blanks and parentheses; the state follows the last one, field 22 is 19 blanks on. */
	const char *at = strrchr(stat, ')');
	if (!at || strlen(at) < 3 || at[2] == 'Z' || at[2] == 'X')
		return 0;
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

char *owner_text(char between, char dst[OWNER_TEXT_MAX])
{
	snprintf(dst, OWNER_TEXT_MAX, "%d%c%llu", (int)getpid(), between, (unsigned long long)start_time((uint32_t)getpid()));
	return dst;
}

bool owner_parse(const char *name, const char *prefix, char between, struct owner *out)
{
	char *end;
	const char *at = name + strlen(prefix);

	if (strncmp(name, prefix, strlen(prefix)) || !isdigit((unsigned char)*at))
		return false;
	unsigned long pid = strtoul(at, &end, 10);
	if (*end != between || !isdigit((unsigned char)end[1]) || !pid || pid > INT32_MAX)
		return false;
	*out = (struct owner){ .pid = (uint32_t)pid, .start = strtoull(end + 1, &end, 10) };
	return !*end || *end == between || isspace((unsigned char)*end) || *end == '/';
}

bool owner_lives(const struct owner *o)
{
	return o->start && start_time(o->pid) == o->start;
}

/* ---- instances ---- */

/* Its owner may live in another PID namespace: then it holds the lock. */
static bool abandoned(const char *path, const struct owner *o)
{
	if (owner_lives(o))
		return false;
	autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static bool remove_instance(const char *path)
{
	tracefs_put(path, "tracing_on", "0", NULL);
	tracefs_put(path, "events/enable", "0", NULL);
	if (rmdir(path) == 0)
		return true;
	log_warn("%s is a dead collector's and cannot be removed: %s", path, strerror(errno));
	return false;
}

/* Removes those of dead owners; with `like` it only asks whether that owner has one left. */
static int each_instance(const struct tracefs *t, const struct owner *like)
{
	char path[TRACEFS_ROOT_MAX + 300];
	int n = 0;

	snprintf(path, sizeof(path), "%s/instances", t->root);
	DIR *dir = opendir(path);
	for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
		struct owner o;

		if (!owner_parse(e->d_name, OWNER_INSTANCE_PREFIX, '-', &o))
			continue;
		snprintf(path, sizeof(path), "%s/instances/%s", t->root, e->d_name);
		if (like)
			n += o.pid == like->pid && o.start == like->start;
		else if (abandoned(path, &o))
			n += remove_instance(path);
	}
	if (dir)
		closedir(dir);
	return n;
}

/* ---- groups ---- */

char *tracefs_group(char dst[TRACEFS_NAME_MAX])
{
	char owner[OWNER_TEXT_MAX];

	snprintf(dst, TRACEFS_NAME_MAX, OWNER_GROUP_PREFIX "%s", owner_text('_', owner));
	return dst;
}

/* One line of uprobe_events, "p:GROUP/EVENT PLACE ARGUMENTS": group and event in one, "" when it is none of ours. */
static void probe_of(const char *line, char name[TRACEFS_NAME_MAX])
{
	const char *colon = strchr(line, ':');
	size_t len = colon ? strcspn(colon + 1, " \n") : 0;

	name[0] = '\0';
	if (!colon || (line[0] != 'p' && line[0] != 'r') || len >= TRACEFS_NAME_MAX || strncmp(colon + 1, OWNER_GROUP_PREFIX, strlen(OWNER_GROUP_PREFIX)))
		return;
	memcpy(name, colon + 1, len);
	name[len] = '\0';
}

/* An event that somebody uses elsewhere cannot go (EBUSY); the next sweep tries again. */
static bool remove_probe(const struct tracefs *t, const char *list, const char *name)
{
	char text[TRACEFS_NAME_MAX + 16];

	snprintf(text, sizeof(text), "events/%s/enable", name);
	tracefs_put(t->root, text, "0", NULL);
	snprintf(text, sizeof(text), "-:%s", name);
	return tracefs_put(t->root, list, text, NULL) == 0;
}

/* Removes what `wanted` says of one list, "uprobe_events" or "kprobe_events". */
static int each_probe(const struct tracefs *t, const char *list, bool (*wanted)(const struct tracefs *t, const char *name, const void *ctx), const void *ctx)
{
	char name[TRACEFS_NAME_MAX];
	int n = 0;
	autofree char *text = tracefs_text(t->root, list, NULL);

	for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		probe_of(line, name);
		if (name[0] && wanted(t, name, ctx))
			n += remove_probe(t, list, name);
	}
	return n;
}

static bool of_group(const struct tracefs *t, const char *name, const void *ctx)
{
	const char *group = ctx;

	(void)t;
	return strncmp(name, group, strlen(group)) == 0 && name[strlen(group)] == '/';
}

/* Probes have no lock to hold; their owner's instance has, and is made before them and removed after them. */
static bool of_the_dead(const struct tracefs *t, const char *name, const void *ctx)
{
	struct owner o;

	(void)ctx;
	return owner_parse(name, OWNER_GROUP_PREFIX, '_', &o) && !owner_lives(&o) && !each_instance(t, &o);
}

static int both_lists(const struct tracefs *t, bool (*wanted)(const struct tracefs *t, const char *name, const void *ctx), const void *ctx)
{
	return each_probe(t, "uprobe_events", wanted, ctx) + each_probe(t, "kprobe_events", wanted, ctx);
}

int tracefs_group_remove(const struct tracefs *t, const char *group)
{
	return both_lists(t, of_group, group);
}

int tracefs_sweep(const struct tracefs *t)
{
	return each_instance(t, NULL) + both_lists(t, of_the_dead, NULL);
}

int trace_sweep(void)
{
	struct tracefs t;

	return tracefs_find(&t, false, NULL) ? 0 : tracefs_sweep(&t);
}
