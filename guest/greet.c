// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/greet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/version.h"
#include "guest/disk.h"
#include "guest/sys.h"

enum { ANCHOR_TRIES = 5 };

void greet_init(struct greet *g, const char *root)
{
	struct timespec t;

	memset(g, 0, sizeof(*g));
	g->root = root;
	g->start = tsc_anchor_take(CLOCK_MONOTONIC_RAW, ANCHOR_TRIES);
	clock_gettime(CLOCK_BOOTTIME, &t);
	g->uptime_ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* "0fd6a5c4-…": thirty-two digits, whatever stands between them. */
void greet_boot_id(struct greet *g)
{
	char text[64];
	unsigned digits = 0;

	sys_read(text, sizeof(text), g->root, "/proc/sys/kernel/random/boot_id");
	for (const char *p = text; *p && digits < 32; p++) {
		const char hex[] = "0123456789abcdef", *d = strchr(hex, *p);
		if (!d)
			continue;
		uint8_t *b = &g->boot_id.b[digits++ / 2];
		*b = (uint8_t)(*b << 4 | (d - hex));
	}
}

uint64_t greet_tsc_hz(const struct greet *g)
{
	struct tsc_anchor now = tsc_anchor_take(CLOCK_MONOTONIC_RAW, ANCHOR_TRIES);

	return tsc_hz_between(&g->start, &now, NULL);
}

static void append(char *list, size_t cap, const char *word)
{
	size_t n = strlen(list);

	snprintf(list + n, cap - n, "%s%s", n ? " " : "", word);
}

/* The words of the first CPU's flags that speak of the TSC. */
static void tsc_flags(const char *root, char *dst, size_t cap)
{
	char text[4096], *save = NULL;

	dst[0] = '\0';
	sys_read(text, sizeof(text), root, "/proc/cpuinfo");
	char *line = strstr(text, "\nflags");
	if (!line)
		return;
	line[1 + strcspn(line + 1, "\n")] = '\0';
	for (char *w = strtok_r(line, " \t\n:", &save); w; w = strtok_r(NULL, " \t\n:", &save))
		if (strstr(w, "tsc"))
			append(dst, cap, w);
}

static void clocksources(const char *root, char *dst, size_t cap)
{
	char now[64], all[256], *save = NULL;
	static const char dir[] = "/sys/devices/system/clocksource/clocksource0";

	sys_read(now, sizeof(now), root, "%s/current_clocksource", dir);
	sys_read(all, sizeof(all), root, "%s/available_clocksource", dir);
	snprintf(dst, cap, "%s", now);
	for (char *w = strtok_r(all, " ", &save); w; w = strtok_r(NULL, " ", &save))
		if (strcmp(w, now) != 0)
			append(dst, cap, w);
}

static bool exists(const char *root, const char *path)
{
	char full[SYS_PATH_MAX];

	return !sys_path(full, root, "%s", path) && access(full, F_OK) == 0;
}

static void tracing(const char *root, char *dst, size_t cap)
{
	static const struct { const char *word, *path; } abilities[] = {
		{ "tracefs", "/sys/kernel/tracing/trace_clock" },
		{ "kprobes", "/sys/kernel/tracing/kprobe_events" },
		{ "uprobes", "/sys/kernel/tracing/uprobe_events" },
	};
	char clocks[256];

	dst[0] = '\0';
	for (size_t i = 0; i < sizeof(abilities) / sizeof(abilities[0]); i++)
		if (exists(root, abilities[i].path))
			append(dst, cap, abilities[i].word);
	sys_read(clocks, sizeof(clocks), root, "/sys/kernel/tracing/trace_clock");
	if (strstr(clocks, "x86-tsc"))
		append(dst, cap, "x86-tsc");
	if (exists(root, "/proc/sys/kernel/unprivileged_bpf_disabled"))
		append(dst, cap, "bpf");
}

static uint64_t total_memory(const char *root)
{
	char text[128];

	sys_read(text, sizeof(text), root, "/proc/meminfo");
	const char *line = strstr(text, "MemTotal:");
	return line ? strtoull(line + strlen("MemTotal:"), NULL, 10) * 1024 : 0;
}

int greet_hello(const struct greet *g, const char *ports, struct channel *ch, struct error *err)
{
	char kernel[sizeof(struct utsname)], flags[256], clocks[256], traces[128];
	struct utsname u;

	uname(&u);
	snprintf(kernel, sizeof(kernel), "%s %s", u.release, u.version);
	tsc_flags(g->root, flags, sizeof(flags));
	clocksources(g->root, clocks, sizeof(clocks));
	tracing(g->root, traces, sizeof(traces));
	struct msg_hello m = {
		.protocol = PROTOCOL_VERSION,
		.version = span_of(BIFOCAL_VERSION),
		.boot_id = g->boot_id,
		.kernel = span_of(kernel),
		.cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN),
		.memory = total_memory(g->root),
		.tsc_hz = greet_tsc_hz(g),
		.tsc_flags = span_of(flags),
		.clocksource = span_of(clocks),
		.tracing = span_of(traces),
		.ports = span_of(ports),
		.uptime_ns = g->uptime_ns,
	};
	return channel_send_hello(ch, &m, CHANNEL_DROP_OLDEST, err);
}

static int send_disk(const struct disk *d, struct channel *ch, struct error *err)
{
	struct msg_disk m = {
		.name = span_of(d->name),
		.serial = span_of(d->serial),
		.driver = span_of(d->driver),
		.scheduler = span_of(d->scheduler),
		.size = d->size,
		.logical_block = d->logical_block,
		.physical_block = d->physical_block,
		.queues = d->queues,
		.writable = d->scratch,
	};

	return channel_send_disk(ch, &m, CHANNEL_DROP_OLDEST, err);
}

int greet_disks(const struct greet *g, struct channel *ch, struct error *err)
{
	autofree struct disk *disks = calloc(DISKS_MAX, sizeof(*disks));
	unsigned n = disks ? disk_list(g->root, disks, DISKS_MAX) : 0;

	for (unsigned i = 0; i < n; i++)
		if (send_disk(&disks[i], ch, err) < 0)
			return -1;
	return channel_send_hello_end(ch, &(struct msg_hello_end){ .disks = n }, CHANNEL_DROP_OLDEST, err);
}
