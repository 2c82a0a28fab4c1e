// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/trace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "guest/trace_bpf.h"

#define INSTANCE "instances/" TRACE_INSTANCE

enum {
	/* What the kernel allocates buffers in, at least. */
	SIZE_STEP = 64 << 10,
	RECORD_PAGE = 4096,
};

void trace_init(struct trace *t, const char *root)
{
	memset(t, 0, sizeof(*t));
	t->root = root;
	t->on_fd = -1;
}

static int put(const struct trace *t, const char *file, const char *text)
{
	return sys_write(t->root, text, "%s/" INSTANCE "/%s", t->dir, file);
}

/* ---- where tracefs is ---- */

static bool is_there(const struct trace *t, const char *dir)
{
	char path[SYS_PATH_MAX];

	return !sys_path(path, t->root, "%s/instances", dir) && access(path, F_OK) == 0;
}

static bool find_tracefs(struct trace *t)
{
	static const char *const places[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	int e = 0;

	t->dir[0] = '\0';
	/* As PID 1 it is mounted at boot; of a made-up root nothing is mounted. */
	if (!t->root[0] && !is_there(t, places[0]) && !is_there(t, places[1]) && mount("tracefs", places[0], "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		e = errno;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && !t->dir[0]; i++)
		if (is_there(t, places[i]))
			snprintf(t->dir, sizeof(t->dir), "%s", places[i]);
	if (t->dir[0])
		return true;
	if (e == EPERM)
		trace_say_absent(t, 0, "tracefs cannot be mounted: the agent is not root, or kernel lockdown forbids it");
	else
		trace_say_absent(t, 0, "the guest's kernel has no tracefs (CONFIG_TRACING), or kernel lockdown hides it; use the image's, without lockdown");
	return false;
}

static bool has_tsc(struct trace *t)
{
	char clocks[256];

	if (sys_read(clocks, sizeof(clocks), t->root, "%s/trace_clock", t->dir) < 0) {
		trace_say_absent(t, 0, "tracefs cannot be read: %s%s", strerror(errno),
				 errno == EPERM ? "; kernel lockdown forbids it: boot without lockdown=confidentiality" : "");
		return false;
	}
	if (strstr(clocks, "x86-tsc"))
		return true;
	trace_say_absent(t, 0, "the trace clock x86-tsc is not there; stamps of another could not be compared with the agent's");
	return false;
}

/* "field: char data; offset:16; size:4080; signed:1;": the data end where the page does. */
static size_t find_page_size(const struct trace *t)
{
	char text[1024];
	unsigned offset, size;

	sys_read(text, sizeof(text), t->root, "%s/events/header_page", t->dir);
	const char *data = strstr(text, "char data;");
	const char *at = data ? strstr(data, "offset:") : NULL, *of = data ? strstr(data, "size:") : NULL;
	if (!at || !of || sscanf(at, "offset:%u", &offset) != 1 || sscanf(of, "size:%u", &size) != 1)
		return RECORD_PAGE;
	return offset < TRACE_PAGE_MAX && size < TRACE_PAGE_MAX && offset + size >= 1024 && offset + size <= TRACE_PAGE_MAX ? offset + size : 0;
}

/* ---- instance ---- */

/* Of an earlier agent that died, or of nobody. */
static void remove_instance(const struct trace *t)
{
	char path[SYS_PATH_MAX];

	if (sys_path(path, t->root, "%s/" INSTANCE, t->dir) || access(path, F_OK) < 0)
		return;
	put(t, "tracing_on", "0");
	put(t, "events/enable", "0");
	if (rmdir(path) < 0 && !t->root[0])
		log_warn("trace: %s stays in the kernel: %s", path, strerror(errno));
}

/* New instances inherit this kernel-wide option: at every switch of tasks it notes names that nobody here asks for. */
static void names_off(struct trace *t)
{
	t->had_record_cmd = sys_read_u64(0, t->root, "%s/options/record-cmd", t->dir) == 1;
	if (t->had_record_cmd)
		sys_write(t->root, "0", "%s/options/record-cmd", t->dir);
}

static void names_back(struct trace *t)
{
	if (t->had_record_cmd)
		sys_write(t->root, "1", "%s/options/record-cmd", t->dir);
	t->had_record_cmd = false;
}

static bool make_instance(struct trace *t)
{
	char path[SYS_PATH_MAX];

	if (sys_path(path, t->root, "%s/" INSTANCE, t->dir) || (mkdir(path, 0700) < 0 && errno != EEXIST)) {
		trace_say_absent(t, 0, "tracefs refuses an instance: %s", strerror(errno));
		return false;
	}
	/* What is full drops what comes: the window's beginning is worth more than its end cut into pieces. */
	if (put(t, "tracing_on", "0") || put(t, "trace_clock", "x86-tsc") || put(t, "options/overwrite", "0")) {
		trace_say_absent(t, 0, "the tracing instance cannot be set up: %s", strerror(errno));
		return false;
	}
	if (sys_path(path, t->root, "%s/" INSTANCE "/tracing_on", t->dir))
		return false;
	t->on_fd = open(path, O_WRONLY | O_CLOEXEC);
	if (t->on_fd < 0)
		trace_say_absent(t, 0, "the tracing instance cannot be switched on: %s", strerror(errno));
	return t->on_fd >= 0;
}

/* ---- CPUs and memory ---- */

static int by_number(const void *a, const void *b)
{
	unsigned x = ((const struct trace_cpu *)a)->cpu, y = ((const struct trace_cpu *)b)->cpu;

	return (x > y) - (x < y);
}

/* All that the kernel has a buffer for, those that are plugged in later too. */
static bool list_cpus(struct trace *t)
{
	char path[SYS_PATH_MAX];
	unsigned cpu;

	DIR *dir = sys_path(path, t->root, "%s/" INSTANCE "/per_cpu", t->dir) ? NULL : opendir(path);
	t->cpu = calloc(TRACE_CPUS_MAX, sizeof(*t->cpu));
	for (const struct dirent *e; t->cpu && dir && t->n_cpus < TRACE_CPUS_MAX && (e = readdir(dir));)
		if (sscanf(e->d_name, "cpu%u", &cpu) == 1)
			t->cpu[t->n_cpus++] = (struct trace_cpu){ .cpu = cpu, .fd = -1 };
	if (dir)
		closedir(dir);
	if (t->n_cpus)
		qsort(t->cpu, t->n_cpus, sizeof(*t->cpu), by_number);
	else
		trace_say_absent(t, 0, "the tracing instance has no buffers of CPUs");
	return t->n_cpus > 0;
}

static unsigned cpus_online(const struct trace *t)
{
	long n = t->root[0] ? 0 : sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 && (unsigned long)n < t->n_cpus ? (unsigned)n : t->n_cpus;
}

/* Where there is no memory left the kernel has nobody to kill but PID 1, whatever the collector allows. */
static uint64_t budget(const struct trace *t, const struct trace_request *q)
{
	uint64_t free = sys_memory_available(t->root);

	return q->memory && q->memory < free / 4 * 3 ? q->memory : q->memory ? free / 4 * 3 : free / 2;
}

static bool allocate(struct trace *t, const struct trace_request *q)
{
	struct trace_need need = trace_need(q->w, q->size);
	uint64_t most = (need.most / SIZE_STEP + 1) * SIZE_STEP, each = budget(t, q) / cpus_online(t) / SIZE_STEP * SIZE_STEP;
	char kib[32];

	each = each < most ? each : most;
	for (; each >= SIZE_STEP; each /= 2) {
		snprintf(kib, sizeof(kib), "%llu", (unsigned long long)(each >> 10));
		if (put(t, "buffer_size_kb", kib) == 0)
			break;
	}
	if (each < SIZE_STEP) {
		trace_say_absent(t, 0, "no memory for trace buffers of %u CPUs; give the guest more memory (vm.memory)", cpus_online(t));
		return false;
	}
	t->bytes_per_cpu = each;
	t->live = each < need.likely;
	return true;
}

/* ---- life ---- */

static bool set_up(struct trace *t, const struct trace_request *q)
{
	if (!has_tsc(t))
		return false;
	t->page_size = find_page_size(t);
	if (!t->page_size) {
		trace_say_absent(t, 0, "its trace pages are too large; leave buffer_subbuf_size_kb as it is at boot");
		return false;
	}
	t->batch = malloc(TRACE_BATCH_BYTES);
	remove_instance(t);
	trace_remove_probes(t);
	names_off(t);
	if (!t->batch || !make_instance(t) || !list_cpus(t) || !allocate(t, q))
		return false;
	trace_enable_all(t, q->driver);
	if (t->n_events)
		return true;
	trace_say_absent(t, 0, "none of the block layer's events is there");
	return false;
}

/* The reasons stay, to be told. */
static void take_down(struct trace *t)
{
	for (unsigned i = 0; i < t->n_cpus; i++)
		if (t->cpu[i].fd >= 0)
			close(t->cpu[i].fd);
	for (unsigned i = 0; i < t->n_events; i++)
		free(t->event[i].format);
	if (t->on_fd >= 0)
		close(t->on_fd);
	if (t->dir[0]) {
		remove_instance(t);
		trace_remove_probes(t);
		names_back(t);
	}
	trace_bpf_close(t->bpf);
	t->bpf = NULL;
	t->source[0] = '\0';
	free(t->cpu);
	free(t->batch);
	t->cpu = NULL;
	t->batch = NULL;
	t->on_fd = -1;
	t->n_cpus = t->n_events = 0;
	t->bytes_per_cpu = 0;
	t->live = false;
	t->state = TRACE_OFF;
}

/* What memory and window leave to a CPU; 0 with err when that is too little. Nothing is read in the window here: all must fit. */
static uint64_t bpf_bytes(const struct trace *t, const struct trace_request *q, struct error *err)
{
	struct trace_need need = trace_need(q->w, q->size);
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	uint64_t each = budget(t, q) / (cpus > 0 ? (uint64_t)cpus : 1);

	each = each < need.most ? each : need.most;
	if (each >= need.likely)
		return each;
	error_set(err, ERR_LIMIT, "the window's records do not fit into the guest's memory");
	return 0;
}

/* The cheaper way, all or nothing: what it lacks, ftrace may have. */
static bool prepare_bpf(struct trace *t, const struct trace_request *q, struct error *err)
{
	if (q->tracefs || t->root[0]) {
		error_set(err, ERR_REFUSED, "not asked for");
		return false;
	}
	uint64_t bytes = bpf_bytes(t, q, err);
	t->bpf = bytes ? trace_bpf_open(q->driver, bytes, err) : NULL;
	if (!t->bpf)
		return false;
	t->bytes_per_cpu = bytes;
	snprintf(t->source, sizeof(t->source), "bpf");
	trace_say_absent(t, SIGHT_G_INSERT, "not traced: it shows no boundary and costs every request an event");
	return true;
}

void trace_prepare(struct trace *t, const struct trace_request *q)
{
	struct error why = { 0 };

	trace_release(t);
	if (prepare_bpf(t, q, &why)) {
		t->state = TRACE_READY;
		return;
	}
	if (find_tracefs(t) && set_up(t, q)) {
		t->state = TRACE_READY;
		snprintf(t->source, sizeof(t->source), "tracefs (bpf: %.*s)", TRACE_WHY_MAX - 8, why.text);
	} else {
		take_down(t);
	}
}

static void switch_to(const struct trace *t, const char *word)
{
	if (t->bpf)
		trace_bpf_switch(t->bpf, word[0] == '1');
	else if (write(t->on_fd, word, 1) != 1)
		log_warn("trace: tracing_on: %s", strerror(errno));
}

void trace_start(struct trace *t)
{
	if (t->state != TRACE_READY)
		return;
	switch_to(t, "1");
	t->state = TRACE_ON;
}

void trace_stop(struct trace *t)
{
	if (t->state != TRACE_ON)
		return;
	switch_to(t, "0");
	t->state = TRACE_STOPPED;
}

void trace_release(struct trace *t)
{
	const char *root = t->root;

	if (t->state != TRACE_OFF)
		take_down(t);
	trace_init(t, root);
}

void trace_fini(struct trace *t)
{
	trace_release(t);
}
