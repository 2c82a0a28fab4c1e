/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/run/intake_trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "host/trace/kernel.h"
#include "host/trace/sink.h"

enum {
	EVENT_TEXT_MAX = 128,          /* "block:block_rq_issue" */
	WHY_TEXT_MAX = 512,
	/* As for I/O chunks: messages that may be skipped in one step. */
	INDEX_JUMP_MAX = 1 << 16,
};

/* More events than any buffer holds: a number that only a liar, or a damaged page, gives. */
#define LOST_MAX (1ull << 40)

static const char prefix_cpu[] = "intake.trace.", prefix_event[] = "trace.guest.event.";

struct cpu {
	uint32_t index;                /* of the next message wanted */
	uint32_t chunk;                /* of the sink's, while there is none */
	uint64_t pages, events, lost, last;   /* last: time of the last sighting */
	bool ended, dirty;             /* dirty: changed since the last flush */
	bool live;                     /* the sink is there */
	bool bpf;                      /* what its stream says: sightings came, no pages */
	struct sight_sink sink;
};

struct trace_intake {
	uint64_t run, pages;
	struct kernel_decoder *decoder;
	bool there;                    /* vantage.guest was put */
	unsigned live;
	uint32_t device;               /* 0: any */
	struct cpu *cpu[TRACE_CPUS_MAX];
	struct sighting decoded[SIGHT_CHUNK];
	struct trace_format format;    /* scratch */
};

struct trace_intake *trace_intake_new(uint64_t run, struct error *err)
{
	struct trace_intake *t = calloc(1, sizeof(*t));
	if (!t) {
		error_set(err, ERR_LIMIT, "out of memory for the guest's trace");
		return NULL;
	}
	t->run = run;
	t->decoder = kernel_decoder_new(err);
	if (t->decoder)
		return t;
	free(t);
	return NULL;
}

void trace_intake_free(struct trace_intake *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < TRACE_CPUS_MAX; i++)
		if (t->cpu[i]) {
			sink_fini(&t->cpu[i]->sink);
			free(t->cpu[i]);
		}
	kernel_decoder_free(t->decoder);
	free(t);
}

void trace_intake_device(struct trace_intake *t, uint32_t device)
{
	t->device = device;
	if (device)
		kernel_decoder_only_device(t->decoder, device, NULL);
}

uint64_t trace_intake_page_count(const struct trace_intake *t)
{
	return t->pages;
}

/* ---- streams ---- */

static int flush_cpu(struct trace_intake *t, struct store_batch *b, unsigned n, struct error *err)
{
	struct cpu *c = t->cpu[n];
	char key[64], text[192];
	if (!c->dirty)
		return 0;
	if (c->live) {
		if (sink_flush(&c->sink, b, err))
			return -1;
		c->chunk = c->sink.chunk;
		c->events = c->sink.stream.events;
		c->lost = c->sink.stream.lost;
	}
	snprintf(key, sizeof(key), "%s%u", prefix_cpu, n);
	snprintf(text, sizeof(text), "%" PRIu32 " %" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %d %d",
		 c->index, c->chunk, c->pages, c->events, c->lost, c->last, c->ended, c->bpf);
	if (put_attr(b, t->run, key, text, err))
		return -1;
	c->dirty = false;
	return 0;
}

int trace_intake_flush(struct trace_intake *t, struct store_batch *b, struct error *err)
{
	for (unsigned i = 0; i < TRACE_CPUS_MAX; i++)
		if (t->cpu[i] && flush_cpu(t, b, i, err))
			return -1;
	return 0;
}

/* The sink's memory goes; what it was is in the cpu, from where it opens again. */
static int close_sink(struct trace_intake *t, struct store_batch *b, unsigned n, struct error *err)
{
	struct cpu *c = t->cpu[n];
	if (flush_cpu(t, b, n, err))
		return -1;
	if (c->live) {
		sink_fini(&c->sink);
		c->live = false;
		t->live--;
	}
	return 0;
}

static int close_all(struct trace_intake *t, struct store_batch *b, struct error *err)
{
	for (unsigned i = 0; i < TRACE_CPUS_MAX; i++)
		if (t->cpu[i] && close_sink(t, b, i, err))
			return -1;
	return 0;
}

static int open_sink(struct trace_intake *t, struct store_batch *b, unsigned n, struct error *err)
{
	struct cpu *c = t->cpu[n];
	if (c->live)
		return 0;
	if (t->live == TRACE_STREAMS_LIVE && close_all(t, b, err))
		return -1;
	if (sink_init(&c->sink, t->run, (uint16_t)(STREAM_GUEST + n), VANTAGE_GUEST, STREAM_GUEST_TSC, n, c->bpf ? "bpf" : "tracefs", err)) {
		sink_fini(&c->sink);
		return -1;
	}
	c->sink.chunk = c->chunk;
	c->sink.stream.events = c->events;
	c->sink.stream.lost = c->lost;
	c->live = true;
	t->live++;
	return 0;
}

static struct cpu *get_cpu(struct trace_intake *t, unsigned n, struct error *err)
{
	if (!t->cpu[n] && !(t->cpu[n] = calloc(1, sizeof(*t->cpu[n]))))
		error_set(err, ERR_LIMIT, "out of memory for the guest's trace");
	return t->cpu[n];
}

/* ---- going on with another collector's run ---- */

struct resume {
	struct trace_intake *t;
	struct error *err;
};

static int resume_cpu(void *ctx, const char *key, const char *text)
{
	struct resume *r = ctx;
	unsigned n, ended, bpf = 0;
	struct cpu v = { 0 };
	if (sscanf(key + sizeof(prefix_cpu) - 1, "%u", &n) != 1 || n >= TRACE_CPUS_MAX ||
	    sscanf(text, "%" SCNu32 " %" SCNu32 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %u %u", &v.index, &v.chunk, &v.pages,
		   &v.events, &v.lost, &v.last, &ended, &bpf) < 7)
		return 0;
	struct cpu *c = get_cpu(r->t, n, r->err);
	if (!c)
		return -1;
	v.ended = ended;
	v.bpf = bpf;
	*c = v;
	r->t->pages += v.pages;
	return 0;
}

static int resume_event(void *ctx, const char *key, const char *text)
{
	struct resume *r = ctx;
	unsigned kind;
	int used = 0;
	(void)key;
	if (sscanf(text, "%u %*s %n", &kind, &used) < 1 || !used)
		return 0;
	if (!format_parse((struct span){ (const uint8_t *)text + used, strlen(text + used) }, &r->t->format, NULL))
		kernel_decoder_add(r->t->decoder, kind, &r->t->format, NULL);
	return 0;
}

int trace_intake_resume(struct trace_intake *t, struct store *s, struct error *err)
{
	struct resume r = { t, err };
	autofree char *device = store_attr(s, t->run, "trace.guest.device", NULL);
	trace_intake_device(t, device ? (uint32_t)strtoul(device, NULL, 10) : 0);
	t->there = true;
	if (store_each_attr(s, t->run, prefix_event, resume_event, &r, err) < 0)
		return -1;
	return store_each_attr(s, t->run, prefix_cpu, resume_cpu, &r, err) < 0 ? -1 : 0;
}

/* ---- what is traced, and what is not ---- */

static int put_absent(struct trace_intake *t, struct store_batch *b, unsigned kind, const char *why, struct error *err)
{
	char key[64], text[WHY_TEXT_MAX + 16];
	if (kind) {
		snprintf(key, sizeof(key), "absent.%s", sight_name(kind));
		return put_attr(b, t->run, key, why, err);
	}
	t->there = true;
	snprintf(text, sizeof(text), "absent: %s", why);
	return put_attr(b, t->run, "vantage.guest", text, err);
}

int trace_intake_absent(struct trace_intake *t, struct store_batch *b, const struct msg_trace_absent *m, struct error *err)
{
	char text[WHY_TEXT_MAX];
	if (m->sight && sight_vantage(m->sight) != VANTAGE_GUEST) {
		error_set(err, ERR_PROTOCOL, "%u is no sighting of a guest", m->sight);
		return 1;
	}
	return put_absent(t, b, m->sight, span_text(m->text, text, sizeof(text)), err);
}

/* The format without its `print fmt`, for a collector that comes later; what is no text becomes '?'. */
static int put_format(struct trace_intake *t, struct store_batch *b, const struct msg_trace_event *m, struct error *err)
{
	char key[64], name[EVENT_TEXT_MAX];
	const uint8_t *print = memmem(m->format.p, m->format.len, "print fmt:", 10);
	size_t n = print ? (size_t)(print - m->format.p) : m->format.len, room = n + EVENT_TEXT_MAX + 16;
	autofree char *text = malloc(room);
	if (!text)
		return error_set(err, ERR_LIMIT, "out of memory for an event's format");
	for (char *p = span_text(m->name, name, sizeof(name)); *p; p++)
		*p = *p == ' ' ? '_' : *p;
	size_t used = (size_t)snprintf(text, room, "%u %s\n", m->sight, *name ? name : "?");
	for (size_t i = 0; i < n; i++) {
		uint8_t c = m->format.p[i];
		text[used++] = c == '\n' || c == '\t' || (c >= ' ' && c < 0x7f) ? (char)c : '?';
	}
	text[used] = 0;
	snprintf(key, sizeof(key), "%s%u", prefix_event, m->id);
	return put_attr(b, t->run, key, text, err);
}

int trace_intake_event(struct trace_intake *t, struct store_batch *b, const struct msg_trace_event *m, struct error *err)
{
	struct error why = { 0 };
	char name[EVENT_TEXT_MAX];
	if (sight_vantage(m->sight) != VANTAGE_GUEST) {
		error_set(err, ERR_PROTOCOL, "%u is no sighting of a guest", m->sight);
		return 1;
	}
	if (!t->there) {
		t->there = true;
		if (put_attr(b, t->run, "vantage.guest", "tracefs", err))
			return -1;
	}
	if (format_parse(m->format, &t->format, &why) ||
	    (t->format.id != m->id && error_set(&why, ERR_PROTOCOL, "event %u: its format is that of event %u", m->id, t->format.id)) ||
	    kernel_decoder_add(t->decoder, m->sight, &t->format, &why)) {
		log_warn("the guest's event %s is left out: %s", span_text(m->name, name, sizeof(name)), why.text);
		return put_absent(t, b, m->sight, why.text, err);
	}
	return put_format(t, b, m, err);
}

/* ---- pages ---- */

static int add_lost(struct cpu *c, struct store_batch *b, uint64_t events, struct error *err)
{
	return sink_lost(&c->sink, b, c->last, events < LOST_MAX ? events : 0, err);
}

/* 1: the page, or a record in it, was bad. */
static int take_page(struct trace_intake *t, struct cpu *c, struct store_batch *b, const uint8_t *page, size_t size, struct error *err)
{
	struct kernel_counts counts = { 0 };
	struct page_walk w;
	size_t n;
	if (!page_open(&w, page, size))
		return add_lost(c, b, 0, err) ? -1 : 1;
	if (w.missed) {
		c->last = w.time;
		if (add_lost(c, b, w.lost, err))
			return -1;
	}
	do {
		n = kernel_decode(t->decoder, &w, t->decoded, SIGHT_CHUNK, &counts);
		for (size_t i = 0; i < n; i++)
			if (sink_add(&c->sink, b, &t->decoded[i], err))
				return -1;
	} while (n == SIGHT_CHUNK);
	c->last = w.time;
	if (w.bad)
		return add_lost(c, b, 0, err) ? -1 : 1;
	return counts.bad != 0;
}

static bool pages_fit(const struct trace_intake *t, const struct msg_trace_pages *m)
{
	if (m->cpu >= TRACE_CPUS_MAX || m->page_size < PAGE_SIZE_MIN || m->page_size > PAGE_SIZE_MAX || m->page_size % 8 ||
	    !m->pages.len || m->pages.len % m->page_size)
		return false;
	uint32_t next = t->cpu[m->cpu] ? t->cpu[m->cpu]->index : 0;
	return m->index >= next && m->index - next <= INDEX_JUMP_MAX;
}

int trace_intake_pages(struct trace_intake *t, struct store_batch *b, const struct msg_trace_pages *m, struct loss *loss, struct error *err)
{
	if (!pages_fit(t, m)) {
		uint64_t pages = m->page_size >= PAGE_SIZE_MIN ? m->pages.len / m->page_size : 1;
		t->pages += pages;
		loss->trace_page_bad += pages ? pages : 1;
		return 0;
	}
	struct cpu *c = get_cpu(t, m->cpu, err);
	if (!c || open_sink(t, b, m->cpu, err))
		return -1;
	bool gap = m->index != c->index;
	c->index = m->index + 1;
	c->dirty = true;
	if (gap && add_lost(c, b, 0, err))
		return -1;
	for (size_t at = 0; at < m->pages.len; at += m->page_size) {
		int bad = take_page(t, c, b, m->pages.p + at, m->page_size, err);
		if (bad < 0)
			return -1;
		loss->trace_page_bad += (uint64_t)bad;
		c->pages++;
		t->pages++;
	}
	return 0;
}

/* ---- sightings that the guest made itself ---- */

static bool sights_fit(const struct trace_intake *t, const struct msg_trace_sights *m)
{
	if (m->cpu >= TRACE_CPUS_MAX)
		return false;
	uint32_t next = t->cpu[m->cpu] ? t->cpu[m->cpu]->index : 0;
	return m->index >= next && m->index - next <= INDEX_JUMP_MAX;
}

static bool of_device(const struct trace_intake *t, const struct sighting *s)
{
	return !t->device || !s->device || s->device == t->device;
}

int trace_intake_sights(struct trace_intake *t, struct store_batch *b, const struct msg_trace_sights *m, struct loss *loss, struct error *err)
{
	int n = sights_fit(t, m) ? sights_unpack(m->sights, t->decoded, SIGHT_CHUNK, NULL) : -1;
	t->pages++;
	for (int i = 0; i < n; i++)
		n = sight_vantage(t->decoded[i].kind) == VANTAGE_GUEST ? n : -1;
	if (n < 0) {
		loss->trace_page_bad++;
		return 0;
	}
	if (!t->there) {
		t->there = true;
		if (put_attr(b, t->run, "vantage.guest", "bpf", err))
			return -1;
	}
	struct cpu *c = get_cpu(t, m->cpu, err);
	if (!c)
		return -1;
	c->bpf = true;
	if (open_sink(t, b, m->cpu, err))
		return -1;
	bool gap = m->index != c->index;
	c->index = m->index + 1;
	c->dirty = true;
	c->pages++;
	if (gap && add_lost(c, b, 0, err))
		return -1;
	for (int i = 0; i < n; i++) {
		if (of_device(t, &t->decoded[i]) && sink_add(&c->sink, b, &t->decoded[i], err))
			return -1;
		c->last = t->decoded[i].time;
	}
	return 0;
}

int trace_intake_end(struct trace_intake *t, struct store_batch *b, const struct msg_trace_end *m, struct loss *loss, struct error *err)
{
	if (m->cpu >= TRACE_CPUS_MAX) {
		error_set(err, ERR_PROTOCOL, "CPU %u; at most %d are known", m->cpu, TRACE_CPUS_MAX);
		return 1;
	}
	struct cpu *c = get_cpu(t, m->cpu, err);
	if (!c || open_sink(t, b, m->cpu, err))
		return -1;
	if (c->ended)
		return 0;
	c->ended = c->dirty = true;
	loss->trace_overrun += m->overrun;
	/* Pages tell of what was overwritten before them; of what found no room behind the last one, only this number does. */
	if ((m->overrun > c->sink.stream.lost && add_lost(c, b, m->overrun - c->sink.stream.lost, err)) ||
	    (m->pages > c->pages && add_lost(c, b, 0, err)))
		return -1;
	return close_sink(t, b, m->cpu, err);
}
