/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/trace/simple_file.h"

#include <string.h>

enum { HEADER = 24, TYPE = 8, MAPPING_FRONT = 12, EVENT_FRONT = 24, VERSION = 4 };
enum { RECORD_MAPPING = 0, RECORD_EVENT = 1 };

static const uint64_t header_id = UINT64_MAX, magic = UINT64_C(0xf2b177cb0aa429b4), dropped_id = UINT64_MAX - 1;

void simple_init(struct simple_file *f, struct qemu_events_state *st)
{
	*f = (struct simple_file){ .state = st };
}

/* Each step returns the bytes it took, 0 when there are too few, -1 with err. */

static ptrdiff_t take_header(struct simple_file *f, struct rbuf *r, struct error *err)
{
	if (rbuf_left(r) < HEADER)
		return 0;
	uint64_t id = get_u64(r), m = get_u64(r), version = get_u64(r);

	if (id != header_id || m != magic)
		return error_set(err, ERR_CORRUPT, "QEMU's trace file: it does not begin as one");
	if (version != VERSION)
		return error_set(err, ERR_VERSION, "QEMU's trace file: version %llu, %d is known", (unsigned long long)version, VERSION);
	f->begun = true;
	return HEADER;
}

static ptrdiff_t take_mapping(struct simple_file *f, struct rbuf *r, struct error *err)
{
	if (rbuf_left(r) < MAPPING_FRONT)
		return 0;
	uint64_t id = get_u64(r);
	uint32_t n = get_u32(r);

	if (n > SIMPLE_NAME_MAX)
		return error_set(err, ERR_CORRUPT, "QEMU's trace file: an event's name of %u bytes at byte %llu", n, (unsigned long long)f->at);
	if (rbuf_left(r) < n)
		return 0;
	struct span name = get_bytes(r, n);
	size_t row = qemu_event_find((const char *)name.p, name.len, 0);
	if (id < SIMPLE_IDS)
		f->row[id] = row < qemu_events_count ? (uint16_t)(row + 1) : 0;
	return TYPE + MAPPING_FRONT + (ptrdiff_t)n;
}

static bool take_arguments(struct span payload, const struct qemu_event *e, struct qemu_arg args[QEMU_ARGS_MAX])
{
	struct rbuf r;
	size_t n = 0;

	rbuf_init(&r, payload.p, payload.len);
	for (const char *c = e->format; *c; c++) {
		if (*c != '%')
			continue;
		if (n == QEMU_ARGS_MAX)
			return false;
		struct qemu_arg *a = &args[n++];
		*a = (struct qemu_arg){ 0 };
		if (*++c != 's') {
			a->number = get_u64(&r);
			continue;
		}
		struct span text = get_blob(&r);
		a->text = (const char *)text.p;
		a->length = text.len;
	}
	return rbuf_done(&r);
}

/* 1: `s` is a sighting; 0: it is none. */
static int decode(struct simple_file *f, uint64_t id, uint64_t ns, struct span payload, struct sighting *s)
{
	struct qemu_arg args[QEMU_ARGS_MAX];
	size_t row = id < SIMPLE_IDS && f->row[id] ? (size_t)f->row[id] - 1 : qemu_events_count;
	const char *name = row < qemu_events_count ? qemu_events[row].name : NULL;

	if (!name) {
		f->foreign++;
		return 0;
	}
	for (; row < qemu_events_count; row = qemu_event_find(name, strlen(name), row + 1)) {
		if (!take_arguments(payload, &qemu_events[row], args))
			continue;
		if (!qemu_event_sighting(f->state, &qemu_events[row], args, ns, 0, s)) {
			f->filtered++;
			return 0;
		}
		f->sightings++;
		return 1;
	}
	f->malformed++;
	return 0;
}

static int decode_dropped(struct simple_file *f, uint64_t ns, struct span payload, struct sighting *s)
{
	struct rbuf r;

	rbuf_init(&r, payload.p, payload.len);
	uint64_t count = get_u64(&r);
	if (!rbuf_done(&r)) {
		f->malformed++;
		return 0;
	}
	f->dropped += count;
	*s = (struct sighting){ .time = ns, .key = count, .kind = SIGHT_LOST, .op = SIGHT_OP_NONE, .flags = SIGHT_NO_PLACE };
	return 1;
}

static ptrdiff_t take_event(struct simple_file *f, struct rbuf *r, simple_fn *fn, void *ctx, struct error *err)
{
	struct sighting s;

	if (rbuf_left(r) < EVENT_FRONT)
		return 0;
	uint64_t id = get_u64(r), ns = get_u64(r);
	uint32_t n = get_u32(r);
	get_u32(r);        /* pid */
	if (n < EVENT_FRONT || n > SIMPLE_RECORD_MAX)
		return error_set(err, ERR_CORRUPT, "QEMU's trace file: a record of %u bytes at byte %llu", n, (unsigned long long)f->at);
	if (rbuf_left(r) < n - EVENT_FRONT)
		return 0;
	struct span payload = get_bytes(r, n - EVENT_FRONT);
	f->records++;
	int seen = id == dropped_id ? decode_dropped(f, ns, payload, &s) : decode(f, id, ns, payload, &s);
	if (seen && fn(ctx, &s))
		return -1;
	return TYPE + (ptrdiff_t)n;
}

static ptrdiff_t take_record(struct simple_file *f, struct rbuf *r, simple_fn *fn, void *ctx, struct error *err)
{
	if (!f->begun)
		return take_header(f, r, err);
	if (rbuf_left(r) < TYPE)
		return 0;
	uint64_t type = get_u64(r);
	if (type == RECORD_MAPPING)
		return take_mapping(f, r, err);
	if (type == RECORD_EVENT)
		return take_event(f, r, fn, ctx, err);
	return error_set(err, ERR_CORRUPT, "QEMU's trace file: a record of type %llu at byte %llu", (unsigned long long)type, (unsigned long long)f->at);
}

ptrdiff_t simple_feed(struct simple_file *f, const uint8_t *p, size_t n, simple_fn *fn, void *ctx, struct error *err)
{
	size_t done = 0;

	while (done < n) {
		struct rbuf r;

		rbuf_init(&r, p + done, n - done);
		ptrdiff_t took = take_record(f, &r, fn, ctx, err);
		if (took < 0)
			return -1;
		if (took == 0)
			break;
		done += (size_t)took;
		f->at += (uint64_t)took;
	}
	return (ptrdiff_t)done;
}
