/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/trace/tracefs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "host/trace/owner.h"

/* ---- where it is ---- */

static bool is_tracefs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == TRACEFS_MAGIC;
}

static bool kernel_knows_tracefs(void)
{
	char line[128];
	autofclose FILE *f = fopen("/proc/filesystems", "re");

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "\ttracefs\n"))
			return true;
	return false;
}

static int mount_it(struct tracefs *t, const char *place, struct error *err)
{
	if (!kernel_knows_tracefs())
		return error_set(err, ERR_NOT_FOUND, "this kernel has no tracefs; boot one with CONFIG_FTRACE");
	if (mount("nodev", place, "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
		return error_sys(err, errno, "tracefs cannot be mounted on %s", place);
	log_info("mounted tracefs on %s, to see this node's kernel; it stays", place);
	t->mounted = true;
	return 0;
}

/* Readable is what it must be for this user: it is root's, and lockdown closes it to root too. */
static int check_access(const struct tracefs *t, struct error *err)
{
	char path[TRACEFS_ROOT_MAX + 16];

	snprintf(path, sizeof(path), "%s/trace_clock", t->root);
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return 0;
	if (errno == EPERM)
		return error_set(err, ERR_REFUSED, "%s: the kernel refuses it even to root: lockdown; boot without lockdown=confidentiality", t->root);
	if (errno == EACCES)
		return error_set(err, ERR_REFUSED, "%s is root's; run as root", t->root);
	return error_sys(err, errno, "%s", path);
}

int tracefs_find(struct tracefs *t, bool may_mount, struct error *err)
{
	static const char *const places[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	const char *found = NULL;

	*t = (struct tracefs){ .root = "" };
	for (size_t i = 0; i < 2 && !found; i++)
		if (is_tracefs(places[i]))
			found = places[i];
	if (!found && geteuid() != 0)
		return error_set(err, ERR_REFUSED, "tracefs is not to be seen by others than root; run as root");
	if (!found && !may_mount)
		return error_set(err, ERR_NOT_FOUND, "tracefs is not mounted; mount -t tracefs nodev %s", places[0]);
	if (!found && mount_it(t, places[0], err))
		return -1;
	snprintf(t->root, sizeof(t->root), "%s", found ? found : places[0]);
	if (check_access(t, err) == 0)
		return 0;
	t->root[0] = '\0';
	return -1;
}

/* ---- its files ---- */

static int open_at(const char *dir, const char *file, int flags, struct error *err)
{
	char path[512];
	int n = snprintf(path, sizeof(path), "%s/%s", dir, file);

	if (n < 0 || (size_t)n >= sizeof(path))
		return error_set(err, ERR_LIMIT, "%s/%.80s: too long a path", dir, file);
	int fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? error_sys(err, errno, "%s", path) : fd;
}

char *tracefs_text(const char *dir, const char *file, struct error *err)
{
	size_t len = 0, cap = 16 << 10;
	autoclose int fd = open_at(dir, file, O_RDONLY, err);
	char *text = fd < 0 ? NULL : malloc(cap);
	ssize_t n = 0;

	/* These files have no size; they end when read(2) says so. */
	while (text && (n = read(fd, text + len, cap - len - 1)) > 0) {
		len += (size_t)n;
		if (len < cap - 1)
			continue;
		char *more = cap < TRACEFS_TEXT_MAX ? realloc(text, cap *= 2) : NULL;
		if (!more) {
			free(text);
			error_set(err, ERR_LIMIT, "%s/%s: longer than %d bytes", dir, file, TRACEFS_TEXT_MAX);
			return NULL;
		}
		text = more;
	}
	if (text && n < 0) {
		error_sys(err, errno, "%s/%s", dir, file);
		free(text);
		return NULL;
	}
	if (text)
		text[len] = '\0';
	return text;
}

int tracefs_put(const char *dir, const char *file, const char *text, struct error *err)
{
	autoclose int fd = open_at(dir, file, O_WRONLY, err);

	if (fd < 0)
		return -1;
	if (write(fd, text, strlen(text)) < 0)
		return error_sys(err, errno, "%s/%s: \"%.120s\"", dir, file, text);
	return 0;
}

bool tracefs_has_tsc(const struct tracefs *t)
{
	autofree char *clocks = tracefs_text(t->root, "trace_clock", NULL);

	return clocks && strstr(clocks, "x86-tsc");
}

/* "block:block_rq_issue" → "events/block/block_rq_issue/FILE". */
static char *event_file(const char *event, const char *file, char *dst, size_t cap)
{
	snprintf(dst, cap, "events/%s/%s", event, file);
	char *colon = strchr(dst, ':');
	if (colon)
		*colon = '/';
	return dst;
}

bool tracefs_has_event(const struct tracefs *t, const char *event)
{
	char file[200];
	autoclose int fd = open_at(t->root, event_file(event, "enable", file, sizeof(file)), O_RDONLY, NULL);

	return fd >= 0;
}

/* ---- an instance ---- */

static int cpu_order(const void *a, const void *b)
{
	unsigned x = ((const struct tracefs_cpu *)a)->cpu, y = ((const struct tracefs_cpu *)b)->cpu;

	return x < y ? -1 : x > y;
}

static int add_cpu(struct tracefs_instance *i, unsigned cpu, struct error *err)
{
	char file[64];
	struct tracefs_cpu *more = realloc(i->cpu, (i->cpus + 1) * sizeof(*more));

	if (!more)
		return error_set(err, ERR_LIMIT, "out of memory");
	i->cpu = more;
	snprintf(file, sizeof(file), "per_cpu/cpu%u/trace_pipe_raw", cpu);
	int fd = open_at(i->path, file, O_RDONLY | O_NONBLOCK, err);
	if (fd < 0)
		return -1;
	i->cpu[i->cpus++] = (struct tracefs_cpu){ .cpu = cpu, .raw_fd = fd };
	return 0;
}

static int open_cpus(struct tracefs_instance *i, struct error *err)
{
	char path[sizeof(i->path) + 16];
	int rc = 0;

	snprintf(path, sizeof(path), "%s/per_cpu", i->path);
	DIR *dir = opendir(path);
	if (!dir)
		return error_sys(err, errno, "%s", path);
	for (struct dirent *e = readdir(dir); e && !rc; e = readdir(dir)) {
		unsigned cpu;
		if (sscanf(e->d_name, "cpu%u", &cpu) == 1 && i->cpus < TRACEFS_CPUS_MAX)
			rc = add_cpu(i, cpu, err);
	}
	closedir(dir);
	if (!rc && !i->cpus)
		return error_set(err, ERR_NOT_FOUND, "%s: no CPU there", path);
	if (!rc)
		qsort(i->cpu, i->cpus, sizeof(*i->cpu), cpu_order);
	return rc;
}

static int set_up(struct tracefs_instance *i, struct error *err)
{
	/* The lock is held as long as this process lives: tracefs_sweep() of others waits for nothing, and passes it by. */
	i->lock_fd = open(i->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (i->lock_fd < 0 || flock(i->lock_fd, LOCK_EX | LOCK_NB))
		return error_sys(err, errno, "%s", i->path);
	if (tracefs_instance_on(i, false, err) || tracefs_put(i->path, "trace_clock", "x86-tsc", err))
		return -1;
	autofree char *page = tracefs_text(i->path, "events/header_page", err);
	if (!page)
		return -1;
	i->page = tracefs_parse_page_size(page);
	if (!i->page)
		return error_set(err, ERR_PROTOCOL, "%s/events/header_page: not the layout that is known", i->path);
	return open_cpus(i, err);
}

int tracefs_instance_make(struct tracefs_instance *i, const struct tracefs *t, const char *what, struct error *err)
{
	char owner[OWNER_TEXT_MAX];

	*i = (struct tracefs_instance){ .lock_fd = -1 };
	snprintf(i->path, sizeof(i->path), "%s/instances/" OWNER_INSTANCE_PREFIX "%s-%s", t->root, owner_text('-', owner), what);
	if (mkdir(i->path, 0700)) {
		error_sys(err, errno, "%s: no trace instance can be made", i->path);
		i->path[0] = '\0';
		return -1;
	}
	if (set_up(i, err)) {
		tracefs_instance_remove(i);
		return -1;
	}
	return 0;
}

void tracefs_instance_disable_all(struct tracefs_instance *i)
{
	tracefs_put(i->path, "tracing_on", "0", NULL);
	tracefs_put(i->path, "events/enable", "0", NULL);
}

void tracefs_instance_remove(struct tracefs_instance *i)
{
	if (!i->path[0])
		return;
	for (unsigned c = 0; c < i->cpus; c++)
		close(i->cpu[c].raw_fd);
	free(i->cpu);
	tracefs_instance_disable_all(i);
	if (rmdir(i->path))
		log_warn("%s cannot be removed: %s; the next `bifocal run` tries again", i->path, strerror(errno));
	if (i->lock_fd >= 0)
		close(i->lock_fd);
	*i = (struct tracefs_instance){ .lock_fd = -1 };
}

int tracefs_instance_size(struct tracefs_instance *i, uint64_t bytes_per_cpu, struct error *err)
{
	char kb[32];

	snprintf(kb, sizeof(kb), "%llu", (unsigned long long)(bytes_per_cpu + 1023) >> 10);
	return tracefs_put(i->path, "buffer_size_kb", kb, err);
}

int tracefs_instance_on(struct tracefs_instance *i, bool on, struct error *err)
{
	return tracefs_put(i->path, "tracing_on", on ? "1" : "0", err);
}

int tracefs_instance_enable(struct tracefs_instance *i, const char *event, const char *filter, struct error *err)
{
	char file[200];

	if (filter && tracefs_put(i->path, event_file(event, "filter", file, sizeof(file)), filter, err))
		return -1;
	return tracefs_put(i->path, event_file(event, "enable", file, sizeof(file)), "1", err);
}

/* ---- a process's threads ---- */

static int add_thread(struct tracefs_instance *i, int tid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", tid);
	/* One that ended meanwhile is no fault. */
	return tracefs_put(i->path, "set_event_pid", text, NULL);
}

static int threads_now(pid_t pid, int *tid, int cap)
{
	char path[64];
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *dir = opendir(path);
	for (struct dirent *e = dir ? readdir(dir) : NULL; e && n < cap; e = readdir(dir))
		if (atoi(e->d_name) > 0)
			tid[n++] = atoi(e->d_name);
	if (dir)
		closedir(dir);
	return n;
}

int tracefs_instance_process(struct tracefs_instance *i, pid_t pid, struct error *err)
{
	enum { THREADS = 4096, ROUNDS = 2 };
	autofree int *tid = malloc(THREADS * sizeof(*tid));

	if (!tid)
		return error_set(err, ERR_LIMIT, "out of memory");
	if (tracefs_put(i->path, "options/event-fork", "1", err))
		return -1;
	/* What a thread starts follows it from when it is listed. What an unlisted one started while the list was written is
	 * found by the second look. */
	for (int round = 0; round < ROUNDS; round++) {
		int n = threads_now(pid, tid, THREADS);

		if (!n)
			return error_set(err, ERR_NOT_FOUND, "process %d has ended", (int)pid);
		for (int t = 0; t < n; t++)
			add_thread(i, tid[t]);
	}
	return 0;
}

/* ---- what is in the buffers ---- */

void tracefs_instance_half_full(struct tracefs_instance *i, void (*fn)(void *ctx, unsigned index), void *ctx)
{
	enum { AT_ONCE = 64 };
	struct pollfd p[AT_ONCE];

	/* A buffer is ready by its instance's buffer_percent, which is 50 of its own; kernels before 6.1 call it
	 * ready when there is anything at all. */
	for (unsigned first = 0; first < i->cpus; first += AT_ONCE) {
		unsigned n = i->cpus - first < AT_ONCE ? i->cpus - first : AT_ONCE;

		for (unsigned c = 0; c < n; c++)
			p[c] = (struct pollfd){ .fd = i->cpu[first + c].raw_fd, .events = POLLIN };
		if (poll(p, n, 0) <= 0)
			continue;
		for (unsigned c = 0; c < n; c++)
			if (p[c].revents & POLLIN)
				fn(ctx, first + c);
	}
}

int tracefs_instance_page(struct tracefs_instance *i, unsigned index, void *page, struct error *err)
{
	ssize_t n;

	do
		n = read(i->cpu[index].raw_fd, page, i->page);
	while (n < 0 && errno == EINTR);
	if (n == 0 || (n < 0 && errno == EAGAIN))
		return 0;
	if (n < 0)
		return error_sys(err, errno, "%s: reading CPU %u's buffer", i->path, i->cpu[index].cpu);
	/* Older kernels give a begun page without its tail. */
	memset((char *)page + n, 0, i->page - (size_t)n);
	return 1;
}

int tracefs_instance_stats(const struct tracefs_instance *i, unsigned index, struct tracefs_stats *out, struct error *err)
{
	char file[64];

	snprintf(file, sizeof(file), "per_cpu/cpu%u/stats", i->cpu[index].cpu);
	autofree char *text = tracefs_text(i->path, file, err);
	*out = (struct tracefs_stats){ 0 };
	if (!text)
		return -1;
	tracefs_parse_stats(text, out);
	return 0;
}

void tracefs_parse_stats(const char *text, struct tracefs_stats *out)
{
	static const char *const keys[] = { "entries: ", "read events: ", "overrun: ", "commit overrun: ", "dropped events: " };
	uint64_t value[5] = { 0 };

	for (const char *line = text; *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : "")
		for (size_t k = 0; k < 5; k++)
			if (strncmp(line, keys[k], strlen(keys[k])) == 0)
				value[k] = strtoull(line + strlen(keys[k]), NULL, 10);
	*out = (struct tracefs_stats){ .entries = value[0], .read = value[1], .overrun = value[2] + value[3] + value[4] };
}

size_t tracefs_parse_page_size(const char *header_page)
{
	const char *data = strstr(header_page, "char data;");
	unsigned offset, size;

	if (!data || sscanf(data, "char data; offset:%u; size:%u;", &offset, &size) != 2)
		return 0;
	if (offset < 16 || offset > 64 || size < 1024 || size > TRACEFS_PAGE_MAX - offset)
		return 0;
	return offset + size;
}
