/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoding of trace pages against a bare walk over the same pages with libtraceevent's kbuffer, and against `trace-cmd report`.
 *
 *     bench_host_trace DIR [ROUNDS [DB RUN…]]
 *
 * DIR holds cpuN.pages (whole pages, as read from trace_pipe_raw), EVENT.format of each event, and trace.dat, made of the same
 * pages. First both walks are held against each other, record by record: place, length and time must be the same, or it ends with
 * status 1. "records N sightings M" follows, then the rounds, alternating, a line "OURS KBUFFER TRACE-CMD" each: records per
 * second of CPU time; ours are made into sightings, kbuffer's walked over, trace-cmd's printed to /dev/null. Records of other
 * events cost each a step, and are counted for all. Without trace.dat the last is 0.
 *
 * With runs of a database, attribution of each is timed in every round, from its stored sightings to its result, and "run RUN requests N
 * sightings N" is printed before the rounds; a round's line then has behind these three, for each run, the CPU seconds that its join took.
 * Then "stored RUN BYTES" (I/O records, sightings, result, keys included) and "kind RUN NAME N" for each kind of sighting in it.
 * With 0 rounds a line "event NAME RECORDS BYTES" each says what the records take in their pages instead, their 4-byte heads included.
 */
#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <kbuffer.h>

#include "attribute/attribute.h"
#include "host/trace/kernel.h"

enum { CPUS_MAX = 64, PAGE = 4096, ROUNDS_DEFAULT = 12, PASSES = 4, EVENTS_MAX = 64, RUNS_MAX = 8 };

static const struct { const char *name; unsigned kind; } kinds[] = {
	{ "block_bio_queue", SIGHT_H_QUEUE }, { "block_rq_issue", SIGHT_H_ISSUE }, { "block_rq_complete", SIGHT_H_COMPLETE },
	{ "sched_waking", SIGHT_H_WAKING }, { "sched_switch", SIGHT_H_SWITCH }, { "block_rq_insert", SIGHT_G_INSERT },
	{ "block_bio_backmerge", SIGHT_G_MERGE }, { "block_bio_frontmerge", SIGHT_G_MERGE }, { "block_split", SIGHT_G_SPLIT },
	{ "block_rq_requeue", SIGHT_G_REQUEUE },
};

struct cpu {
	uint8_t *pages;
	size_t n;
};

static struct cpu cpu[CPUS_MAX];
static struct { char name[64]; uint32_t id; uint64_t records, bytes; } event[EVENTS_MAX];
static unsigned events;
static struct store *store;
static uint64_t run[RUNS_MAX];
static int runs;
static struct attribution result;
static struct sighting sightings[SIGHT_CHUNK];
static struct error err;

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "bench_host_trace: %s: %s\n", what, why);
	exit(1);
}

static uint8_t *slurp(const char *path, size_t *size)
{
	struct stat st;
	int fd = open(path, O_RDONLY);
	if (fd < 0 || fstat(fd, &st))
		return NULL;
	*size = (size_t)st.st_size;
	uint8_t *p = malloc(*size + 1);
	if (!p || read(fd, p, *size) != (ssize_t)*size)
		die(path, "cannot be read");
	close(fd);
	return p;
}

static unsigned kind_of(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i].name, name))
			return kinds[i].kind;
	return !strncmp(name, "sys_enter_", 10) ? SIGHT_H_ENTER : !strncmp(name, "sys_exit_", 9) ? SIGHT_H_EXIT : 0;
}

static void add_format(struct kernel_decoder *d, const char *path)
{
	static struct trace_format f;
	size_t size = 0;
	uint8_t *text = slurp(path, &size);
	if (!text || format_parse((struct span){ text, size }, &f, &err) ||
	    (kind_of(f.name) && kernel_decoder_add(d, kind_of(f.name), &f, &err)))
		die(path, text ? err.text : "cannot be read");
	if (text && events < EVENTS_MAX) {
		snprintf(event[events].name, sizeof(event[0].name), "%s", f.name);
		event[events++].id = f.id;
	}
	free(text);
}

static struct kernel_decoder *load(const char *dir)
{
	struct kernel_decoder *d = kernel_decoder_new(&err);
	DIR *list = opendir(dir);
	if (!d || !list)
		die(dir, "cannot be read");
	for (struct dirent *e; (e = readdir(list));) {
		char path[4096];
		unsigned n;
		size_t size;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (strstr(e->d_name, ".format"))
			add_format(d, path);
		if (sscanf(e->d_name, "cpu%u.pages", &n) == 1 && n < CPUS_MAX && (cpu[n].pages = slurp(path, &size)))
			cpu[n].n = size / PAGE;
	}
	closedir(list);
	return d;
}

/* ---- the two walks ---- */

static uint64_t walk_ours(const struct kernel_decoder *d, uint64_t *made)
{
	struct kernel_counts counts = { 0 };
	*made = 0;
	for (unsigned c = 0; c < CPUS_MAX; c++)
		for (size_t i = 0; i < cpu[c].n; i++) {
			struct page_walk w;
			size_t n;
			if (!page_open(&w, cpu[c].pages + i * PAGE, PAGE))
				die("page", "refused");
			do {
				n = kernel_decode(d, &w, sightings, SIGHT_CHUNK, &counts);
				*made += n;
			} while (n == SIGHT_CHUNK);
		}
	return counts.records;
}

static uint64_t walk_theirs(struct kbuffer *k)
{
	uint64_t n = 0, sum = 0;
	for (unsigned c = 0; c < CPUS_MAX; c++)
		for (size_t i = 0; i < cpu[c].n; i++) {
			unsigned long long ts;
			kbuffer_load_subbuffer(k, cpu[c].pages + i * PAGE);
			for (void *r = kbuffer_read_event(k, &ts); r; r = kbuffer_next_event(k, &ts)) {
				n++;
				sum += ts;
			}
		}
	return sum ? n : 0;
}

static void compare(struct kbuffer *k)
{
	for (unsigned c = 0; c < CPUS_MAX; c++)
		for (size_t i = 0; i < cpu[c].n; i++) {
			struct page_walk w;
			unsigned long long ts;
			size_t len;
			page_open(&w, cpu[c].pages + i * PAGE, PAGE);
			kbuffer_load_subbuffer(k, cpu[c].pages + i * PAGE);
			const uint8_t *theirs = kbuffer_read_event(k, &ts), *ours;
			while ((ours = page_next(&w, &len))) {
				if (ours != theirs || w.time != ts || (int)len != kbuffer_event_size(k))
					die("compare", "the two walks differ");
				theirs = kbuffer_next_event(k, &ts);
			}
			if (theirs || w.bad)
				die("compare", "the two walks end at different records");
		}
}

static void print_sizes(void)
{
	for (unsigned c = 0; c < CPUS_MAX; c++)
		for (size_t i = 0; i < cpu[c].n; i++) {
			struct page_walk w;
			const uint8_t *r;
			size_t len;
			page_open(&w, cpu[c].pages + i * PAGE, PAGE);
			while ((r = page_next(&w, &len)))
				for (unsigned e = 0; e < events && len >= 2; e++)
					if (event[e].id == (uint32_t)(r[0] | r[1] << 8)) {
						event[e].records++;
						event[e].bytes += len + 4;
					}
		}
	for (unsigned e = 0; e < events; e++)
		printf("event %s %llu %llu\n", event[e].name, (unsigned long long)event[e].records, (unsigned long long)event[e].bytes);
}

/* ---- the join ---- */

static int count_kinds(void *ctx, const struct store_stream *st)
{
	uint64_t *count = ctx;
	uint64_t which = count[SIGHT_KINDS];
	for (uint32_t c = 0;; c++) {
		int n = store_sight_chunk(store, which, st->stream, c, sightings, SIGHT_CHUNK, &err);
		if (n <= 0)
			return n;
		for (int i = 0; i < n; i++)
			count[sightings[i].kind]++;
	}
}

static void print_stored(uint64_t which)
{
	uint64_t count[SIGHT_KINDS + 1] = { 0 }, sights = 0, records = 0;
	struct wbuf w;
	count[SIGHT_KINDS] = which;
	wbuf_heap(&w, 4 << 20);
	attribution_pack(&w, &result);
	if (store_each_stream(store, which, count_kinds, count, &err) || store_sight_bytes(store, which, &sights, &err) ||
	    store_io_bytes(store, which, &records, &err))
		die("stored", err.text);
	printf("stored %llu %llu\n", (unsigned long long)which, (unsigned long long)(sights + records + w.len));
	for (unsigned k = 0; k < SIGHT_KINDS; k++)
		if (count[k])
			printf("kind %llu %s %llu\n", (unsigned long long)which, sight_name(k), (unsigned long long)count[k]);
	wbuf_fini(&w);
}

static void open_runs(int argc, char **argv)
{
	if (argc < 5)
		return;
	store = store_open(argv[3], STORE_READ, &err);
	if (!store)
		die(argv[3], err.text);
	for (int i = 4; i < argc && runs < RUNS_MAX; i++)
		run[runs++] = strtoull(argv[i], NULL, 10);
	for (int i = 0; i < runs; i++) {
		if (attribute_run(store, run[i], NULL, NULL, &result, &err))
			die("attribution", err.text);
		printf("run %llu requests %llu sightings %llu\n", (unsigned long long)run[i], (unsigned long long)result.seen,
		       (unsigned long long)(result.vantage[VANTAGE_GUEST].sightings + result.vantage[VANTAGE_HOST].sightings));
		print_stored(run[i]);
	}
}

/* CPU seconds of `trace-cmd report`; 0 if there is nothing to report. */
static double report_seconds(const char *dir)
{
	char path[4096];
	char *args[] = { (char *)"trace-cmd", (char *)"report", path, NULL };
	extern char **environ;
	posix_spawn_file_actions_t to;
	struct rusage use;
	pid_t pid;
	int status;
	snprintf(path, sizeof(path), "%s/trace.dat", dir);
	if (access(path, R_OK))
		return 0;
	posix_spawn_file_actions_init(&to);
	posix_spawn_file_actions_addopen(&to, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&to, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	if (posix_spawnp(&pid, args[0], &to, NULL, args, environ) || wait4(pid, &status, 0, &use) != pid || status)
		die("trace-cmd report", "failed");
	posix_spawn_file_actions_destroy(&to);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) + (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct kbuffer *k = kbuffer_alloc(KBUFFER_LSIZE_8, KBUFFER_ENDIAN_LITTLE);
	uint64_t made = 0, records = 0, walked = 0;
	if (argc < 2 || !k)
		die("usage", "bench_host_trace DIR [ROUNDS]");
	struct kernel_decoder *d = load(argv[1]);
	compare(k);
	records = walk_ours(d, &made);
	int rounds = argc > 2 ? atoi(argv[2]) : ROUNDS_DEFAULT;
	printf("records %llu sightings %llu\n", (unsigned long long)records, (unsigned long long)made);
	if (!rounds)
		print_sizes();
	open_runs(argc, argv);
	fflush(stdout);
	for (int i = rounds; i > 0; i--) {
		double t0 = cpu_seconds();
		for (int p = 0; p < PASSES; p++)
			records = walk_ours(d, &made);
		double t1 = cpu_seconds();
		for (int p = 0; p < PASSES; p++)
			walked = walk_theirs(k);
		double t2 = cpu_seconds();
		if (!records || records != walked)
			die("compare", "no records, or not as many in both walks");
		double report = report_seconds(argv[1]);
		printf("%.0f %.0f %.0f", PASSES * (double)records / (t1 - t0), PASSES * (double)walked / (t2 - t1),
		       report > 0 ? (double)records / report : 0);
		for (int r = 0; r < runs; r++) {
			double t = cpu_seconds();
			if (attribute_run(store, run[r], NULL, NULL, &result, &err))
				die("attribution", err.text);
			printf(" %.6f", cpu_seconds() - t);
		}
		putchar('\n');
	}
	store_close(store);
	kbuffer_free(k);
	kernel_decoder_free(d);
	return 0;
}
