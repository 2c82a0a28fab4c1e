/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/channel_ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* Data comes in frames of FRAME_MAX; small messages are few. One slot for so many bytes
	 * keeps the slots to an eighth of the ring and still lets it fill with log lines. */
	BYTES_PER_SLOT = 256,
	SIXTEENTHS = 16,
};

int ring_init(struct ring *r, size_t bytes, struct error *err)
{
	*r = (struct ring){ .cap = bytes, .nslots = bytes / BYTES_PER_SLOT, .next_seq = 1, .send_seq = 1 };
	if (bytes < 4 * FRAME_MAX)
		return error_set(err, ERR_LIMIT, "ring of %zu bytes: at least %d are needed", bytes, 4 * FRAME_MAX);
	r->bytes = malloc(bytes);
	r->slots = calloc(r->nslots, sizeof(*r->slots));
	if (r->bytes && r->slots)
		return 0;
	ring_fini(r);
	return error_set(err, ERR_LIMIT, "ring of %zu bytes: out of memory", bytes);
}

void ring_fini(struct ring *r)
{
	if (!r)
		return;
	free(r->bytes);
	free(r->slots);
	*r = (struct ring){ 0 };
}

static struct ring_slot *slot_at(const struct ring *r, size_t i)
{
	return &r->slots[(r->oldest + i) % r->nslots];
}

static uint64_t oldest_seq(const struct ring *r)
{
	return r->next_seq - r->used;
}

uint64_t ring_base(const struct ring *r)
{
	if (r->sent_gap.first)
		return r->sent_gap.first;
	return r->open_gap.first ? r->open_gap.first : oldest_seq(r);
}

bool ring_empty(const struct ring *r)
{
	return ring_base(r) == r->next_seq;
}

/* Free memory is one piece behind the newest frame, and perhaps another at the ring's start. */
struct pieces {
	size_t behind, front;
};

static struct pieces free_pieces(const struct ring *r)
{
	if (!r->used)
		return (struct pieces){ r->cap, 0 };
	size_t head = slot_at(r, 0)->at;
	if (r->tail > head)
		return (struct pieces){ r->cap - r->tail, head };
	return (struct pieces){ head - r->tail, 0 };
}

/* Payload that so many bytes hold when cut into full frames and a last one. */
static size_t payload_of(size_t bytes)
{
	size_t rest = bytes % FRAME_MAX;
	return bytes / FRAME_MAX * FRAME_PAYLOAD_MAX + (rest > FRAME_HEADER ? rest - FRAME_HEADER : 0);
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t room_in(const struct ring *r, struct pieces p, size_t free_slots, unsigned spare)
{
	size_t keep = r->cap / SIXTEENTHS * spare, keep_slots = r->nslots / SIXTEENTHS * spare;
	if (p.behind + p.front <= keep || free_slots <= keep_slots)
		return 0;
	/* A frame does not wrap: what is left behind the last full one is lost once we go on in front. */
	size_t behind_only = payload_of(p.behind);
	size_t both = p.behind / FRAME_MAX * FRAME_PAYLOAD_MAX + payload_of(p.front);
	size_t room = behind_only > both ? behind_only : both;
	room = least(room, payload_of(p.behind + p.front - keep));
	return least(room, (free_slots - keep_slots) * FRAME_PAYLOAD_MAX);
}

size_t ring_room(const struct ring *r, unsigned spare)
{
	return room_in(r, free_pieces(r), r->nslots - r->used, spare);
}

size_t ring_room_empty(const struct ring *r, unsigned spare)
{
	return room_in(r, (struct pieces){ r->cap, 0 }, r->nslots, spare);
}

static void put_frame(struct ring *r, uint16_t type, uint8_t flags, struct span payload)
{
	size_t size = FRAME_HEADER + payload.len;
	if (!r->used || free_pieces(r).behind < size)
		r->tail = 0;
	struct ring_slot *s = slot_at(r, r->used);
	flags |= frame_sum_flag();
	*s = (struct ring_slot){
		.at = r->tail, .len = (uint32_t)payload.len, .sum = frame_sum(flags, payload.p, payload.len),
		.type = type, .flags = flags,
	};
	if (payload.len)
		memcpy(r->bytes + s->at + FRAME_HEADER, payload.p, payload.len);
	r->tail += size;
	r->used++;
	r->next_seq++;
}

void ring_put(struct ring *r, uint16_t type, struct span payload)
{
	uint8_t rest = 0;
	while (payload.len > FRAME_PAYLOAD_MAX) {
		put_frame(r, type, FRAME_MORE | rest, (struct span){ payload.p, FRAME_PAYLOAD_MAX });
		payload.p += FRAME_PAYLOAD_MAX;
		payload.len -= FRAME_PAYLOAD_MAX;
		rest = FRAME_REST;
	}
	put_frame(r, type, rest, payload);
}

static void free_oldest(struct ring *r)
{
	r->oldest = (r->oldest + 1) % r->nslots;
	r->used--;
}

static void gap_count(struct ring_gap *g, uint16_t type)
{
	switch (type) {
#define MSG(number, NAME, name, direction, delivery, since, text) case number: g->dropped.name++; break;
	MSG_TABLE(MSG)
#undef MSG
	}
}

static void gap_join(struct ring_gap *into, const struct ring_gap *later)
{
	if (!into->first)
		into->first = later->first;
	into->last = later->last;
	into->bytes += later->bytes;
#define MSG(number, NAME, name, direction, delivery, since, text) into->dropped.name += later->dropped.name;
	MSG_TABLE(MSG)
#undef MSG
}

/* What was sent already goes to the gap that was sent: its receiver most likely has it. */
static void drop_frame(struct ring *r)
{
	const struct ring_slot *s = slot_at(r, 0);
	uint64_t seq = oldest_seq(r);
	struct ring_gap one = { .first = seq, .last = seq, .bytes = s->len };
	if (!(s->flags & FRAME_MORE))
		gap_count(&one, s->type);
	gap_join(seq < r->send_seq ? &r->sent_gap : &r->open_gap, &one);
	free_oldest(r);
}

bool ring_drop(struct ring *r)
{
	if (!r->used)
		return false;
	/* Whole messages only: the rest of one would be no use to anybody. */
	while (slot_at(r, 0)->flags & FRAME_MORE)
		drop_frame(r);
	drop_frame(r);
	return true;
}

enum ring_next ring_next(const struct ring *r)
{
	if (r->send_seq == r->next_seq)
		return RING_NOTHING;
	return r->send_seq < oldest_seq(r) ? RING_GAP : RING_FRAME;
}

struct span ring_frame(struct ring *r, uint32_t epoch, uint64_t *seq)
{
	const struct ring_slot *s = slot_at(r, r->send_seq - oldest_seq(r));
	uint8_t *at = r->bytes + s->at;
	struct frame f = {
		.flags = s->flags, .type = s->type, .epoch = epoch, .seq = r->send_seq, .payload.len = s->len,
	};
	frame_encode_header(at, &f, s->sum);
	*seq = r->send_seq;
	return (struct span){ at, FRAME_HEADER + s->len };
}

static const struct ring_gap *gap_next(const struct ring *r)
{
	return r->send_seq <= r->sent_gap.last ? &r->sent_gap : &r->open_gap;
}

enum { COUNTS_MAX = 4096 };     /* some forty bytes a message type */

static size_t print_count(char *dst, size_t len, const char *name, uint64_t n)
{
	if (!n)
		return len;
	int wrote = snprintf(dst + len, COUNTS_MAX - len, "%s%s=%llu", len ? " " : "", name, (unsigned long long)n);
	return least(len + (size_t)wrote, COUNTS_MAX - 1);
}

void ring_gap_encode(const struct ring *r, struct wbuf *w, uint64_t *seq)
{
	const struct ring_gap *g = gap_next(r);
	char counts[COUNTS_MAX];
	size_t len = 0;
#define MSG(number, NAME, name, direction, delivery, since, text) len = print_count(counts, len, #name, g->dropped.name);
	MSG_TABLE(MSG)
#undef MSG
	struct msg_gap m = {
		.first = r->send_seq, .last = g->last, .bytes = g->bytes,
		.counts = { (const uint8_t *)counts, len },
	};
	msg_gap_encode(w, &m);
	*seq = g->last;
}

void ring_sent(struct ring *r)
{
	r->begun = true;
	if (r->send_seq >= oldest_seq(r)) {
		r->send_seq++;
		return;
	}
	const struct ring_gap *g = gap_next(r);
	r->send_seq = g->last + 1;
	if (g == &r->open_gap) {
		gap_join(&r->sent_gap, g);
		r->open_gap = (struct ring_gap){ 0 };
	}
}

/* Frames of the oldest message. */
static size_t oldest_frames(const struct ring *r)
{
	size_t n = 1;
	while (slot_at(r, n - 1)->flags & FRAME_MORE)
		n++;
	return n;
}

void ring_ack(struct ring *r, uint64_t seq)
{
	if (seq >= r->sent_gap.last)
		r->sent_gap = (struct ring_gap){ 0 };
	if (seq >= r->open_gap.last)
		r->open_gap = (struct ring_gap){ 0 };
	while (r->used && oldest_seq(r) + oldest_frames(r) - 1 <= seq)
		for (size_t n = oldest_frames(r); n; n--)
			free_oldest(r);
	if (r->send_seq < ring_base(r))
		r->send_seq = ring_base(r);
}

uint64_t ring_rewind(struct ring *r, uint64_t have)
{
	uint64_t to = have + 1, base = ring_base(r), old = r->send_seq;
	r->send_seq = to < base ? base : to > r->next_seq ? r->next_seq : to;
	return old > r->send_seq ? old - r->send_seq : 0;
}

static void gap_shift(struct ring_gap *g, uint64_t by)
{
	if (g->first) {
		g->first += by;
		g->last += by;
	}
}

void ring_follow(struct ring *r, uint64_t have)
{
	uint64_t base = ring_base(r);
	if (have < base)
		return;
	uint64_t by = have + 1 - base;
	gap_shift(&r->sent_gap, by);
	gap_shift(&r->open_gap, by);
	r->next_seq += by;
	r->send_seq = ring_base(r);
}
