/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory and time of attribution for a run of any length: a real run's chunks, over and over, each time with its stamps moved on.
 *
 *     bench_attribute_scale DB RUN NEW-DB REQUESTS
 *
 * NEW-DB gets one run that has at least so many I/O records; sectors, keys and threads are the real ones, each copy's stamps lie
 * behind the copy before. Prints "requests N matched N sightings N bytes N peak N anon N seconds X": bytes of I/O records, sightings
 * and result in the new database with their keys, what attribution says it took (peak_bytes), the process's anonymous memory while
 * it ran, sampled (RssAnon; the store's map is not in it), and its CPU seconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attribute/attribute.h"

enum { STREAMS = 1024, SAMPLE = 1 << 14 };

static struct error err;
static struct store *from, *to;
static struct store_batch *batch;
static uint64_t run, copy_run, span, hz_host, close_at;
static struct store_stream stream[STREAMS];
static uint32_t next_chunk[STREAMS];
static unsigned streams;
static uint64_t anon_peak, seen;
static struct attribution result;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench_attribute_scale: %s: %s\n", what, err.text);
	exit(1);
}

static uint64_t anon_bytes(void)
{
	char line[256];
	unsigned long long kib = 0;
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "RssAnon: %llu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib << 10;
}

/* ---- copying ---- */

static int copy_attr(void *ctx, const char *key, const char *text)
{
	(void)ctx;
	/* All but the window's end, which moves. */
	if (!strcmp(key, "window.close"))
		return 0;
	return put_attr(batch, copy_run, key, text, &err);
}

static int take_stream(void *ctx, const struct store_stream *s)
{
	(void)ctx;
	if (streams < STREAMS)
		stream[streams++] = *s;
	return 0;
}

static int copy_epoch(void *ctx, const struct store_epoch *e)
{
	struct store_epoch longer = *e;
	const uint64_t *copies = ctx;
	longer.last_host += *copies * span;
	return put_epoch(batch, copy_run, &longer, &err);
}

static void commit_if_large(size_t most)
{
	if (store_batch_size(batch) > most && store_commit(batch, &err))
		die("commit");
}

/* The stream's own clock: TSC cycles, or nanoseconds. */
static uint64_t moved_by(const struct store_stream *s, uint64_t copy)
{
	bool tsc = s->clock == STREAM_GUEST_TSC || s->clock == STREAM_HOST_TSC;
	return tsc ? copy * span : (uint64_t)((double)(copy * span) / ((double)hz_host / 1e9));
}

static void copy_stream(unsigned i, uint64_t copy)
{
	static struct sighting s[SIGHT_CHUNK];
	struct wbuf w;
	for (uint32_t c = 0;; c++) {
		int n = store_sight_chunk(from, run, stream[i].stream, c, s, SIGHT_CHUNK, &err);
		if (n < 0)
			die("sightings");
		if (!n)
			return;
		for (int k = 0; k < n; k++) {
			s[k].time += moved_by(&stream[i], copy);
			if (s[k].kind == SIGHT_ANCHOR) {
				s[k].key += copy * span;
				s[k].sector += copy * span;
			}
		}
		wbuf_heap(&w, SIGHT_CHUNK_BYTES);
		sights_pack(&w, s, (size_t)n);
		if (w.bad || put_sight_chunk(batch, copy_run, stream[i].stream, next_chunk[i]++, (struct span){ w.p, w.len }, &err))
			die("sightings");
		wbuf_fini(&w);
		commit_if_large(8 << 20);
	}
}

static uint64_t copy_records(uint64_t copy, uint32_t *chunk)
{
	static struct io_record r[IOREC_CHUNK];
	struct wbuf w;
	uint64_t all = 0;
	for (uint32_t c = 0;; c++) {
		int n = store_io_chunk(from, run, c, r, IOREC_CHUNK, &err);
		if (n < 0)
			die("I/O records");
		if (!n)
			return all;
		for (int k = 0; k < n; k++) {
			r[k].submit += copy * span;
			r[k].reap += copy * span;
		}
		wbuf_heap(&w, 1 << 20);
		iorec_pack(&w, r, (size_t)n);
		if (w.bad || put_io_chunk(batch, copy_run, (*chunk)++, (struct span){ w.p, w.len }, &err))
			die("I/O records");
		wbuf_fini(&w);
		all += (uint64_t)n;
		commit_if_large(8 << 20);
	}
}

static uint64_t attr_u64(const char *key)
{
	char *text = store_attr(from, run, key, &err);
	uint64_t v = text ? strtoull(text, NULL, 10) : 0;
	free(text);
	return v;
}

static void copy_run_over(uint64_t requests)
{
	uint64_t copies = 0, all = 0, open = attr_u64("window.open");
	uint32_t chunk = 0;
	hz_host = attr_u64("host.tsc_hz");
	close_at = attr_u64("window.close");
	/* With the ramp and the drain, and a whole number of microseconds, so that a log's stamps stay multiples of them. */
	span = (close_at - open) * 2;
	store_each_attr(from, run, "", copy_attr, NULL, &err);
	store_each_stream(from, run, take_stream, NULL, &err);
	for (; all < requests; copies++) {
		all += copy_records(copies, &chunk);
		for (unsigned i = 0; i < streams; i++)
			copy_stream(i, copies);
	}
	for (unsigned i = 0; i < streams; i++) {
		stream[i].events *= copies;
		put_stream(batch, copy_run, &stream[i], &err);
	}
	store_each_epoch(from, run, copy_epoch, &copies, &err);
	put_attr_u64(batch, copy_run, "window.close", close_at + copies * span, &err);
	put_run_status(batch, copy_run, RUN_COMPLETE, &err);
	if (store_commit(batch, &err))
		die("commit");
}

/* ---- measuring ---- */

static int sample(void *ctx, const struct attributed *r)
{
	(void)ctx, (void)r;
	if (seen++ % SAMPLE == 0) {
		uint64_t now = anon_bytes();
		anon_peak = now > anon_peak ? now : anon_peak;
	}
	return 0;
}

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	uint64_t sights = 0, records = 0, sightings = 0;
	if (argc != 5 && argc != 3) {
		fprintf(stderr, "usage: %s DB RUN [NEW-DB REQUESTS]\n", argv[0]);
		return 2;
	}
	run = strtoull(argv[2], NULL, 10);
	if (!(from = store_open(argv[1], STORE_READ, &err)))
		die(argv[1]);
	to = from;
	copy_run = run;
	if (argc == 5) {
		if (!(to = store_open(argv[3], STORE_WRITE, &err)) || !(batch = store_batch_new(to, &err)) || store_run_create(to, 0, &copy_run, &err))
			die(argv[3]);
		copy_run_over(strtoull(argv[4], NULL, 10));
		store_batch_free(batch);
		store_close(from);
		store_close(to);
		if (!(to = store_open(argv[3], STORE_READ, &err)))
			die(argv[3]);
	}
	uint64_t before = anon_bytes();
	double t0 = cpu_seconds();
	if (attribute_run(to, copy_run, sample, NULL, &result, &err))
		die("attribution");
	double seconds = cpu_seconds() - t0;
	struct wbuf w;
	wbuf_heap(&w, 4 << 20);
	attribution_pack(&w, &result);
	if (store_io_bytes(to, copy_run, &records, &err) || store_sight_bytes(to, copy_run, &sights, &err))
		die("bytes");
	for (unsigned v = 1; v < 4; v++)
		sightings += result.vantage[v].sightings;
	printf("requests %llu matched %llu sightings %llu bytes %llu peak %llu anon %llu seconds %.3f\n", (unsigned long long)result.seen,
	       (unsigned long long)result.matched, (unsigned long long)sightings, (unsigned long long)(sights + records + w.len),
	       (unsigned long long)result.peak_bytes, (unsigned long long)(anon_peak - before), seconds);
	wbuf_fini(&w);
	store_close(to);
	return 0;
}
