/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/trace/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"

#define NO_PAGE UINT32_MAX

void recorder_init(struct recorder *r)
{
	*r = (struct recorder){ 0 };
	r->spool.memory_fd = r->spool.file_fd = -1;
}

int recorder_add(struct recorder *r, const struct tracefs *t, const char *what, uint64_t bytes, uint64_t bytes_max, struct error *err)
{
	struct tracefs_instance *i = &r->instance[r->instances];
	unsigned n = r->instances;

	if (n == RECORD_INSTANCES || tracefs_instance_make(i, t, what, err))
		return n == RECORD_INSTANCES ? error_set(err, ERR_LIMIT, "more than %d trace instances", RECORD_INSTANCES) : -1;
	r->instances++;
	uint64_t share = bytes_max / i->cpus, each = bytes < share ? bytes : share;
	if (tracefs_instance_size(i, each > RECORD_CPU_MIN ? each : RECORD_CPU_MIN, err))
		return -1;
	r->cpu[n] = calloc(i->cpus, sizeof(*r->cpu[n]));
	if (!r->cpu[n])
		return error_set(err, ERR_LIMIT, "out of memory");
	r->cpus[n] = i->cpus;
	for (unsigned c = 0; c < i->cpus; c++)
		r->cpu[n][c] = (struct record_cpu){ .cpu = i->cpu[c].cpu, .first = NO_PAGE, .last = NO_PAGE };
	if (r->spool.page && r->spool.page != i->page)
		return error_set(err, ERR_PROTOCOL, "trace instances with pages of %zu and %zu bytes", r->spool.page, i->page);
	r->spool.page = i->page;
	return (int)n;
}

int recorder_start(struct recorder *r, struct error *err)
{
	r->spool.bound = RECORD_SPOOL_MAX - RECORD_BUFFERS_MAX;
	for (unsigned n = 0; n < r->instances; n++)
		if (tracefs_instance_on(&r->instance[n], true, err))
			return -1;
	return 0;
}

/* ---- the spool ---- */

static int unlinked_file(void)
{
	const char *dir = getenv("TMPDIR");
	int fd = open(dir && *dir ? dir : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd >= 0 ? fd : open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

/* Where page `n` lies; -1 where there is no such file yet. */
static int spool_place(const struct recorder *r, uint32_t n, off_t *at)
{
	uint32_t in_memory = RECORD_MEMORY_MAX / (uint32_t)r->spool.page;

	*at = (off_t)(n < in_memory ? n : n - in_memory) * (off_t)r->spool.page;
	return n < in_memory ? r->spool.memory_fd : r->spool.file_fd;
}

static bool spool_grow(struct recorder *r)
{
	if (r->spool.pages < r->spool.cap)
		return true;
	uint32_t cap = r->spool.cap ? r->spool.cap * 2 : 1024;
	uint32_t *next = realloc(r->spool.next, cap * sizeof(*next));
	if (!next)
		return false;
	r->spool.next = next;
	r->spool.cap = cap;
	return true;
}

static bool spool_write(struct recorder *r, const void *page)
{
	off_t at;

	if (spool_place(r, r->spool.pages, &at) < 0) {
		if (r->spool.memory_fd < 0)
			r->spool.memory_fd = memfd_create("bifocal-trace", MFD_CLOEXEC);
		else
			r->spool.file_fd = unlinked_file();
	}
	int fd = spool_place(r, r->spool.pages, &at);
	return fd >= 0 && pwrite(fd, page, r->spool.page, at) == (ssize_t)r->spool.page;
}

static bool spool_add(struct recorder *r, struct record_cpu *c, const void *page)
{
	if (!spool_grow(r) || !spool_write(r, page))
		return false;
	uint32_t n = r->spool.pages++;
	r->spool.next[n] = NO_PAGE;
	if (c->last == NO_PAGE)
		c->first = n;
	else
		r->spool.next[c->last] = n;
	c->last = n;
	return true;
}

/* ---- draining ---- */

struct draining {
	struct recorder *r;
	unsigned instance;
	uint64_t bound;                /* bytes of spool that may be used */
	uint8_t page[TRACEFS_PAGE_MAX];
};

static void drain_cpu(void *ctx, unsigned index)
{
	struct draining *d = ctx;
	struct recorder *r = d->r;
	struct record_cpu *c = &r->cpu[d->instance][index];
	struct error err = { 0 };

	while (!r->spool.failed && (uint64_t)(r->spool.pages + 1) * r->spool.page <= d->bound) {
		int rc = tracefs_instance_page(&r->instance[d->instance], index, d->page, &err);
		if (rc == 0)
			return;
		if (rc < 0 || !spool_add(r, c, d->page)) {
			log_warn("trace pages: %s", rc < 0 ? err.text : "no memory and no room in $TMPDIR or /var/tmp for more; what follows is lost");
			r->spool.failed = true;
		}
	}
}

static void drain_live(void *ctx, unsigned index)
{
	struct draining *d = ctx;
	uint32_t before = d->r->spool.pages;

	drain_cpu(ctx, index);
	d->r->live |= d->r->spool.pages != before;
}

void recorder_tick(struct recorder *r)
{
	struct draining d = { .r = r, .bound = r->spool.bound };

	for (d.instance = 0; d.instance < r->instances; d.instance++)
		tracefs_instance_half_full(&r->instance[d.instance], drain_live, &d);
}

/* What is still in the buffer then could not be drained, and is lost with what the kernel overwrote. */
static void count_overrun(struct recorder *r, unsigned n, unsigned index)
{
	struct tracefs_stats st;

	if (!tracefs_instance_stats(&r->instance[n], index, &st, NULL))
		r->cpu[n][index].overrun = st.overrun + st.entries;
}

void recorder_stop(struct recorder *r)
{
	struct draining d = { .r = r, .bound = RECORD_SPOOL_MAX };

	for (unsigned n = 0; n < r->instances; n++)
		tracefs_instance_disable_all(&r->instance[n]);
	for (d.instance = 0; d.instance < r->instances; d.instance++) {
		for (unsigned c = 0; c < r->cpus[d.instance]; c++) {
			drain_cpu(&d, c);
			count_overrun(r, d.instance, c);
		}
		tracefs_instance_remove(&r->instance[d.instance]);
	}
	r->instances = 0;
}

void recorder_free(struct recorder *r)
{
	for (unsigned n = 0; n < RECORD_INSTANCES; n++) {
		tracefs_instance_remove(&r->instance[n]);
		free(r->cpu[n]);
	}
	free(r->spool.next);
	if (r->spool.memory_fd >= 0)
		close(r->spool.memory_fd);
	if (r->spool.file_fd >= 0)
		close(r->spool.file_fd);
	recorder_init(r);
}

/* ---- into the store ---- */

enum { FEED_SIGHTINGS = 256 };

/* What one instance saw on one CPU, sighting by sighting. */
struct feed {
	struct recorder *r;
	record_decode_fn *decode;
	void *ctx;
	struct record_cpu *cpu;
	unsigned instance;
	uint32_t page_at;              /* the next one */
	bool walking, ended;
	struct page_walk w;
	uint64_t time, lost;           /* of the last sighting; told so far */
	size_t n, at;
	struct sighting s[FEED_SIGHTINGS];
	uint8_t page[TRACEFS_PAGE_MAX];
};

static void feed_lost(struct feed *f, uint64_t events)
{
	f->lost += events;
	f->s[f->n++] = (struct sighting){ .time = f->time, .key = events, .kind = SIGHT_LOST, .op = SIGHT_OP_NONE, .flags = SIGHT_NO_PLACE };
}

static int feed_page(struct feed *f, struct error *err)
{
	off_t at;
	int fd = spool_place(f->r, f->page_at, &at);

	if (pread(fd, f->page, f->r->spool.page, at) != (ssize_t)f->r->spool.page)
		return error_sys(err, errno, "trace pages put aside cannot be read back");
	f->page_at = f->r->spool.next[f->page_at];
	f->walking = page_open(&f->w, f->page, f->r->spool.page);
	f->time = f->walking ? f->w.time : f->time;
	if (f->w.missed || f->w.bad)
		feed_lost(f, f->w.lost);
	return 0;
}

/* The end of the pages; the kernel may have counted more than they tell. */
static void feed_end(struct feed *f)
{
	f->ended = true;
	if (f->cpu->overrun > f->lost)
		feed_lost(f, f->cpu->overrun - f->lost);
}

/* Sees to it that there is a sighting at f->s[f->at], or that the feed has ended. */
static int feed_fill(struct feed *f, struct error *err)
{
	while (f->at == f->n && !f->ended) {
		f->at = f->n = 0;
		if (f->walking) {
			f->n = f->decode(f->ctx, f->instance, &f->w, f->s, FEED_SIGHTINGS);
			f->walking = f->n == FEED_SIGHTINGS;
			f->time = f->w.time;
			if (!f->walking && f->w.bad)
				feed_lost(f, 0);
		} else if (f->page_at == NO_PAGE) {
			feed_end(f);
		} else if (feed_page(f, err)) {
			return -1;
		}
	}
	return 0;
}

static bool feed_has(const struct feed *f)
{
	return f->at < f->n;
}

static int put(struct sight_sink *k, struct recorder *r, struct store_batch *b, const struct sighting *s, struct error *err)
{
	if (s->kind == SIGHT_LOST) {
		r->lost += s->key ? s->key : 1;
		return sink_lost(k, b, s->time, s->key, err);
	}
	if (sink_add(k, b, s, err))
		return -1;
	return store_batch_size(b) > TRACE_BATCH_BYTES ? store_commit(b, err) : 0;
}

static int merge(struct sight_sink *k, struct recorder *r, struct feed *f, unsigned n, struct store_batch *b, struct error *err)
{
	for (;;) {
		struct feed *first = NULL;

		for (unsigned i = 0; i < n; i++) {
			if (feed_fill(&f[i], err))
				return -1;
			if (feed_has(&f[i]) && (!first || f[i].s[f[i].at].time < first->s[first->at].time))
				first = &f[i];
		}
		if (!first)
			return 0;
		if (put(k, r, b, &first->s[first->at++], err))
			return -1;
	}
}

/* The instances see the same CPUs: index `c` is the same one in all. */
static unsigned feeds_of(struct recorder *r, unsigned c, struct feed *f)
{
	unsigned n = 0;

	for (unsigned i = 0; i < RECORD_INSTANCES; i++) {
		struct record_cpu *cpu = c < r->cpus[i] ? &r->cpu[i][c] : NULL;
		if (!cpu || (cpu->first == NO_PAGE && !cpu->overrun))
			continue;
		f[n].r = r;
		f[n].cpu = cpu;
		f[n].instance = i;
		f[n].page_at = cpu->first;
		f[n].walking = f[n].ended = false;
		f[n].time = f[n].lost = f[n].n = f[n].at = 0;
		n++;
	}
	return n;
}

int recorder_store(struct recorder *r, record_decode_fn *decode, void *ctx, enum vantage vantage, uint16_t first_stream, const char *source,
		   struct store_batch *b, uint64_t run, struct error *err)
{
	autofree struct feed *f = calloc(RECORD_INSTANCES, sizeof(*f));
	int rc = 0;

	if (!f)
		return error_set(err, ERR_LIMIT, "out of memory");
	for (unsigned i = 0; i < RECORD_INSTANCES; i++) {
		f[i].decode = decode;
		f[i].ctx = ctx;
	}
	r->lost = 0;
	for (unsigned c = 0; c < r->cpus[0] && !rc; c++) {
		struct sight_sink k = { 0 };
		unsigned n = feeds_of(r, c, f), cpu = r->cpu[0][c].cpu;

		/* A stream for every CPU that saw something; the first one's in any case: it says that there was a vantage. */
		if (c && !n)
			continue;
		rc = sink_init(&k, run, (uint16_t)(first_stream + cpu), vantage, STREAM_HOST_TSC, cpu, source, err);
		rc = rc || merge(&k, r, f, n, b, err) || sink_flush(&k, b, err) ? -1 : 0;
		sink_fini(&k);
	}
	return rc;
}
