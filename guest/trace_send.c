// SPDX-License-Identifier: GPL-2.0-or-later
/* What a run's trace buffers hold goes to the collector: formats, raw pages, counts. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "guest/drain.h"
#include "guest/trace.h"
#include "guest/trace_bpf.h"

enum {
	/* The fields of a message around its text or pages, with room to spare. */
	FIELDS = 512,
	STATS_MAX = 1024,
};

static bool has_room(const struct channel *ch, size_t bytes)
{
	return channel_room(ch) > bytes + FIELDS + DRAIN_RESERVE;
}

/* True: the channel has it. A message that cannot be encoded is a defect of ours; it is named and left out. */
static bool taken(int sent, const struct error *err)
{
	if (sent < 0)
		log_error("trace: %s", err->text);
	return sent <= 0;
}

/* ---- what there is to see ---- */

static bool send_event(const struct trace_event *e, struct channel *ch, uint64_t run)
{
	struct error err = { 0 };
	struct msg_trace_event m = { .run = run, .id = e->id, .sight = e->sight, .name = span_of(e->name), .format = span_of(e->format) };

	return has_room(ch, m.format.len) && taken(channel_send_trace_event(ch, &m, CHANNEL_WAIT, &err), &err);
}

static bool send_absent(const struct trace_absent *a, struct channel *ch, uint64_t run)
{
	struct error err = { 0 };
	struct msg_trace_absent m = { .run = run, .sight = a->sight, .text = span_of(a->why) };

	return has_room(ch, m.text.len) && taken(channel_send_trace_absent(ch, &m, CHANNEL_WAIT, &err), &err);
}

bool trace_send_events(struct trace *t, struct channel *ch, uint64_t run)
{
	for (; t->absent_sent < t->n_absent; t->absent_sent++)
		if (!send_absent(&t->absent[t->absent_sent], ch, run))
			return false;
	for (; t->events_sent < t->n_events; t->events_sent++)
		if (!send_event(&t->event[t->events_sent], ch, run))
			return false;
	return true;
}

/* ---- pages ---- */

static int open_raw(const struct trace *t, struct trace_cpu *c)
{
	char path[SYS_PATH_MAX];

	if (c->fd < 0 && !sys_path(path, t->root, "%s/instances/" TRACE_INSTANCE "/per_cpu/cpu%u/trace_pipe_raw", t->dir, c->cpu))
		c->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return c->fd;
}

/* Appends pages to the batch, `most` of them or fewer. False when the buffer is empty. A page that is still being filled is given as far as
 * it is; a later read gives the rest, on a page of its own. */
static bool read_pages(struct trace *t, unsigned i, uint64_t most)
{
	struct trace_cpu *c = &t->cpu[i];
	int fd = open_raw(t, c);

	t->batch_of = i;
	for (; most && t->batched + t->page_size <= TRACE_BATCH_BYTES; most--) {
		ssize_t n = fd < 0 ? -1 : read(fd, t->batch + t->batched, t->page_size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n != (ssize_t)t->page_size) {
			if (n > 0 || (n < 0 && errno != EAGAIN))
				log_warn("trace: pages of CPU %u: %s", c->cpu, n > 0 ? "a short page" : strerror(errno));
			return false;
		}
		t->batched += t->page_size;
	}
	return true;
}

/* True when the batch is empty. */
static bool send_batch(struct trace *t, struct channel *ch, uint64_t run)
{
	struct error err = { 0 };

	if (!t->batched)
		return true;
	struct trace_cpu *c = &t->cpu[t->batch_of];
	struct msg_trace_pages m = { .run = run, .cpu = c->cpu, .index = c->index, .page_size = (uint32_t)t->page_size, .pages = { t->batch, t->batched } };
	if (!has_room(ch, t->batched) || !taken(channel_send_trace_pages(ch, &m, CHANNEL_WAIT, &err), &err))
		return false;
	c->index++;
	c->pages += t->batched / t->page_size;
	t->pages_sent += t->batched / t->page_size;
	t->batched = 0;
	return true;
}

/* "overrun: 12" */
static uint64_t stat_of(const char *stats, const char *name)
{
	const char *at = strstr(stats, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static void read_stats(const struct trace *t, const struct trace_cpu *c, char stats[STATS_MAX])
{
	stats[0] = '\n';
	sys_read(stats + 1, STATS_MAX - 1, t->root, "%s/instances/" TRACE_INSTANCE "/per_cpu/cpu%u/stats", t->dir, c->cpu);
}

static bool send_end(const struct trace *t, const struct trace_cpu *c, struct channel *ch, uint64_t run)
{
	char stats[STATS_MAX];
	struct error err = { 0 };
	struct msg_trace_end m = { .run = run, .cpu = c->cpu, .pages = c->pages };

	if (!has_room(ch, 0))
		return false;
	read_stats(t, c, stats);
	m.overrun = stat_of(stats, "\noverrun: ") + stat_of(stats, "\ncommit overrun: ") + stat_of(stats, "\ndropped events: ");
	m.read = stat_of(stats, "\nread events: ");
	return taken(channel_send_trace_end(ch, &m, CHANNEL_WAIT, &err), &err);
}

static bool send_cpu(struct trace *t, unsigned i, struct channel *ch, uint64_t run)
{
	for (bool more = true; more;) {
		/* No reading in vain while the ring is full. */
		if (!has_room(ch, TRACE_BATCH_BYTES))
			return false;
		more = read_pages(t, i, UINT64_MAX);
		if (!send_batch(t, ch, run))
			return false;
	}
	return send_end(t, &t->cpu[i], ch, run);
}

bool trace_send_rest(struct trace *t, struct channel *ch, uint64_t run)
{
	if (t->bpf)
		return trace_bpf_send(t->bpf, ch, run, &t->pages_sent);
	if (!send_batch(t, ch, run))
		return false;
	for (; t->at_cpu < t->n_cpus; t->at_cpu++)
		if (!send_cpu(t, t->at_cpu, ch, run))
			return false;
	return true;
}

/* ---- inside the window ---- */

/* Pages that nobody writes to any more. `bytes` are those not yet read, without the pages' headers. */
static uint64_t full_pages(const struct trace *t, const struct trace_cpu *c)
{
	char stats[STATS_MAX];

	read_stats(t, c, stats);
	uint64_t pages = stat_of(stats, "\nbytes: ") / t->page_size;
	return pages > 1 ? pages - 1 : 0;
}

bool trace_is_filling(struct trace *t)
{
	for (unsigned i = 0; i < t->n_cpus; i++)
		if (full_pages(t, &t->cpu[i]) * t->page_size > t->bytes_per_cpu / 4)
			return true;
	return false;
}

static bool send_full(struct trace *t, unsigned i, struct channel *ch, uint64_t run)
{
	for (uint64_t left = full_pages(t, &t->cpu[i]); left;) {
		uint64_t most = TRACE_BATCH_BYTES / t->page_size, n = left < most ? left : most;
		if (!has_room(ch, TRACE_BATCH_BYTES))
			return false;
		bool more = read_pages(t, i, n);
		if (!send_batch(t, ch, run))
			return false;
		left = more ? left - n : 0;
	}
	return true;
}

bool trace_send_live(struct trace *t, struct channel *ch, uint64_t run)
{
	if (!trace_send_events(t, ch, run) || !send_batch(t, ch, run))
		return false;
	for (unsigned i = 0; i < t->n_cpus; i++)
		if (!send_full(t, i, ch, run))
			return false;
	return true;
}
