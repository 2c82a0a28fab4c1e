/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starves a thread for a known time at a known moment: a SCHED_FIFO process on that thread's CPU that sleeps until a kernel
 * tracepoint fires, then takes the CPU for one of a list of durations, and writes down when by the TSC. What a competitor on an
 * overcommitted host does, with the when and the how long under control; on the host and, static, in the guest.
 *
 *   hog CPU EVENT FILTER OUT SEED NS,NS,…      durations are dealt in shuffled blocks, so that every one comes as often
 *   hog CPU EVENT FILTER sector SECTORS NS,…   by the event's `sector`: the disk's n-th part has the n-th duration
 *   /init                                      as a guest's PID 1: reads the above, blank-separated, from /hog.args, starts
 *                                              it beside the agent, becomes the agent (/agent)
 *
 * EVENT is "group:name"; FILTER an expression of the kernel's, "" for none. OUT has lines "start end ns", in TSC cycles, written at
 * SIGTERM. For HOG_REST ns (environment; 0) after it has given the CPU back, events are ignored. A duration of 0 takes the CPU for no
 * longer than it takes to write that down.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

enum { CPUS_MAX = 64, DELAYS_MAX = 16, HITS_MAX = 1 << 20, RING_PAGES = 8, PRIORITY = 60 };

struct hit {
	uint64_t start, end, ns;
};
struct ring {
	struct perf_event_mmap_page *page;
	uint64_t tail;
};
struct hog {
	struct pollfd fd[CPUS_MAX];
	struct ring ring[CPUS_MAX];
	unsigned cpus;
	uint64_t delay[DELAYS_MAX];
	unsigned delays, dealt;
	unsigned order[DELAYS_MAX];
	uint64_t random;
	uint64_t sectors;              /* 0: durations are dealt, not looked up */
	unsigned sector_at;            /* offset of the field in the event */
	struct hit *hit;
	size_t hits;
};

static volatile sig_atomic_t ending;

static void end(int sig)
{
	(void)sig;
	ending = 1;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "hog: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- the event ---- */

/* Opens a file of the event's directory in tracefs. */
static FILE *event_file(const char *event, const char *name)
{
	char path[256];
	const char *colon = strchr(event, ':');

	if (!colon)
		die("an event is group:name");
	snprintf(path, sizeof(path), "/sys/kernel/tracing/events/%.*s/%s/%s", (int)(colon - event), event, colon + 1, name);
	FILE *f = fopen(path, "r");
	if (!f)
		die(path);
	return f;
}

static uint64_t event_id(const char *event)
{
	FILE *f = event_file(event, "id");
	unsigned long long id = 0;

	if (fscanf(f, "%llu", &id) != 1)
		die("the event's id");
	fclose(f);
	return id;
}

static unsigned sector_offset(const char *event)
{
	FILE *f = event_file(event, "format");
	char line[256];
	unsigned at = 0;

	while (fgets(line, sizeof(line), f))
		if (strstr(line, " sector;") && strstr(line, "offset:"))
			at = (unsigned)strtoul(strstr(line, "offset:") + 7, NULL, 10);
	fclose(f);
	if (!at)
		die("the event has no sector");
	return at;
}

static void open_cpu(struct hog *h, uint64_t id, const char *filter, int cpu)
{
	struct perf_event_attr a = {
		.type = PERF_TYPE_TRACEPOINT, .size = sizeof(a), .config = id, .sample_period = 1, .sample_type = PERF_SAMPLE_RAW,
		.wakeup_events = 1, .disabled = 1,
	};
	int fd = (int)syscall(SYS_perf_event_open, &a, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		die("perf_event_open");
	if (filter[0] && ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter))
		die(filter);
	void *m = mmap(NULL, (RING_PAGES + 1) * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		die("mmap of the event's ring");
	h->fd[h->cpus] = (struct pollfd){ .fd = fd, .events = POLLIN };
	h->ring[h->cpus++].page = m;
}

static void open_event(struct hog *h, const char *event, const char *filter)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t id = event_id(event);

	for (int c = 0; c < cpus && c < CPUS_MAX; c++)
		open_cpu(h, id, filter, c);
}

/* Empties the ring; the sector of its first event through `sector` where there is one. Returns how many events there were. */
static unsigned drain(struct hog *h, struct ring *r, uint64_t *sector)
{
	uint64_t head = __atomic_load_n(&r->page->data_head, __ATOMIC_ACQUIRE);
	const unsigned char *data = (const unsigned char *)r->page + 4096;
	unsigned n = 0;

	while (r->tail < head) {
		unsigned char event[256];
		struct perf_event_header hdr;
		for (size_t i = 0; i < sizeof(event); i++)
			event[i] = data[(r->tail + i) % (RING_PAGES * 4096)];
		memcpy(&hdr, event, sizeof(hdr));
		if (!n && h->sector_at && hdr.type == PERF_RECORD_SAMPLE)
			memcpy(sector, event + sizeof(hdr) + 4 + h->sector_at, sizeof(*sector));
		n += hdr.type == PERF_RECORD_SAMPLE;
		r->tail += hdr.size;
	}
	__atomic_store_n(&r->page->data_tail, r->tail, __ATOMIC_RELEASE);
	return n;
}

static unsigned drain_all(struct hog *h, uint64_t *sector)
{
	unsigned n = 0;

	for (unsigned c = 0; c < h->cpus; c++)
		n += drain(h, &h->ring[c], sector);
	return n;
}

/* ---- taking the CPU ---- */

/* Each duration once a block, in shuffled order. */
static uint64_t deal(struct hog *h)
{
	if (h->dealt == h->delays)
		h->dealt = 0;
	if (!h->dealt)
		for (unsigned i = 0; i < h->delays; i++) {
			h->random = h->random * 6364136223846793005u + 1442695040888963407u;
			unsigned j = (unsigned)(h->random >> 33) % (i + 1);
			h->order[i] = h->order[j];
			h->order[j] = i;
		}
	return h->delay[h->order[h->dealt++]];
}

static void take(struct hog *h, uint64_t sector)
{
	uint64_t from = now_ns(), start = __rdtsc();
	uint64_t part = h->sectors ? sector * h->delays / h->sectors : 0;
	uint64_t ns = !h->sectors ? deal(h) : part < h->delays ? h->delay[part] : 0;

	while (now_ns() - from < ns)
		;
	if (h->hits < HITS_MAX)
		h->hit[h->hits++] = (struct hit){ start, __rdtsc(), ns };
}

static void run(struct hog *h)
{
	const char *text = getenv("HOG_REST");
	uint64_t rest = text ? strtoull(text, NULL, 10) : 0, rested = 0;

	for (unsigned c = 0; c < h->cpus; c++)
		ioctl(h->fd[c].fd, PERF_EVENT_IOC_ENABLE, 0);
	while (!ending) {
		uint64_t sector = UINT64_MAX;
		if (poll(h->fd, h->cpus, 1000) <= 0 || !drain_all(h, &sector))
			continue;
		if (now_ns() < rested)
			continue;
		take(h, sector);
		rested = now_ns() + rest;
		/* What fired meanwhile is the starved thread's own backlog. */
		drain_all(h, &sector);
	}
}

static void rule(int cpu)
{
	struct sched_param p = { .sched_priority = PRIORITY };
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
	if (sched_setscheduler(0, SCHED_FIFO, &p))
		die("SCHED_FIFO");
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		die("mlockall");
}

static void put(const struct hog *h, const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f)
		die(path);
	for (size_t i = 0; i < h->hits; i++)
		fprintf(f, "%llu %llu %llu\n", (unsigned long long)h->hit[i].start, (unsigned long long)h->hit[i].end, (unsigned long long)h->hit[i].ns);
	if (fclose(f))
		die(path);
}

static int hog(char *argv[])
{
	static struct hog h;
	bool by_sector = strcmp(argv[4], "sector") == 0;
	struct sigaction sa = { .sa_handler = end };

	for (char *s = argv[6]; h.delays < DELAYS_MAX; s++) {
		h.delay[h.delays++] = strtoull(s, &s, 10);
		if (*s != ',')
			break;
	}
	if (by_sector) {
		h.sectors = strtoull(argv[5], NULL, 10);
		h.sector_at = sector_offset(argv[2]);
	}
	h.random = strtoull(argv[5], NULL, 10);
	h.hit = calloc(by_sector ? 1 : HITS_MAX, sizeof(*h.hit));
	if (!h.hit)
		die("memory");
	if (by_sector)
		h.hits = HITS_MAX;       /* nobody would read them */
	open_event(&h, argv[2], argv[3]);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	rule(atoi(argv[1]));
	puts("ready");
	fflush(stdout);
	run(&h);
	if (!by_sector)
		put(&h, argv[4]);
	return 0;
}

/* ---- in the guest ---- */

static void guest_hog(void)
{
	static char text[512], *argv[8] = { "hog" };
	int n = 1, fd = open("/hog.args", O_RDONLY);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (len <= 0)
		exit(1);
	for (char *s = strtok(text, " \n"); s && n < 7; s = strtok(NULL, " \n"))
		argv[n++] = strcmp(s, "-") == 0 ? "" : s;
	/* The agent mounts it; until it has, there is nothing to trace either. */
	while (access("/sys/kernel/tracing/events", F_OK)) {
		struct timespec wait = { .tv_nsec = 20000000 };
		nanosleep(&wait, NULL);
	}
	exit(n == 7 ? hog(argv) : 1);
}

static int init(void)
{
	char *agent[] = { "/init", NULL };

	if (fork() == 0)
		guest_hog();
	execv("/agent", agent);
	return 1;
}

int main(int argc, char *argv[])
{
	if (getpid() == 1)
		return init();
	if (argc != 7) {
		fprintf(stderr, "usage: hog CPU EVENT FILTER OUT|sector SEED|SECTORS NS[,NS…]\n");
		return 2;
	}
	return hog(argv);
}
