/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/run/intake.h"

#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "host/run/intake_trace.h"

enum {
	/* Chunks that may be skipped in one step: far more than any ring drops at once, and no index that only a liar sends. */
	INDEX_JUMP_MAX = 1 << 16,
	/* A peer that sends nothing but nonsense must not fill the terminal. */
	MESSAGES_BAD_LOGGED = 5,
};

struct intake {
	struct store *store;
	struct store_batch *batch;
	struct link *link;
	bool dirty[LINK_PORTS];        /* the batch holds data of this port */
	uint64_t delivered[LINK_PORTS];/* highest sequence number handled */
	struct id16 peer[LINK_PORTS];  /* and whose it is */
	uint64_t dirty_since, last_ns; /* monotonic */
	uint64_t bytes, bytes_max;
	struct intake_run now, late;
	struct error failure;
	struct io_record *records;     /* scratch of IOREC_CHUNK */
	struct sample *samples;        /* scratch of SAMPLES_CHUNK */
};

/* Half of what the file system has left: a guest that never ends must not fill the node's disk. */
static uint64_t bytes_bound(const char *path)
{
	struct statvfs fs;
	if (statvfs(path, &fs))
		return UINT64_MAX;
	return (uint64_t)fs.f_bavail * fs.f_frsize / 2;
}

struct intake *intake_new(struct store *store, struct error *err)
{
	struct intake *in = calloc(1, sizeof(*in));
	if (!in)
		goto no_memory;
	in->store = store;
	in->bytes_max = bytes_bound(store_path(store));
	in->records = calloc(IOREC_CHUNK, sizeof(*in->records));
	in->samples = calloc(SAMPLES_CHUNK, sizeof(*in->samples));
	if (!in->records || !in->samples)
		goto no_memory;
	in->batch = store_batch_new(store, err);
	if (!in->batch)
		goto fail;
	return in;
no_memory:
	error_set(err, ERR_LIMIT, "out of memory");
fail:
	intake_free(in);
	return NULL;
}

void intake_free(struct intake *in)
{
	if (!in)
		return;
	trace_intake_free(in->now.trace);
	trace_intake_free(in->late.trace);
	if (in->batch)
		store_batch_free(in->batch);
	free(in->records);
	free(in->samples);
	free(in);
}

void intake_attach(struct intake *in, struct link *link)
{
	in->link = link;
}

void intake_begin(struct intake *in, uint64_t run)
{
	trace_intake_free(in->now.trace);
	in->now = (struct intake_run){ .run = run };
	in->bytes = 0;
}

void intake_device(struct intake *in, uint32_t device)
{
	in->now.trace_device = device;
	if (in->now.trace)
		trace_intake_device(in->now.trace, device);
}

struct intake_run *intake_now(struct intake *in) { return &in->now; }
struct intake_run *intake_late(struct intake *in) { return &in->late; }
struct store_batch *intake_batch(struct intake *in) { return in->batch; }
const struct error *intake_failure(const struct intake *in) { return &in->failure; }
uint64_t intake_last_ns(const struct intake *in) { return in->last_ns; }

char *instance_text(const struct id16 *id, char dst[33])
{
	static const char hex[] = "0123456789abcdef";
	for (int i = 0; i < 16; i++) {
		dst[2 * i] = hex[id->b[i] >> 4];
		dst[2 * i + 1] = hex[id->b[i] & 15];
	}
	dst[32] = 0;
	return dst;
}

int put_loss(struct store_batch *b, uint64_t run, const struct loss *loss, struct error *err)
{
#define LOSS(name, text) \
	if (put_attr_u64(b, run, "lost." #name, loss->name, err)) \
		return -1;
	LOSS_TABLE(LOSS)
#undef LOSS
	return 0;
}

bool loss_any(const struct loss *loss)
{
	uint64_t any = 0;
#define LOSS(name, text) any |= loss->name;
	LOSS_TABLE(LOSS)
#undef LOSS
	return any != 0;
}

/* ---- acknowledgements ---- */

static bool same_peer(const struct intake *in, enum link_port port)
{
	struct id16 now = link_peer(in->link, port);
	return !memcmp(&now, &in->peer[port], sizeof(now));
}

static void mark_dirty(struct intake *in, enum link_port port)
{
	in->peer[port] = link_peer(in->link, port);
	if (!in->dirty[LINK_CONTROL] && !in->dirty[LINK_DATA])
		in->dirty_since = monotonic_ns();
	in->dirty[port] = true;
}

void intake_pass(struct intake *in, enum link_port port, uint64_t seq)
{
	if (!seq)
		return;
	in->delivered[port] = seq;
	if (!in->dirty[port])
		link_ack(in->link, port, seq);
}

static int put_counts(struct intake *in, const struct intake_run *r, struct error *err)
{
	if (!r->run)
		return 0;
	if (put_attr_u64(in->batch, r->run, "intake.io_chunks", r->io_chunks, err) ||
	    put_attr_u64(in->batch, r->run, "intake.sample_chunks", r->sample_chunks, err))
		return -1;
	return r->drained ? put_attr(in->batch, r->run, "intake.drained", "1", err) : 0;
}

/* What waits in memory for a chunk to fill goes along: it is about to be acknowledged. */
static int flush_trace(struct intake *in, const struct intake_run *r, struct error *err)
{
	size_t before = store_batch_size(in->batch);
	if (r->trace && trace_intake_flush(r->trace, in->batch, err))
		return -1;
	in->bytes += store_batch_size(in->batch) - before;
	return 0;
}

static int put_delivered(struct intake *in, struct error *err)
{
	for (int p = 0; p < LINK_PORTS; p++)
		if (in->dirty[p] && put_peer_seq(in->batch, &in->peer[p], (uint8_t)p, in->delivered[p], err))
			return -1;
	return 0;
}

int intake_commit(struct intake *in, struct error *err)
{
	if (in->failure.code) {
		if (err)
			*err = in->failure;
		return -1;
	}
	bool data = in->dirty[LINK_CONTROL] || in->dirty[LINK_DATA];
	if (!data && !store_batch_size(in->batch))
		return 0;
	if ((data && (flush_trace(in, &in->now, &in->failure) || flush_trace(in, &in->late, &in->failure) ||
		      put_counts(in, &in->now, &in->failure) || put_counts(in, &in->late, &in->failure) ||
		      put_delivered(in, &in->failure))) ||
	    store_commit(in->batch, &in->failure)) {
		if (err)
			*err = in->failure;
		return -1;
	}
	for (int p = 0; p < LINK_PORTS; p++) {
		/* To another than sent it, the number would say something else. */
		if (in->dirty[p] && same_peer(in, (enum link_port)p))
			link_ack(in->link, (enum link_port)p, in->delivered[p]);
		in->dirty[p] = false;
	}
	return 0;
}

void intake_tick(struct intake *in)
{
	bool data = in->dirty[LINK_CONTROL] || in->dirty[LINK_DATA];
	bool old = data && monotonic_ns() - in->dirty_since >= INTAKE_BATCH_MS * 1000000ull;
	if (old || store_batch_size(in->batch) >= INTAKE_BATCH_BYTES)
		intake_commit(in, NULL);
}

/* ---- which run ---- */

static uint64_t attr_u64(struct intake *in, uint64_t run, const char *key)
{
	autofree char *text = store_attr(in->store, run, key, NULL);
	return text ? strtoull(text, NULL, 10) : 0;
}

/* A run of this very agent that an earlier collector left undrained. */
static bool late_open(struct intake *in, enum link_port port, uint64_t run)
{
	struct store_run r;
	struct id16 peer = link_peer(in->link, port);
	char id[33];
	if (store_get_run(in->store, run, &r, NULL) || r.run != run || r.status == RUN_COMPLETE)
		return false;
	autofree char *instance = store_attr(in->store, run, "prov.guest.instance", NULL);
	autofree char *drained = store_attr(in->store, run, "intake.drained", NULL);
	if (!instance || drained || strcmp(instance, instance_text(&peer, id)) != 0)
		return false;
	trace_intake_free(in->late.trace);
	in->late = (struct intake_run){ .run = run };
	in->late.io_chunks = (uint32_t)attr_u64(in, run, "intake.io_chunks");
	in->late.sample_chunks = (uint32_t)attr_u64(in, run, "intake.sample_chunks");
	in->late.records = attr_u64(in, run, "intake.records");
	log_info("run %llu: its guest delivers what an earlier collector had not taken", (unsigned long long)run);
	return true;
}

static struct intake_run *find_run(struct intake *in, enum link_port port, uint64_t run)
{
	if (run && run == in->now.run)
		return &in->now;
	if (run && (run == in->late.run || late_open(in, port, run)))
		return &in->late;
	if (in->now.unexpected++ < MESSAGES_BAD_LOGGED)
		log_warn("%s port: data of run %llu, which is not this guest's; dropped", link_port_name(port), (unsigned long long)run);
	return NULL;
}

/* ---- the messages ---- */

static int put_report(struct intake *in, const struct intake_run *r, struct error *err)
{
	struct store_batch *b = in->batch;
	const struct msg_run_done *d = &r->report;
	const struct { const char *key; uint64_t v; } rows[] = {
		{ "window.open", d->window_open }, { "window.ramp_end", d->ramp_end }, { "window.close", d->window_close },
		{ "window.issued", d->issued }, { "window.recorded", d->recorded }, { "window.errors", d->errors },
		{ "window.verified", d->verified }, { "window.verify_bad", d->verify_bad }, { "window.code", d->code },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (put_attr_u64(b, r->run, rows[i].key, rows[i].v, err))
			return -1;
	return r->done_text[0] ? put_attr(b, r->run, "window.text", r->done_text, err) : 0;
}

static int on_done(struct intake *in, enum link_port port, struct span payload, struct error *err)
{
	struct msg_run_done m;
	if (msg_run_done_decode(payload, &m, err))
		return 1;
	struct intake_run *r = find_run(in, port, m.run);
	if (!r || r->done)
		return 0;
	span_text(m.text, r->done_text, sizeof(r->done_text));
	r->report = m;
	r->report.text = (struct span){ 0 };
	r->done = true;
	r->loss.io_no_memory = m.dropped;
	r->loss.window = m.code == ERR_INTERRUPTED;
	return put_report(in, r, err);
}

static bool index_fits(uint32_t *next, uint32_t index)
{
	if (index < *next || index - *next > INDEX_JUMP_MAX)
		return false;
	*next = index + 1;
	return true;
}

/* A service time of half the clock's range is a wrapped subtraction, not an I/O. */
static bool records_sane(const struct io_record *r, int n)
{
	for (int i = 0; i < n; i++)
		if (r[i].reap - r[i].submit > UINT64_MAX / 4 || r[i].submit - r[i].intended > UINT64_MAX / 4)
			return false;
	return true;
}

static bool over_limit(struct intake *in, struct intake_run *r, size_t bytes)
{
	in->bytes += bytes;
	if (in->bytes <= in->bytes_max)
		return false;
	if (!r->loss.over_limit++)
		log_error("run %llu: its records take more than half of the free space under %s; the rest is refused",
			  (unsigned long long)r->run, store_path(in->store));
	return true;
}

static int on_io_chunk(struct intake *in, enum link_port port, struct span payload, struct error *err)
{
	struct msg_io_chunk m;
	if (msg_io_chunk_decode(payload, &m, err))
		return 1;
	struct intake_run *r = find_run(in, port, m.run);
	if (!r)
		return 0;
	int n = iorec_unpack(m.records, in->records, IOREC_CHUNK, err);
	if (n <= 0 || !records_sane(in->records, n) || !index_fits(&r->io_chunks, m.index)) {
		r->loss.io_chunk_bad++;
		return 0;
	}
	if (over_limit(in, r, m.records.len))
		return 0;
	r->records += (uint64_t)n;
	if (put_io_chunk(in->batch, m.run, m.index, m.records, err))
		return -1;
	return put_attr_u64(in->batch, m.run, "intake.records", r->records, err);
}

static int on_samples(struct intake *in, enum link_port port, struct span payload, struct error *err)
{
	struct msg_samples m;
	if (msg_samples_decode(payload, &m, err))
		return 1;
	struct intake_run *r = find_run(in, port, m.run);
	if (!r)
		return 0;
	int n = samples_unpack(m.samples, in->samples, SAMPLES_CHUNK, err);
	if (n <= 0 || !index_fits(&r->sample_chunks, m.index)) {
		r->loss.sample_chunk_bad++;
		return 0;
	}
	if (over_limit(in, r, m.samples.len))
		return 0;
	r->samples += (uint64_t)n;
	return put_sample_chunk(in->batch, m.run, SIDE_GUEST, m.index, m.samples, err);
}

static int on_series(struct intake *in, enum link_port port, struct span payload, struct error *err)
{
	struct msg_series m;
	char metric[128], dims[256], kind[32], unit[32];
	if (msg_series_decode(payload, &m, err))
		return 1;
	struct intake_run *r = find_run(in, port, m.run);
	if (!r)
		return 0;
	if (over_limit(in, r, payload.len))
		return 0;
	return put_series(in->batch, m.run, SIDE_GUEST, m.series, span_text(m.metric, metric, sizeof(metric)),
			  span_text(m.dims, dims, sizeof(dims)), span_text(m.kind, kind, sizeof(kind)),
			  span_text(m.unit, unit, sizeof(unit)), err);
}

/* ---- the kernel's trace ---- */

/* The run's trace; made at its first message, for a late run from what the collector before committed. NULL with err. */
static struct trace_intake *get_trace(struct intake *in, struct intake_run *r, struct error *err)
{
	if (r->trace)
		return r->trace;
	r->trace = trace_intake_new(r->run, err);
	if (r->trace && r == &in->now)
		trace_intake_device(r->trace, r->trace_device);
	if (r->trace && r == &in->late && trace_intake_resume(r->trace, in->store, err)) {
		trace_intake_free(r->trace);
		r->trace = NULL;
	}
	return r->trace;
}

/* What a message of the trace belongs to: 1 with *r and its trace, 0 when it is passed over, -1 with err. `bytes` count against the run's bound. */
static int trace_of(struct intake *in, enum link_port port, uint64_t run, size_t bytes, struct intake_run **r, struct error *err)
{
	*r = find_run(in, port, run);
	if (!*r || over_limit(in, *r, bytes))
		return 0;
	return get_trace(in, *r, err) ? 1 : -1;
}

/* Pages are not stored, sightings are: what counts against the bound is what they became. */
static int count_stored(struct intake *in, size_t before, int failed)
{
	if (failed)
		return -1;
	in->bytes += store_batch_size(in->batch) - before;
	return 0;
}

static int on_trace_event(struct intake *in, enum link_port port, struct span payload, struct error *err)
{
	struct msg_trace_event m;
	struct intake_run *r;
	if (msg_trace_event_decode(payload, &m, err))
		return 1;
	int there = trace_of(in, port, m.run, payload.len, &r, err);
	return there > 0 ? trace_intake_event(r->trace, in->batch, &m, err) : there;
}

static int on_trace_absent(struct intake *in, enum link_port port, struct span payload, struct error *err)
{
	struct msg_trace_absent m;
	struct intake_run *r;
	if (msg_trace_absent_decode(payload, &m, err))
		return 1;
	int there = trace_of(in, port, m.run, payload.len, &r, err);
	return there > 0 ? trace_intake_absent(r->trace, in->batch, &m, err) : there;
}

static int on_trace_pages(struct intake *in, enum link_port port, struct span payload, struct error *err)
{
	struct msg_trace_pages m;
	struct intake_run *r;
	if (msg_trace_pages_decode(payload, &m, err))
		return 1;
	int there = trace_of(in, port, m.run, 0, &r, err);
	if (there <= 0)
		return there;
	size_t before = store_batch_size(in->batch);
	return count_stored(in, before, trace_intake_pages(r->trace, in->batch, &m, &r->loss, err));
}

static int on_trace_sights(struct intake *in, enum link_port port, struct span payload, struct error *err)
{
	struct msg_trace_sights m;
	struct intake_run *r;
	if (msg_trace_sights_decode(payload, &m, err))
		return 1;
	int there = trace_of(in, port, m.run, 0, &r, err);
	if (there <= 0)
		return there;
	size_t before = store_batch_size(in->batch);
	return count_stored(in, before, trace_intake_sights(r->trace, in->batch, &m, &r->loss, err));
}

static int on_trace_end(struct intake *in, enum link_port port, struct span payload, struct error *err)
{
	struct msg_trace_end m;
	struct intake_run *r;
	if (msg_trace_end_decode(payload, &m, err))
		return 1;
	int there = trace_of(in, port, m.run, payload.len, &r, err);
	return there > 0 ? trace_intake_end(r->trace, in->batch, &m, &r->loss, err) : there;
}

/* ---- the end of a run ---- */

static uint64_t missing(uint64_t claimed, uint64_t came)
{
	return claimed > came ? claimed - came : 0;
}

static int on_drained(struct intake *in, enum link_port port, struct span payload, struct error *err)
{
	struct msg_run_drained m;
	if (msg_run_drained_decode(payload, &m, err))
		return 1;
	struct intake_run *r = find_run(in, port, m.run);
	if (!r)
		return 0;
	r->drained = true;
	r->loss.io_chunk_missing = missing(m.io_chunks, r->io_chunks);
	r->loss.sample_chunk_missing = missing(m.sample_chunks, r->sample_chunks);
	r->loss.sample_no_memory = m.samples_dropped;
	/* A late run's pages that came before are known only to what was resumed. */
	if (m.trace_pages && !get_trace(in, r, err))
		return -1;
	if (r->trace)
		r->loss.trace_page_missing = missing(m.trace_pages, trace_intake_page_count(r->trace));
	if (r == &in->late)
		return put_attr(in->batch, r->run, "note.late", "the rest came when a collector came back", err);
	return 0;
}

static int on_gap(struct intake *in, struct span payload, struct error *err)
{
	struct msg_gap m;
	char counts[256];
	if (msg_gap_decode(payload, &m, err) || m.last < m.first)
		return 1;
	in->now.loss.gap_frame += m.last - m.first + 1;
	log_warn("the guest's ring had to drop %s", span_text(m.counts, counts, sizeof(counts)));
	return 0;
}

/* 0: taken. 1: malformed. 2: not one of a run's data. -1: the store failed. */
static int take(struct intake *in, enum link_port port, uint16_t type, struct span payload, struct error *err)
{
	switch (type) {
	case MSG_RUN_DONE:
		return on_done(in, port, payload, err);
	case MSG_IO_CHUNK:
		return on_io_chunk(in, port, payload, err);
	case MSG_SAMPLES:
		return on_samples(in, port, payload, err);
	case MSG_SERIES:
		return on_series(in, port, payload, err);
	case MSG_TRACE_EVENT:
		return on_trace_event(in, port, payload, err);
	case MSG_TRACE_ABSENT:
		return on_trace_absent(in, port, payload, err);
	case MSG_TRACE_SIGHTS:
		return on_trace_sights(in, port, payload, err);
	case MSG_TRACE_PAGES:
		return on_trace_pages(in, port, payload, err);
	case MSG_TRACE_END:
		return on_trace_end(in, port, payload, err);
	case MSG_RUN_DRAINED:
		return on_drained(in, port, payload, err);
	case MSG_GAP:
		return on_gap(in, payload, err);
	default:
		return 2;
	}
}

bool intake_message(struct intake *in, enum link_port port, uint16_t type, struct span payload, uint64_t seq)
{
	struct error err = { 0 };
	int r = take(in, port, type, payload, &err);
	if (r == 2)
		return false;
	in->last_ns = monotonic_ns();
	if (r == 1 && in->now.loss.message_bad++ < MESSAGES_BAD_LOGGED)
		log_warn("%s port: malformed %s refused: %s", link_port_name(port), msg_name(type), err.text);
	if (r < 0 && !in->failure.code)
		in->failure = err;
	/* Neither stored nor acknowledged once the store has failed: the guest keeps what it has. */
	if (in->failure.code)
		return true;
	if (seq) {
		in->delivered[port] = seq;
		mark_dirty(in, port);
	}
	intake_tick(in);
	return true;
}
