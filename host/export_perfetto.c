/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trace events in the JSON format that Chrome's tracing began and ui.perfetto.dev reads ("Trace Event Format").
 *
 * One process a vantage, in the order of a request's way down; in each, one thread a slot. A job's requests overlap, but a thread's
 * slices must nest: a slot holds one request at a time, and every slice of a request lies on its slot's threads, between submit and
 * reap. A thread's number is its own among all processes', since Perfetto names threads by it alone. A request is a slice on
 * guest.app and one a phase below; flow arrows join them. Times are in µs since the window opened, to the nanosecond.
 *
 * A phase of negative length, or one that leaves the request, is drawn cut; its argument `ns` says what it is.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock_tier.h"
#include "common/quantile.h"
#include "host/export.h"
#include "host/run/summary.h"
#include "host/show.h"

typedef unsigned __int128 u128_t;

enum track { TRACK_RUN = 1, TRACK_APP, TRACK_GUEST, TRACK_CROSS, TRACK_VMM, TRACK_HOST, TRACK_DEVICE, TRACKS };

static const char *const track_names[TRACKS] = {
	[TRACK_RUN] = "run", [TRACK_APP] = "guest.app", [TRACK_GUEST] = "guest.kernel", [TRACK_CROSS] = "crossing",
	[TRACK_VMM] = "vmm", [TRACK_HOST] = "host.kernel", [TRACK_DEVICE] = "host device",
};

enum {
	SLOTS_MAX = 65536,             /* requests in flight at once; jobs × depth of no sane run comes near */
	TID_STEP = 100000,             /* a thread's number: track × this + slot + 1, so that no two processes share one */
	CHANGES_MAX = 4 << 20,         /* of the number in flight: 64 MiB with the memory to sort them */
};

struct slot {
	uint16_t job;
	unsigned number;               /* among its job's */
	uint64_t end;                  /* ns: when its last request was reaped */
	unsigned named;                /* tracks whose thread has its name, as bits */
};

struct trace {
	struct export *e;
	struct slot *slot;
	size_t slots, cap;
	uint64_t *change;              /* ns << 1 | submitted */
	size_t changes;
	uint64_t origin;               /* guest TSC of time zero */
	uint64_t skipped;              /* submitted before the window opened */
	uint64_t cut;                  /* phases drawn shorter than they claim, or where they are not */
	bool comma, failed;
};

/* ---- events ---- */

static void event(struct trace *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void event(struct trace *t, const char *fmt, ...)
{
	va_list ap;
	fputs(t->comma ? ",\n" : "\n", stdout);
	t->comma = true;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
}

/* ns as µs with all its digits. */
#define US "%" PRIu64 ".%03u"
#define US_OF(ns) (ns) / 1000, (unsigned)((ns) % 1000)

static unsigned thread_id(unsigned track, size_t slot)
{
	return track * TID_STEP + (unsigned)slot + 1;
}

/* Text from a database, as JSON. The result is malloc'd. */
static char *quoted(const char *text)
{
	json_t *s = json_string(text);
	char *out = s ? json_dumps(s, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : strdup("\"(not UTF-8)\"");
	json_decref(s);
	return out;
}

/* Rounded down, so that what is in order stays so. */
static uint64_t cycles_to_ns(const struct trace *t, uint64_t cycles)
{
	return t->e->hz ? (uint64_t)((u128_t)cycles * 1000000000 / t->e->hz) : 0;
}

/* ---- slots ---- */

static struct slot *new_slot(struct trace *t, uint16_t job)
{
	if (t->slots == SLOTS_MAX)
		return NULL;
	if (t->slots == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 64;
		struct slot *p = realloc(t->slot, cap * sizeof(*p));
		if (!p)
			return NULL;
		t->slot = p;
		t->cap = cap;
	}
	unsigned number = 0;
	for (size_t i = 0; i < t->slots; i++)
		number += t->slot[i].job == job;
	t->slot[t->slots] = (struct slot){ .job = job, .number = number };
	return &t->slot[t->slots++];
}

/* The one of the job's slots that was free for the shortest time: a job's requests come in the order they were reaped, and so a
 * slot's are in order, too. */
static struct slot *take_slot(struct trace *t, uint16_t job, uint64_t from, uint64_t to)
{
	struct slot *best = NULL;
	for (size_t i = 0; i < t->slots; i++) {
		struct slot *s = &t->slot[i];
		if (s->job == job && s->end <= from && (!best || s->end > best->end))
			best = s;
	}
	if (!best)
		best = new_slot(t, job);
	if (best)
		best->end = to;
	return best;
}

static unsigned slot_thread(struct trace *t, struct slot *s, unsigned track)
{
	unsigned tid = thread_id(track, (size_t)(s - t->slot));
	if (!(s->named & 1u << track)) {
		s->named |= 1u << track;
		event(t, "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":%u,\"tid\":%u,\"args\":{\"name\":\"job %u slot %u\"}}", track, tid, s->job, s->number);
		event(t, "{\"ph\":\"M\",\"name\":\"thread_sort_index\",\"pid\":%u,\"tid\":%u,\"args\":{\"sort_index\":%u}}", track, tid, tid);
	}
	return tid;
}

/* ---- a request ---- */

static const char *op_name(unsigned op)
{
	static const char *const names[SUMMARY_OPS] = { "read", "write", "flush", "discard" };
	return op < SUMMARY_OPS ? names[op] : "unknown";
}

/* A span lies on the track of its first phase; one that joins both clocks belongs to neither side. */
static unsigned track_of(unsigned from, unsigned to)
{
	if (phase_crosses(from, to))
		return TRACK_CROSS;
	if (boundary_in_guest(from) && boundary_in_guest(to))
		return TRACK_GUEST;
	if (from == PHASE_HOST_DEVICE && to == from + 1)
		return TRACK_DEVICE;
	return from >= PHASE_HOST_BLOCK && from <= PHASE_HOST_COMPLETION ? TRACK_HOST : TRACK_VMM;
}

struct drawing {
	struct trace *t;
	const struct attributed *r;
	struct slot *slot;
	uint64_t begin, end, now;      /* ns: of the request, and how far it is drawn */
	unsigned last_track, arrows;
	struct arrow { unsigned track, tid; uint64_t ts; } arrow[BOUNDARIES];
};

static void request_slice(struct drawing *d)
{
	struct trace *t = d->t;
	const struct attributed *r = d->r;
	unsigned tid = slot_thread(t, d->slot, TRACK_APP);
	event(t, "{\"ph\":\"X\",\"cat\":\"request\",\"name\":\"%s %" PRIu32 "\",\"pid\":%d,\"tid\":%u,\"ts\":" US ",\"dur\":" US ",\"args\":{\"request\":%" PRIu64
	      ",\"sector\":%" PRIu64 ",\"result\":%" PRId32, op_name(r->io.op), r->io.length, TRACK_APP, tid, US_OF(d->begin), US_OF(d->end - d->begin), r->index,
	      r->io.sector, r->io.result);
	if (t->e->columns)
		printf(",\"cause\":\"%s\",\"served_from\":\"%s\"", cause_name(r->cause), served_name(r->served));
	if (t->e->columns && !(r->offset_err >> 62))
		printf(",\"clock_bound_ns\":%.1f", export_ns(t->e, r->offset_err));
	printf("%s}}", r->io.flags & IO_IN_RAMP ? ",\"in_ramp\":true" : "");
	d->arrow[d->arrows++] = (struct arrow){ TRACK_APP, tid, d->begin };
	d->last_track = TRACK_APP;
}

/* A boundary as ns since the origin, within its request. */
static uint64_t drawn_at(const struct drawing *d, unsigned b)
{
	int64_t since = (int64_t)(d->r->at[b] - d->r->at[AT_APP_SUBMIT]);
	uint64_t ns = since < 0 ? d->begin : cycles_to_ns(d->t, d->r->at[b] - d->t->origin);
	return ns > d->end || ns < d->begin ? (since < 0 ? d->begin : d->end) : ns;
}

static void phase_slice(struct drawing *d, unsigned from, unsigned to)
{
	struct trace *t = d->t;
	const struct attributed *r = d->r;
	char name[PHASE_SPAN_MAX];
	int64_t cycles = (int64_t)(r->at[to] - r->at[from]);
	uint64_t start = d->now, end = drawn_at(d, to);
	bool cut = cycles < 0 || drawn_at(d, from) < start || (int64_t)(r->at[to] - r->at[AT_APP_REAP]) > 0;
	end = end > start ? end : start;
	d->now = end;
	t->cut += cut;
	unsigned track = track_of(from, to), tid = slot_thread(t, d->slot, track);
	event(t, "{\"ph\":\"X\",\"cat\":\"phase\",\"name\":\"%s\",\"pid\":%u,\"tid\":%u,\"ts\":" US ",\"dur\":" US ",\"args\":{\"to\":\"%s\"",
	      phase_span_name(from, to, name), track, tid, US_OF(start), US_OF(end - start), boundary_name(to));
	if (r->kind[to])
		printf(",\"by\":\"%s\",\"thread\":%" PRIu32, sight_name(r->kind[to]), r->thread[to]);
	uint64_t bound = attributed_bound(r, from, to);
	if (bound && !(bound >> 62))
		printf(",\"bound_ns\":%.1f", export_ns(t->e, bound));
	if (cut)
		printf(",\"cut\":true,\"ns\":%.1f", export_signed_ns(t->e, (uint64_t)cycles));
	fputs("}}", stdout);
	if (track != d->last_track && end > start && d->arrows < BOUNDARIES) {
		d->arrow[d->arrows++] = (struct arrow){ track, tid, start };
		d->last_track = track;
	}
}

/* From slice to slice, wherever the request passes on to another track. Each end stands at its slice's beginning, after it in the file. */
static void flow_arrows(struct drawing *d)
{
	for (unsigned i = 0; d->arrows > 1 && i < d->arrows; i++)
		event(d->t, "{\"ph\":\"%c\",\"cat\":\"request\",\"name\":\"request\",\"id\":%" PRIu64 ",\"bp\":\"e\",\"pid\":%u,\"tid\":%u,\"ts\":" US "}",
		      i == 0 ? 's' : i == d->arrows - 1 ? 'f' : 't', d->r->index + 1, d->arrow[i].track, d->arrow[i].tid, US_OF(d->arrow[i].ts));
}

/* Behind the arrows in the file: Perfetto takes an instant for a slice, and an arrow begins on the last one before it. */
static void violation_mark(const struct drawing *d)
{
	if (d->r->violations)
		event(d->t, "{\"ph\":\"i\",\"s\":\"t\",\"name\":\"causality violation\",\"pid\":%d,\"tid\":%u,\"ts\":" US ",\"args\":{\"phases\":%u}}", TRACK_APP,
		      thread_id(TRACK_APP, (size_t)(d->slot - d->t->slot)), US_OF(d->begin), d->r->violations);
}

static void phases(struct drawing *d)
{
	int from = AT_APP_SUBMIT;
	for (unsigned b = 1; b < BOUNDARIES; b++) {
		if (!(d->r->seen & 1u << b))
			continue;
		if (from != AT_APP_SUBMIT || b != AT_APP_REAP)
			phase_slice(d, (unsigned)from, b);
		from = (int)b;
	}
}

static void count_change(struct trace *t, uint64_t begin, uint64_t end)
{
	if (t->changes + 2 > CHANGES_MAX)
		return;
	t->change[t->changes++] = begin << 1 | 1;
	t->change[t->changes++] = end << 1;
}

static int draw(void *ctx, const struct attributed *r)
{
	struct trace *t = ctx;
	struct drawing d = { .t = t, .r = r };
	if ((int64_t)(r->io.submit - t->origin) < 0 || (int64_t)(r->io.reap - r->io.submit) < 0) {
		t->skipped++;
		return 0;
	}
	d.begin = d.now = cycles_to_ns(t, r->io.submit - t->origin);
	d.end = cycles_to_ns(t, r->io.reap - t->origin);
	d.slot = take_slot(t, r->io.job, d.begin, d.end);
	if (!d.slot) {
		t->failed = true;
		return 1;
	}
	request_slice(&d);
	phases(&d);
	flow_arrows(&d);
	violation_mark(&d);
	count_change(t, d.begin, d.end);
	return 0;
}

/* ---- what stands around them ---- */

static void processes(struct trace *t)
{
	for (unsigned i = TRACK_RUN; i < TRACKS; i++) {
		if (i > TRACK_APP && !t->e->columns)
			break;
		event(t, "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%u,\"args\":{\"name\":\"%s\"}}", i, track_names[i]);
		event(t, "{\"ph\":\"M\",\"name\":\"process_sort_index\",\"pid\":%u,\"args\":{\"sort_index\":%u}}", i, i);
	}
}

struct attribute_list {
	struct trace *t;
	bool failed;
};

static int put_attribute(void *ctx, const char *key, const char *text)
{
	struct attribute_list *l = ctx;
	autofree char *k = quoted(key), *v = quoted(text);
	l->failed |= !k || !v;
	if (k && v)
		printf(",%s:%s", k, v);
	return 0;
}

/* The window as a slice of its own, with all that the run knows of itself: what is selected there is what was measured. */
static int run_slice(struct trace *t, struct error *err)
{
	struct export *e = t->e;
	struct attribute_list l = { .t = t };
	uint64_t length = e->close > e->open ? cycles_to_ns(t, e->close - e->open) : 0;
	event(t, "{\"ph\":\"X\",\"name\":\"run %" PRIu64 "\",\"pid\":%d,\"tid\":%u,\"ts\":0,\"dur\":" US ",\"args\":{\"run\":%" PRIu64, e->run, TRACK_RUN,
	      thread_id(TRACK_RUN, 0), US_OF(length), e->run);
	if (e->at && attribution_tier(e->at))
		printf(",\"clock.tier\":\"%s\",\"clock.bound_ns\":%.1f", clock_tier_name(attribution_tier(e->at)), attribution_bound_ns(e->at));
	static const char *const prefixes[] = { "config.", "study.cell", "vantage.", "workload." };
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (store_each_attr(e->store, e->run, prefixes[i], put_attribute, &l, err) < 0)
			return -1;
	fputs("}}", stdout);
	return l.failed ? error_set(err, ERR_LIMIT, "out of memory") : 0;
}

/* How many were in flight, over the requests of this trace. */
static int counters(struct trace *t, struct error *err)
{
	autofree uint64_t *tmp = malloc((t->changes + 1) * sizeof(*tmp));
	int64_t n = 0;
	if (!tmp)
		return error_set(err, ERR_LIMIT, "out of memory");
	sort_u64(t->change, tmp, t->changes);
	for (size_t i = 0; i < t->changes; i++) {
		n += t->change[i] & 1 ? 1 : -1;
		/* One event an instant: a request that follows on another's heels changes nothing. */
		if (i + 1 < t->changes && t->change[i] >> 1 == t->change[i + 1] >> 1)
			continue;
		event(t, "{\"ph\":\"C\",\"name\":\"in flight\",\"pid\":%d,\"ts\":" US ",\"args\":{\"requests\":%" PRId64 "}}", TRACK_APP,
		      US_OF(t->change[i] >> 1), n);
	}
	return 0;
}

static void tail(const struct trace *t)
{
	printf("\n],\n\"displayTimeUnit\":\"ns\",\n\"otherData\":{\"program\":\"bifocal\",\"run\":%" PRIu64 ",\"requests\":%" PRIu64 ",\"complete\":%s,"
	       "\"before_window\":%" PRIu64 ",\"phases_cut\":%" PRIu64 ",\"in_flight_complete\":%s}}\n", t->e->run, t->e->done, t->e->more ? "false" : "true",
	       t->skipped, t->cut, t->changes + 2 > CHANGES_MAX ? "false" : "true");
}

static int first_submit(void *ctx, const struct io_record *r, size_t n)
{
	struct trace *t = ctx;
	for (size_t i = 0; i < n; i++) {
		if (!t->comma || (int64_t)(r[i].submit - t->origin) < 0)
			t->origin = r[i].submit;
		t->comma = true;
	}
	return 0;
}

/* The window's opening; in a run without a window, its first request. */
static int find_origin(struct trace *t, struct error *err)
{
	t->origin = t->e->open;
	if (t->e->close)
		return 0;
	int r = store_each_io(t->e->store, t->e->run, first_submit, t, err);
	t->comma = false;
	return r;
}

static int write_trace(struct trace *t, struct error *err)
{
	if (find_origin(t, err))
		return -1;
	fputs("{\"traceEvents\":[", stdout);
	processes(t);
	if (run_slice(t, err) || export_each(t->e, draw, t, err) || counters(t, err))
		return -1;
	if (t->failed)
		return error_set(err, ERR_LIMIT, "more than %d requests in flight at once, or out of memory", SLOTS_MAX);
	tail(t);
	if (t->skipped)
		fprintf(stderr, "bifocal: %" PRIu64 " requests begin before the window, or end before they begin: not drawn\n", t->skipped);
	return 0;
}

int export_perfetto(struct export *e, struct error *err)
{
	struct trace t = { .e = e, .change = malloc(CHANGES_MAX * sizeof(uint64_t)) };
	int r = t.change ? write_trace(&t, err) : error_set(err, ERR_LIMIT, "out of memory");
	free(t.change);
	free(t.slot);
	return r;
}
